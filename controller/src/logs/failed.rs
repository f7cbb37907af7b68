//! The last logs of the tasks that were given up.

use std::collections::BTreeSet;

use dayfly_shared::ids::TaskId;
use dayfly_shared::job::Location;
use dayfly_shared::records::DeadLetter;
use dayfly_shared::store::StoreExt as _;
use dayfly_shared::views::Fate;

use super::follow::LOOK;
use super::{Piece, Reader, tail};
use crate::cli::LogsArgs;
use crate::failure::Result;
use crate::history::record;
use crate::observe::{JobState, Observer};
use crate::parts::{Parts, Patience};

/// Prints what each task that stands given up said last; with `--follow` also those that come, until the job is over.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn print(parts: &Parts, job: &Location, args: &LogsArgs) -> Result<()> {
    let patience = if args.follow { Patience::Long } else { Patience::Brief };
    let mut observer = Observer::new(parts.job(job, patience).await?);
    let mut told: BTreeSet<TaskId> = BTreeSet::new();
    loop {
        let snapshot = observer.look().await?;
        let bucket = observer.job();
        for entry in bucket.store().list_all(&bucket.keys.dead_letters()).await? {
            let Some(task) = bucket.keys.parse_dead_letter(&entry.key).filter(|task| !told.contains(task)) else {
                continue;
            };
            let ledger = observer.ledger();
            // One that was done after all, or is tried again, has not failed.
            let name = ledger.name_of(task).filter(|name| ledger.task_of(name) == Some(task));
            if name.is_none_or(|name| ledger.fate(name) != Some(Fate::Failed)) {
                continue;
            }
            let Some(letter) = record::<DeadLetter>(bucket, &entry.key).await? else { continue };
            told.insert(task);
            let text = match &letter.log {
                Some(key) => Reader::default().more(bucket, key).await?.unwrap_or_default(),
                None => String::new(),
            };
            let last = letter.attempts.last();
            parts.output().line(&Piece {
                of: letter.name.clone(),
                attempt: last.map(|attempt| attempt.attempt.to_string()),
                agent: last.map(|attempt| attempt.agent.to_string()),
                end: Some("given up"),
                error: Some(letter.error.clone()),
                log: letter.log.as_ref().map(|key| bucket.place(key)),
                text: tail(&text, args.tail).to_owned(),
                headed: true,
                ..Piece::default()
            });
        }
        let over = matches!(snapshot.state, JobState::Over | JobState::Cancelled);
        if !args.follow || over {
            if told.is_empty() {
                parts.output().note("no task was given up");
            }
            return Ok(());
        }
        parts.clock.sleep(LOOK).await;
    }
}
