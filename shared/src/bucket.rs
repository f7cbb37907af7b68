//! A job's objects as typed calls: the one place between the records and the store.
//!
//! Reads go through [`Patient`](crate::store::Patient), which waits out a store that does not answer; writes are one try
//! each, as the port says, and their callers decide what an unknown outcome means.

mod chunks;
mod outputs;
mod plan;
mod replies;
mod views;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::clock::Clock;
use crate::ids::AgentId;
use crate::job::{JobSettings, Location, SCHEMA};
use crate::keys::Keys;
use crate::notice::NoticeRecord;
use crate::records::{AgentRecord, Control, Summary, from_json, to_json};
use crate::rng::Dice;
use crate::store::{
    Attributes, Condition, ETag, ObjectMeta, Outcome, Refused, Result, Store, StoreCheck, StoreError, StoreErrorKind,
    StoreExt, probe,
};

pub use chunks::{age, semaphore_body};
pub use outputs::{META_ATTEMPT, META_BYTES, META_TASK, existing_outputs, stood};
pub use plan::META_SOURCE;
pub use replies::{reply_to_delete, reply_to_error, reply_to_write};

/// How many small objects are read at once: enough to hide S3's latency, few enough to be polite.
const READS_AT_ONCE: usize = 16;

/// How often a body that does not arrive whole is read; opening it has patience of its own.
const READ_TRIES: u32 = 3;

/// A job and the stores that its objects lie in.
#[derive(Clone)]
pub struct JobBucket {
    /// Where the job is.
    pub location: Location,
    /// Its keys.
    pub keys: Keys,
    store: Arc<dyn Store>,
}

fn bad_record(store: &dyn Store, key: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError {
        kind: StoreErrorKind::BadRecord,
        action: "s3:GetObject",
        place: store.place(key),
        detail: format!("it is not the record it should be: {why}"),
    }
}

impl JobBucket {
    /// The job at `location`, through `store`, which serves its bucket.
    pub fn new(location: Location, store: Arc<dyn Store>) -> Self {
        Self { keys: Keys::new(&location), location, store }
    }

    /// The store of the job's bucket.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How a key of the job reads in messages.
    pub fn place(&self, key: &str) -> String {
        self.store.place(key)
    }

    /// A whole object. One that is damaged on its way, or breaks off, is read again.
    ///
    /// # Errors
    /// A store that refuses, or that delivers nothing whole in some tries.
    pub async fn read(&self, key: &str) -> Result<Option<(ObjectMeta, Bytes)>> {
        self.read_range(key, None).await
    }

    async fn read_range(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<(ObjectMeta, Bytes)>> {
        let mut tries = 1;
        loop {
            // A store that does not answer has been waited for there; here it would only be waited for again.
            let Some(object) = self.store.get(key, range.clone()).await? else { return Ok(None) };
            let meta = object.meta.clone();
            match object.bytes().await {
                Err(error) if tries < READ_TRIES && error.is_passing() => tries += 1,
                bytes => return Ok(Some((meta, bytes?))),
            }
        }
    }

    async fn record<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<(T, ObjectMeta)>> {
        let Some((meta, bytes)) = self.read(key).await? else { return Ok(None) };
        let record = from_json(&bytes).map_err(|e| bad_record(&*self.store, key, e))?;
        Ok(Some((record, meta)))
    }

    /// The records under the given keys; those that went away meanwhile are left out.
    async fn records<T: serde::de::DeserializeOwned + Send>(&self, keys: Vec<String>) -> Result<Vec<T>> {
        stream::iter(keys)
            .map(|key| async move {
                match self.record::<T>(&key).await {
                    Ok(found) => Ok(found.map(|(record, _)| record)),
                    // One that cannot be read is no reason to stop everything that reads all of them.
                    Err(error) if error.kind == StoreErrorKind::BadRecord => {
                        tracing::warn!(%error, "passing over a record");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            })
            .buffered(READS_AT_ONCE)
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }

    /// The settings in `job.json`; `None`: there is none, and the defaults hold.
    ///
    /// # Errors
    /// A store that refuses, or a `job.json` that cannot be used: the text names the field and the fix.
    pub async fn job_settings(&self) -> Result<Option<JobSettings>> {
        let key = self.keys.job();
        let Some((_, bytes)) = self.read(&key).await? else { return Ok(None) };
        JobSettings::parse(&bytes).map(Some).map_err(|e| StoreError {
            kind: StoreErrorKind::BadRecord,
            action: "reading",
            place: self.store.place(&key),
            detail: e.to_string(),
        })
    }

    /// Puts a record as JSON: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_json<T: serde::Serialize + Sync>(
        &self,
        key: &str,
        record: &T,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        self.store.put(key, to_json(record).into(), &Attributes::json(), condition).await
    }

    /// Makes sure that the store keeps conditions: tries them on scratch keys, unless a check at this very endpoint is on
    /// record, and records it.
    ///
    /// # Errors
    /// A store that lets a conditional write through which it had to reject, or refuses a call.
    pub async fn check_store(&self, endpoint: &str, clock: &dyn Clock, dice: &dyn Dice) -> Result<()> {
        if self.store_is_checked(endpoint).await {
            return Ok(());
        }
        let scratch = self.keys.scratch(dice.nonce());
        probe(&*self.store, &scratch, clock).await.map_err(|refused| match refused {
            Refused::Store(error) => error,
            Refused::Conditions { .. } => StoreError {
                kind: StoreErrorKind::Unsupported,
                action: "checking",
                place: self.location.to_string(),
                detail: refused.to_string(),
            },
        })?;
        let check = StoreCheck { schema: SCHEMA, endpoint: endpoint.to_owned(), at: clock.now().wall, ok: true };
        // Create-only: whoever was faster recorded the same. Without the record others check for themselves.
        self.put_json(&self.keys.store_check(), &check, &Condition::Create).await?;
        Ok(())
    }

    /// Whether a check of the store at this very endpoint is on record.
    pub async fn store_is_checked(&self, endpoint: &str) -> bool {
        let record = self.record::<StoreCheck>(&self.keys.store_check()).await;
        matches!(record, Ok(Some((check, _))) if check.ok && check.endpoint == endpoint)
    }

    /// What is wanted of the fleet, and the version that says so. Absent: running.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn control(&self) -> Result<Option<(Control, ETag)>> {
        Ok(self.record::<Control>(&self.keys.control()).await?.map(|(control, meta)| (control, meta.etag)))
    }

    /// The records of all agents.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn agents(&self) -> Result<Vec<AgentRecord>> {
        let entries = self.store.list_all(&self.keys.agents()).await?;
        self.records(entries.into_iter().map(|e| e.key).collect()).await
    }

    /// The record of one agent.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn agent(&self, agent: &AgentId) -> Result<Option<AgentRecord>> {
        Ok(self.record(&self.keys.agent(agent)).await?.map(|(record, _)| record))
    }

    /// The figures of the finished job.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn summary(&self) -> Result<Option<Summary>> {
        Ok(self.record(&self.keys.summary()).await?.map(|(summary, _)| summary))
    }

    /// What is on record of the telling of this end.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn notice(&self, end: &Summary) -> Result<Option<(NoticeRecord, ObjectMeta)>> {
        self.record(&self.keys.notice(end)).await
    }
}
