//! Sees every write to the bucket and holds it against the guarantees of the protocol (shared/README.md): each a function
//! of its own, asked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::ids::{Attempt, ChunkId, TaskId};
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{Keys, View, output_name};
use dayfly_shared::plan::{Segment, clean_lines, stored_lines};
use dayfly_shared::records::{
    DeadLetter, LeaseState, ResultRecord, Semaphore, Summary, TaskOutcome, TenureEnd, from_json,
};
use dayfly_shared::store::{Attributes, ETag, ListPage, ListQuery};

use super::overlap::InHand;
use super::sights::Sights;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An agent.
    Agent(usize),
    /// Somebody with `aws s3 cp`.
    Person,
}

/// What does not hold, in words.
pub type Broken = String;

/// A semaphore that stands.
struct Sighted {
    record: Semaphore,
    written: Duration,
}

/// What is known of a chunk.
struct Chunk {
    names: Vec<String>,
    /// Since when nobody has held it.
    free_since: Option<Duration>,
}

/// Sees every write to the bucket.
pub struct Bystander {
    keys: Keys,
    job: Location,
    settings: JobSettings,
    /// Output keys of all names ever planned or added.
    names: BTreeMap<String, String>,
    outputs: BTreeSet<String>,
    letters: BTreeMap<TaskId, DeadLetter>,
    results: BTreeMap<ChunkId, ResultRecord>,
    semaphores: BTreeMap<ChunkId, Sighted>,
    texts: BTreeMap<u32, Vec<String>>,
    chunks: BTreeMap<ChunkId, Chunk>,
    views: BTreeMap<View, BTreeSet<String>>,
    /// `tasklist.txt`, all its versions, and whether the one that stands had stood before, with another in between.
    tasklist: Bytes,
    tasklists: BTreeSet<Bytes>,
    tasklist_came_back: bool,
    /// Every line that was planned, or that a person added.
    wanted: BTreeSet<String>,
    planned: BTreeSet<String>,
    /// Lines that a person took out, until a refresh puts them back.
    taken_out: BTreeSet<String>,
    ever_taken_out: BTreeSet<String>,
    attempts: BTreeSet<Attempt>,
    summary: Option<Summary>,
    /// What each agent has seen.
    pub sights: Sights,
    /// What overlaps within the agents.
    pub in_hand: InHand,
}

impl Bystander {
    /// Of an empty job.
    pub fn new(job: &Location, settings: JobSettings) -> Self {
        Self {
            keys: Keys::new(job),
            job: job.clone(),
            settings,
            names: BTreeMap::new(),
            outputs: BTreeSet::new(),
            letters: BTreeMap::new(),
            results: BTreeMap::new(),
            semaphores: BTreeMap::new(),
            texts: BTreeMap::new(),
            chunks: BTreeMap::new(),
            views: BTreeMap::new(),
            tasklist: Bytes::new(),
            tasklists: BTreeSet::new(),
            tasklist_came_back: false,
            wanted: BTreeSet::new(),
            planned: BTreeSet::new(),
            taken_out: BTreeSet::new(),
            ever_taken_out: BTreeSet::new(),
            attempts: BTreeSet::new(),
            summary: None,
            sights: Sights::default(),
            in_hand: InHand::default(),
        }
    }

    fn ttl(&self) -> Duration {
        self.settings.lease_ttl()
    }

    /// A line is a task from now on.
    fn learn(&mut self, name: &str) {
        self.names.insert(self.job.key(&output_name(name)), name.to_owned());
        self.wanted.insert(name.to_owned());
    }

    fn has_output(&self, name: &str) -> bool {
        self.outputs.contains(&self.job.key(&output_name(name)))
    }

    /// An object was put.
    ///
    /// # Errors
    /// The guarantee that no longer holds.
    pub fn on_put(
        &mut self,
        who: Who,
        key: &str,
        body: &Bytes,
        _attributes: &Attributes,
        now: Duration,
    ) -> Result<(), Broken> {
        if let Some(view) = View::ALL.into_iter().find(|view| self.keys.view(*view) == key) {
            return self.on_view(who, view, body);
        }
        if let Some((number, commit)) = self.keys.parse_segment(key) {
            return self.on_plan(number, commit, body, now);
        }
        if key.starts_with(&self.keys.semaphores())
            && let Some(chunk) = self.keys.parse_chunk(key)
        {
            return self.on_semaphore(who, chunk, body, now);
        }
        if key.starts_with(&self.keys.results())
            && let Some(chunk) = self.keys.parse_chunk(key)
        {
            return self.on_result(chunk, body);
        }
        if let Some(task) = self.keys.parse_dead_letter(key) {
            let letter = from_json(body).map_err(|e| format!("the dead letter of {task}: {e}"))?;
            self.letters.insert(task, letter);
            return Ok(());
        }
        if key == self.keys.summary() {
            self.summary = from_json(body).ok();
        }
        self.on_output(key)
    }

    /// Guarantee 1: a committed output is never replaced. Other keys are passed over.
    ///
    /// # Errors
    /// When one was.
    pub fn on_output(&mut self, key: &str) -> Result<(), Broken> {
        match !self.names.contains_key(key) || self.outputs.insert(key.to_owned()) {
            true => Ok(()),
            false => Err(format!("guarantee 1: the output {key} was replaced")),
        }
    }

    /// An output stood before the job began.
    pub fn stood_before(&mut self, key: &str) {
        self.outputs.insert(key.to_owned());
    }

    fn on_plan(&mut self, number: u32, commit: bool, body: &Bytes, now: Duration) -> Result<(), Broken> {
        if !commit {
            let text = String::from_utf8_lossy(body);
            self.texts.insert(number, stored_lines(&text).map(str::to_owned).collect());
            return Ok(());
        }
        let segment: Segment = from_json(body).map_err(|e| format!("segment {number}: {e}"))?;
        let Some(lines) = self.texts.get(&number).cloned() else {
            return Err(format!("segment {number} was committed without its text"));
        };
        let mut rest = lines.as_slice();
        for (index, span) in (1..).zip(&segment.chunks) {
            let (chunk, tail) = rest.split_at((span.tasks as usize).min(rest.len()));
            rest = tail;
            let known = Chunk { names: chunk.to_vec(), free_since: Some(now) };
            self.chunks.insert(ChunkId { segment: number, index }, known);
        }
        for name in &lines {
            self.learn(name);
            self.planned.insert(name.clone());
        }
        self.no_line_is_lost()
    }

    fn on_view(&mut self, who: Who, view: View, body: &Bytes) -> Result<(), Broken> {
        let now: BTreeSet<String> = clean_lines(body).into_iter().collect();
        let before = self.views.insert(view, now.clone()).unwrap_or_default();
        if view == View::Completed && who != Who::Person {
            Self::completed_only_grows(&before, &now)?;
            self.completed_is_committed(&now)?;
        }
        if view == View::Tasklist && who != Who::Person {
            self.done_is_not_listed_again(&before, &now)?;
        }
        if view == View::Tasklist && who == Who::Person {
            for name in &now {
                self.learn(name);
            }
            for name in before.difference(&now) {
                // Nobody has to remember a line that was never planned.
                if !self.planned.contains(name) {
                    self.wanted.remove(name);
                }
                self.taken_out.insert(name.clone());
                self.ever_taken_out.insert(name.clone());
            }
        }
        for name in &now {
            self.taken_out.remove(name);
        }
        if view == View::Tasklist && self.tasklist != *body {
            self.tasklist_came_back = !self.tasklists.insert(body.clone());
            self.tasklist = body.clone();
        }
        self.no_line_is_lost()
    }

    /// Guarantee 2: the lists together hold every planned and every added line.
    fn no_line_is_lost(&self) -> Result<(), Broken> {
        let stands = |name: &String| self.views.values().any(|lines| lines.contains(name));
        match self.wanted.iter().find(|name| !self.taken_out.contains(*name) && !stands(name)) {
            None => Ok(()),
            Some(name) => Err(format!("guarantee 2: the line {name} stands in none of the lists")),
        }
    }

    /// A refresh that knows less than an earlier one never puts back what that one took out of tasklist.txt. (Equal bodies
    /// have equal tags: where the version that it replaces had stood before, or a person took the line out, it can; the
    /// next refresh mends it.)
    fn done_is_not_listed_again(&self, before: &BTreeSet<String>, now: &BTreeSet<String>) -> Result<(), Broken> {
        let Some(completed) = self.views.get(&View::Completed) else { return Ok(()) };
        if self.tasklist_came_back {
            return Ok(());
        }
        let again = |name: &&String| completed.contains(*name) && !self.ever_taken_out.contains(*name);
        match now.difference(before).find(again) {
            None => Ok(()),
            Some(name) => Err(format!("a refresh put {name} back into tasklist.txt, and completed.txt has it")),
        }
    }

    /// Guarantee 3, first half: completed.txt names committed outputs only.
    fn completed_is_committed(&self, completed: &BTreeSet<String>) -> Result<(), Broken> {
        match completed.iter().find(|name| !self.has_output(name)) {
            None => Ok(()),
            Some(name) => Err(format!("guarantee 3: completed.txt has {name}, whose output is not there")),
        }
    }

    /// Guarantee 3, second half: completed.txt only grows.
    fn completed_only_grows(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Result<(), Broken> {
        match before.difference(now).next() {
            None => Ok(()),
            Some(name) => Err(format!("guarantee 3: completed.txt lost {name}")),
        }
    }

    fn on_semaphore(&mut self, who: Who, chunk: ChunkId, body: &Bytes, now: Duration) -> Result<(), Broken> {
        let record: Semaphore = from_json(body).map_err(|e| format!("the semaphore of {chunk}: {e}"))?;
        if let Some(prior) = self.semaphores.get(&chunk) {
            self.lease_is_not_taken_early(chunk, prior, &record, now)?;
            Self::epochs_count_tenures(chunk, &prior.record, &record)?;
        }
        if let Some(known) = self.chunks.get_mut(&chunk) {
            known.free_since = (record.state == LeaseState::Released).then_some(now);
        }
        let holds = match who {
            Who::Agent(agent) if record.state == LeaseState::Held => {
                self.in_hand.on_held(agent, chunk, record.write == 1, |chunk| self.results.contains_key(chunk))
            }
            _ => {
                self.in_hand.on_free(chunk);
                Ok(())
            }
        };
        self.semaphores.insert(chunk, Sighted { record, written: now });
        holds
    }

    /// Guarantee 6, first half: no lease is taken from a holder that renews in time. (Once the chunk is closed nobody holds it:
    /// a claim that comes late may put the semaphore back, and whoever takes that only removes it.)
    fn lease_is_not_taken_early(
        &self,
        chunk: ChunkId,
        prior: &Sighted,
        record: &Semaphore,
        now: Duration,
    ) -> Result<(), Broken> {
        let taken = record.agent != prior.record.agent || record.tenure != prior.record.tenure;
        let age = now - prior.written;
        let closed = self.results.contains_key(&chunk);
        if taken && !closed && prior.record.state == LeaseState::Held && age < self.ttl() {
            return Err(format!(
                "guarantee 6: the lease of {chunk} was taken {:.1} s after its last renewal by {}, who had {} s",
                age.as_secs_f64(),
                prior.record.agent,
                self.ttl().as_secs()
            ));
        }
        Ok(())
    }

    fn epochs_count_tenures(chunk: ChunkId, prior: &Semaphore, record: &Semaphore) -> Result<(), Broken> {
        let same = prior.tenure == record.tenure && prior.agent == record.agent;
        let wanted = if same { prior.epoch } else { prior.epoch + 1 };
        match record.epoch == wanted {
            true => Ok(()),
            false => Err(format!("the epoch of {chunk} went from {} to {}", prior.epoch, record.epoch)),
        }
    }

    /// A result is put when every task of the chunk is decided, and tells of each.
    fn on_result(&mut self, chunk: ChunkId, body: &Bytes) -> Result<(), Broken> {
        let record: ResultRecord = from_json(body).map_err(|e| format!("the result of {chunk}: {e}"))?;
        let Some(known) = self.chunks.get(&chunk) else {
            return Err(format!("a result of {chunk}, which is not planned"));
        };
        let told: Vec<&String> = record.tasks.iter().map(|task| &task.name).collect();
        if told != known.names.iter().collect::<Vec<_>>() {
            return Err(format!("the result of {chunk} tells of {told:?}, planned are {:?}", known.names));
        }
        for task in &record.tasks {
            let stands = match task.outcome {
                TaskOutcome::Done { .. } => self.has_output(&task.name),
                TaskOutcome::Failed { .. } => self.letters.contains_key(&task.task),
            };
            if !stands {
                return Err(format!(
                    "the result of {chunk} says {:?} of {}, and nothing shows it",
                    task.outcome, task.name
                ));
            }
        }
        if self.results.insert(chunk, record).is_some() {
            return Err(format!("the result of {chunk} was replaced"));
        }
        Ok(())
    }

    /// Guarantee 4: a semaphore is deleted only in the version that was judged, and only after its result stands; and
    /// guarantee 1: an output never is.
    ///
    /// # Errors
    /// When it was otherwise.
    pub fn on_delete(&mut self, key: &str, only: Option<&ETag>, now: Duration) -> Result<(), Broken> {
        if self.names.contains_key(key) {
            return Err(format!("guarantee 1: the output {key} was deleted"));
        }
        if !key.starts_with(&self.keys.semaphores()) {
            return Ok(());
        }
        let Some(chunk) = self.keys.parse_chunk(key) else { return Ok(()) };
        self.semaphores.remove(&chunk);
        self.in_hand.on_free(chunk);
        if let Some(known) = self.chunks.get_mut(&chunk) {
            known.free_since = Some(now);
        }
        if only.is_none() {
            return Err(format!("guarantee 4: the semaphore of {chunk} was deleted whatever its version"));
        }
        match self.results.contains_key(&chunk) {
            true => Ok(()),
            false => Err(format!("guarantee 4: the semaphore of {chunk} went before its result stood")),
        }
    }

    /// An attempt's name is never used twice, and an agent runs no more tasks at once than it has slots.
    ///
    /// # Errors
    /// When it is otherwise.
    pub fn on_run(&mut self, agent: usize, name: &str, attempt: Attempt) -> Result<(), Broken> {
        match self.attempts.insert(attempt) {
            true => self.in_hand.on_run(agent, name),
            false => Err(format!("the attempt {attempt} was used twice")),
        }
    }

    /// An agent saw an object.
    pub fn on_read(&mut self, agent: usize, key: &str, now: Duration) {
        self.sights.on_read(agent, &self.keys, key, now);
        if let Some(name) = self.wanted.iter().find(|name| self.job.key(name) == key) {
            self.in_hand.on_input(agent, name);
        }
    }

    /// An agent saw a page.
    pub fn on_list(&mut self, agent: usize, query: &ListQuery, page: &ListPage, now: Duration) {
        self.sights.on_list(agent, &self.keys, (query, page), self.chunks.keys(), now);
    }

    /// Guarantee 6, second half: no agent ends while a chunk is free that it could have seen free; in a row of more than
    /// `whole_row` chunks, unless there are `others` to find it.
    ///
    /// # Errors
    /// When one did.
    pub fn on_end(&self, agent: usize, others: bool, whole_row: u32) -> Result<(), Broken> {
        if others && self.chunks.len() > whole_row as usize {
            return Ok(());
        }
        let missed = |(chunk, known): &(&ChunkId, &Chunk)| {
            known.free_since.is_some_and(|since| {
                !self.results.contains_key(chunk) && self.sights.could_see_free(agent, **chunk, since)
            })
        };
        match self.chunks.iter().find(missed) {
            None => Ok(()),
            Some((chunk, _)) => {
                Err(format!("guarantee 6: agent {agent} ended, and {chunk} had been free when it last looked"))
            }
        }
    }

    /// Why each name was given up, by its latest dead letter.
    pub fn errors(&self) -> BTreeMap<String, String> {
        self.letters.values().map(|letter| (letter.name.clone(), letter.error.clone())).collect()
    }

    /// Chunks that somebody holds.
    pub fn held(&self) -> Vec<ChunkId> {
        let held = self.semaphores.iter().filter(|(_, s)| s.record.state == LeaseState::Held);
        held.map(|(chunk, _)| *chunk).collect()
    }

    /// The number of the agent that holds the chunk, where it has a name of its own: `agent<number>-<process>`.
    pub fn holder(&self, chunk: ChunkId) -> Option<usize> {
        let name = self.semaphores.get(&chunk)?.record.agent.as_str();
        name.strip_prefix("agent")?.split('-').next()?.parse().ok()
    }

    /// The chunk's epoch; 0 before the first tenure.
    pub fn epoch(&self, chunk: ChunkId) -> u32 {
        self.semaphores.get(&chunk).map_or(0, |s| s.record.epoch)
    }

    /// Names that are to have an output, and names that were given up, once all is over.
    pub fn decided(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        self.planned.iter().cloned().partition(|name| self.has_output(name))
    }

    /// Guarantee 5, and the end as it must be.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn finished(&self) -> Result<(), Broken> {
        if let Some(chunk) = self.chunks.keys().find(|chunk| !self.results.contains_key(chunk)) {
            return Err(format!("guarantee 5: {chunk} is not closed"));
        }
        if let Some((chunk, _)) = self.semaphores.iter().next() {
            return Err(format!("the semaphore of {chunk} is left over"));
        }
        let (done, failed) = self.decided();
        let lines = |view| self.views.get(&view).cloned().unwrap_or_default();
        if !lines(View::Tasklist).is_empty() {
            return Err(format!("tasklist.txt still has {:?}", lines(View::Tasklist)));
        }
        if !done.is_subset(&lines(View::Completed)) {
            return Err(format!("completed.txt has {:?}, done are {done:?}", lines(View::Completed)));
        }
        if lines(View::Failed) != failed {
            return Err(format!("failed.txt has {:?}, given up were {failed:?}", lines(View::Failed)));
        }
        let summary = self.summary.as_ref().map(|s| (s.done, s.failed));
        if summary != Some((done.len() as u64, failed.len() as u64)) {
            return Err(format!("the summary says {summary:?}; done are {done:?}, given up {failed:?}"));
        }
        for (chunk, result) in &self.results {
            let told: Vec<(u32, bool)> = result.tenures.iter().map(|t| (t.epoch, t.end == TenureEnd::Closed)).collect();
            let last = told.len() as u32;
            if told != (1..=last).map(|epoch| (epoch, epoch == last)).collect::<Vec<_>>() {
                return Err(format!("the tenures of {chunk} are {told:?}"));
            }
        }
        Ok(())
    }
}
