//! What the screen shows of a job.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;

use crate::gist::Gist;
use crate::human;
use crate::observe::{AgentNow, Snapshot};
use crate::status;

/// Lines of failures, the last ones: agents need the room.
const FAILURES: usize = 6;
/// The bar's width, where there is room for it.
const BAR: usize = 40;

/// What the screen shows beside the snapshot.
#[derive(Debug, Default)]
pub struct View {
    /// What the job has cost so far, where that is known.
    pub dollars: Option<f64>,
    /// How long the store has not answered, where that is long.
    pub unanswered: Option<Duration>,
}

impl View {
    /// The lines of a screen of this size.
    pub fn lines(&self, snapshot: &Snapshot, now: Timestamp, width: usize, height: usize) -> Vec<String> {
        let mut lines = vec![format!("{}  {}", snapshot.job, status::state(snapshot))];
        lines.push(format!("{} {}", bar(snapshot, BAR.min(width / 3)), status::tally(snapshot)));
        lines.push(self.figures(snapshot));
        let shown = if snapshot.tasks.failed == 0 { 0 } else { snapshot.given_up.len().clamp(1, FAILURES) };
        let failures = if shown == 0 { 0 } else { shown + 1 };
        // The head, the titles, the last line; and an empty one before each part.
        let room = height.saturating_sub(lines.len() + failures + 3);
        lines.extend(agents(snapshot, now, room));
        if shown > 0 {
            lines.push(format!("given up: {}, the last", human::thousands(snapshot.tasks.failed)));
            let mut letters: Vec<_> = snapshot.given_up.iter().collect();
            letters.sort_by_key(|letter| letter.at);
            for letter in letters.iter().rev().take(shown) {
                lines.push(format!("  {}  {}", letter.name, Gist::of(&letter.error)));
            }
        }
        lines.truncate(height.saturating_sub(1));
        let silent = self.unanswered.map(human::duration);
        let silent = silent.map_or(String::new(), |silent| format!("; no answer from the store for {silent}"));
        lines.push(format!("Ctrl-C ends the watching; the job goes on{silent}"));
        lines
    }

    fn figures(&self, snapshot: &Snapshot) -> String {
        let mut parts = Vec::new();
        parts.extend(status::pace(snapshot));
        parts.push(format!("{} at work", human::count(snapshot.live_agents(), "agent")));
        if snapshot.output_bytes > 0 {
            parts.push(format!("outputs {}", human::bytes(snapshot.output_bytes)));
        }
        if let (Some(first), Some(last)) = (snapshot.first, snapshot.last) {
            parts.push(format!("{} so far", human::duration(last.since(first))));
        }
        if let Some(dollars) = self.dollars {
            parts.push(format!("${dollars:.2} so far"));
        }
        parts.join(", ")
    }
}

/// Done, given up, and still to do.
fn bar(snapshot: &Snapshot, width: usize) -> String {
    let whole = width as u64;
    let part = |n: u64| (n * whole).checked_div(snapshot.tasks.total).unwrap_or(whole);
    let (done, failed) = (part(snapshot.tasks.done), part(snapshot.tasks.failed));
    let cell = |n: u64| match n {
        n if n < done => '█',
        n if n < done + failed => '✗',
        _ => '░',
    };
    (0..whole).map(cell).collect()
}

/// The agents at work, a line each, under their titles.
fn agents(snapshot: &Snapshot, now: Timestamp, room: usize) -> Vec<String> {
    let live: Vec<&AgentNow> = snapshot.agents.iter().filter(|agent| agent.live).collect();
    if live.is_empty() || room < 2 {
        return Vec::new();
    }
    let fits = room - 1;
    let shown = if live.len() <= fits { live.len() } else { fits - 1 };
    let rows: Vec<[String; 8]> = live.iter().take(shown).map(|agent| row(agent, snapshot, now)).collect();
    let titles = ["agent", "state", "slots", "where", "age", "cpu", "done", "in hand"].map(str::to_owned);
    let widths: Vec<usize> = (0..titles.len())
        .map(|n| rows.iter().chain([&titles]).map(|row| row[n].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&titles)];
    lines.extend(rows.iter().map(line));
    if live.len() > shown {
        lines.push(format!("… and {} more", human::count((live.len() - shown) as u64, "agent")));
    }
    lines
}

fn row(agent: &AgentNow, snapshot: &Snapshot, now: Timestamp) -> [String; 8] {
    let leases = snapshot.running.iter().filter(|lease| lease.agent == agent.agent && lease.holds());
    let mut tasks: Vec<String> = leases
        .filter(|lease| lease.task.is_some())
        .filter_map(|lease| Some(format!("{} {}", lease.name.as_ref()?, human::duration(now.since(lease.since)))))
        .collect();
    if tasks.is_empty() {
        // A semaphore tells of its task with the next heartbeat; the agent's record may know before.
        tasks.clone_from(&agent.tasks);
    }
    [
        agent.agent.to_string(),
        agent.doing().to_owned(),
        format!("{}/{}", agent.running, agent.slots),
        agent.place(),
        human::duration(now.since(agent.born)),
        agent.cpu_percent.map_or("-".to_owned(), |percent| format!("{percent:.0} %")),
        human::thousands(agent.done),
        human::some(&tasks),
    ]
}
