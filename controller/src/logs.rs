//! `dayfly logs`: what tasks and agents wrote, from the bucket: also when the machines are gone.

mod agent;
mod failed;
mod follow;
mod task;

use std::fmt;

use dayfly_shared::exit::Exit;
use serde::Serialize;

use crate::cli::{LogsArgs, split_job};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

use follow::Reader;

/// `dayfly logs`.
///
/// # Errors
/// Names that are no tasks, an agent nobody heard of, no job there, a store that refuses.
pub async fn command(parts: &Parts, args: &LogsArgs) -> Result<Exit> {
    let (named, tasks) = split_job(&args.job_and_tasks)?;
    let job = parts.settings.job(named.as_ref().or(args.default_job.as_ref()))?;
    match (&args.agent, args.failed, tasks) {
        (Some(agent), false, []) => agent::print(parts, &job, agent, args).await?,
        (None, true, []) => failed::print(parts, &job, args).await?,
        (None, false, [_, ..]) => task::print(parts, &job, tasks, args).await?,
        _ => {
            return Err(Failure::usage("logs takes the names of tasks, or --failed, or --agent ID")
                .fix("dayfly logs [s3://BUCKET/PREFIX] TASK"));
        }
    }
    Ok(Exit::Done)
}

/// A log, or a piece of one that is followed.
#[derive(Clone, Debug, Default, Serialize)]
struct Piece {
    /// Whose: a task's name or an agent's id.
    of: String,
    /// The attempt, of a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    /// The agent that ran the attempt, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// How the attempt ended, where it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Where the log is; none where there is none.
    log: Option<String>,
    /// Its key.
    #[serde(skip)]
    key: Option<String>,
    /// What is in it.
    text: String,
    /// How it reads on a terminal, where that is otherwise.
    #[serde(skip)]
    readable: Option<String>,
    /// Whether to say whose it is, in front.
    #[serde(skip)]
    headed: bool,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.headed {
            // As `tail` heads the files of which it shows more than one.
            write!(f, "==> {}", self.of)?;
            for part in [self.attempt.as_deref().map(|a| format!("attempt {a}")), self.end.map(str::to_owned)] {
                write!(f, "{}", part.map_or(String::new(), |part| format!(", {part}")))?;
            }
            if let Some(agent) = &self.agent {
                write!(f, ", on {agent}")?;
            }
            match &self.log {
                Some(log) => writeln!(f, ": {log} <==")?,
                None => writeln!(f, ": no log <==")?,
            }
        }
        let text = self.readable.as_ref().unwrap_or(&self.text);
        write!(f, "{}", text.trim_end_matches('\n'))?;
        if self.log.is_none()
            && let Some(error) = &self.error
        {
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// The last `lines` lines; all where that is not said.
fn tail(text: &str, lines: Option<usize>) -> &str {
    let Some(lines) = lines else { return text };
    let body = text.strip_suffix('\n').unwrap_or(text);
    match body.rmatch_indices('\n').nth(lines.saturating_sub(1)) {
        _ if lines == 0 => "",
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn the_tail_is_the_last_lines() {
        let text = "a\nb\nc\n";
        assert_eq!((tail(text, None), tail(text, Some(2)), tail(text, Some(1))), (text, "b\nc\n", "c\n"));
        assert_eq!((tail(text, Some(3)), tail(text, Some(9)), tail(text, Some(0))), (text, text, ""));
        assert_eq!((tail("a\nb", Some(1)), tail("", Some(1))), ("b", ""));
    }
}
