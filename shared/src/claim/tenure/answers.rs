//! What each answer changes: of the lease, of a run, of the store.

use crate::clock::Now;
use crate::records::{AttemptEnd, Running, TaskOutcome};

use super::super::{LeaseNews, Reply, rerun_wait, retry_wait};
use super::{Effect, RunEnd, Stage, Tenure, TenureOver, WorkAsk};

impl Tenure {
    pub(super) fn on_lease_news(&mut self, news: LeaseNews, now: Now) {
        match (news, &self.stage) {
            (LeaseNews::NotOurs, _) => self.over(TenureOver::NotOurs),
            (LeaseNews::Acquired, _) => {
                self.stage = Stage::CheckingResult;
                self.ask(WorkAsk::HeadResult);
            }
            (LeaseNews::Renewed, Stage::Renewing) => self.next(now),
            (LeaseNews::Renewed, Stage::Announcing(attempt)) => {
                let attempt = *attempt;
                let announced = |r: &Running| r.alone && r.attempt == attempt;
                if self.lease.written().and_then(|w| w.running.as_ref()).is_some_and(announced) {
                    self.run(attempt, now);
                }
            }
            (LeaseNews::Renewed, Stage::GivingUp(error)) => {
                let error = error.clone();
                self.ask(WorkAsk::HeadOutput(self.tasks[self.cursor].id));
                self.stage = Stage::GivingUpHead(error);
            }
            (LeaseNews::Renewed, _) => {}
            (LeaseNews::Lost, stage) => {
                self.lost = true;
                match stage {
                    Stage::Running(..) => self.effects.push_back(Effect::Cancel),
                    // What is on its way is settled first: its answer says whether the task is done.
                    Stage::Committing { .. } | Stage::Confirming(..) | Stage::GivingUpPut(_) | Stage::Closing(_) => {}
                    Stage::Deleting(Some(result)) => self.over(TenureOver::Closed(result.clone())),
                    Stage::Deleting(None) => self.over(TenureOver::AlreadyClosed),
                    _ => self.over(TenureOver::Lost),
                }
            }
            (LeaseNews::Released, _) => self.over(TenureOver::Released),
            (LeaseNews::Deleted, Stage::Deleting(result)) => {
                let over = match result.clone() {
                    Some(result) => TenureOver::Closed(result),
                    None => TenureOver::AlreadyClosed,
                };
                self.over(over);
            }
            (LeaseNews::Deleted, _) => {}
        }
    }

    pub(super) fn on_ran(&mut self, end: RunEnd, now: Now) {
        let Stage::Running(attempt, from) = self.stage else { return };
        let task = self.tasks[self.cursor].id;
        match end {
            RunEnd::Staged { bytes, checksum } => {
                self.stage = Stage::Committing { attempt, from, bytes, checksum, doubtful: false };
                self.ask(WorkAsk::Commit(task, attempt));
            }
            RunEnd::Failed { error, permanent } => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Failed, Some(error.clone()));
                let failures = self.count(AttemptEnd::Failed);
                if self.lost {
                    self.over(TenureOver::Lost);
                } else if permanent || failures >= self.policy.max_attempts {
                    self.give_up(error, now);
                } else {
                    // Written at once, so that a crash does not forgive the failure; and a moment's pause.
                    self.renew(now);
                    self.stage = Stage::Pausing(now.at.after(retry_wait(failures + 2)));
                    if self.release {
                        self.next(now);
                    }
                }
            }
            RunEnd::Interrupted { why } => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Interrupted, Some(why));
                let interruptions = self.count(AttemptEnd::Interrupted);
                self.stage = Stage::Pausing(now.at.after(rerun_wait(interruptions)));
                if self.release || self.lost {
                    self.next(now);
                }
            }
            RunEnd::Stopped => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Preempted, None);
                // A run is only ever stopped to give the chunk back, or because it was lost.
                self.release = true;
                self.next(now);
            }
        }
    }

    pub(super) fn on_work_reply(&mut self, reply: Reply, now: Now) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        // The same again, later: nobody answered, or something concurrent was in the way.
        let repeat = match (&stage, &reply) {
            (Stage::CheckingResult, Reply::Unknown) => Some(WorkAsk::HeadResult),
            (Stage::InspectingOutput | Stage::Confirming(..) | Stage::GivingUpHead(_), Reply::Unknown) => {
                Some(WorkAsk::HeadOutput(self.tasks[self.cursor].id))
            }
            (Stage::InspectingDeadLetter, Reply::Unknown) => Some(WorkAsk::GetDeadLetter(self.tasks[self.cursor].id)),
            (Stage::Committing { attempt, .. }, Reply::Unknown | Reply::Conflict) => {
                Some(WorkAsk::Commit(self.tasks[self.cursor].id, *attempt))
            }
            (Stage::GivingUpPut(letter), other) if !settles_create(other) => {
                Some(WorkAsk::PutDeadLetter(letter.clone()))
            }
            (Stage::Closing(result), other) if !settles_create(other) => Some(WorkAsk::PutResult(result.clone())),
            _ => None,
        };
        if let Some(ask) = repeat {
            self.tries += 1;
            self.again = Some((now.at.after(retry_wait(self.tries)), ask));
            self.stage = match stage {
                Stage::Committing { attempt, from, bytes, checksum, doubtful } => {
                    let doubtful = doubtful || reply == Reply::Unknown;
                    Stage::Committing { attempt, from, bytes, checksum, doubtful }
                }
                other => other,
            };
            return;
        }
        match (stage, reply) {
            (Stage::CheckingResult, Reply::Present) => self.delete(None),
            (Stage::CheckingResult, Reply::Absent) => self.next(now),

            (Stage::InspectingOutput, Reply::Output(stood)) => self.done_as(stood, now),
            (Stage::InspectingOutput, _) => {
                self.stage = Stage::InspectingDeadLetter;
                self.ask(WorkAsk::GetDeadLetter(self.tasks[self.cursor].id));
            }
            (Stage::InspectingDeadLetter, Reply::DeadLetter(letter)) => {
                self.lease.draft.attempts.retain(|a| a.task != letter.task);
                self.decide(TaskOutcome::Failed { error: letter.error }, letter.attempts, now);
            }
            (Stage::InspectingDeadLetter, _) => {
                self.inspected = true;
                self.next(now);
            }

            (Stage::Committing { attempt, from, bytes, checksum, .. }, Reply::Applied(_)) => {
                self.note_attempt(attempt, from, now, AttemptEnd::Done, None);
                self.decide_done(TaskOutcome::Done { bytes, checksum, attempt: Some(attempt) }, now);
            }
            // The first complete output stands. Which it is, head says.
            (Stage::Committing { attempt, from, .. }, Reply::Rejected)
            | (Stage::Committing { attempt, from, doubtful: true, .. }, Reply::Restage | Reply::Missing) => {
                self.stage = Stage::Confirming(attempt, from);
                self.ask(WorkAsk::HeadOutput(self.tasks[self.cursor].id));
            }
            (Stage::Confirming(attempt, from), Reply::Output(stood)) => {
                self.note_attempt(attempt, from, now, AttemptEnd::Done, None);
                self.done_as(stood, now);
            }
            // The staged output is gone, or what stood was removed by hand: run it again, under a new attempt.
            (Stage::Committing { attempt, from, .. } | Stage::Confirming(attempt, from), _) => {
                self.lease.draft.running = None;
                self.note_attempt(attempt, from, now, AttemptEnd::Preempted, None);
                self.stage = Stage::Pausing(now.at.after(retry_wait(2)));
                if self.release || self.lost {
                    self.next(now);
                }
            }

            (Stage::GivingUpHead(_), Reply::Output(stood)) => self.done_as(stood, now),
            (Stage::GivingUpHead(error), _) => self.put_dead_letter(error, now),
            (Stage::GivingUpPut(letter), Reply::Applied(_) | Reply::Rejected) => {
                self.lease.draft.attempts.retain(|a| a.task != letter.task);
                self.decide(TaskOutcome::Failed { error: letter.error }, letter.attempts, now);
            }

            (Stage::Closing(result), Reply::Applied(_) | Reply::Rejected) => {
                if self.lost {
                    self.over(TenureOver::Closed(result));
                } else {
                    self.delete(Some(result));
                }
            }
            // An answer that nothing waits for.
            (stage, _) => self.stage = stage,
        }
    }
}

/// Whether the answer to a Create says that an object stands.
fn settles_create(reply: &Reply) -> bool {
    matches!(reply, Reply::Applied(_) | Reply::Rejected | Reply::Broken(_))
}
