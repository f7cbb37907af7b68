//! A program that makes something ready, run by the agent itself.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::processor::Failure;

/// Of what it said, so much is shown when it fails.
const LAST_LINES: usize = 12;

/// A program that makes something ready.
pub struct Tool {
    name: String,
    command: Command,
}

impl Tool {
    /// A program and its arguments. It has the agent's environment (proxies, package indexes), but for AWS's variables.
    pub fn new(program: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        Self { name: program.display().to_string(), command }
    }

    /// With this in its environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// In this folder.
    pub fn starting_in(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end; what it wrote to its standard output.
    ///
    /// # Errors
    /// The step that it was for, and its last lines.
    pub async fn run(mut self, step: &str) -> Result<String, Failure> {
        let output = match self.command.spawn() {
            Ok(child) => child.wait_with_output().await,
            Err(error) => Err(error),
        };
        let output = output.map_err(|e| Failure::Refused(format!("{step}: {} cannot be run: {e}", self.name)))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.trim_end().lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        Err(Failure::Refused(format!("{step} failed ({}, {}):\n{last}", self.name, output.status)))
    }
}
