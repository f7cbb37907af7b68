//! Who ran what when: a row an agent, in it a lane for each task that it ran at once.

use std::collections::BTreeMap;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, TaskId};
use dayfly_shared::records::{AgentRecord, AgentState, Machine, Usage};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::describe::machine_words;

/// Up to so many attempts each is a bar of its own, with its name: some megabytes of page. Above, what follows each
/// other closely is one bar.
const SINGLE_BARS: usize = 20_000;
/// So many bars, one after the other, fill a row: about as many as a wide screen has pixels, halved as a bar of one pixel shows nothing.
const BARS_A_ROW: u64 = 600;
/// Marks of a row; more of them would be one blot.
const MARKS_A_ROW: usize = 200;

/// What a bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its output stands.
    Done,
    /// The processor failed.
    Failed,
    /// Stopped by a drain or a spot notice.
    Preempted,
    /// The store did not answer.
    Interrupted,
    /// Its agent vanished.
    Vanished,
    /// Under way.
    Running,
}

/// An attempt, as the timeline shows it.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Who.
    pub agent: &'a AgentId,
    /// What.
    pub task: Option<TaskId>,
    /// Its name.
    pub name: &'a str,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// How.
    pub kind: Kind,
    /// What its program used, where that was measured.
    pub usage: Option<Usage>,
}

/// One bar: some runs in a row of the same kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Its lane, from 0.
    pub lane: u32,
    /// Milliseconds after the timeline's origin.
    pub from_ms: u64,
    /// How long.
    pub ms: u64,
    /// What it is.
    pub kind: Kind,
    /// How many runs.
    pub runs: u32,
    /// The task's name, where it is one run.
    pub name: Option<String>,
}

/// As `[lane, from, length, kind, runs, name]`, as there may be very many; the name is left out where there is none.
impl Serialize for Bar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        seq.serialize_element(&self.lane)?;
        seq.serialize_element(&self.from_ms)?;
        seq.serialize_element(&self.ms)?;
        seq.serialize_element(&(self.kind as u8))?;
        seq.serialize_element(&self.runs)?;
        if let Some(name) = &self.name {
            seq.serialize_element(name)?;
        }
        seq.end()
    }
}

/// Something that happened to an agent's hold on a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// What: `lost`, `given_back`, `taken_over`, `notice`.
    pub what: &'static str,
    /// When.
    pub at: Timestamp,
}

impl Mark {
    /// It was not heard of again, and its chunk was taken over.
    pub fn lost(at: Timestamp) -> Self {
        Self { what: "lost", at }
    }

    /// It gave a chunk back.
    pub fn given_back(at: Timestamp) -> Self {
        Self { what: "given_back", at }
    }

    /// It took a chunk over from one that had vanished.
    pub fn taken_over(at: Timestamp) -> Self {
        Self { what: "taken_over", at }
    }
}

/// An agent.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub agent: AgentId,
    /// Where: type, market, zone and instance, or the host.
    pub machine: String,
    /// Milliseconds after the origin at which it was born; none where it left no record.
    pub born_ms: Option<u64>,
    /// And at which it wrote its record last.
    pub seen_ms: Option<u64>,
    /// Whether it ended, by its own word.
    pub ended: bool,
    /// Why it drained or ended.
    pub why: Option<String>,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Tasks whose output it committed.
    pub done: u64,
    /// Tasks that it gave up.
    pub failed: u64,
    /// Share of its time in which it ran something, in percent; none where it had no time.
    pub busy_percent: Option<f64>,
    /// Lanes.
    pub lanes: u32,
    /// What it ran.
    pub bars: Vec<Bar>,
    /// What happened to it.
    pub marks: Vec<Mark>,
}

/// Who ran what when.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The time from which bars are counted, milliseconds since 1970.
    pub origin_ms: u64,
    /// From the first to the last that it shows.
    pub span_ms: u64,
    /// What follows each other more closely than this is one bar; 0: each attempt has its own.
    pub merged_ms: u64,
    /// The agents, in the order in which they were born.
    pub rows: Vec<Row>,
}

impl Timeline {
    /// Of these agents and their runs.
    pub fn of(agents: &[AgentRecord], runs: &[Run<'_>], marks: &BTreeMap<&AgentId, Vec<Mark>>, now: Timestamp) -> Self {
        let from = runs.iter().map(|run| run.from).chain(agents.iter().map(|agent| agent.born)).min().unwrap_or(now);
        let to = runs.iter().map(|run| run.to).chain(agents.iter().map(|agent| agent.last_seen)).max().unwrap_or(now);
        // A job without a moment has one all the same: axes need it.
        let span_ms = to.unix_ms.saturating_sub(from.unix_ms).max(1000);
        let merged_ms = if runs.len() <= SINGLE_BARS { 0 } else { span_ms.div_ceil(BARS_A_ROW) };
        let mut by_agent: BTreeMap<&AgentId, Vec<&Run<'_>>> = BTreeMap::new();
        for run in runs {
            by_agent.entry(run.agent).or_default().push(run);
        }
        let mut rows: Vec<Row> = agents.iter().map(|record| row(record, from)).collect();
        let known: std::collections::BTreeSet<&AgentId> = agents.iter().map(|record| &record.agent).collect();
        let unknown = by_agent.keys().chain(marks.keys()).filter(|agent| !known.contains(*agent));
        let unknown: std::collections::BTreeSet<&AgentId> = unknown.copied().collect();
        rows.extend(unknown.into_iter().map(unrecorded));
        for row in &mut rows {
            let mut own = by_agent.remove(&row.agent).unwrap_or_default();
            own.sort_by_key(|run| (run.from, run.to));
            let there = match (row.born_ms, row.seen_ms) {
                (Some(born), Some(seen)) => seen.saturating_sub(born) * u64::from(row.slots.max(1)),
                _ => 0,
            };
            let busy: u64 = own.iter().map(|run| run.to.unix_ms.saturating_sub(run.from.unix_ms)).sum();
            row.busy_percent = (there > 0).then(|| (busy as f64 * 100.0 / there as f64).min(100.0));
            row.bars = bars(&own, from, merged_ms);
            row.lanes = row.bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(1);
            row.marks = marks.get(&row.agent).map(|marks| thinned(marks)).unwrap_or_default();
        }
        Self { origin_ms: from.unix_ms, span_ms, merged_ms, rows }
    }

    /// The time from which bars are counted.
    pub fn origin(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.origin_ms)
    }

    /// How long it is.
    pub fn span(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.span_ms)
    }
}

fn thinned(marks: &[Mark]) -> Vec<Mark> {
    let mut marks = marks.to_vec();
    marks.sort_by_key(|mark| mark.at);
    let step = marks.len().div_ceil(MARKS_A_ROW).max(1);
    marks.into_iter().step_by(step).collect()
}

fn row(record: &AgentRecord, origin: Timestamp) -> Row {
    let after = |at: Timestamp| Some(at.unix_ms.saturating_sub(origin.unix_ms));
    Row {
        agent: record.agent.clone(),
        machine: machine_words(&record.machine),
        born_ms: after(record.born),
        seen_ms: after(record.last_seen),
        ended: record.state == AgentState::Ended,
        why: record.why.clone(),
        slots: record.slots,
        done: record.done,
        failed: record.failed,
        busy_percent: None,
        lanes: 1,
        bars: Vec::new(),
        marks: Vec::new(),
    }
}

fn unrecorded(agent: &AgentId) -> Row {
    Row {
        agent: agent.clone(),
        machine: machine_words(&Machine { host: "it left no record".to_owned(), ..Machine::default() }),
        born_ms: None,
        seen_ms: None,
        ended: false,
        why: None,
        slots: 1,
        done: 0,
        failed: 0,
        busy_percent: None,
        lanes: 1,
        bars: Vec::new(),
        marks: Vec::new(),
    }
}

/// The runs of one agent, in order of their beginnings, as bars: each in the first lane that is free.
fn bars(runs: &[&Run<'_>], origin: Timestamp, merged_ms: u64) -> Vec<Bar> {
    let mut ends: Vec<u64> = Vec::new();
    let mut bars: Vec<Bar> = Vec::new();
    let mut last: Vec<usize> = Vec::new();
    for run in runs {
        let from_ms = run.from.unix_ms.saturating_sub(origin.unix_ms);
        let ms = run.to.unix_ms.saturating_sub(run.from.unix_ms);
        let lane = match ends.iter().position(|end| *end <= from_ms) {
            Some(lane) => lane,
            None => {
                ends.push(0);
                last.push(usize::MAX);
                ends.len() - 1
            }
        };
        let before = ends[lane];
        ends[lane] = from_ms + ms;
        // One bar stays short enough that the next can be told from it.
        if merged_ms > 0
            && let Some(bar) = bars.get_mut(last[lane])
            && bar.kind == run.kind
            && from_ms - before <= merged_ms
            && from_ms + ms - bar.from_ms <= 2 * merged_ms
        {
            bar.ms = from_ms + ms - bar.from_ms;
            bar.runs += 1;
            bar.name = None;
            continue;
        }
        last[lane] = bars.len();
        let lane = u32::try_from(lane).unwrap_or(u32::MAX);
        let name = (merged_ms == 0 || run.kind != Kind::Done).then(|| run.name.to_owned());
        bars.push(Bar { lane, from_ms, ms, kind: run.kind, runs: 1, name });
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn what_runs_at_once_lies_in_lanes_and_what_follows_closely_is_one() {
        let agent: AgentId = "a-00000001".parse().unwrap();
        let run = |from, to, kind| Run {
            agent: &agent,
            task: None,
            name: "n",
            from: at(from),
            to: at(to),
            kind,
            usage: None,
        };
        let runs = [
            run(1000, 1010, Kind::Done),
            run(1005, 1030, Kind::Failed),
            run(1011, 1020, Kind::Done),
            run(1100, 1110, Kind::Done),
        ];
        let own: Vec<&Run<'_>> = runs.iter().collect();
        let single = bars(&own, at(1000), 0);
        assert_eq!(single.iter().map(|b| b.lane).collect::<Vec<_>>(), [0, 1, 0, 0]);
        assert_eq!((single[1].from_ms, single[1].ms, single[1].name.as_deref()), (5, 25, Some("n")));
        let merged = bars(&own, at(1000), 20);
        assert_eq!(
            merged.iter().map(|b| (b.runs, b.kind, b.ms)).collect::<Vec<_>>(),
            [(2, Kind::Done, 20), (1, Kind::Failed, 25), (1, Kind::Done, 10)]
        );
    }

    #[test]
    fn every_agent_is_a_row_also_one_without_a_record() {
        let agent: AgentId = "a-00000001".parse().unwrap();
        let other: AgentId = "b-00000001".parse().unwrap();
        let runs =
            [Run { agent: &agent, task: None, name: "n", from: at(5), to: at(6), kind: Kind::Done, usage: None }];
        let marks = BTreeMap::from([(&other, vec![Mark::lost(at(7))])]);
        let timeline = Timeline::of(&[], &runs, &marks, at(9));
        assert_eq!(
            timeline.rows.iter().map(|row| row.agent.as_str()).collect::<Vec<_>>(),
            ["a-00000001", "b-00000001"]
        );
        assert_eq!((timeline.origin_ms, timeline.span_ms), (5, 1000));
    }
}
