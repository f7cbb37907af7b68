//! Which machines should not run: pure, so that every case is tested.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::records::AgentState;
use serde::Serialize;

use super::machine::Machine;
use super::work::Work;
use crate::human;
use crate::observe::JobState;

/// What is to become of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub enum Verdict {
    /// It stays, and why.
    Keep(String),
    /// It should not run, and why.
    Condemn(String),
}

/// How long machines may live, and take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one may take to report.
    pub grace: Duration,
    /// How long one may live; none: its launch is not known.
    pub lifetime: Option<Duration>,
}

/// Judges one machine by what its job's bucket says.
pub fn judge(machine: &Machine, work: &Work, now: Timestamp, limits: Limits) -> Verdict {
    let age = machine.launched.map_or(Duration::ZERO, |launched| now.since(launched));
    if work.works(&machine.id) {
        let past = limits.lifetime.is_some_and(|lifetime| age > lifetime);
        let past = if past { ", though past its lifetime" } else { "" };
        return Verdict::Keep(format!("it works{past}"));
    }
    match work.state {
        None if age >= limits.grace => return Verdict::Condemn("there is no job at its place".to_owned()),
        // One that has just come up may find out by itself, and says so in its record.
        Some(JobState::Over) if age >= limits.grace || work.reports.contains_key(&machine.id) => {
            return Verdict::Condemn("its job is over".to_owned());
        }
        Some(JobState::Cancelled) if age >= limits.grace || work.reports.contains_key(&machine.id) => {
            return Verdict::Condemn("its job is cancelled".to_owned());
        }
        _ => {}
    }
    if !machine.is_up() {
        return Verdict::Keep(format!("it is {}, and the job is not over", machine.state));
    }
    if let Some(lifetime) = limits.lifetime.filter(|lifetime| age > *lifetime) {
        return Verdict::Condemn(format!("it is past its lifetime of {}", human::duration(lifetime)));
    }
    match work.reports.get(&machine.id) {
        None if age >= limits.grace => Verdict::Condemn(format!("it has not reported in {}", human::duration(age))),
        None => Verdict::Keep(format!("it is {} old, and may yet report", human::duration(age))),
        Some(report) => {
            let quiet = report.age.unwrap_or_default();
            let what = match report.record.state {
                AgentState::Ended => "its agent ended",
                _ => "it was heard of last",
            };
            let said = format!("{what} {} ago", human::duration(quiet));
            if quiet >= limits.grace { Verdict::Condemn(said) } else { Verdict::Keep(said) }
        }
    }
}

#[cfg(test)]
#[path = "judge_test.rs"]
mod judge_test;
