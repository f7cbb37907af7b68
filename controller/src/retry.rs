//! `dayfly retry`: given-up tasks go back on the list, by their names.

use std::fmt;

use dayfly_shared::bucket::existing_outputs;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::views::Fate;
use serde::Serialize;

use crate::cli::{RetryArgs, split_job};
use crate::failure::{Failure, Result};
use crate::human;
use crate::merge::{self, Merged};
use crate::observe::Observer;
use crate::parts::{Parts, Patience};

/// `dayfly retry`.
///
/// # Errors
/// Names that were not given up, no job there, a store that refuses.
pub async fn command(parts: &Parts, args: &RetryArgs) -> Result<Exit> {
    let (named, names) = split_job(&args.job_and_names)?;
    let location = parts.settings.job(named.as_ref().or(args.default_job.as_ref()))?;
    if args.all != names.is_empty() {
        return Err(Failure::usage("retry takes the names of tasks, or --all")
            .fix("dayfly status shows which tasks were given up"));
    }
    let mut observer = Observer::new(parts.job(&location, Patience::Brief).await?);
    let snapshot = observer.look().await?;
    let (job, ledger) = (observer.job(), observer.ledger());
    let asked: Vec<String> = match args.all {
        true => ledger.names(Fate::Failed).iter().map(ToString::to_string).collect(),
        false => names.to_vec(),
    };
    let wrong: Vec<String> = asked
        .iter()
        .filter_map(|name| match ledger.fate(name) {
            Some(Fate::Failed) => None,
            Some(Fate::Done) => Some(format!("{name} is done")),
            Some(Fate::Open) => Some(format!("{name} is still to do")),
            None => Some(format!("{name} is no task of the plan")),
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Failure::new(format!("only given-up tasks can be retried: {}", human::some(&wrong)))
            .left("nothing was changed")
            .fix("dayfly status shows which tasks were given up"));
    }
    // An output outranks a dead letter, and may have come late.
    let settings = &snapshot.settings;
    let store = parts.bucket(settings.outputs(&location).bucket(), Patience::Brief).await?;
    let done = existing_outputs(&*store, settings, &location, asked.clone()).await?;
    let again: Vec<String> = asked.into_iter().filter(|name| !done.contains(name)).collect();
    let list = match again.is_empty() {
        true => Merged::default(),
        false => merge::add_lines(parts, job, ledger, &again).await?,
    };
    let done = done.into_iter().collect();
    let launch = (snapshot.live_agents() == 0).then(|| parts.settings.command("launch", &location));
    parts.output().result(&RetryReport { job: location, again, done, list, launch });
    Ok(Exit::Done)
}

/// What is tried again.
#[derive(Clone, Debug, Serialize)]
struct RetryReport {
    job: Location,
    again: Vec<String>,
    done: Vec<String>,
    list: Merged,
    #[serde(skip)]
    launch: Option<String>,
}

impl fmt::Display for RetryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.again.as_slice() {
            [] => write!(f, "nothing to retry")?,
            names => {
                let count = human::count(names.len() as u64, "task");
                write!(f, "{count} back on the list: {}", human::some(names))?;
            }
        }
        if !self.done.is_empty() {
            write!(f, "\nnote: done after all, their outputs stand: {}", human::some(&self.done))?;
        }
        if let Some(launch) = self.launch.as_ref().filter(|_| !self.again.is_empty()) {
            write!(f, "\nnote: no agent is at work; start some: {launch}")?;
        }
        Ok(())
    }
}
