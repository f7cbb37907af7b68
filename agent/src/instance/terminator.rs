//! The end of the machine: asked for, never carried out by the agent itself, which has no right to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::clock::Clock;

/// How long the program may take before it is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// So often it is tried; the machine's lifetime limit stands behind it.
const TRIES: u32 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends the machine.
#[async_trait]
pub trait Terminator: Send + Sync {
    /// Asks for the end, for this reason; returns when that has been heard.
    ///
    /// # Errors
    /// When nobody heard.
    async fn power_off(&self, why: &str) -> Result<(), String>;
}

/// Leaves the machine as it is: a laptop, or one agent of several.
pub struct Stays;

#[async_trait]
impl Terminator for Stays {
    async fn power_off(&self, _why: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Runs a program with the reason as its argument.
pub struct PowerOffProgram {
    program: PathBuf,
    clock: Arc<dyn Clock>,
}

impl PowerOffProgram {
    /// This program.
    pub fn new(program: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { program, clock }
    }

    /// Runs a program at once, with nothing but the standard library, and waits for it: for a process that is about to
    /// abort.
    pub fn run_now(program: &Path, why: &str) {
        let _ = start(program, why).and_then(|mut child| child.wait());
    }

    async fn run(&self, why: &str) -> Result<(), String> {
        let name = self.program.display();
        let mut child = start(&self.program, why).map_err(|e| format!("{name} cannot be run: {e}"))?;
        let status = self.wait(&mut child).await.map_err(|e| format!("{name} cannot be waited for: {e}"))?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{name} failed: {status}")),
            None => Err(format!("{name} has not ended within {} s", PATIENCE.as_secs())),
        }
    }

    async fn wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let until = self.clock.now().at.after(PATIENCE);
        while self.clock.now().at < until {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            self.clock.sleep(POLL).await;
        }
        Ok(None)
    }
}

fn start(program: &Path, why: &str) -> std::io::Result<Child> {
    Command::new(program).arg(why).stdin(Stdio::null()).spawn()
}

#[async_trait]
impl Terminator for PowerOffProgram {
    async fn power_off(&self, why: &str) -> Result<(), String> {
        let mut tries = 1;
        loop {
            match self.run(why).await {
                Ok(()) => return Ok(()),
                Err(error) if tries >= TRIES => return Err(error),
                Err(error) => tracing::error!(error, "the machine could not be powered off; trying again"),
            }
            tries += 1;
            self.clock.sleep(AGAIN).await;
        }
    }
}
