//! What stands of the chunks: semaphores, results, dead letters.

use std::time::Duration;

use bytes::Bytes;

use crate::claim::{Board, Coverage};
use crate::clock::Timestamp;
use crate::ids::{ChunkId, TaskId};
use crate::keys::Keys;
use crate::records::{DeadLetter, LeaseState, ResultRecord, Semaphore, to_json};
use crate::store::{Entry, ListQuery, ObjectMeta, Result, StoreExt};

use super::JobBucket;

/// A semaphore as it is stored: its size is even while it is held and odd once released (see
/// [`Board::released_hint`]).
pub fn semaphore_body(record: &Semaphore) -> Bytes {
    let mut body = to_json(record);
    if Board::released_hint(body.len() as u64) != (record.state == LeaseState::Released) {
        body.insert(body.len() - 1, b' ');
    }
    Bytes::from(body)
}

/// The age of a version by the store's own clock, both times from one answer.
pub fn age(served: Option<Timestamp>, modified: Option<Timestamp>) -> Option<Duration> {
    Some(served?.since(modified?))
}

impl JobBucket {
    /// What one page of results and of semaphores shows from the chunk `from` on.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn coverage(&self, from: ChunkId) -> Result<Coverage> {
        let (results, semaphores) = (self.keys.results(), self.keys.semaphores());
        let query = |folder: &str| ListQuery::under(folder).after(Keys::before_chunk(folder, from));
        let (results_query, semaphores_query) = (query(&results), query(&semaphores));
        let (results, semaphores) =
            futures::future::try_join(self.store.list(&results_query), self.store.list(&semaphores_query)).await?;
        let end = |page: &crate::store::ListPage| {
            page.next.as_ref().and_then(|_| page.entries.iter().rev().find_map(|e| self.keys.parse_chunk(&e.key)))
        };
        let to = match (end(&results), end(&semaphores)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let served = semaphores.served;
        let seen = |e: &Entry| {
            let chunk = self.keys.parse_chunk(&e.key)?;
            Some((chunk, e.etag.clone(), age(served, e.modified), Board::released_hint(e.size)))
        };
        Ok(Coverage {
            from: Some(from),
            to,
            results: results.entries.iter().filter_map(|e| self.keys.parse_chunk(&e.key)).collect(),
            semaphores: semaphores.entries.iter().filter_map(seen).collect(),
        })
    }

    /// A lease object at `key`, with what the store says of it.
    ///
    /// # Errors
    /// A store that refuses, or an object that is no lease.
    pub async fn semaphore(&self, key: &str) -> Result<Option<(Semaphore, ObjectMeta)>> {
        self.record(key).await
    }

    /// Every semaphore that stands, with its chunk.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn semaphores(&self) -> Result<Vec<(ChunkId, Entry)>> {
        let entries = self.store.list_all(&self.keys.semaphores()).await?;
        Ok(entries.into_iter().filter_map(|e| Some((self.keys.parse_chunk(&e.key)?, e))).collect())
    }

    /// The semaphores that stand, read.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn held(&self) -> Result<Vec<(ChunkId, Semaphore)>> {
        let mut held = Vec::new();
        for (chunk, entry) in self.semaphores().await? {
            if let Some((semaphore, _)) = self.semaphore(&entry.key).await? {
                held.push((chunk, semaphore));
            }
        }
        Ok(held)
    }

    /// Every result, in order of the chunks.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn results(&self) -> Result<Vec<ResultRecord>> {
        let entries = self.store.list_all(&self.keys.results()).await?;
        self.records(entries.into_iter().map(|e| e.key).collect()).await
    }

    /// Every dead letter, in order of the tasks.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let entries = self.store.list_all(&self.keys.dead_letters()).await?;
        self.records(entries.into_iter().map(|e| e.key).collect()).await
    }

    /// The dead letter of a task.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn dead_letter(&self, task: TaskId, slug: Option<&str>) -> Result<Option<DeadLetter>> {
        Ok(self.record(&self.keys.dead_letter(task, slug)).await?.map(|(letter, _)| letter))
    }
}
