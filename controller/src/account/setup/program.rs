//! Agent programs in the bucket, for images that have none.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::deployment::{AgentProgram, Deployment, agent_key};
use dayfly_shared::store::{Attributes, Condition, StoreExt as _};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::work::Work;
use crate::cli::SetupArgs;
use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::write::{self, Settled};

/// An agent says its version at once; what takes longer is something else.
const VERSION_WAIT: Duration = Duration::from_secs(10);

/// A program that was looked at.
pub struct Program {
    architecture: &'static str,
    version: String,
    sha256: String,
    bytes: Bytes,
}

/// Looks at the programs of the command line before anything is made.
///
/// # Errors
/// A file that is no Linux program, or no agent of this version.
pub async fn inspect(parts: &Parts, args: &SetupArgs) -> Result<Vec<Program>> {
    let mut all = Vec::new();
    for path in &args.agent {
        let bytes = std::fs::read(path).map_err(|e| Failure::io("reading the agent program", path, &e))?;
        let Some(architecture) = architecture(&bytes) else {
            return Err(Failure::usage(format!("{} is no Linux program for x86_64 or arm64", path.display()))
                .fix("build one with scripts/build-agent"));
        };
        let version = match &args.agent_version {
            Some(version) => version.clone(),
            None => version(parts, path, architecture).await?,
        };
        check_version(path, &version)?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        all.push(Program { architecture, version, sha256, bytes: bytes.into() });
    }
    Ok(all)
}

/// What an ELF header of 64 bits says that the program runs on (ELF-64 object file format, `e_machine`).
fn architecture(bytes: &[u8]) -> Option<&'static str> {
    if !bytes.starts_with(b"\x7fELF\x02") {
        return None;
    }
    match bytes.get(18..20)? {
        [62, 0] => Some("x86_64"),
        [183, 0] => Some("arm64"),
        _ => None,
    }
}

async fn version(parts: &Parts, path: &Path, architecture: &str) -> Result<String> {
    let here = if std::env::consts::ARCH == "aarch64" { "arm64" } else { std::env::consts::ARCH };
    if architecture != here || !cfg!(target_os = "linux") {
        return Err(Failure::usage(format!(
            "{} is for {architecture} and cannot run here to say its version",
            path.display()
        ))
        .fix("say it with --agent-version"));
    }
    let asked = path.canonicalize().map_err(|e| Failure::io("reading the agent program", path, &e))?;
    let answer = Command::new(asked).arg("--version").kill_on_drop(true).output();
    let answer = tokio::select! {
        answer = answer => answer.map_err(|e| Failure::io("running the agent program", path, &e))?,
        () = parts.clock.sleep(VERSION_WAIT) => {
            return Err(Failure::new(format!("{} --version did not end", path.display())).fix("pass a dayfly-agent"));
        }
    };
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    match text.trim().strip_prefix("dayfly-agent ") {
        Some(version) if answer.status.success() => {
            Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
        }
        _ => Err(Failure::usage(format!("{} says '{}' for its version", path.display(), text.trim()))
            .fix("pass a dayfly-agent that runs here, or say its version with --agent-version")),
    }
}

/// An agent of another series may speak another protocol.
fn check_version(path: &Path, version: &str) -> Result<()> {
    let series = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let own = env!("CARGO_PKG_VERSION");
    if series(version) == series(own) {
        return Ok(());
    }
    Err(Failure::usage(format!("{} is version {version}, and this dayfly is {own}", path.display()))
        .left("nothing was changed")
        .fix("pass an agent of the same version, or use the dayfly that belongs to it"))
}

/// Puts the programs into the bucket.
///
/// # Errors
/// What the store refuses.
pub async fn upload(work: &mut Work<'_>, deployment: &mut Deployment, programs: Vec<Program>) -> Result<()> {
    for program in programs {
        let key = agent_key(&deployment.place, &program.version, program.architecture);
        let name = format!("s3://{}/{key}", deployment.place.bucket());
        let record = AgentProgram {
            architecture: program.architecture.to_owned(),
            version: program.version,
            key: key.clone(),
            sha256: program.sha256,
            bytes: program.bytes.len() as u64,
        };
        let store = work.parts.bucket(deployment.place.bucket(), Patience::Long).await?;
        let standing = store.read(&key).await?;
        let condition = match &standing {
            Some((_, bytes)) if *bytes == program.bytes => None,
            Some((meta, _)) => Some(Condition::Update(meta.etag.clone())),
            None => Some(Condition::Create),
        };
        if let Some(condition) = condition {
            let attributes = Attributes { content_type: Some("application/octet-stream"), ..Attributes::default() };
            match write::put(work.parts, &*store, &key, program.bytes, &attributes, &condition).await? {
                Settled::Applied(_) => work.made("agent program", &name),
                Settled::Rejected => {
                    return Err(Failure::new(format!("{name} was changed by somebody else meanwhile"))
                        .fix("run dayfly setup again"));
                }
            }
        } else {
            work.there("agent program", &name);
        }
        // Instances take the newest of an architecture: the one put last.
        deployment.agents.retain(|one| one.key != record.key);
        deployment.agents.push(record);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_what_they_run_on() {
        let elf = |machine: u8| {
            let mut header = b"\x7fELF\x02".to_vec();
            header.resize(18, 0);
            header.extend([machine, 0]);
            header
        };
        assert_eq!([62, 183, 3].map(|machine| architecture(&elf(machine))), [Some("x86_64"), Some("arm64"), None]);
        assert_eq!(architecture(b"#!/bin/sh"), None);
    }

    #[test]
    fn another_series_is_refused() {
        let path = Path::new("agent");
        assert!(check_version(path, "9.9.9").is_err());
        assert!(check_version(path, &format!("{}-dev", env!("CARGO_PKG_VERSION"))).is_ok());
    }
}
