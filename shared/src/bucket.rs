//! A job's objects as typed calls: the one place between the records and the store.
//!
//! Reads go through [`Patient`], which waits out a store that does not answer; writes are one try each, as the port says,
//! and their callers decide what an unknown outcome means.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::claim::{Board, Coverage, Reply, Stood};
use crate::clock::{Clock, Timestamp};
use crate::ids::{AgentId, Attempt, ChunkId, TaskId};
use crate::job::{JobSettings, Location, SCHEMA};
use crate::keys::{Keys, View, output_name};
use crate::plan::{Segment, SegmentText, Source, stored_lines};
use crate::planted::Defect;
use crate::records::{
    AgentRecord, Control, DeadLetter, LeaseState, ResultRecord, Semaphore, Summary, from_json, to_json,
};
use crate::rng::Dice;
use crate::store::{
    Attributes, Condition, ETag, Entry, ListQuery, ObjectMeta, Outcome, Refused, Rejection, Result, Store, StoreCheck,
    StoreError, StoreErrorKind, StoreExt, probe,
};
use crate::views::{Ledger, MARK, Survey, ViewRead, ViewsRead};

/// How many small objects are read at once: enough to hide S3's latency, few enough to be polite.
const READS_AT_ONCE: usize = 16;

/// How often a body that does not arrive whole is read; opening it has patience of its own.
const READ_TRIES: u32 = 3;

/// User metadata of an output: the attempt that made it.
pub const META_ATTEMPT: &str = "dayfly-attempt";
/// User metadata of a segment's text: the version of `tasklist.txt` that its lines come from.
pub const META_SOURCE: &str = "dayfly-source";
/// User metadata of an output: its task.
pub const META_TASK: &str = "dayfly-task";

/// A job and the stores that its objects lie in.
#[derive(Clone)]
pub struct JobBucket {
    /// Where the job is.
    pub location: Location,
    /// Its keys.
    pub keys: Keys,
    store: Arc<dyn Store>,
}

/// The reply that a write's outcome is to the state machine.
pub fn reply_to_write(outcome: Result<Outcome<ETag>>) -> Reply {
    match outcome {
        Ok(Outcome::Applied(etag)) => Reply::Applied(etag),
        Ok(Outcome::Rejected(Rejection::Precondition)) => Reply::Rejected,
        Ok(Outcome::Rejected(Rejection::Missing)) => Reply::Missing,
        Ok(Outcome::Rejected(Rejection::Conflict)) if Defect::ConflictMeansTaken.is_planted() => Reply::Rejected,
        Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Conflict,
        Ok(Outcome::Rejected(Rejection::NoSuchUpload)) => Reply::Restage,
        Ok(Outcome::Unknown(_)) => Reply::Unknown,
        Err(error) => reply_to_error(&error),
    }
}

/// The reply that the outcome of deleting the version `etag` is to the state machine.
pub fn reply_to_delete(outcome: Result<Outcome<()>>, etag: ETag) -> Reply {
    match outcome {
        Ok(Outcome::Applied(())) => Reply::Applied(etag),
        Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Conflict,
        Ok(Outcome::Rejected(Rejection::Missing)) => Reply::Missing,
        Ok(Outcome::Rejected(_)) => Reply::Rejected,
        Ok(Outcome::Unknown(_)) => Reply::Unknown,
        Err(error) => reply_to_error(&error),
    }
}

/// The reply that a failed call is to the state machine.
pub fn reply_to_error(error: &StoreError) -> Reply {
    match error.kind {
        StoreErrorKind::Transient | StoreErrorKind::Corrupt => Reply::Unknown,
        _ => Reply::Broken(error.to_string()),
    }
}

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

/// What an output says of itself.
pub fn stood(meta: &ObjectMeta) -> Stood {
    Stood {
        bytes: meta.size,
        checksum: meta.checksum.clone(),
        attempt: meta.metadata.get(META_ATTEMPT).and_then(|a| a.parse::<Attempt>().ok()),
    }
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

    /// The numbers of committed segments, and of a text after them that has no commit, from one listing.
    async fn segment_numbers(&self) -> Result<(u32, bool)> {
        let entries = self.store.list_all(&self.keys.plan()).await?;
        let mut committed = BTreeSet::new();
        let mut texts = BTreeSet::new();
        for (number, commit) in entries.iter().filter_map(|e| self.keys.parse_segment(&e.key)) {
            if commit {
                committed.insert(number)
            } else {
                texts.insert(number)
            };
        }
        let last = (1..).take_while(|n| committed.contains(n)).last().unwrap_or(0);
        Ok((last, texts.contains(&(last + 1))))
    }

    /// The commit of a segment.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn segment(&self, number: u32) -> Result<Option<Segment>> {
        Ok(self.record(&self.keys.segment(number)).await?.map(|(segment, _)| segment))
    }

    /// The commits of the segments after the first `known`.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn segments_after(&self, known: u32) -> Result<Vec<Segment>> {
        let (last, _) = self.segment_numbers().await?;
        self.records((known + 1..=last).map(|n| self.keys.segment(n)).collect()).await
    }

    /// The text of a segment, or a range of it; it is checked against the commit when it is read whole.
    ///
    /// # Errors
    /// A store that refuses, or a text that is not the one committed.
    pub async fn segment_text(&self, segment: &Segment, range: Option<Range<u64>>) -> Result<Bytes> {
        let key = self.keys.segment_text(segment.segment);
        let whole = range.is_none();
        let wanted = range.as_ref().map_or(segment.text_bytes, |r| r.end - r.start);
        let Some((_, bytes)) = self.read_range(&key, range).await? else {
            return Err(bad_record(&*self.store, &key, "it is gone, and the plan needs it"));
        };
        if bytes.len() as u64 != wanted || (whole && crate::plan::text_checksum(&bytes) != segment.text_checksum) {
            return Err(bad_record(&*self.store, &key, "it changed after it was planned; restore it"));
        }
        Ok(bytes)
    }

    /// What plan, results and dead letters hold that `ledger` does not know.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn survey(&self, ledger: &Ledger) -> Result<Survey> {
        let (last, lone) = self.segment_numbers().await?;
        let mut survey = Survey::default();
        for number in ledger.segment_count() + 1..=last {
            let key = self.keys.segment(number);
            let Some((segment, _)) = self.record::<Segment>(&key).await? else { break };
            let text = self.segment_text(&segment, None).await?;
            let names = stored_lines(&String::from_utf8_lossy(&text)).map(str::to_owned).collect();
            survey.segments.push((segment, names));
        }
        if lone {
            let text = self.read(&self.keys.segment_text(last + 1)).await?;
            survey.lone_text = text.map(|(meta, bytes)| SegmentText {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                source: meta.metadata.get(META_SOURCE).and_then(|source| Source::parse(source)),
            });
        }
        survey.closed = self.closed_after(ledger).await?.into_iter().map(|(chunk, _)| chunk).collect();
        // After the results: a task's dead letter is put before its chunk's result.
        let entries = self.store.list_all(&self.keys.dead_letters()).await?;
        let dead = entries.iter().filter_map(|e| self.keys.parse_dead_letter(&e.key));
        survey.dead_letters = dead.filter(|t| !ledger.has_dead_letter(*t)).collect();
        Ok(survey)
    }

    /// Chunks with a result that `ledger` does not know, and the results' keys.
    async fn closed_after(&self, ledger: &Ledger) -> Result<Vec<(ChunkId, String)>> {
        let entries = self.store.list_all(&self.keys.results()).await?;
        let closed = entries.into_iter().filter_map(|e| Some((self.keys.parse_chunk(&e.key)?, e.key)));
        Ok(closed.filter(|(chunk, _)| !ledger.is_closed(*chunk)).collect())
    }

    /// Brings `ledger` up to date with all figures, reading every new result; for readers that write nothing. The new
    /// results.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn catch_up(&self, ledger: &mut Ledger) -> Result<Vec<ResultRecord>> {
        let closed = self.closed_after(ledger).await?;
        let results: Vec<ResultRecord> = self.records(closed.into_iter().map(|(_, key)| key).collect()).await?;
        let survey = Survey { closed: Vec::new(), ..self.survey(ledger).await? };
        ledger.take_in(survey);
        for result in &results {
            ledger.add_result(result);
        }
        Ok(results)
    }

    /// A view, with its version and mark.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn view(&self, view: View) -> Result<Option<ViewRead>> {
        Ok(self.read(&self.keys.view(view)).await?.map(|(meta, bytes)| ViewRead {
            etag: meta.etag,
            modified: meta.modified,
            marked: meta.metadata.contains_key(MARK),
            text: bytes.to_vec(),
        }))
    }

    /// The three views.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn views(&self) -> Result<ViewsRead> {
        let reads = View::ALL.map(|view| async move { Ok::<_, StoreError>((view, self.view(view).await?)) });
        let reads = futures::future::try_join_all(reads).await?;
        Ok(reads.into_iter().filter_map(|(view, read)| Some((view, read?))).collect())
    }

    /// Puts a view, marked as dayfly's: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_view(&self, view: View, text: String, condition: &Condition) -> Result<Outcome<ETag>> {
        let attributes = Attributes::text().with(MARK, "1");
        self.store.put(&self.keys.view(view), text.into(), &attributes, condition).await
    }

    /// Puts a segment's text, if there is none: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_segment_text(&self, number: u32, text: impl Into<SegmentText>) -> Result<Outcome<ETag>> {
        let SegmentText { text, source } = text.into();
        let mut attributes = Attributes::text();
        if let Some(source) = source {
            attributes = attributes.with(META_SOURCE, source.to_string());
        }
        let key = self.keys.segment_text(number);
        self.store.put(&key, text.into(), &attributes, &Condition::Create).await
    }

    /// Puts a segment's commit, if there is none: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_segment(&self, segment: &Segment) -> Result<Outcome<ETag>> {
        self.put_json(&self.keys.segment(segment.segment), segment, &Condition::Create).await
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

    /// Makes sure that the store keeps conditions: tries them on scratch keys, unless a check at this very endpoint is on
    /// record, and records it.
    ///
    /// # Errors
    /// A store that lets a conditional write through which it had to reject, or refuses a call.
    pub async fn check_store(&self, endpoint: &str, clock: &dyn Clock, dice: &dyn Dice) -> Result<()> {
        let key = self.keys.store_check();
        if let Ok(Some((check, _))) = self.record::<StoreCheck>(&key).await
            && check.ok
            && check.endpoint == endpoint
        {
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
        self.put_json(&key, &check, &Condition::Create).await?;
        Ok(())
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
}

/// Which of the names have an output in `outputs` (a store for the bucket of `place`).
///
/// # Errors
/// A store that refuses.
pub async fn existing_outputs(outputs: &dyn Store, place: &Location, names: Vec<String>) -> Result<BTreeSet<String>> {
    /// Above so many names one listing of everything is cheaper than a head each.
    const HEADS_AT_MOST: usize = 2000;
    if names.len() > HEADS_AT_MOST {
        let keys: BTreeSet<String> = outputs.list_all(place.prefix()).await?.into_iter().map(|e| e.key).collect();
        return Ok(names.into_iter().filter(|n| keys.contains(&place.key(&output_name(n)))).collect());
    }
    stream::iter(names)
        .map(|name| async move {
            let key = place.key(&output_name(&name));
            Ok(outputs.head(&key).await?.map(|_| name))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}
