//! What a command on an instance said, and how it ended.

use std::fmt;

use aws_sdk_ssm::operation::get_command_invocation::GetCommandInvocationOutput;
use aws_sdk_ssm::types::CommandInvocationStatus;
use dayfly_shared::exit::Exit;
use serde::Serialize;

use crate::parts::Parts;

/// What GetCommandInvocation gives of each channel at most, in characters (Systems Manager API reference).
const OUTPUT_MAX: usize = 24_000;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    instance: String,
    command: String,
    /// As the service calls it: `Success`, `Failed`, `TimedOut`, `Cancelled`.
    status: String,
    exit_code: Option<i32>,
    stdout: String,
    stderr: String,
    truncated: bool,
}

impl Answer {
    pub fn new(instance: &str, command: &str, found: &GetCommandInvocationOutput) -> Self {
        let text = |channel: Option<&str>| channel.unwrap_or_default().to_owned();
        let (stdout, stderr) = (text(found.standard_output_content()), text(found.standard_error_content()));
        let full = |channel: &str| channel.chars().count() >= OUTPUT_MAX || channel.contains("--output truncated--");
        Self {
            instance: instance.to_owned(),
            command: command.to_owned(),
            status: found.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            exit_code: (found.status() != Some(&CommandInvocationStatus::TimedOut)).then(|| found.response_code()),
            truncated: full(&stdout) || full(&stderr),
            stdout,
            stderr,
        }
    }

    /// The command's own exit code; 1 where it has none, or one that a process here cannot have.
    pub fn exit(&self) -> Exit {
        match self.exit_code.map(u8::try_from) {
            Some(Ok(0)) if self.status == "Success" => Exit::Done,
            Some(Ok(code)) if code > 0 => Exit::Remote(code),
            _ => Exit::Failed,
        }
    }

    /// What it said on its other channel, and what has to be known of its end.
    pub fn complain(&self, parts: &Parts) {
        if !parts.output().json && !self.stderr.is_empty() {
            eprint!("{}", self.stderr);
        }
        if self.truncated {
            parts.output().warn(format!(
                "the output is cut: Systems Manager gives {OUTPUT_MAX} characters of each channel; write more into a file there"
            ));
        }
        if self.exit() == Exit::Failed {
            let (status, instance) = (&self.status, &self.instance);
            parts.output().warn(format!("the command {} on {instance} ended as {status}", self.command));
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: CommandInvocationStatus, code: i32, stdout: &str) -> Answer {
        let found = GetCommandInvocationOutput::builder()
            .status(status)
            .response_code(code)
            .standard_output_content(stdout)
            .build();
        Answer::new("i-1", "c", &found)
    }

    #[test]
    fn the_exit_code_is_the_commands() {
        use CommandInvocationStatus::{Cancelled, Failed, Success, TimedOut};
        assert_eq!(answer(Success, 0, "").exit(), Exit::Done);
        assert_eq!(answer(Failed, 7, "").exit(), Exit::Remote(7));
        assert_eq!(answer(Failed, 3, "").exit().code(), 3);
        assert_eq!(answer(TimedOut, -1, "").exit(), Exit::Failed);
        assert_eq!(answer(Cancelled, -1, "").exit(), Exit::Failed);
        assert_eq!(answer(Failed, 0, "").exit(), Exit::Failed);
    }

    #[test]
    fn cut_output_is_said() {
        use CommandInvocationStatus::Success;
        assert!(!answer(Success, 0, "short").truncated);
        assert!(answer(Success, 0, &"x".repeat(OUTPUT_MAX)).truncated);
    }
}
