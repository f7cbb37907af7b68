//! The tasks that were given up, with the last lines of their logs.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::records::DeadLetter;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Failures told: more of them have one cause.
const TOLD: usize = 200;
/// Of these, with the last lines of their logs: each is a request.
const WITH_LOG: usize = 50;
/// Of each log, at its end.
const LOG_BYTES: u64 = 4096;
/// Lines of it.
const LOG_LINES: usize = 20;
/// Logs read at once, as elsewhere.
const READS_AT_ONCE: usize = 16;

/// A task that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureTold {
    /// Its name.
    pub name: String,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u64,
    /// Who ran it last.
    pub agent: Option<String>,
    /// When it was given up.
    pub at: Timestamp,
    /// Where the last attempt's log is.
    pub log: Option<String>,
    /// Its last lines.
    pub tail: Option<String>,
}

/// The first of the letters, told.
///
/// # Errors
/// A store that refuses.
pub async fn told(job: &JobBucket, letters: &[DeadLetter]) -> Result<Vec<FailureTold>> {
    stream::iter(letters.iter().take(TOLD).cloned().enumerate().collect::<Vec<_>>())
        .map(|(n, letter)| async move {
            let tail = match letter.log.as_ref().filter(|_| n < WITH_LOG) {
                Some(key) => tail(job, key).await?,
                None => None,
            };
            Ok::<_, Failure>(FailureTold {
                name: letter.name,
                error: letter.error,
                attempts: letter.attempts.len() as u64,
                agent: letter.attempts.last().map(|attempt| attempt.agent.to_string()),
                at: letter.at,
                log: letter.log.as_ref().map(|key| job.place(key)),
                tail,
            })
        })
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await
}

/// The last lines of a log; none where it is gone.
async fn tail(job: &JobBucket, key: &str) -> Result<Option<String>> {
    let Some(meta) = job.store().head(key).await? else { return Ok(None) };
    if meta.size == 0 {
        return Ok(None);
    }
    let from = meta.size.saturating_sub(LOG_BYTES);
    let Some(object) = job.store().get(key, Some(from..meta.size)).await? else { return Ok(None) };
    let bytes = object.bytes().await?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(Some(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")))
}
