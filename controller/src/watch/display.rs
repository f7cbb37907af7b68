//! How a job goes, for whoever launched it and stays: beside what else is said, and not on a screen of its own.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;

use super::{AGENT_LINES, is_news};
use crate::gist::{self, Gist};
use crate::human;
use crate::observe::{JobState, Snapshot};
use crate::parts::Parts;
use crate::progress::Lines;
use crate::status;

/// A display that moves, or lines that follow each other.
pub struct Display {
    live: Option<Lines>,
    said: Option<String>,
    /// How long agents of a suspended job wait.
    suspended_wait: Duration,
    warned: bool,
}

impl Display {
    /// Live where somebody watches; agents of the job wait so long if it is suspended.
    pub fn new(parts: &Parts, suspended_wait: Duration) -> Self {
        let live = parts.output().live();
        Self { live: live.then(Lines::new), said: None, suspended_wait, warned: false }
    }

    /// Shows how the job goes now; `starting` is who is to come, which the bucket does not know.
    pub fn show(&mut self, parts: &Parts, snapshot: &Snapshot, starting: Option<String>) {
        let now = parts.clock.now().wall;
        let suspended = snapshot.state == JobState::Suspended;
        if suspended && !self.warned {
            self.clear();
            self.warn(parts, snapshot);
        }
        self.warned = suspended;
        let state = match snapshot.state {
            JobState::Idle => starting,
            JobState::Suspended => {
                Some(format!("suspended: agents wait about {} for dayfly resume", human::duration(self.suspended_wait)))
            }
            _ => None,
        };
        let state = state.unwrap_or_else(|| status::state(snapshot));
        if let Some(lines) = &mut self.live {
            lines.show(&screen(snapshot, &state, now));
            return;
        }
        if is_news(&mut self.said, snapshot) {
            parts.output().note(format!("{} {}", &now.to_string()[11..19], line(snapshot, &state)));
        }
    }

    /// Says why the job is suspended, what to do, and what happens else.
    fn warn(&self, parts: &Parts, snapshot: &Snapshot) {
        let why = snapshot.why.as_deref().unwrap_or("no reason was given");
        let (resume, wait) = (parts.settings.command("resume", &snapshot.job), human::duration(self.suspended_wait));
        parts.output().warn(format!("the job is suspended: {}", gist::told(why)));
        let lines: Vec<String> = why.lines().skip(1).map(|line| format!("  {line}\n")).collect();
        parts.output().note(format!(
            "{}mend it and go on: {resume}; agents wait about {wait} for that, and end; Ctrl-C ends them now. Another command, or \
             other files of the job, are another job: seed it in a new place",
            lines.concat()
        ));
    }

    /// Takes the display off the screen.
    pub fn clear(&mut self) {
        if let Some(lines) = &mut self.live {
            lines.clear();
        }
    }
}

/// How the job goes; `state` says what is not to be seen from figures.
pub(super) fn line(snapshot: &Snapshot, state: &str) -> String {
    match snapshot.state {
        JobState::Running => figures(snapshot),
        _ => format!("{}; {state}", figures(snapshot)),
    }
}

fn figures(snapshot: &Snapshot) -> String {
    let mut text = status::tally(snapshot);
    if let Some(pace) = status::pace(snapshot) {
        text += &format!("; {pace}");
    }
    if snapshot.state == JobState::Running {
        text += &format!("; {} at work", human::count(snapshot.live_agents(), "agent"));
    }
    text
}

/// The live display: where the job is, then a line for each agent at work.
fn screen(snapshot: &Snapshot, state: &str, now: Timestamp) -> Vec<String> {
    /// Of characters that stand for all tasks.
    const BAR: u64 = 30;
    let part = |n: u64| (n * BAR).checked_div(snapshot.tasks.total).unwrap_or(BAR);
    let (done, failed) = (part(snapshot.tasks.done), part(snapshot.tasks.failed));
    let bar: String = (0..BAR)
        .map(|n| {
            if n < done {
                '█'
            } else if n < done + failed {
                '✗'
            } else {
                '░'
            }
        })
        .collect();
    let mut lines = vec![format!("{}  {state}", snapshot.job)];
    // The state stands above.
    lines.push(format!("{bar} {}", figures(snapshot)));
    for agent in snapshot.agents.iter().filter(|a| a.live).take(AGENT_LINES) {
        let mut text = format!("  {}  {}, {} done", agent.agent, agent.doing(), human::thousands(agent.done));
        for lease in snapshot.running.iter().filter(|r| r.agent == agent.agent && r.holds()) {
            if let Some(name) = &lease.name {
                text += &format!("  {name} {}", human::duration(now.since(lease.since)));
            }
        }
        lines.push(text);
    }
    let more = snapshot.live_agents().saturating_sub(AGENT_LINES as u64);
    if more > 0 {
        lines.push(format!("  … and {} more", human::count(more, "agent")));
    }
    for letter in snapshot.given_up.iter().rev().take(3) {
        lines.push(format!("  given up: {}: {}", letter.name, Gist::of(&letter.error)));
    }
    lines
}
