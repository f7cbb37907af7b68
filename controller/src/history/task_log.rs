//! The logs of a task's attempts.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::TaskId;
use dayfly_shared::store::StoreExt as _;
use serde::Serialize;

use crate::failure::Result;

/// The log of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskLog {
    /// The attempt's name.
    pub attempt: String,
    /// The log's key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written last, by the store's clock.
    pub modified: Option<Timestamp>,
}

/// The logs of all attempts at a task, in the order in which they were written last.
///
/// # Errors
/// A store that refuses.
pub async fn logs_of(job: &JobBucket, task: TaskId) -> Result<Vec<TaskLog>> {
    let prefix = job.location.key(&format!("logs/{task}"));
    let mut logs: Vec<TaskLog> = job
        .store()
        .list_all(&prefix)
        .await?
        .into_iter()
        .filter_map(|entry| {
            let rest = entry.key.strip_prefix(&prefix)?;
            // `logs/<id>/…` or `logs/<id>.<slug>/…`: an id of more digits begins alike.
            let attempt = rest.starts_with(['/', '.']).then(|| rest.rsplit('/').next()?.strip_suffix(".log"))??;
            Some(TaskLog {
                attempt: attempt.to_owned(),
                key: entry.key.clone(),
                bytes: entry.size,
                modified: entry.modified,
            })
        })
        .collect();
    logs.sort_by_key(|log| log.modified);
    Ok(logs)
}
