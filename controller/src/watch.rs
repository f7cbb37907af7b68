//! `dayfly watch`: follows a job until it is over. It reads the bucket alone, so it can watch from anywhere.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;

#[cfg(feature = "ec2")]
use crate::cap;
use crate::cli::JobArg;
use crate::failure::Result;
use crate::human;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};
use crate::progress::Lines;
use crate::status::{self, StatusReport};

/// Between two looks at a small job: what a person takes for at once.
const SOON: Duration = Duration::from_secs(1);
/// A look lists the results; for each page of 1,000 of them it waits so much longer, so that looking costs no more than
/// some requests a second.
const PER_PAGE: Duration = Duration::from_millis(500);
/// Between two looks at what the job has cost, where it has a cap: prices are by the hour.
#[cfg(feature = "ec2")]
const CAP: Duration = Duration::from_mins(1);
/// Lines of agents in the live display: with the rest they fit on the smallest terminal (24 lines).
const AGENT_LINES: usize = 16;

/// `dayfly watch`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn command(parts: &Parts, args: &JobArg) -> Result<Exit> {
    let job = parts.settings.job(args.job.as_ref())?;
    let mut observer = Observer::new(parts.job(&job, Patience::Long).await?);
    let mut display = Display::new(parts);
    #[cfg(feature = "ec2")]
    let mut next_bill = parts.clock.now().at;
    let snapshot = loop {
        let snapshot = observer.look().await?;
        #[cfg(feature = "ec2")]
        if parts.clock.now().at >= next_bill {
            next_bill = parts.clock.now().at.after(CAP);
            cap::keep(parts, &snapshot).await?;
        }
        match parts.output().json {
            true => display.stream(parts, &snapshot),
            false => display.show(parts, &snapshot),
        }
        if matches!(snapshot.state, JobState::Over | JobState::Cancelled) {
            break snapshot;
        }
        parts.clock.sleep(wait(&snapshot)).await;
    };
    display.clear();
    // For programs the last line of the stream was the result.
    if !parts.output().json {
        parts.output().result(&StatusReport { snapshot: &snapshot, now: parts.clock.now().wall, shown: AGENT_LINES });
    }
    Ok(exit(&snapshot))
}

/// How a job ended, as an exit code.
pub fn exit(snapshot: &Snapshot) -> Exit {
    match snapshot.state {
        JobState::Over if snapshot.tasks.failed > 0 => Exit::TasksFailed,
        JobState::Over => Exit::Done,
        JobState::Cancelled => Exit::Cancelled,
        _ => Exit::Drained,
    }
}

fn wait(snapshot: &Snapshot) -> Duration {
    let pages = u32::try_from(snapshot.chunks_closed / 1000).unwrap_or(u32::MAX);
    SOON + PER_PAGE.saturating_mul(pages)
}

/// A display that moves, or lines that follow each other.
pub struct Display {
    live: Option<Lines>,
    said: Option<String>,
}

impl Display {
    /// Live where somebody watches.
    pub fn new(parts: &Parts) -> Self {
        let live = parts.output().live();
        Self { live: live.then(Lines::new), said: None }
    }

    /// Shows how the job goes now.
    pub fn show(&mut self, parts: &Parts, snapshot: &Snapshot) {
        let now = parts.clock.now().wall;
        if let Some(lines) = &mut self.live {
            lines.show(&screen(snapshot, now));
            return;
        }
        if self.is_news(snapshot) {
            parts.output().note(format!("{} {}", &now.to_string()[11..19], line(snapshot)));
        }
    }

    /// Prints how the job goes now as a line of JSON, if anything changed.
    fn stream(&mut self, parts: &Parts, snapshot: &Snapshot) {
        if self.is_news(snapshot) {
            parts.output().line(&StatusReport { snapshot, now: parts.clock.now().wall, shown: AGENT_LINES });
        }
    }

    /// Whether anything changed but the pace, which does all the time.
    fn is_news(&mut self, snapshot: &Snapshot) -> bool {
        let news = format!("{} {}", status::tally(snapshot), snapshot.state.word());
        let changed = self.said.as_ref() != Some(&news);
        self.said = Some(news);
        changed
    }

    /// Takes the display off the screen.
    pub fn clear(&mut self) {
        if let Some(lines) = &mut self.live {
            lines.clear();
        }
    }
}

fn line(snapshot: &Snapshot) -> String {
    let mut text = status::tally(snapshot);
    if let Some(pace) = status::pace(snapshot) {
        text += &format!("; {pace}");
    }
    match snapshot.state {
        JobState::Running => text += &format!("; {} at work", human::count(snapshot.live_agents(), "agent")),
        _ => text += &format!("; {}", status::state(snapshot)),
    }
    text
}

/// The live display: where the job is, then a line for each agent at work.
fn screen(snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
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
    let mut lines = vec![format!("{}  {}", snapshot.job, status::state(snapshot))];
    lines.push(format!("{bar} {}", line(snapshot)));
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
        lines.push(format!("  given up: {}: {}", letter.name, letter.error));
    }
    lines
}
