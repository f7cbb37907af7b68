//! The logs of tasks, attempt by attempt.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_shared::job::Location;

use super::follow::LOOK;
use super::{Piece, Reader, tail};
use crate::cli::LogsArgs;
use crate::describe::end_words;
use crate::failure::{Failure, Result};
use crate::history::{History, Plan, Standing, Try, logs_of};
use crate::parts::Parts;

/// Prints the logs of these tasks, and with `--follow` what is added to them until they are decided.
///
/// # Errors
/// A name that is no task, tasks without a log, a store that refuses.
pub async fn print(parts: &Parts, job: &Location, tasks: &[String], args: &LogsArgs) -> Result<()> {
    let plan = Plan::read(parts, job).await?;
    let names: Vec<String> = tasks.iter().map(|task| plan.name(task)).collect::<Result<_>>()?;
    if args.follow {
        return follow(parts, plan, &names, args).await;
    }
    let mut pieces = Vec::new();
    let mut silent = Vec::new();
    for name in &names {
        let history = plan.history(parts, name).await?;
        let found = pieces_of(&plan, &history).await?;
        match found.iter().any(|piece| piece.log.is_some()) {
            true => pieces.extend(found),
            false => silent.push(without(&history)),
        }
    }
    let headed = pieces.len() > 1;
    for mut piece in pieces {
        piece.headed = headed;
        if let Some(key) = &piece.key {
            let text = Reader::default().more(&plan.job, key).await?.unwrap_or_default();
            piece.text = tail(&text, args.tail).to_owned();
        }
        parts.output().line(&piece);
    }
    match silent.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Every attempt, with its log where it left one; and logs of attempts that no record tells of yet.
async fn pieces_of(plan: &Plan, history: &History) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for chapter in &history.chapters {
        let known: BTreeSet<String> = chapter.attempts.iter().map(|a| a.attempt.to_string()).collect();
        for log in logs_of(&plan.job, chapter.task).await? {
            if !known.contains(&log.attempt) {
                let place = Some(plan.job.place(&log.key));
                pieces.push(Piece {
                    of: history.name.clone(),
                    attempt: Some(log.attempt),
                    log: place,
                    key: Some(log.key),
                    ..Piece::default()
                });
            }
        }
        pieces.extend(chapter.attempts.iter().map(|attempt| piece_of(plan, history, attempt)));
    }
    Ok(pieces)
}

fn piece_of(plan: &Plan, history: &History, attempt: &Try) -> Piece {
    Piece {
        of: history.name.clone(),
        attempt: Some(attempt.attempt.to_string()),
        agent: Some(attempt.agent.to_string()),
        end: Some(end_words(attempt.end)),
        error: attempt.error.clone(),
        log: attempt.log.as_ref().map(|log| plan.job.place(&log.key)),
        key: attempt.log.as_ref().map(|log| log.key.clone()),
        ..Piece::default()
    }
}

/// Why there is no log, and where to look instead.
fn without(history: &History) -> Failure {
    let last = history.chapters.iter().flat_map(|c| &c.attempts).last();
    let failure = Failure::new(format!("{} left no log ({})", history.name, history.standing.words()));
    match last {
        None => failure.fix("no attempt at it is known; dayfly describe tells what is"),
        Some(attempt) => failure.fix(format!(
            "programs' output and failures leave one; its agent's: dayfly logs --agent {}",
            attempt.agent
        )),
    }
}

async fn follow(parts: &Parts, mut plan: Plan, names: &[String], args: &LogsArgs) -> Result<()> {
    let mut readers: BTreeMap<String, Reader> = BTreeMap::new();
    let mut last = None;
    loop {
        plan.catch_up().await?;
        let mut decided = true;
        for name in names {
            // Read before the logs: what is written between a log's last words and the end is not missed.
            let history = plan.history(parts, name).await?;
            decided &= matches!(history.standing, Standing::Done | Standing::GivenUp);
            for mut piece in pieces_of(&plan, &history).await? {
                let Some(key) = piece.key.clone() else { continue };
                let first = !readers.contains_key(&key);
                let reader = readers.entry(key.clone()).or_default();
                let Some(text) = reader.more(&plan.job, &key).await? else { continue };
                piece.text = if first { tail(&text, args.tail).to_owned() } else { text };
                // Whose it is, whenever another log goes on than before.
                piece.headed = last.as_ref() != Some(&key);
                last = Some(key);
                parts.output().line(&piece);
            }
        }
        if decided {
            return Ok(());
        }
        parts.clock.sleep(LOOK).await;
    }
}
