//! Agents as processes on this machine. Each has a folder with its launch record, what it said, and its work.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dayfly_shared::clock::{Clock, Timestamp};
use dayfly_shared::job::{Location, SCHEMA};
use dayfly_shared::keys::slug;
use dayfly_shared::records::{from_json, to_json};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::process;
use super::{Ending, Fleet, Member, MemberState, Order};
use crate::failure::{Failure, Result};

/// Of what an agent said, the end is looked at for its last words.
const LAST_WORDS_BYTES: i64 = 4096;

/// What local agents need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSettings {
    /// The agent program.
    pub program: PathBuf,
    /// Where agents' folders lie.
    pub dir: PathBuf,
    /// Set in their environment, or taken out of it.
    pub environment: Vec<(&'static str, Option<String>)>,
}

/// `launch.json` in an agent's folder: written before the process is started, so that none is ever lost sight of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LaunchRecord {
    schema: u32,
    job: Location,
    name: String,
    at: Timestamp,
    command: Vec<String>,
    /// Absent until it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// See [`process::started`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<u64>,
}

/// Agents on this machine.
pub struct LocalFleet {
    settings: LocalSettings,
    clock: Arc<dyn Clock>,
    /// Those that this process started, by their ids: only a parent learns the exit code.
    children: Mutex<HashMap<u32, Child>>,
}

impl LocalFleet {
    /// None yet.
    pub fn new(settings: LocalSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, children: Mutex::default() }
    }

    /// The folder of a job's agents.
    fn folder(&self, job: &Location) -> PathBuf {
        // The checksum tells apart what the readable part does not.
        let sum = crc32fast::hash(job.to_string().as_bytes());
        let readable = slug(format!("{}/{}", job.bucket(), job.prefix()).trim_end_matches('/'));
        self.settings.dir.join(format!("{readable}.{sum:08x}"))
    }

    fn launch_one(&self, order: &Order) -> Result<Member> {
        let (name, dir) = new_folder(&self.folder(&order.job))?;
        let work = dir.join("work");
        let mut words = vec!["--job".to_owned(), order.job.to_string(), "--name".to_owned(), name.clone()];
        if let Some(slots) = order.slots {
            words.extend(["--slots".to_owned(), slots.to_string()]);
        }
        words.extend(["--work-dir".to_owned(), work.display().to_string()]);
        if let Some(wait) = order.suspended_wait {
            words.extend(["--suspended-wait".to_owned(), wait.as_secs().to_string()]);
        }
        if order.linger {
            words.push("--linger".to_owned());
        }
        let program = self.settings.program.display().to_string();
        let mut record = LaunchRecord {
            schema: SCHEMA,
            job: order.job.clone(),
            name,
            at: self.clock.now().wall,
            command: std::iter::once(program).chain(words.iter().cloned()).collect(),
            pid: None,
            started: None,
        };
        write_record(&dir, &record)?;
        fs::create_dir_all(&work).map_err(|e| Failure::io("making the agent's folder", &work, &e))?;
        let child = self.spawn(&words, &dir)?;
        record.pid = Some(child.id());
        record.started = process::started(child.id());
        self.children().insert(child.id(), child);
        write_record(&dir, &record)?;
        Ok(self.member(&record, &dir))
    }

    fn spawn(&self, words: &[String], dir: &Path) -> Result<Child> {
        let said = dir.join("stderr.txt");
        let file = File::create(&said).map_err(|e| Failure::io("making", &said, &e))?;
        let stdout = file.try_clone().map_err(|e| Failure::io("opening", &said, &e))?;
        let mut command = Command::new(&self.settings.program);
        // A process group of its own: Ctrl-C at the terminal reaches the controller alone, which then asks agents to
        // drain; and an agent lives on when the controller does not.
        command.args(words).stdin(Stdio::null()).stdout(stdout).stderr(file).process_group(0);
        for (name, value) in &self.settings.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.spawn().map_err(|e| {
            let failure = Failure::new(format!("starting the agent {}: {e}", self.settings.program.display()));
            match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    failure.fix("name the agent program: --agent PATH, or DAYFLY_AGENT")
                }
                _ => failure,
            }
        })
    }

    fn children(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member(&self, record: &LaunchRecord, dir: &Path) -> Member {
        let state = self.state(record);
        let bad = matches!(state, MemberState::Ended { code } if code != Some(0));
        Member {
            name: record.name.clone(),
            id: record.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            log: dir.join("work").join("log.txt").display().to_string(),
            state,
            last_words: bad.then(|| last_line(&dir.join("stderr.txt"))).flatten(),
        }
    }

    fn state(&self, record: &LaunchRecord) -> MemberState {
        let Some(pid) = record.pid else { return MemberState::Ended { code: None } };
        if let Some(child) = self.children().get_mut(&pid) {
            return match child.try_wait() {
                Ok(Some(status)) => MemberState::Ended { code: status.code() },
                Ok(None) | Err(_) => MemberState::Running,
            };
        }
        match process::started(pid) {
            Some(started) if Some(started) == record.started => MemberState::Running,
            _ => MemberState::Ended { code: None },
        }
    }
}

#[async_trait]
impl Fleet for LocalFleet {
    async fn launch(&self, order: &Order) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for _ in 0..order.count {
            members.push(self.launch_one(order).map_err(|failure| match members.len() {
                0 => failure.left("no agent was started"),
                n => failure.left(format!("{n} agents were started before, and go on")),
            })?);
        }
        Ok(members)
    }

    async fn list(&self, job: &Location) -> Result<Vec<Member>> {
        let folder = self.folder(job);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Failure::io("reading", &folder, &e)),
        };
        let mut members = Vec::new();
        for entry in entries.flatten() {
            let dir = entry.path();
            let Ok(bytes) = fs::read(dir.join(RECORD)) else { continue };
            match from_json::<LaunchRecord>(&bytes) {
                Ok(record) if record.job == *job => members.push(self.member(&record, &dir)),
                Ok(_) => {}
                Err(error) => tracing::warn!(dir = %dir.display(), %error, "not a launch record"),
            }
        }
        members.sort_by_key(|m| number(&m.name));
        Ok(members)
    }

    async fn stop(&self, member: &Member, how: Ending) -> Result<()> {
        let signal = match how {
            Ending::Drain => Signal::TERM,
            Ending::Now => Signal::KILL,
        };
        if member.is_running()
            && let Ok(pid) = member.id.parse()
        {
            process::send(pid, signal);
        }
        Ok(())
    }
}

/// The launch record in an agent's folder.
const RECORD: &str = "launch.json";
/// Names of local agents begin so.
const NAME: &str = "local-";

fn number(name: &str) -> u64 {
    name.strip_prefix(NAME).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Makes the folder of the next agent: a name once used is never used again.
fn new_folder(folder: &Path) -> Result<(String, PathBuf)> {
    let failed = |e| Failure::io("making the agents' folder", folder, &e);
    fs::create_dir_all(folder).map_err(failed)?;
    let names = fs::read_dir(folder).map_err(failed)?.flatten().map(|e| e.file_name());
    let mut next = 1 + names.map(|n| number(&n.to_string_lossy())).max().unwrap_or(0);
    loop {
        let name = format!("{NAME}{next}");
        let dir = folder.join(&name);
        match fs::create_dir(&dir) {
            Ok(()) => return Ok((name, dir)),
            // Another controller on this machine took it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => next += 1,
            Err(e) => return Err(failed(e)),
        }
    }
}

fn write_record(dir: &Path, record: &LaunchRecord) -> Result<()> {
    let (temporary, path) = (dir.join("launch.json.new"), dir.join(RECORD));
    let failed = |e| Failure::io("writing", &path, &e);
    fs::write(&temporary, to_json(record)).map_err(failed)?;
    fs::rename(&temporary, &path).map_err(failed)
}

/// The last line of a file that says something.
fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let size = i64::try_from(file.metadata().ok()?.len()).unwrap_or(0);
    file.seek(SeekFrom::End(-size.min(LAST_WORDS_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    String::from_utf8_lossy(&bytes).lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use dayfly_shared::clock::SystemClock;

    use super::*;

    /// A fleet whose agent is a shell script.
    fn fleet(dir: &Path, script: &str) -> LocalFleet {
        let program = dir.join("agent.sh");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let environment = vec![("DAYFLY_TEST", Some("set".to_owned()))];
        LocalFleet::new(LocalSettings { program, dir: dir.join("agents"), environment }, Arc::new(SystemClock))
    }

    fn order(count: u32) -> Order {
        Order { job: "s3://bucket/a/job".parse().unwrap(), count, slots: Some(2), linger: true, suspended_wait: None }
    }

    /// Waits for the child itself, not for a time.
    fn wait(fleet: &LocalFleet, member: &Member) {
        let pid: u32 = member.id.parse().unwrap();
        let mut child = fleet.children().remove(&pid).unwrap();
        let _ = child.wait();
        fleet.children().insert(pid, child);
    }

    #[tokio::test]
    async fn agents_get_their_command_line_and_their_end_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let fleet = fleet(dir.path(), "echo \"$DAYFLY_TEST $*\" >&2; exit 3");
        let members = fleet.launch(&order(2)).await.unwrap();
        members.iter().for_each(|m| wait(&fleet, m));
        let listed = fleet.list(&order(1).job).await.unwrap();
        assert_eq!(listed.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["local-1", "local-2"]);
        assert_eq!(listed[0].state, MemberState::Ended { code: Some(3) });
        let said = listed[0].last_words.clone().unwrap();
        assert!(said.starts_with("set --job s3://bucket/a/job/ --name local-1 --slots 2 --work-dir "), "{said}");
        assert!(said.ends_with("/work --linger"), "{said}");
        assert_eq!(fleet.list(&"s3://bucket/other".parse().unwrap()).await.unwrap(), []);
        // Names go on.
        assert_eq!(fleet.launch(&order(1)).await.unwrap()[0].name, "local-3");
    }

    #[tokio::test]
    async fn another_controller_finds_running_agents_and_stops_them() {
        let dir = tempfile::tempdir().unwrap();
        let first = fleet(dir.path(), "exec sleep 600");
        let member = first.launch(&order(1)).await.unwrap().remove(0);
        let second = LocalFleet::new(first.settings.clone(), Arc::new(SystemClock));
        let found = second.list(&order(1).job).await.unwrap().remove(0);
        assert!(found.is_running() && found.id == member.id);
        second.stop(&found, Ending::Now).await.unwrap();
        wait(&first, &member);
        assert!(!second.list(&order(1).job).await.unwrap()[0].is_running());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            LocalSettings { program: dir.path().join("none"), dir: dir.path().join("agents"), environment: vec![] };
        let fleet = LocalFleet::new(settings, Arc::new(SystemClock));
        let failure = format!("{:#}", fleet.launch(&order(1)).await.unwrap_err());
        assert!(failure.contains("/none") && failure.contains("--agent"), "{failure}");
    }
}
