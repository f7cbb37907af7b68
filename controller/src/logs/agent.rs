//! The log of an agent, or the console of an instance that never had one.

use std::fmt::Write as _;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::Location;
use dayfly_shared::records::{AgentRecord, AgentState};

use super::follow::LOOK;
use super::{Piece, Reader, tail};
use crate::cli::LogsArgs;
use crate::failure::{Failure, Result};
use crate::history::no_job;
use crate::human;
use crate::jobs;
use crate::parts::{Parts, Patience};
use crate::plain;

/// Prints the log of the agents that `wanted` names; with `--follow` what one adds until it has ended.
///
/// # Errors
/// An agent nobody heard of, no job there, a store that refuses.
pub async fn print(parts: &Parts, location: &Location, wanted: &str, args: &LogsArgs) -> Result<()> {
    let patience = if args.follow { Patience::Long } else { Patience::Brief };
    let job = parts.job(location, patience).await?;
    if !jobs::is_job(&**job.store(), location).await? {
        return Err(no_job(location));
    }
    let records = job.agents().await?;
    let mut meant: Vec<&AgentRecord> = records.iter().filter(|record| is_meant(record, wanted)).collect();
    meant.sort_by_key(|record| record.born);
    match meant.as_slice() {
        [] => console(parts, &job, wanted, &records, args).await,
        [one] if args.follow => follow(parts, &job, one, args).await,
        several if args.follow => {
            let ids: Vec<&str> = several.iter().map(|record| record.agent.as_str()).collect();
            Err(Failure::usage(format!("'{wanted}' is {} agents: {}", several.len(), human::some(&ids)))
                .fix("follow one of them, by its whole id"))
        }
        all => {
            for record in all {
                let key = job.keys.agent_log(&record.agent);
                let text = Reader::default().more(&job, &key).await?.unwrap_or_default();
                let mut piece = piece(&job, record, tail(&text, args.tail));
                piece.headed = all.len() > 1;
                if piece.text.is_empty() {
                    parts
                        .output()
                        .note(format!("{} has not put its log yet; it does with each heartbeat", record.agent));
                } else {
                    parts.output().line(&piece);
                }
            }
            Ok(())
        }
    }
}

fn is_meant(record: &AgentRecord, wanted: &str) -> bool {
    record.agent.as_str() == wanted
        || record.agent.name() == wanted
        || record.machine.instance_id.as_deref() == Some(wanted)
}

fn piece(job: &JobBucket, record: &AgentRecord, text: &str) -> Piece {
    Piece {
        of: record.agent.to_string(),
        log: Some(job.place(&job.keys.agent_log(&record.agent))),
        text: text.to_owned(),
        readable: Some(text.lines().map(readable).collect()),
        ..Piece::default()
    }
}

/// A line of the log in JSON as a person reads it; any other line as it is.
fn readable(line: &str) -> String {
    let Ok(serde_json::Value::Object(mut event)) = serde_json::from_str(line) else { return format!("{line}\n") };
    let mut word = |name: &str| match event.remove(name) {
        Some(serde_json::Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (time, level, message) = (word("timestamp"), word("level"), word("message"));
    word("target");
    let mut text = format!("{time} {level:5} {message}");
    for (name, value) in &event {
        let _ = match value {
            serde_json::Value::String(value) => write!(text, " {name}={value}"),
            value => write!(text, " {name}={value}"),
        };
    }
    plain::line(&text) + "\n"
}

async fn follow(parts: &Parts, job: &JobBucket, record: &AgentRecord, args: &LogsArgs) -> Result<()> {
    let key = job.keys.agent_log(&record.agent);
    let mut reader = Reader::default();
    let mut first = true;
    loop {
        // Read before the log: an agent puts its log, then its last record.
        let ended = job.agent(&record.agent).await?.is_none_or(|now| now.state == AgentState::Ended);
        if let Some(text) = reader.more(job, &key).await? {
            let text = if first { tail(&text, args.tail) } else { &text };
            first = false;
            parts.output().line(&piece(job, record, text));
        }
        if ended {
            return Ok(());
        }
        parts.clock.sleep(LOOK).await;
    }
}

/// The console of an instance that was ended without ever having reported; `dayfly reap` put it there.
async fn console(parts: &Parts, job: &JobBucket, wanted: &str, records: &[AgentRecord], args: &LogsArgs) -> Result<()> {
    let key = job.keys.console(wanted);
    if job.store().head(&key).await?.is_none() {
        let ids: Vec<&str> = records.iter().map(|record| record.agent.as_str()).collect();
        let failure = Failure::new(format!("{} has no agent '{wanted}'", job.location));
        return Err(match ids.is_empty() {
            true => failure.fix("no agent has reported yet; dayfly launch starts some"),
            false => failure.fix(format!("its agents are {}", human::some(&ids))),
        });
    }
    parts.output().note(format!("{wanted} never reported; this is its console:"));
    let text = Reader::default().more(job, &key).await?.unwrap_or_default();
    let text = tail(&text, args.tail).to_owned();
    parts.output().line(&Piece { of: wanted.to_owned(), log: Some(job.place(&key)), text, ..Piece::default() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn an_event_reads_as_a_line() {
        let line = r#"{"timestamp":"2026-01-31T12:00:00Z","level":"INFO","target":"t","message":"begun","task":"in1.dat","n":3}"#;
        assert_eq!(readable(line), "2026-01-31T12:00:00Z INFO  begun n=3 task=in1.dat\n");
        assert_eq!(readable("no event"), "no event\n");
        assert_eq!(readable(r#"{"message":"\u001b]0;x\u0007"}"#), "       ?]0;x?\n");
    }
}
