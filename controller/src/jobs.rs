//! `dayfly jobs`: the jobs below a place, each in a line. It reads the lists that people read, not every result, so that
//! many jobs are seen quickly; `dayfly status` looks closer.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::keys::View;
use dayfly_shared::plan::clean_lines;
use dayfly_shared::records::ControlState;
use dayfly_shared::store::{ListQuery, Store};
use serde::Serialize;

use crate::cli::JobsArgs;
use crate::endpoint::{BucketDirectory, Buckets as _};
use crate::failure::{Failure, Result};
use crate::gist;
use crate::human;
use crate::parts::{Parts, Patience};
use crate::settings::Place;

/// `dayfly jobs`.
///
/// # Errors
/// A place that cannot be listed.
pub async fn command(parts: &Parts, args: &JobsArgs) -> Result<Exit> {
    let places = match (&args.place, &parts.settings.place) {
        (Some(place), _) => vec![place.clone()],
        (None, Place::Local(dir)) => {
            std::fs::metadata(dir).map_err(|e| Failure::io("reading", dir, &e))?;
            let buckets = BucketDirectory::new(dir, parts.clock.clone())?.list().await?;
            buckets.iter().filter_map(|bucket| Location::new(&bucket.name, "").ok()).collect()
        }
        (None, Place::S3 { .. }) => {
            return Err(Failure::usage("jobs takes a place to look in").fix("dayfly jobs s3://BUCKET/PREFIX"));
        }
    };
    let mut jobs = Vec::new();
    for place in places {
        let store = parts.bucket(place.bucket(), Patience::Brief).await?;
        for job in find(&*store, &place, args.depth).await? {
            jobs.push(describe(parts, job).await?);
        }
    }
    parts.output().result(&JobsReport { jobs });
    Ok(Exit::Done)
}

/// The jobs in a place and the folders below it. A job's own folders are not looked into.
///
/// # Errors
/// A place that cannot be listed.
pub async fn find(store: &dyn Store, place: &Location, depth: u32) -> Result<Vec<Location>> {
    let mut found = Vec::new();
    let mut open = VecDeque::from([(place.clone(), 0)]);
    while let Some((place, level)) = open.pop_front() {
        if is_job(store, &place).await? {
            found.push(place);
        } else if level < depth {
            for folder in folders(store, &place).await? {
                if let Ok(below) = Location::new(place.bucket(), &folder) {
                    open.push_back((below, level + 1));
                }
            }
        }
    }
    Ok(found)
}

/// Whether a place is a job's, and not just what jobs lie below.
///
/// # Errors
/// A store that refuses.
pub async fn is_job(store: &dyn Store, place: &Location) -> Result<bool> {
    for name in ["job.json", View::Tasklist.name(), "plan/0001.json"] {
        if store.head(&place.key(name)).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The folders in a place.
///
/// # Errors
/// A place that cannot be listed.
pub async fn folders(store: &dyn Store, place: &Location) -> Result<Vec<String>> {
    let mut query = ListQuery { fold: true, ..ListQuery::under(place.prefix()) };
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).await?;
        all.extend(page.folders);
        match page.next {
            Some(next) => query.start_after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn describe(parts: &Parts, location: Location) -> Result<JobLine> {
    let job = parts.job(&location, Patience::Brief).await?;
    let views = job.views().await?;
    let lines = |view| views.get(&view).map(|read| clean_lines(&read.text)).unwrap_or_default();
    let control = job.control().await?.map(|(control, _)| control);
    let open: HashSet<String> = lines(View::Tasklist).into_iter().collect();
    // A task that is tried again stands in both lists.
    let failed = lines(View::Failed).iter().filter(|name| !open.contains(*name)).count() as u64;
    let (done, open) = (lines(View::Completed).len() as u64, open.len() as u64);
    let told = control.as_ref().map(|c| c.state).unwrap_or_default();
    let state = match told {
        _ if !views.contains_key(&View::Tasklist) => "not seeded to the end",
        _ if open == 0 => "over",
        ControlState::Running => "open",
        ControlState::Paused => "paused",
        ControlState::Suspended => "suspended",
        ControlState::Draining => "draining",
        ControlState::Cancelled => "cancelled",
    };
    Ok(JobLine { job: location, state, done, failed, open, why: control.and_then(|c| c.why) })
}

/// A job in a line.
#[derive(Clone, Debug, Serialize)]
struct JobLine {
    job: Location,
    state: &'static str,
    done: u64,
    failed: u64,
    open: u64,
    why: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct JobsReport {
    jobs: Vec<JobLine>,
}

impl fmt::Display for JobsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.jobs.is_empty() {
            return write!(f, "no jobs there");
        }
        let width = self.jobs.iter().map(|j| j.job.to_string().chars().count()).max().unwrap_or(0);
        for line in &self.jobs {
            let (done, open) = (human::thousands(line.done), human::thousands(line.open));
            write!(f, "{:width$}  {}, {done} done, {open} to do", line.job.to_string(), line.state)?;
            if line.failed > 0 {
                write!(f, ", {} given up", human::thousands(line.failed))?;
            }
            if let Some(why) = line.why.as_ref().filter(|_| !matches!(line.state, "open" | "over")) {
                write!(f, " ({})", gist::told(why))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
