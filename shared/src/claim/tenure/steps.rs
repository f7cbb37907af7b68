//! What comes next, for the task in hand and for the chunk.

use crate::clock::Now;
use crate::ids::Attempt;
use crate::job::SCHEMA;
use crate::records::{
    AttemptEnd, AttemptRecord, DeadLetter, ResultRecord, TaskOutcome, TaskResult, TenureEnd, TenureRecord,
};

use super::super::{ISOLATE_FROM_LOSSES, Stood};
use super::{Effect, Stage, Tenure, TenureOver, WorkAsk};

impl Tenure {
    /// Goes on to whatever comes next for the task in hand, or for the chunk.
    pub(super) fn next(&mut self, now: Now) {
        if self.lost {
            return self.over(TenureOver::Lost);
        }
        if self.release && self.cursor < self.tasks.len() {
            self.share();
            self.stage = Stage::Releasing;
            let ask = self.lease.release(now);
            self.effects.extend(ask.map(Effect::Lease));
            return;
        }
        let Some(task) = self.tasks.get(self.cursor) else { return self.close(now) };
        let id = task.id;
        if let Some(problem) = task.problem.clone() {
            let error = format!("cannot be a task: {problem}");
            return self.put_dead_letter(error, now);
        }
        if self.inherited && !self.inspected {
            self.stage = Stage::InspectingOutput;
            return self.ask(WorkAsk::HeadOutput(id));
        }
        let vanished = self.count(AttemptEnd::VanishedAlone);
        if vanished >= self.policy.max_losses {
            return self.give_up(format!("its agent vanished {vanished} times while the task ran alone on it"), now);
        }
        if self.count(AttemptEnd::Failed) >= self.policy.max_attempts {
            let failed = |a: &&AttemptRecord| a.task == id && a.end == AttemptEnd::Failed;
            let last = self.lease.draft.attempts.iter().rev().find(failed);
            let error = last.and_then(|a| a.error.clone()).unwrap_or_else(|| "it failed".to_owned());
            return self.give_up(error, now);
        }
        if !self.lease.is_fresh(now.at) {
            self.stage = Stage::Renewing;
            return self.renew(now);
        }
        if self.lease.draft.losses >= ISOLATE_FROM_LOSSES {
            if self.alone {
                return self.on_isolated_again(now);
            }
            self.stage = Stage::Isolating(now.at.after(self.policy.ttl));
            return self.effects.push_back(Effect::Isolate);
        }
        let attempt = self.new_attempt();
        self.note_running(attempt, now);
        self.run(attempt, now);
    }

    /// Alone already, from the task before: only the announcement is needed.
    fn on_isolated_again(&mut self, now: Now) {
        self.stage = Stage::Isolating(now.at);
        self.on_alone(now);
    }

    pub(super) fn run(&mut self, attempt: Attempt, now: Now) {
        self.stage = Stage::Running(attempt, now.wall);
        self.effects.push_back(Effect::Run(self.tasks[self.cursor].id, attempt));
    }

    pub(super) fn give_up(&mut self, error: String, now: Now) {
        self.stage = Stage::GivingUp(error);
        self.renew(now);
    }

    pub(super) fn put_dead_letter(&mut self, error: String, now: Now) {
        let task = &self.tasks[self.cursor];
        let letter = Box::new(DeadLetter {
            schema: SCHEMA,
            task: task.id,
            name: task.name.clone(),
            error,
            attempts: self.lease.draft.attempts.iter().filter(|a| a.task == task.id).cloned().collect(),
            at: now.wall,
            log: None,
        });
        self.stage = Stage::GivingUpPut(letter.clone());
        self.ask(WorkAsk::PutDeadLetter(letter));
    }

    pub(super) fn done_as(&mut self, stood: Stood, now: Now) {
        let Stood { bytes, checksum, attempt } = stood;
        self.decide_done(TaskOutcome::Done { bytes, checksum, attempt }, now);
    }

    pub(super) fn decide_done(&mut self, outcome: TaskOutcome, now: Now) {
        let id = self.tasks[self.cursor].id;
        let (mine, others) = std::mem::take(&mut self.lease.draft.attempts).into_iter().partition(|a| a.task == id);
        // Attempts that did not end well stay in the semaphore until the chunk is closed; a good one needs no keeping.
        self.lease.draft.attempts = others;
        let mine: Vec<AttemptRecord> = mine;
        self.lease.draft.attempts.extend(mine.iter().filter(|a| a.end != AttemptEnd::Done).cloned());
        self.decide(outcome, mine, now);
    }

    /// The task in hand is decided.
    pub(super) fn decide(&mut self, outcome: TaskOutcome, attempts: Vec<AttemptRecord>, now: Now) {
        let task = &self.tasks[self.cursor];
        self.decided.push(TaskResult { task: task.id, name: task.name.clone(), outcome, attempts });
        self.lease.draft.decided = u32::try_from(self.decided.len()).unwrap_or(u32::MAX);
        self.lease.draft.running = None;
        self.cursor += 1;
        self.inspected = false;
        self.tries = 0;
        self.next(now);
    }

    fn close(&mut self, now: Now) {
        self.share();
        let draft = &self.lease.draft;
        let mut tenures = draft.tenures.clone();
        tenures.push(TenureRecord {
            agent: draft.agent.clone(),
            epoch: draft.epoch,
            tenure: draft.tenure,
            from: draft.since,
            to: now.wall,
            end: TenureEnd::Closed,
        });
        let tasks = std::mem::take(&mut self.decided);
        let result = Box::new(ResultRecord { schema: SCHEMA, chunk: self.chunk, tenures, tasks });
        self.stage = Stage::Closing(result.clone());
        self.ask(WorkAsk::PutResult(result));
    }

    pub(super) fn delete(&mut self, result: Option<Box<ResultRecord>>) {
        self.stage = Stage::Deleting(result);
        let ask = self.lease.delete();
        self.effects.extend(ask.map(Effect::Lease));
    }
}
