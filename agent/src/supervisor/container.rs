//! The end of a container. The program that is supervised is its engine's client: where that has ended, by itself or
//! killed, the container may run on. So it is looked at and removed, whatever happened, before anything is reported.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use dayfly_shared::clock::Clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

/// How long an engine may take for an answer: removing waits for processes to die, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);
/// Removing is tried so often: an engine that is just taking the container down itself says that it is busy.
const TRIES: u32 = 5;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// How a container is looked at and removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contained {
    /// Asks what runs in it to end (SIGTERM).
    pub stop: Vec<String>,
    /// Asks the engine what became of it: its state, as JSON on standard output.
    pub look: Vec<String>,
    /// Removes it, running or not.
    pub remove: Vec<String>,
    /// Where the answer goes, as a [`Closed`].
    pub closed: PathBuf,
}

/// What became of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Its state before it was removed, as the engine said it; none if it never came to be.
    pub state: Option<Value>,
    /// Why it could not be removed: then it may be running.
    pub trouble: Option<String>,
}

impl Contained {
    /// Asks what runs in it to end; whether the engine did. Its client hands signals on as well, but not from its very start.
    pub async fn stop(&self, environment: &BTreeMap<String, String>, clock: &dyn Clock) -> bool {
        ask(&self.stop, environment, clock).await.is_ok_and(|output| output.status.success())
    }

    /// Looks at it, removes it, and writes down what became of it.
    pub async fn close(&self, environment: &BTreeMap<String, String>, clock: &dyn Clock) {
        let state = match ask(&self.look, environment, clock).await {
            Ok(output) if output.status.success() => serde_json::from_slice(&output.stdout).ok(),
            _ => None,
        };
        let trouble = self.remove(environment, clock).await.err();
        let closed = serde_json::to_vec(&Closed { state, trouble }).unwrap_or_default();
        if let Err(error) = std::fs::write(&self.closed, closed) {
            eprintln!("dayfly: {} cannot be written: {error}", self.closed.display());
        }
    }

    async fn remove(&self, environment: &BTreeMap<String, String>, clock: &dyn Clock) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            match ask(&self.remove, environment, clock).await {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => {
                    why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    // Docker's words for one that is not there are an error.
                    if why.to_lowercase().contains("no such container") {
                        return Ok(());
                    }
                }
                Err(error) => why = error,
            }
            clock.sleep(AGAIN).await;
        }
        Err(why)
    }
}

async fn ask(words: &[String], environment: &BTreeMap<String, String>, clock: &dyn Clock) -> Result<Output, String> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment).stdin(Stdio::null()).kill_on_drop(true);
    tokio::select! {
        biased;
        output = command.output() => output.map_err(|e| format!("{program} cannot be run: {e}")),
        () = clock.sleep(PATIENCE) => Err(format!("{program} does not answer within {} s", PATIENCE.as_secs())),
    }
}
