//! Looks at a job again and again while it runs, and holds what it sees against the guarantees.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock, Timestamp};
use dayfly_shared::ids::{Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::{View, is_output_name};
use dayfly_shared::plan::clean_lines;
use dayfly_shared::store::{ETag, Store, StoreExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::invariants;

/// Between two looks: often enough to see most states of a small job, seldom enough to leave the server to the agents.
const EVERY: Duration = Duration::from_millis(200);

/// An output's version.
pub type Version = (ETag, Option<Timestamp>);

/// What was seen of a job while it ran.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Outputs by key.
    pub outputs: BTreeMap<String, Version>,
    /// Lines of `completed.txt`.
    pub completed: BTreeSet<String>,
    /// Tenures by chunk and epoch.
    pub tenures: BTreeMap<(ChunkId, u32), Nonce>,
    /// Attempts by task.
    pub attempts: BTreeSet<(ChunkId, TaskId, Attempt)>,
    /// Semaphores that stood at the last look, with their epochs.
    pub semaphores: BTreeMap<ChunkId, u32>,
    /// How many looks there were.
    pub looks: usize,
}

/// A watcher at work; ends when dropped.
pub struct Watcher {
    added: Arc<Mutex<BTreeSet<String>>>,

    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Evidence>>,
}

impl Watcher {
    /// Watches the job until stopped.
    pub fn start(bucket: JobBucket, settings: JobSettings, outputs: Arc<dyn Store>) -> Self {
        let added: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (stop, mut stopped) = watch::channel(false);
        let lines = Arc::clone(&added);
        let task = tokio::spawn(async move {
            let mut evidence = Evidence::default();
            loop {
                look(&bucket, &settings, &*outputs, &lines, &mut evidence).await;
                let wait = futures::future::select(SystemClock.sleep(EVERY), Box::pin(stopped.wait_for(|stop| *stop)));
                // The handle is gone, or says stop.
                if matches!(wait.await, futures::future::Either::Right(_)) {
                    return evidence;
                }
            }
        });
        Self { added, stop, task: Some(task) }
    }

    /// From now on these lines must not be lost.
    pub fn expect(&self, lines: &[String]) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).extend(lines.iter().cloned());
    }

    /// Whether all is well so far.
    ///
    /// # Panics
    /// If a guarantee was broken; the watcher's own message is above.
    pub fn check(&self) {
        if self.task.as_ref().is_some_and(JoinHandle::is_finished) {
            panic!("the watcher saw a guarantee broken; its message stands above");
        }
    }

    /// Ends the watch; what was seen.
    ///
    /// # Panics
    /// If a guarantee was broken.
    pub async fn stop(mut self) -> Evidence {
        self.stop.send_replace(true);
        match self.task.take().expect("it is stopped once").await {
            Ok(evidence) => evidence,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// One look. The order of the reads is what makes it sound: each set that must lie within another is read before it.
async fn look(
    bucket: &JobBucket,
    settings: &JobSettings,
    outputs: &dyn Store,
    added: &Mutex<BTreeSet<String>>,
    evidence: &mut Evidence,
) {
    // What must be found, before where it must be found.
    let mut wanted = added.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for segment in bucket.segments_after(0).await.expect("the plan") {
        wanted.extend(clean_lines(&bucket.segment_text(&segment, None).await.expect("a segment's text")));
    }
    // A line moves from the list to the other two, and from failed to completed: read in that order.
    let tasklist = lines(bucket, View::Tasklist).await;
    let failed = lines(bucket, View::Failed).await;
    let completed = lines(bucket, View::Completed).await;
    invariants::no_line_is_lost(&wanted, &tasklist, &completed, &failed);
    invariants::completed_only_grows(&evidence.completed, &completed);

    // Outputs after completed.txt, which must lie within them.
    let place = settings.outputs(&bucket.location);
    let listed = outputs.list_all(place.prefix()).await.expect("the outputs");
    let now: BTreeMap<String, Version> = listed
        .into_iter()
        .filter(|e| e.key.strip_prefix(place.prefix()).is_some_and(is_output_name))
        .map(|e| (e.key, (e.etag, e.modified)))
        .collect();
    invariants::completed_is_committed(place, &completed, &now);
    invariants::no_output_is_replaced(&evidence.outputs, &now);

    // Semaphores before results: one that is gone left its result first.
    let held = bucket.held().await.expect("the semaphores");
    let closed: BTreeSet<ChunkId> = bucket
        .store()
        .list_all(&bucket.keys.results())
        .await
        .expect("the results")
        .iter()
        .filter_map(|entry| bucket.keys.parse_chunk(&entry.key))
        .collect();
    let epochs = held.iter().map(|(chunk, semaphore)| (*chunk, semaphore.epoch)).collect();
    invariants::semaphores_go_after_results(&evidence.semaphores, &epochs, &closed);
    // Who claims a chunk that was closed a moment ago finds the result and goes: such a tenure is no part of the story.
    for (chunk, semaphore) in held.into_iter().filter(|(chunk, _)| !closed.contains(chunk)) {
        let known = evidence.tenures.entry((chunk, semaphore.epoch)).or_insert(semaphore.tenure);
        assert_eq!(*known, semaphore.tenure, "two tenures of chunk {chunk} had epoch {}", semaphore.epoch);
        evidence.attempts.extend(semaphore.running.map(|r| (chunk, r.task, r.attempt)));
    }
    evidence.semaphores = epochs;
    evidence.outputs = now;
    evidence.completed = completed;
    evidence.looks += 1;
}

async fn lines(bucket: &JobBucket, view: View) -> BTreeSet<String> {
    let read = bucket.view(view).await.expect("a view");
    read.map(|read| clean_lines(&read.text).into_iter().collect()).unwrap_or_default()
}
