//! Whose containers are whose: each bears the name of a file that its agent holds locked while it lives. What an agent
//! left that was killed together with its supervisors is found by that, and removed by the next one on the machine.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::engine::Engine;
use super::order::LABEL;
use crate::processor::Failure;

/// The lock of an agent; open while it lives.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes one below `folder`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn take(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(format!("lock-{}", std::process::id()));
        let taken = File::create(&path).and_then(|file| {
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        let file = taken.map_err(|e| Failure::Refused(format!("{} cannot be locked: {e}", path.display())))?;
        Ok(Self { path, _file: file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the agent that took the lock is gone.
fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Removes the containers of agents that are gone. What cannot be removed is said, and no reason not to work.
pub async fn remove_leftovers(engine: &Engine) {
    let filter = format!("label={LABEL}");
    let listed = engine.tool(&["ps", "-aq", "--no-trunc", "--filter", &filter]).run("listing containers").await;
    let listed = listed.unwrap_or_else(|error| {
        tracing::warn!(%error, "leftovers of earlier agents are not looked for");
        String::new()
    });
    let label = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    for id in listed.split_whitespace() {
        // One that has gone meanwhile is nobody's.
        let Ok(path) = engine.tool(&["container", "inspect", "--format", &label, id]).run("looking").await else {
            continue;
        };
        if is_free(Path::new(path.trim())) {
            match engine.remove_now(id).await {
                Ok(()) => tracing::warn!(id, "removed a container that an agent before left behind"),
                Err(error) => tracing::warn!(id, %error, "a container that an agent before left behind stays"),
            }
        }
    }
}
