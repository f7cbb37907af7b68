//! `dayfly config`: where settings come from, and profiles of them.

use std::fmt;
use std::path::PathBuf;

use dayfly_shared::exit::Exit;
use serde::Serialize;

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::settings::Source;
use crate::settings::files::{self, Layer};

/// `dayfly config`.
///
/// # Errors
/// Files that cannot be read or written.
pub fn command(parts: &Parts, args: &ConfigArgs) -> Result<Exit> {
    let sources = parts.settings.sources();
    match &args.command {
        ConfigCommand::Show => {
            let unused = parts.settings.unused_profiles().to_vec();
            parts.output().result(&Shown { settings: sources, unused_profiles: unused });
        }
        ConfigCommand::List => parts.output().result(&Profiles { profiles: files::profiles()? }),
        ConfigCommand::Save { name, job } => {
            let value = |setting| sources.iter().find(|s| s.setting == setting).and_then(|s| s.value.clone());
            let local = value("local").map(std::path::absolute).transpose();
            let layer = Layer {
                job: job.job.clone().or_else(|| value("job")?.parse().ok()),
                local: local.map_err(|e| Failure::new(format!("finding the folder: {e}")))?,
                endpoint_url: value("endpoint_url"),
                region: value("region"),
                profile: value("profile"),
                from: String::new(),
            };
            if layer == Layer::default() {
                return Err(Failure::usage("there is nothing to keep: no setting has a value")
                    .fix("name some: dayfly config save NAME s3://BUCKET/PREFIX --region REGION"));
            }
            let file = files::save(name, &layer)?;
            parts.output().done(&Saved { profile: name.clone(), file, settings: layer });
        }
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<Source>,
    unused_profiles: Vec<String>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.settings {
            match (&source.value, &source.from) {
                (Some(value), Some(from)) => writeln!(f, "{:14}{value}  (from {from})", source.setting)?,
                _ => writeln!(f, "{:14}-", source.setting)?,
            }
        }
        match self.unused_profiles.as_slice() {
            [] => Ok(()),
            several => writeln!(f, "profiles, none of which is used: {} (--settings NAME)", several.join(", ")),
        }
    }
}

#[derive(Serialize)]
struct Saved {
    profile: String,
    file: PathBuf,
    settings: Layer,
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile   {} ({})", self.profile, self.file.display())
    }
}

#[derive(Serialize)]
struct Profiles {
    profiles: Vec<String>,
}

impl fmt::Display for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.profiles.as_slice() {
            [] => write!(f, "no profiles; dayfly config save NAME makes one"),
            names => write!(f, "{}", names.join("\n")),
        }
    }
}
