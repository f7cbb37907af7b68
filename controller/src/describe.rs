//! `dayfly describe`: a task's whole history.

use std::fmt;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use dayfly_shared::ids::AgentId;
use dayfly_shared::records::{AttemptEnd, Machine, TaskOutcome, TenureEnd};
use serde::Serialize;

use crate::cli::{DescribeArgs, split_job};
use crate::failure::{Failure, Result};
use crate::gist;
use crate::history::{Chapter, History, Hold, Object, Plan, Standing, Try};
use crate::human;
use crate::parts::Parts;

/// `dayfly describe`.
///
/// # Errors
/// A name that is no task, no job there, a store that refuses.
pub async fn command(parts: &Parts, args: &DescribeArgs) -> Result<Exit> {
    let (named, names) = split_job(&args.job_and_task)?;
    let [name] = names else {
        return Err(Failure::usage("describe takes one task").fix("dayfly describe [s3://BUCKET/PREFIX] TASK"));
    };
    let job = parts.settings.job(named.as_ref().or(args.default_job.as_ref()))?;
    let plan = Plan::read(parts, &job).await?;
    let history = plan.history(parts, &plan.name(name)?).await?;
    parts.output().result(&Description { history, now: parts.clock.now().wall });
    Ok(Exit::Done)
}

/// A history as it is printed.
#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    history: History,
    #[serde(skip)]
    now: Timestamp,
}

/// How an attempt ended, in words; and what it spends.
pub fn end_words(end: Option<AttemptEnd>) -> &'static str {
    match end {
        None => "running",
        Some(AttemptEnd::Done) => "done",
        Some(AttemptEnd::Failed) => "failed",
        Some(AttemptEnd::Preempted) => "preempted (spends no attempt)",
        Some(AttemptEnd::Interrupted) => "interrupted by the store (spends no attempt)",
        Some(AttemptEnd::Vanished) => "its agent vanished (spends no attempt)",
        Some(AttemptEnd::VanishedAlone) => "its agent vanished while it ran alone (a loss of its own)",
    }
}

/// `c7i.large spot us-west-2a, i-…`, or the host where there is no instance; after the engine, where one started it.
pub fn machine_words(machine: &Machine) -> String {
    let known = [&machine.instance_type, &machine.market, &machine.zone, &machine.instance_id];
    let words: Vec<&str> = known.into_iter().filter_map(|word| word.as_deref()).collect();
    let place = if words.is_empty() { machine.host.clone() } else { words.join(" ") };
    match &machine.engine {
        Some(engine) => format!("{engine}, {place}"),
        None => place,
    }
}

impl Description {
    fn object(f: &mut fmt::Formatter<'_>, what: &str, object: &Object) -> fmt::Result {
        write!(f, "{what:8} {}  {}", object.place, human::bytes(object.bytes))?;
        if let Some(modified) = object.modified {
            write!(f, ", put {modified}")?;
        }
        if let Some(checksum) = &object.checksum {
            write!(f, ", {checksum}")?;
        }
        if let Some(attempt) = &object.attempt {
            write!(f, ", by attempt {attempt}")?;
        }
        writeln!(f)
    }

    fn who(&self, agent: &AgentId) -> String {
        match self.history.machines.get(agent) {
            Some(machine) => format!("{agent} ({})", machine_words(machine)),
            None => format!("{agent} (it left no record)"),
        }
    }

    fn chapter(&self, f: &mut fmt::Formatter<'_>, chapter: &Chapter) -> fmt::Result {
        write!(f, "planned  {} by {}, as task {}", chapter.planned_at, chapter.planned_by, chapter.task)?;
        match chapter.chunk_tasks {
            1 => writeln!(f)?,
            n => writeln!(f, ", one of {n} in chunk {}", chapter.chunk)?,
        }
        let mut attempts = chapter.attempts.iter().peekable();
        for tenure in &chapter.tenures {
            write!(f, "  {}  ", tenure.from)?;
            match tenure.epoch {
                1 => write!(f, "claimed by ")?,
                n => write!(f, "taken over (holder number {n}) by ")?,
            }
            writeln!(f, "{}", self.who(&tenure.agent))?;
            while let Some(attempt) = attempts.next_if(|a| a.attempt.epoch == tenure.epoch) {
                self.attempt(f, chapter, attempt)?;
            }
            if let Some(to) = tenure.to {
                let words = match tenure.end {
                    Some(TenureEnd::Released) => "given back",
                    Some(TenureEnd::Expired) => "lease expired: its agent was not heard of again",
                    Some(TenureEnd::Closed) if chapter.chunk_tasks > 1 => "chunk closed",
                    _ => continue,
                };
                writeln!(f, "  {to}  {words}")?;
            }
        }
        // Of a tenure that nobody recorded: what is known is shown all the same.
        for attempt in attempts {
            self.attempt(f, chapter, attempt)?;
        }
        if let Some(holder) = &chapter.holder {
            let age = holder.renewed_seconds_ago.map_or(String::new(), |age| format!(", renewed {age} s ago"));
            let hold = match holder.hold {
                Hold::Held => "held",
                Hold::Expired => "expired",
                Hold::Released => "released",
            };
            writeln!(f, "  lease {hold}{age} (of {} s), {}", holder.ttl_seconds, holder.agent)?;
        }
        if let Some(TaskOutcome::Done { bytes, attempt: None, .. }) = &chapter.outcome {
            writeln!(f, "  its output stood before: {}", human::bytes(*bytes))?;
        }
        if let Some(letter) = &chapter.dead_letter {
            writeln!(f, "  {}  given up after {}:", letter.at, human::count(letter.attempts.len() as u64, "attempt"))?;
            for line in letter.error.lines() {
                writeln!(f, "      {line}")?;
            }
        }
        Ok(())
    }

    fn attempt(&self, f: &mut fmt::Formatter<'_>, chapter: &Chapter, attempt: &Try) -> fmt::Result {
        let took = human::duration(attempt.to.unwrap_or(self.now).since(attempt.from));
        let number = chapter.attempts.iter().position(|a| a.attempt == attempt.attempt).map_or(0, |n| n + 1);
        write!(f, "  {}  attempt {number} ({}): {}, {took}", attempt.from, attempt.attempt, end_words(attempt.end))?;
        match attempt.usage {
            Some(used) => {
                let cpu = human::duration(Duration::from_millis(used.cpu_ms));
                writeln!(f, ", {} of memory at most, {cpu} of CPU", human::bytes(used.peak_memory_bytes))?;
            }
            None => writeln!(f)?,
        }
        // The dead letter says the last one's in full.
        if let Some(error) = attempt.error.as_ref().filter(|_| chapter.dead_letter.is_none()) {
            for line in error.lines() {
                writeln!(f, "      {line}")?;
            }
        } else if let Some(error) = &attempt.error {
            writeln!(f, "      {}", gist::told(error))?;
        }
        if let Some(log) = &attempt.log {
            let place = format!("s3://{}/{}", self.history.job.bucket(), log.key);
            writeln!(f, "      log: {place}  {}", human::bytes(log.bytes))?;
        }
        Ok(())
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let history = &self.history;
        writeln!(f, "task     {}", history.name)?;
        write!(f, "state    {}", history.standing.words())?;
        let last = history.chapters.last();
        match history.standing {
            Standing::Running | Standing::Claimed => match last.and_then(|c| c.holder.as_ref()) {
                Some(holder) => writeln!(f, ", on {}", self.who(&holder.agent))?,
                None => writeln!(f)?,
            },
            Standing::Done | Standing::GivenUp => {
                let attempts: usize = history.chapters.iter().map(|c| c.attempts.len()).sum();
                let first = history.chapters.iter().flat_map(|c| c.attempts.first()).map(|a| a.from).min();
                let to = history.chapters.iter().flat_map(|c| c.attempts.iter().filter_map(|a| a.to)).max();
                write!(f, ", {}", human::count(attempts as u64, "attempt"))?;
                match (first, to) {
                    (Some(first), Some(to)) => writeln!(f, " in {}", human::duration(to.since(first)))?,
                    _ => writeln!(f)?,
                }
            }
            _ => writeln!(f)?,
        }
        if let Some(input) = &history.input {
            Self::object(f, "input", input)?;
        }
        if let Some(output) = &history.output {
            Self::object(f, "output", output)?;
        }
        for chapter in &history.chapters {
            self.chapter(f, chapter)?;
        }
        Ok(())
    }
}
