//! Looks at a job, from its bucket alone. What is write-once is read once; of the rest, what changed.

mod agents;
mod leases;
mod pace;
mod snapshot;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use dayfly_shared::bucket::{JobBucket, age};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, TaskId};
use dayfly_shared::keys::View;
use dayfly_shared::records::{DeadLetter, ResultRecord, TaskOutcome, from_json};
use dayfly_shared::store::{ETag, Entry, ListQuery, Store, StoreExt as _};
use dayfly_shared::views::{Fate, Ledger, ViewsRead, unknown_lines};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::failure::{Failure, Result};
use crate::history::no_job;

use agents::Decided;

pub use agents::AgentNow;
pub use leases::RunningNow;
pub use pace::Pace;
pub use snapshot::{GivenUp, JobState, Snapshot, Tally};
pub use usage::UsageNow;

/// Small objects read at once, as elsewhere.
const READS_AT_ONCE: usize = 16;
/// Dead letters shown; who wants all of many reads failed.txt.
const LETTERS_MAX: usize = 100;

/// A look at a job, and what is known of it from the looks before.
pub struct Observer {
    job: JobBucket,
    ledger: Ledger,
    views: ViewsRead,
    /// When tasks were done, by their agents' clocks.
    ends: Vec<Timestamp>,
    /// What agents have decided, by the results: their records come later.
    decided: BTreeMap<AgentId, Decided>,
    leases: Cache,
    agents: Cache,
    letters: BTreeMap<TaskId, DeadLetter>,
    dead: usize,
    counted: Option<Counted>,
    /// All results, where they are wanted.
    kept: Option<Vec<ResultRecord>>,
}

/// What takes reading through the lists, kept until they change.
struct Counted {
    versions: (Option<ETag>, Option<ETag>, u32, usize, usize),
    tally: Tally,
}

/// Objects by key, each in the version that was read.
type Cache = HashMap<String, (ETag, bytes::Bytes)>;

/// An object of a listing and its age by the store's clock.
type Aged = (Entry, Option<Duration>);

impl Observer {
    /// Nothing is known yet.
    pub fn new(job: JobBucket) -> Self {
        Self {
            job,
            ledger: Ledger::default(),
            views: ViewsRead::new(),
            ends: Vec::new(),
            decided: BTreeMap::new(),
            leases: Cache::new(),
            agents: Cache::new(),
            letters: BTreeMap::new(),
            dead: 0,
            counted: None,
            kept: None,
        }
    }

    /// Nothing is known yet, and every result that is read is kept.
    pub fn keeping(job: JobBucket) -> Self {
        Self { kept: Some(Vec::new()), ..Self::new(job) }
    }

    /// The results that were read, where they are kept.
    pub fn results(&self) -> &[ResultRecord] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// The job.
    pub fn job(&self) -> &JobBucket {
        &self.job
    }

    /// What is known of the plan and the results.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How the job stands now.
    ///
    /// # Errors
    /// A store that refuses, a record that cannot be read, no job there.
    pub async fn look(&mut self) -> Result<Snapshot> {
        let store = self.job.store().clone();
        let control = self.job.control().await?.map(|(control, _)| control);
        self.catch_up().await?;
        self.read_views().await?;
        let stored = match self.ledger.settings() {
            Some(frozen) => Some(frozen.clone()),
            None => self.job.job_settings().await?,
        };
        if stored.is_none() && self.ledger.segment_count() == 0 && !self.views.contains_key(&View::Tasklist) {
            return Err(no_job(&self.job.location));
        }
        let settings = stored.unwrap_or_default();

        let listed = list_aged(&*store, &self.job.keys.semaphores()).await?;
        let open = |e: &Aged| self.job.keys.parse_chunk(&e.0.key).is_some_and(|c| !self.ledger.is_closed(c));
        let listed: Vec<Aged> = listed.into_iter().filter(open).collect();
        refresh(&*store, &mut self.leases, &listed).await?;
        let running = leases::running(&self.job.keys, &self.ledger, &listed, &self.leases);

        let listed = list_aged(&*store, &self.job.keys.agents()).await?;
        refresh(&*store, &mut self.agents, &listed).await?;
        let mut agents = agents::agents(&listed, &self.agents, settings.lease_ttl());
        agents.iter_mut().for_each(|agent| agent.catch_up(self.decided.get(&agent.agent), &running));

        let tally = self.tally();
        self.read_letters(tally.failed).await?;
        let totals = self.ledger.totals();
        let pace = Pace::of(&self.ends);
        let live = agents.iter().filter(|a| a.live).count() as u64;
        let over = self.over(&tally);
        let left = tally.total - tally.done - tally.failed;
        Ok(Snapshot {
            job: self.job.location.clone(),
            state: JobState::of(control.as_ref(), over, live > 0 || running.iter().any(|r| r.holds())),
            told: control.as_ref().map(|c| c.state).unwrap_or_default(),
            why: control.as_ref().and_then(|c| c.why.clone()),
            told_by: control.as_ref().and_then(|c| c.by.clone()),
            told_at: control.as_ref().and_then(|c| c.at),
            tasks: tally,
            chunks: self.ledger.segments().iter().map(|s| u64::from(s.segment.chunk_count())).sum(),
            chunks_closed: self.ledger.closed_count() as u64,
            usage: totals.usage.map(|usage| UsageNow::of(usage, &agents)),
            output_bytes: totals.bytes,
            attempts: totals.attempts,
            first: totals.first,
            last: totals.last,
            tasks_per_second: pace.map(|p| p.per_second),
            seconds_left: pace.filter(|_| live > 0 && !over).and_then(|p| p.time_for(left)).map(|t| t.as_secs()),
            running,
            agents,
            given_up: self.letters.values().map(GivenUp::of).collect(),
            settings,
        })
    }

    async fn catch_up(&mut self) -> Result<()> {
        let results = self.job.catch_up(&mut self.ledger).await?;
        for result in &results {
            self.ends.extend(ends(result));
            agents::count(&mut self.decided, result);
        }
        if let Some(kept) = &mut self.kept {
            kept.extend(results);
        }
        self.dead = self.ledger.dead_letter_count();
        Ok(())
    }

    /// Reads those of the lists that changed.
    async fn read_views(&mut self) -> Result<()> {
        for view in View::ALL {
            let stands = self.job.store().head(&self.job.keys.view(view)).await?;
            let known = self.views.get(&view).map(|read| (&read.etag, read.modified));
            if known == stands.as_ref().map(|meta| (&meta.etag, meta.modified)) {
                continue;
            }
            match self.job.view(view).await? {
                Some(read) => self.views.insert(view, read),
                None => self.views.remove(&view),
            };
        }
        Ok(())
    }

    fn tally(&mut self) -> Tally {
        let version = |view| self.views.get(&view).map(|read| read.etag.clone());
        let versions = (
            version(View::Tasklist),
            version(View::Completed),
            self.ledger.segment_count(),
            self.ledger.closed_count(),
            self.dead,
        );
        if let Some(counted) = self.counted.as_ref().filter(|c| c.versions == versions) {
            return counted.tally;
        }
        let totals = self.ledger.totals();
        let new = unknown_lines(&self.ledger, &self.views);
        let again = new.iter().filter(|n| self.ledger.fate(n) == Some(Fate::Failed)).count() as u64;
        let completed = self.views.get(&View::Completed).map(|read| String::from_utf8_lossy(&read.text));
        let before = completed.iter().flat_map(|text| text.lines());
        let before = before.filter(|n| !n.is_empty() && self.ledger.fate(n).is_none()).count() as u64;
        let tally = Tally {
            total: totals.tasks + before + new.len() as u64 - again,
            done: totals.done + before,
            failed: totals.failed - again,
            unplanned: new.len() as u64,
        };
        self.counted = Some(Counted { versions, tally });
        tally
    }

    fn over(&self, tally: &Tally) -> bool {
        // A job without a plan and without a list was not seeded to the end.
        let begun = self.ledger.segment_count() > 0 || self.views.contains_key(&View::Tasklist);
        begun && tally.unplanned == 0 && self.ledger.all_closed()
    }

    async fn read_letters(&mut self, failed: u64) -> Result<()> {
        let open: Vec<TaskId> = match failed {
            0 => Vec::new(),
            _ => self.ledger.names(Fate::Failed).iter().filter_map(|name| self.ledger.task_of(name)).collect(),
        };
        self.letters.retain(|task, _| open.contains(task));
        let missing: std::collections::BTreeSet<TaskId> =
            open.into_iter().filter(|task| !self.letters.contains_key(task)).collect();
        if missing.is_empty() || self.letters.len() >= LETTERS_MAX {
            return Ok(());
        }
        let keys = &self.job.keys;
        let entries = self.job.store().list_all(&keys.dead_letters()).await?;
        let wanted =
            entries.into_iter().filter(|e| keys.parse_dead_letter(&e.key).is_some_and(|t| missing.contains(&t)));
        for entry in wanted.take(LETTERS_MAX) {
            let Some((_, bytes)) = self.job.store().read(&entry.key).await? else { continue };
            match from_json::<DeadLetter>(&bytes) {
                Ok(letter) => drop(self.letters.insert(letter.task, letter)),
                Err(error) => tracing::warn!(key = entry.key, %error, "not a dead letter"),
            }
        }
        Ok(())
    }
}

/// When the tasks of a chunk were done.
fn ends(result: &ResultRecord) -> impl Iterator<Item = Timestamp> {
    let done = result.tasks.iter().filter(|t| matches!(t.outcome, TaskOutcome::Done { .. }));
    done.filter_map(|task| task.attempts.last()).map(|attempt| attempt.to)
}

/// Every object under `prefix`, with its age by the store's clock.
async fn list_aged(store: &dyn Store, prefix: &str) -> Result<Vec<Aged>> {
    let mut query = ListQuery::under(prefix);
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).await?;
        let served = page.served;
        all.extend(page.entries.into_iter().map(|entry| {
            let age = age(served, entry.modified);
            (entry, age)
        }));
        match page.next {
            Some(next) => query.start_after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Reads what changed since it was read last; forgets what is gone.
async fn refresh(store: &dyn Store, cache: &mut Cache, listed: &[Aged]) -> Result<()> {
    let stale = |e: &&Aged| cache.get(&e.0.key).is_none_or(|(etag, _)| *etag != e.0.etag);
    let wanted: Vec<String> = listed.iter().filter(stale).map(|(entry, _)| entry.key.clone()).collect();
    let read: Vec<_> =
        stream::iter(wanted)
            .map(|key| async move {
                Ok::<_, Failure>(store.read(&key).await?.map(|(meta, bytes)| (key, (meta.etag, bytes))))
            })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
    let keys: std::collections::HashSet<&str> = listed.iter().map(|(entry, _)| entry.key.as_str()).collect();
    cache.retain(|key, _| keys.contains(key.as_str()));
    cache.extend(read.into_iter().flatten());
    Ok(())
}
