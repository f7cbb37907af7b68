//! `dayfly watch`: follows a job until it is over. It reads the bucket alone, so it can watch from anywhere.

use std::fmt;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use serde::{Serialize, Serializer};

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
/// Lines of agents in the live display: with the rest they fit on the smallest terminal (24 lines).
const AGENT_LINES: usize = 16;

/// `dayfly watch`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn command(parts: &Parts, args: &JobArg) -> Result<Exit> {
    let job = parts.settings.job(args.job.as_ref())?;
    let mut observer = Observer::new(parts.job(&job, Patience::Long).await?);
    let snapshot = follow(parts, &mut observer, |s| matches!(s.state, JobState::Over | JobState::Cancelled)).await?;
    parts.output().result(&StatusReport { snapshot: &snapshot, now: parts.clock.now().wall, shown: AGENT_LINES });
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

/// Shows how the job goes until `enough` says so; the last look.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn follow(
    parts: &Parts,
    observer: &mut Observer,
    mut enough: impl FnMut(&Snapshot) -> bool,
) -> Result<Snapshot> {
    let mut display = Display::new(parts);
    loop {
        let snapshot = observer.look().await?;
        display.show(parts, &snapshot);
        if enough(&snapshot) {
            display.clear();
            return Ok(snapshot);
        }
        parts.clock.sleep(wait(&snapshot)).await;
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
        // JSON is for programs: they get lines.
        let live = parts.output().live() && !parts.output().json;
        Self { live: live.then(Lines::new), said: None }
    }

    /// Shows how the job goes now.
    pub fn show(&mut self, parts: &Parts, snapshot: &Snapshot) {
        let now = parts.clock.now().wall;
        if let Some(lines) = &mut self.live {
            lines.show(&screen(snapshot, now));
            return;
        }
        let line = line(snapshot);
        // Without the pace, which changes all the time.
        let news = format!("{} {}", status::tally(snapshot), snapshot.state.word());
        if self.said.as_ref() != Some(&news) {
            let line = WatchLine { snapshot, text: format!("{} {line}", &now.to_string()[11..19]) };
            if parts.output().json {
                parts.output().line(&line);
            } else {
                parts.output().note(&line);
            }
            self.said = Some(news);
        }
    }

    /// Takes the display off the screen.
    pub fn clear(&mut self) {
        if let Some(lines) = &mut self.live {
            lines.clear();
        }
    }
}

/// A snapshot in one line.
struct WatchLine<'a> {
    snapshot: &'a Snapshot,
    text: String,
}

impl Serialize for WatchLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.snapshot.serialize(serializer)
    }
}

impl fmt::Display for WatchLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
