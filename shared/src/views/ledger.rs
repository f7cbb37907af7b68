//! What one reader knows of a job: its segments, its results, its dead letters. All of these are write-once, so what is
//! known stays true, and a reader only ever fetches what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::{ChunkId, TaskId};
use crate::job::JobSettings;
use crate::plan::{Segment, SegmentText, Source};
use crate::records::{ResultRecord, TaskOutcome, UsageTotals};

use super::Survey;

/// A segment with the names of its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlannedSegment {
    /// Its commit.
    pub segment: Segment,
    /// The names, in order of the lines.
    pub names: Vec<Arc<str>>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Planned, and not decided.
    Open,
    /// Its output stands.
    Done,
    /// Its latest task was given up.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    latest: TaskId,
    done: bool,
    /// The latest task has a dead letter or a failed result.
    failed: bool,
}

/// Sums over a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Names planned.
    pub tasks: u64,
    /// Of these, those whose output stands.
    pub done: u64,
    /// Of these, those given up.
    pub failed: u64,
    /// Bytes of the outputs, as the results tell.
    pub bytes: u64,
    /// Attempts, as the results tell.
    pub attempts: u64,
    /// What their programs used, as the results tell.
    pub usage: Option<UsageTotals>,
    /// When the first tenure began.
    pub first: Option<Timestamp>,
    /// When the last one ended.
    pub last: Option<Timestamp>,
}

/// What one reader knows of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    segments: Vec<PlannedSegment>,
    names: BTreeMap<Arc<str>, Known>,
    closed: BTreeSet<ChunkId>,
    dead: BTreeSet<TaskId>,
    bytes: u64,
    attempts: u64,
    usage: Option<UsageTotals>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Ledger {
    /// The segments, in order.
    pub fn segments(&self) -> &[PlannedSegment] {
        &self.segments
    }

    /// The number of segments known.
    pub fn segment_count(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX)
    }

    /// The frozen settings, once segment 1 is known.
    pub fn settings(&self) -> Option<&JobSettings> {
        self.segments.first()?.segment.settings.as_ref()
    }

    /// Takes in the next segment with the lines of its text. One that is known, or not the next, changes nothing.
    pub fn add_segment(&mut self, segment: Segment, names: Vec<String>) {
        if segment.segment != self.segment_count() + 1 {
            return;
        }
        let names: Vec<Arc<str>> = names.into_iter().map(Arc::from).collect();
        for (line, name) in (1..).zip(&names) {
            let latest = TaskId { segment: segment.segment, line };
            let known = self.names.entry(name.clone()).or_insert(Known { latest, done: false, failed: false });
            *known = Known { latest, done: known.done, failed: false };
        }
        self.segments.push(PlannedSegment { segment, names });
    }

    /// Takes in what a look found. The text of a segment that waits for its commit, if there is one.
    pub fn take_in(&mut self, survey: Survey) -> Option<SegmentText> {
        for (segment, names) in survey.segments {
            self.add_segment(segment, names);
        }
        for task in survey.dead_letters {
            self.add_dead_letter(task);
        }
        for chunk in survey.closed {
            self.close(chunk);
        }
        survey.lone_text
    }

    /// Whether the result of the chunk is known.
    pub fn is_closed(&self, chunk: ChunkId) -> bool {
        self.closed.contains(&chunk)
    }

    /// Whether nothing more is done for a task: its chunk is closed, or it was given up.
    pub fn is_decided(&self, task: TaskId) -> bool {
        let segment = task.segment.checked_sub(1).and_then(|n| self.segments.get(n as usize));
        let chunk = segment.and_then(|s| s.segment.chunk_of(task.line));
        self.has_dead_letter(task) || chunk.is_some_and(|chunk| self.is_closed(chunk))
    }

    /// How many results are known.
    pub fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// Takes in that the result of a chunk stands, unread: its tasks are done but for those with a dead letter, which is
    /// always put before the result. So a reader lists results first, then dead letters, and takes in the letters
    /// first. A chunk that is known, or that no known segment has, changes nothing. Whether it did.
    pub fn close(&mut self, chunk: ChunkId) -> bool {
        let planned = chunk.segment.checked_sub(1).and_then(|n| self.segments.get(n as usize));
        let Some(place) = planned.and_then(|s| s.segment.place_of(chunk)).filter(|_| !self.closed.contains(&chunk))
        else {
            return false;
        };
        self.closed.insert(chunk);
        let (first, lines) =
            (place.0, self.segments[chunk.segment as usize - 1].segment.chunks[chunk.index as usize - 1]);
        for line in first..first + lines.tasks {
            let task = TaskId { segment: chunk.segment, line };
            if !self.dead.contains(&task)
                && let Some(name) = self.name_of(task).cloned()
            {
                self.note_done(&name);
            }
        }
        true
    }

    /// Takes in a result with its figures. One that is known, or of a segment that is not, changes nothing.
    pub fn add_result(&mut self, result: &ResultRecord) {
        for task in &result.tasks {
            if matches!(task.outcome, TaskOutcome::Failed { .. }) {
                self.add_dead_letter(task.task);
            }
        }
        if !self.close(result.chunk) {
            return;
        }
        for task in &result.tasks {
            self.attempts += task.attempts.len() as u64;
            for usage in task.attempts.iter().filter_map(|attempt| attempt.usage) {
                self.usage.get_or_insert_default().add(usage);
            }
            if let TaskOutcome::Done { bytes, .. } = &task.outcome {
                self.bytes += bytes;
                self.note_done(&task.name);
            }
        }
        for tenure in &result.tenures {
            self.first = Some(self.first.map_or(tenure.from, |t| t.min(tenure.from)));
            self.last = Some(self.last.map_or(tenure.to, |t| t.max(tenure.to)));
        }
    }

    /// The output of `name` stands.
    pub fn note_done(&mut self, name: &str) {
        if let Some(known) = self.names.get_mut(name) {
            known.done = true;
        }
    }

    /// Takes in that a task has a dead letter. One of a segment that is not known changes nothing.
    pub fn add_dead_letter(&mut self, task: TaskId) {
        let Some(name) = self.name_of(task).cloned() else { return };
        self.dead.insert(task);
        if let Some(known) = self.names.get_mut(&name) {
            known.failed |= known.latest == task;
        }
    }

    /// How many names are planned.
    pub fn name_count(&self) -> u64 {
        self.names.len() as u64
    }

    /// How many dead letters are known.
    pub fn dead_letter_count(&self) -> usize {
        self.dead.len()
    }

    /// Whether the task's dead letter is known.
    pub fn has_dead_letter(&self, task: TaskId) -> bool {
        self.dead.contains(&task)
    }

    /// The name of a task.
    pub fn name_of(&self, task: TaskId) -> Option<&Arc<str>> {
        let segment = self.segments.get(task.segment.checked_sub(1)? as usize)?;
        segment.names.get(task.line.checked_sub(1)? as usize)
    }

    /// The latest task of a name.
    pub fn task_of(&self, name: &str) -> Option<TaskId> {
        self.names.get(name).map(|k| k.latest)
    }

    /// What is known of a name; `None`: it is not planned. An output outranks a dead letter.
    pub fn fate(&self, name: &str) -> Option<Fate> {
        self.names.get(name).map(|known| match known {
            Known { done: true, .. } => Fate::Done,
            Known { failed: true, .. } => Fate::Failed,
            _ => Fate::Open,
        })
    }

    /// The names of that fate, in the order in which they were first planned.
    pub fn names(&self, fate: Fate) -> Vec<Arc<str>> {
        let mut seen = BTreeSet::new();
        let all = self.segments.iter().flat_map(|s| &s.names);
        all.filter(|n| self.fate(n) == Some(fate) && seen.insert(Arc::clone(n))).cloned().collect()
    }

    /// Whether every chunk of every segment is closed.
    pub fn all_closed(&self) -> bool {
        let chunks: u64 = self.segments.iter().map(|s| u64::from(s.segment.chunk_count())).sum();
        self.closed.len() as u64 == chunks
    }

    /// Whether a segment took up this version of `tasklist.txt`.
    pub fn took_up(&self, source: &Source) -> bool {
        self.segments.iter().any(|s| s.segment.source.as_ref() == Some(source))
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        let (mut done, mut failed) = (0, 0);
        for known in self.names.values() {
            done += u64::from(known.done);
            failed += u64::from(!known.done && known.failed);
        }
        Totals {
            tasks: self.names.len() as u64,
            done,
            failed,
            bytes: self.bytes,
            attempts: self.attempts,
            usage: self.usage,
            first: self.first,
            last: self.last,
        }
    }
}
