//! `dayfly clean`: removes what interrupted work left behind. Never inputs, outputs, results, the plan.

mod programs;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::bucket::age;
use dayfly_shared::claim::Policy;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::store::{Entry, ListQuery, Store, Upload};
use serde::Serialize;

use crate::ask;
use crate::cli::CleanArgs;
use crate::failure::{Failure, Result};
use crate::human;
use crate::notices;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};
use crate::write;

/// Once a job is over nobody of it writes; somebody who seeds it again does, and sends a file in less than this.
const OVER: Duration = Duration::from_secs(3600);

/// `dayfly clean`.
///
/// # Errors
/// No job there, a store that refuses, nobody to ask.
pub async fn command(parts: &Parts, args: &CleanArgs) -> Result<Exit> {
    let location = parts.settings.job(args.job.job.as_ref())?;
    let mut observer = Observer::new(parts.job(&location, Patience::Brief).await?);
    let snapshot = observer.look().await?;
    notices::catch_up(parts, &observer, &snapshot).await;
    let older_than = args.older_than.unwrap_or_else(|| margin(&snapshot));
    let rubbish = Rubbish::find(parts, &observer, &snapshot, older_than).await?;
    let mut report = CleanReport::of(&location, &rubbish);
    if rubbish.is_empty() {
        parts.output().result(&report);
        return Ok(Exit::Done);
    }
    parts.output().note(&report);
    if !ask::confirm(&parts.settings, "Remove these?")? {
        return Err(Failure::new("cleaning was declined").left("nothing was changed"));
    }
    report.removed = rubbish.remove(parts, observer.job().store()).await?;
    parts.output().result(&report);
    Ok(Exit::Done)
}

/// What is younger may be in use: while a job runs, an attempt lasts no longer than the task time limit.
fn margin(snapshot: &Snapshot) -> Duration {
    if snapshot.state == JobState::Over && snapshot.live_agents() == 0 {
        OVER
    } else {
        snapshot.settings.task_time_limit()
    }
}

/// What interrupted work left behind.
struct Rubbish {
    /// Unfinished uploads, each with the store of its bucket.
    uploads: Vec<(Arc<dyn Store>, Upload)>,
    /// Objects of store checks that did not end.
    scratch: Vec<Entry>,
    /// Semaphores whose result stands.
    semaphores: Vec<Entry>,
    /// Standby seats whose holder has not renewed for longer than the lease.
    seats: Vec<Entry>,
    /// Checkpoints of tasks that are decided.
    checkpoints: Vec<Entry>,
    /// Files of attempts that no manifest names, and none will, with the store of their bucket.
    attempt_files: Vec<(Arc<dyn Store>, Entry)>,
}

impl Rubbish {
    async fn find(parts: &Parts, observer: &Observer, snapshot: &Snapshot, older_than: Duration) -> Result<Self> {
        let job = observer.job();
        let old = |age: Option<Duration>| age.is_some_and(|age| age >= older_than);
        let (scratch_prefix, location) = (job.location.key("scratch/"), &job.location);
        let page = job.store().list(&ListQuery::under(&scratch_prefix)).await?;
        let served = page.served;
        let scratch = page.entries.into_iter().filter(|e| old(age(served, e.modified))).collect();

        let semaphores = job.semaphores().await?.into_iter();
        let semaphores = semaphores.filter(|(chunk, _)| observer.ledger().is_closed(*chunk)).map(|(_, e)| e).collect();

        let expiry = Policy::of(&snapshot.settings).expiry();
        let page = job.store().list(&ListQuery::under(job.keys.seats())).await?;
        let expired = |e: &Entry| age(page.served, e.modified).is_some_and(|age| age > expiry);
        let seats = page.entries.into_iter().filter(expired).collect();

        let mut uploads: Vec<(Arc<dyn Store>, Upload)> = Vec::new();
        for upload in job.store().uploads(location.prefix()).await? {
            if old(age(served, upload.initiated)) {
                uploads.push((Arc::clone(job.store()), upload));
            }
        }
        // Outputs elsewhere share their place with others: only what is called as this job's outputs are.
        let outputs = snapshot.settings.outputs(location);
        let seen = outputs.bucket() == location.bucket() && outputs.prefix().starts_with(location.prefix());
        if !seen {
            let names = observer.ledger().segments().iter().flat_map(|s| &s.names);
            let ours: HashSet<String> = names.map(|name| outputs.key(&snapshot.settings.commit_name(name))).collect();
            let store = parts.bucket(outputs.bucket(), Patience::Brief).await?;
            let found = store.uploads(outputs.prefix()).await?.into_iter();
            let found = found.filter(|u| ours.contains(&u.key) && old(age(served, u.initiated)));
            uploads.extend(found.map(|upload| (Arc::clone(&store), upload)));
        }
        let checkpoints = programs::checkpoints(observer).await?;
        let attempt_files = programs::attempt_files(parts, observer, snapshot, older_than).await?;
        Ok(Self { uploads, scratch, semaphores, seats, checkpoints, attempt_files })
    }

    fn is_empty(&self) -> bool {
        let objects = [&self.scratch, &self.semaphores, &self.seats, &self.checkpoints];
        self.uploads.is_empty() && self.attempt_files.is_empty() && objects.iter().all(|kind| kind.is_empty())
    }

    async fn remove(&self, parts: &Parts, store: &Arc<dyn Store>) -> Result<u64> {
        let mut removed = 0;
        for entry in self.semaphores.iter().chain(&self.seats).chain(&self.scratch).chain(&self.checkpoints) {
            removed += u64::from(write::delete(parts, &**store, &entry.key, &entry.etag).await?);
        }
        for (store, entry) in &self.attempt_files {
            removed += u64::from(write::delete(parts, &**store, &entry.key, &entry.etag).await?);
        }
        for (store, upload) in &self.uploads {
            store.upload_abort(upload).await?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// What there is to remove, and how much of it was.
#[derive(Clone, Debug, Serialize)]
struct CleanReport {
    job: Location,
    uploads: Vec<String>,
    scratch: Vec<String>,
    semaphores: Vec<String>,
    seats: Vec<String>,
    checkpoints: Vec<String>,
    attempt_files: Vec<String>,
    removed: u64,
}

impl CleanReport {
    fn of(job: &Location, rubbish: &Rubbish) -> Self {
        let keys = |entries: &[Entry]| entries.iter().map(|e| e.key.clone()).collect();
        Self {
            job: job.clone(),
            uploads: rubbish.uploads.iter().map(|(store, u)| store.place(&u.key)).collect(),
            scratch: keys(&rubbish.scratch),
            semaphores: keys(&rubbish.semaphores),
            seats: keys(&rubbish.seats),
            checkpoints: keys(&rubbish.checkpoints),
            attempt_files: rubbish.attempt_files.iter().map(|(store, e)| store.place(&e.key)).collect(),
            removed: 0,
        }
    }
}

impl fmt::Display for CleanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("unfinished upload", &self.uploads),
            ("scratch object", &self.scratch),
            ("semaphore whose result stands", &self.semaphores),
            ("standby seat of an agent that is gone", &self.seats),
            ("checkpoint of a task that is decided", &self.checkpoints),
            ("output file of an attempt that was not committed", &self.attempt_files),
        ];
        if kinds.iter().all(|(_, keys)| keys.is_empty()) {
            return write!(f, "{}: nothing to remove", self.job);
        }
        if self.removed > 0 {
            return write!(f, "{}: {} removed", self.job, human::count(self.removed, "leftover"));
        }
        writeln!(f, "{}: left behind by interrupted work", self.job)?;
        for (kind, keys) in kinds.iter().filter(|(_, keys)| !keys.is_empty()) {
            writeln!(f, "  {} × {kind}: {}", human::thousands(keys.len() as u64), human::some(keys))?;
        }
        Ok(())
    }
}
