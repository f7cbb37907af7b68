//! The tenure's state machine, answer by answer: what each answer of the store makes it do.

use std::time::Duration;

use dayfly_shared::claim::{
    Effect, Event, LeaseAsk, Policy, Prior, Reply, RunEnd, Stage, Stood, Tenure, TenureOver, WorkAsk,
};
use dayfly_shared::clock::{Moment, Now, Timestamp};
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::plan::Task;
use dayfly_shared::records::{
    AttemptEnd, DeadLetter, LeaseState, ResultRecord, Running, Semaphore, TaskOutcome, TenureEnd,
};
use dayfly_shared::store::{Condition, ETag};

const CHUNK: ChunkId = ChunkId { segment: 1, index: 1 };

fn tag(n: u32) -> ETag {
    ETag::new(&format!("v{n}"))
}

fn task(line: u32) -> TaskId {
    TaskId { segment: 1, line }
}

/// A tenure with its time, and the effects that it has asked for.
struct Desk {
    tenure: Tenure,
    now: Now,
    version: u32,
}

impl Desk {
    fn claim(tasks: u32, prior: Option<Prior>) -> Self {
        let tasks = (1..=tasks).map(|n| Task { id: task(n), name: format!("in{n}.dat"), problem: None }).collect();
        let now = Now { at: Moment(Duration::from_secs(1000)), wall: Timestamp::from_unix_ms(1_000_000) };
        let tenure = Tenure::claim(agent("me"), Nonce(7), CHUNK, tasks, policy(), prior, now);
        Self { tenure, now, version: 0 }
    }

    /// A tenure that holds its chunk and has asked to run its first task.
    fn working(tasks: u32) -> (Self, Attempt) {
        let mut desk = Self::claim(tasks, None);
        desk.lease_put();
        desk.applied();
        assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
        desk.on(Event::Work(Reply::Absent));
        let attempt = desk.run(1);
        (desk, attempt)
    }

    fn on(&mut self, event: Event) {
        self.tenure.on(event, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at = self.now.at.after(Duration::from_secs(seconds));
        self.on(Event::Tick);
    }

    fn effect(&mut self) -> Effect {
        self.tenure.effect().unwrap_or_else(|| panic!("nothing asked for at {:?}", self.tenure.stage()))
    }

    fn idle(&mut self) {
        assert_eq!(self.tenure.effect(), None, "at {:?}", self.tenure.stage());
    }

    /// The next effect is a write of the lease.
    fn lease_put(&mut self) -> (Semaphore, Condition) {
        match self.effect() {
            Effect::Lease(LeaseAsk::Put { record, condition }) => (*record, condition),
            other => panic!("{other:?} is no lease write"),
        }
    }

    /// The lease's write went through.
    fn applied(&mut self) {
        self.version += 1;
        self.on(Event::Lease(Reply::Applied(tag(self.version))));
    }

    /// The next effect is a run of that task.
    fn run(&mut self, line: u32) -> Attempt {
        match self.effect() {
            Effect::Run(id, attempt) if id == task(line) => attempt,
            other => panic!("{other:?} is no run of task {line}"),
        }
    }

    /// The run staged its output; the commit is asked for.
    fn staged(&mut self, line: u32, attempt: Attempt) {
        self.on(Event::Ran(RunEnd::Staged { bytes: 10, checksum: None }));
        assert_eq!(self.effect(), Effect::Work(WorkAsk::Commit(task(line), attempt)));
    }

    fn fail(&mut self, permanent: bool) {
        self.on(Event::Ran(RunEnd::Failed { error: "no luck".to_owned(), permanent }));
    }

    /// The result is put and the semaphore deleted.
    fn close(&mut self) -> ResultRecord {
        let result = match self.effect() {
            Effect::Work(WorkAsk::PutResult(result)) => *result,
            other => panic!("{other:?} does not close"),
        };
        self.on(Event::Work(Reply::Applied(tag(0))));
        let version = tag(self.version);
        assert_eq!(self.effect(), Effect::Lease(LeaseAsk::Delete { etag: version.clone() }));
        self.on(Event::Lease(Reply::Applied(version)));
        assert!(matches!(self.effect(), Effect::Over(TenureOver::Closed(_))));
        result
    }

    fn over(&mut self) -> TenureOver {
        match self.effect() {
            Effect::Over(over) => over,
            other => panic!("{other:?} is no end"),
        }
    }
}

fn agent(name: &str) -> AgentId {
    AgentId::of(name, Nonce(1))
}

fn policy() -> Policy {
    Policy::of(&JobSettings::default())
}

/// A semaphore that somebody left.
fn left(state: LeaseState, losses: u32, running: Option<Running>) -> Prior {
    let mut desk = Desk::claim(1, None);
    let (record, _) = desk.lease_put();
    let record = Semaphore { agent: agent("other"), tenure: Nonce(5), epoch: 3, state, losses, running, ..record };
    Prior { record, etag: tag(99) }
}

fn stood(attempt: Option<Attempt>) -> Reply {
    Reply::Output(Stood { bytes: 20, checksum: None, attempt })
}

#[test]
fn a_task_is_claimed_run_committed_and_closed() {
    let mut desk = Desk::claim(1, None);
    let (record, condition) = desk.lease_put();
    assert_eq!((record.epoch, record.write, condition), (1, 1, Condition::Create));
    assert_eq!(record.name.as_deref(), Some("in1.dat"));
    desk.applied();
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
    desk.on(Event::Work(Reply::Absent));
    let attempt = desk.run(1);
    assert_eq!((attempt.epoch, attempt.tenure, attempt.n), (1, Nonce(7), 1));
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let result = desk.close();
    assert_eq!(result.tasks[0].outcome, TaskOutcome::Done { bytes: 10, checksum: None, attempt: Some(attempt) });
    assert_eq!(result.tasks[0].attempts.len(), 1);
    assert_eq!((result.tenures.len(), result.tenures[0].end), (1, TenureEnd::Closed));
}

#[test]
fn a_rejected_claim_is_somebody_elses() {
    let mut desk = Desk::claim(1, None);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.over(), TenureOver::NotOurs);
}

#[test]
fn a_conflict_is_not_taken_the_same_write_goes_out_again() {
    let mut desk = Desk::claim(1, None);
    let first = desk.lease_put();
    desk.on(Event::Lease(Reply::Conflict));
    desk.idle();
    desk.pass(1);
    assert_eq!(desk.lease_put(), first);
    // 409 says "not applied", so a rejection after it is no doubt.
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.over(), TenureOver::NotOurs);
}

#[test]
fn an_unanswered_claim_that_went_through_is_recognised() {
    let mut desk = Desk::claim(1, None);
    let first = desk.lease_put();
    desk.on(Event::Lease(Reply::Unknown));
    desk.pass(1);
    assert_eq!(desk.lease_put(), first, "the same body and nonce");
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Get));
    desk.on(Event::Lease(Reply::Semaphore(Box::new(first.0), tag(1))));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
}

#[test]
fn an_unanswered_claim_that_another_won_is_let_go() {
    let mut desk = Desk::claim(1, None);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Unknown));
    desk.pass(1);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Get));
    desk.on(Event::Lease(Reply::Semaphore(Box::new(left(LeaseState::Held, 0, None).record), tag(9))));
    assert_eq!(desk.over(), TenureOver::NotOurs);
}

#[test]
fn a_lease_of_the_same_agent_but_another_tenure_is_not_adopted() {
    let mut desk = Desk::claim(1, None);
    let (record, _) = desk.lease_put();
    desk.on(Event::Lease(Reply::Unknown));
    desk.pass(1);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Get));
    let same_name = Semaphore { tenure: Nonce(6), ..record };
    desk.on(Event::Lease(Reply::Semaphore(Box::new(same_name), tag(9))));
    assert_eq!(desk.over(), TenureOver::NotOurs);
}

#[test]
fn a_standing_result_means_the_chunk_is_closed() {
    let mut desk = Desk::claim(1, None);
    desk.lease_put();
    desk.applied();
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
    desk.on(Event::Work(Reply::Present));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Delete { etag: tag(1) }));
    // Somebody wrote it meanwhile: it is not deleted in any other way.
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.over(), TenureOver::AlreadyClosed);
}

#[test]
fn a_running_task_keeps_its_lease_alive() {
    let (mut desk, attempt) = Desk::working(1);
    desk.pass(19);
    desk.idle();
    desk.pass(1);
    let (record, condition) = desk.lease_put();
    assert_eq!((record.write, condition), (2, Condition::Update(tag(1))));
    assert_eq!(record.running.as_ref().map(|r| (r.attempt, r.alone)), Some((attempt, false)));
    desk.applied();
    desk.pass(20);
    assert_eq!(desk.lease_put().1, Condition::Update(tag(2)));
}

#[test]
fn a_lost_lease_stops_the_run_and_begins_nothing_more() {
    let (mut desk, _) = Desk::working(2);
    desk.pass(20);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Cancel);
    desk.on(Event::Ran(RunEnd::Stopped));
    assert_eq!(desk.over(), TenureOver::Lost);
}

#[test]
fn a_lost_lease_lets_a_commit_on_its_way_be_settled() {
    let (mut desk, attempt) = Desk::working(2);
    desk.pass(20);
    desk.lease_put();
    desk.staged(1, attempt);
    desk.on(Event::Lease(Reply::Missing));
    desk.idle();
    desk.on(Event::Work(Reply::Applied(tag(50))));
    assert_eq!(desk.over(), TenureOver::Lost);
}

#[test]
fn a_renewal_that_nobody_answered_is_found_again() {
    let (mut desk, _) = Desk::working(1);
    desk.pass(20);
    let (record, condition) = desk.lease_put();
    desk.on(Event::Lease(Reply::Unknown));
    desk.pass(1);
    assert_eq!(desk.lease_put(), (record.clone(), condition));
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Get));
    desk.on(Event::Lease(Reply::Semaphore(Box::new(record), tag(2))));
    desk.idle();
    desk.pass(20);
    assert_eq!(desk.lease_put().1, Condition::Update(tag(2)), "the next goes on from the version found");
}

#[test]
fn an_old_lease_is_renewed_before_the_next_task() {
    let (mut desk, attempt) = Desk::working(2);
    desk.staged(1, attempt);
    // The heartbeat went unanswered for more than half the lease.
    desk.pass(25);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Unknown));
    desk.now.at = desk.now.at.after(Duration::from_secs(10));
    desk.on(Event::Work(Reply::Applied(tag(50))));
    desk.idle();
    desk.pass(1);
    desk.lease_put();
    desk.applied();
    // What was proven counts from the first try, 36 s ago: too old still, so once more.
    let next = desk.effect();
    let Effect::Lease(LeaseAsk::Put { .. }) = next else { panic!("{next:?}") };
    desk.applied();
    desk.run(2);
}

#[test]
fn a_rejected_commit_is_done_all_the_same_and_head_says_by_whom() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(1))));
    let other = Attempt { epoch: 1, tenure: Nonce(5), n: 1 };
    desk.on(Event::Work(stood(Some(other))));
    let result = desk.close();
    assert_eq!(result.tasks[0].outcome, TaskOutcome::Done { bytes: 20, checksum: None, attempt: Some(other) });
}

#[test]
fn an_unanswered_commit_goes_out_again_under_the_same_attempt() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    for reply in [Reply::Unknown, Reply::Conflict] {
        desk.on(Event::Work(reply));
        desk.idle();
        desk.pass(1);
        assert_eq!(desk.effect(), Effect::Work(WorkAsk::Commit(task(1), attempt)));
    }
    desk.on(Event::Work(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(1))));
    desk.on(Event::Work(stood(Some(attempt))));
    assert!(matches!(desk.close().tasks[0].outcome, TaskOutcome::Done { attempt: Some(a), .. } if a == attempt));
}

#[test]
fn an_upload_that_is_gone_is_looked_for_if_in_doubt_and_made_again_under_a_new_attempt() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Restage));
    desk.idle();
    desk.pass(1);
    let second = desk.run(1);
    assert_eq!(second.n, 2);
    desk.staged(1, second);
    desk.on(Event::Work(Reply::Unknown));
    desk.pass(1);
    desk.effect();
    desk.on(Event::Work(Reply::Restage));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(1))));
    desk.on(Event::Work(Reply::Absent));
    desk.pass(1);
    assert_eq!(desk.run(1).n, 3);
}

#[test]
fn failures_are_written_down_tried_again_and_given_up_in_the_end() {
    let (mut desk, _) = Desk::working(2);
    for n in 1..=2 {
        desk.fail(false);
        assert_eq!(desk.lease_put().0.attempts.len(), n, "each failure is written at once");
        desk.applied();
        desk.pass(3);
        desk.run(1);
    }
    desk.fail(false);
    // Before it is given up: a renewal, then a look at the output.
    desk.lease_put();
    desk.idle();
    desk.applied();
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(1))));
    desk.on(Event::Work(Reply::Absent));
    let Effect::Work(WorkAsk::PutDeadLetter(letter)) = desk.effect() else { panic!() };
    assert_eq!((letter.attempts.len(), letter.error.as_str()), (3, "no luck"));
    desk.on(Event::Work(Reply::Applied(tag(60))));
    let attempt = desk.run(2);
    desk.staged(2, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let result = desk.close();
    assert_eq!(result.tasks[0].outcome, TaskOutcome::Failed { error: "no luck".to_owned() });
    assert_eq!(result.tasks[0].attempts.len(), 3);
    assert!(matches!(result.tasks[1].outcome, TaskOutcome::Done { .. }));
}

#[test]
fn an_output_outranks_the_dead_letter_that_was_about_to_be_put() {
    let (mut desk, _) = Desk::working(1);
    desk.fail(true);
    desk.lease_put();
    desk.applied();
    desk.effect();
    desk.on(Event::Work(stood(None)));
    assert!(matches!(desk.close().tasks[0].outcome, TaskOutcome::Done { attempt: None, .. }));
}

#[test]
fn nothing_is_given_up_on_a_lost_lease() {
    let (mut desk, _) = Desk::working(1);
    desk.fail(true);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.over(), TenureOver::Lost);
}

#[test]
fn a_line_that_cannot_be_a_task_is_given_up_at_once() {
    let bad = Task { id: task(1), name: "../x".to_owned(), problem: Some("it has '..'".to_owned()) };
    let now = Now::default();
    let tenure = Tenure::claim(agent("me"), Nonce(7), CHUNK, vec![bad], policy(), None, now);
    let mut desk = Desk { tenure, now, version: 0 };
    desk.lease_put();
    desk.applied();
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    let Effect::Work(WorkAsk::PutDeadLetter(letter)) = desk.effect() else { panic!() };
    assert!(letter.error.contains("'..'"));
    // Another run put it before: as good.
    desk.on(Event::Work(Reply::Rejected));
    desk.close();
}

#[test]
fn a_drain_finishes_the_task_in_hand_and_gives_the_rest_back() {
    let (mut desk, attempt) = Desk::working(3);
    desk.on(Event::Release);
    desk.idle();
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let (record, condition) = desk.lease_put();
    assert_eq!((record.state, record.decided, condition), (LeaseState::Released, 1, Condition::Update(tag(1))));
    assert_eq!(record.tenures.last().map(|t| t.end), Some(TenureEnd::Released));
    desk.applied();
    assert_eq!(desk.over(), TenureOver::Released);
}

#[test]
fn a_drain_at_its_deadline_stops_the_task_and_spends_none_of_its_attempts() {
    let (mut desk, _) = Desk::working(1);
    desk.on(Event::Release);
    desk.on(Event::ReleaseNow);
    assert_eq!(desk.effect(), Effect::Cancel);
    desk.on(Event::Ran(RunEnd::Stopped));
    let (record, _) = desk.lease_put();
    assert_eq!(record.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Preempted]);
    assert_eq!(record.running, None);
}

#[test]
fn a_drain_after_the_last_task_closes_rather_than_releases() {
    let (mut desk, attempt) = Desk::working(1);
    desk.on(Event::Release);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    desk.close();
}

#[test]
fn a_released_chunk_is_taken_over_with_its_history_and_its_done_tasks_are_skipped() {
    let mut desk = Desk::claim(3, Some(left(LeaseState::Released, 0, None)));
    let (record, condition) = desk.lease_put();
    assert_eq!((record.epoch, record.losses, condition), (4, 0, Condition::Update(tag(99))));
    desk.applied();
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(1))));
    desk.on(Event::Work(stood(None)));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(2))));
    desk.on(Event::Work(Reply::Absent));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::GetDeadLetter(task(2))));
    let letter = DeadLetter {
        schema: 1,
        task: task(2),
        name: "in2.dat".to_owned(),
        error: "bad".to_owned(),
        attempts: Vec::new(),
        at: Timestamp::default(),
        log: None,
    };
    desk.on(Event::Work(Reply::DeadLetter(Box::new(letter))));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadOutput(task(3))));
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    let attempt = desk.run(3);
    assert_eq!(attempt.epoch, 4);
}

#[test]
fn an_expired_chunk_counts_a_loss_and_says_who_vanished() {
    let attempt = Attempt { epoch: 3, tenure: Nonce(5), n: 1 };
    let running = Running { task: task(1), attempt, from: Timestamp::default(), alone: false };
    let mut desk = Desk::claim(1, Some(left(LeaseState::Held, 0, Some(running))));
    let (record, _) = desk.lease_put();
    assert_eq!((record.losses, record.epoch), (1, 4));
    assert_eq!(record.tenures.last().map(|t| (t.end, t.agent.clone())), Some((TenureEnd::Expired, agent("other"))));
    assert_eq!(record.attempts.last().map(|a| a.end), Some(AttemptEnd::Vanished));
}

/// A takeover up to the point where the first task would begin.
fn taken_over(losses: u32, running: Option<Running>) -> Desk {
    let mut desk = Desk::claim(2, Some(left(LeaseState::Held, losses, running)));
    desk.lease_put();
    desk.applied();
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk
}

#[test]
fn from_the_second_loss_on_tasks_run_alone_and_announced() {
    let mut desk = taken_over(1, None);
    assert_eq!(desk.effect(), Effect::Isolate);
    desk.on(Event::Alone);
    let (record, _) = desk.lease_put();
    assert!(record.running.as_ref().is_some_and(|r| r.alone && r.task == task(1)));
    desk.idle();
    desk.applied();
    let attempt = desk.run(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    // The next one is inspected, then announced too, still alone.
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    assert!(desk.lease_put().0.running.is_some_and(|r| r.alone && r.task == task(2)));
    desk.applied();
    let attempt = desk.run(2);
    desk.staged(2, attempt);
    desk.on(Event::Work(Reply::Applied(tag(51))));
    assert_eq!(desk.effect(), Effect::Share);
    desk.close();
}

#[test]
fn a_chunk_that_does_not_get_the_agent_for_itself_is_left_to_somebody_else() {
    let mut desk = taken_over(1, None);
    assert_eq!(desk.effect(), Effect::Isolate);
    for _ in 0..2 {
        desk.pass(20);
        desk.lease_put();
        desk.applied();
    }
    desk.pass(20);
    let mut share = false;
    let mut put = None;
    while let Some(effect) = desk.tenure.effect() {
        match effect {
            Effect::Share => share = true,
            Effect::Lease(LeaseAsk::Put { record, .. }) => put = Some(record),
            other => panic!("{other:?}"),
        }
    }
    assert!(share && put.is_some());
    desk.applied();
    assert_eq!(desk.lease_put().0.state, LeaseState::Released);
}

#[test]
fn a_task_that_takes_its_agent_with_it_alone_too_often_is_given_up() {
    let attempt = Attempt { epoch: 3, tenure: Nonce(5), n: 1 };
    let running = Running { task: task(1), attempt, from: Timestamp::default(), alone: true };
    let mut prior = left(LeaseState::Held, 3, Some(running));
    for epoch in 1..=2 {
        prior.record.attempts.push(dayfly_shared::records::AttemptRecord {
            task: task(1),
            attempt: Attempt { epoch, ..attempt },
            agent: agent("other"),
            from: Timestamp::default(),
            to: Timestamp::default(),
            end: AttemptEnd::VanishedAlone,
            error: None,
        });
    }
    let mut desk = Desk::claim(1, Some(prior));
    desk.lease_put();
    desk.applied();
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    desk.effect();
    desk.on(Event::Work(Reply::Absent));
    assert!(matches!(desk.tenure.stage(), Stage::GivingUp(error) if error.contains("vanished 3 times")));
}

#[test]
fn a_result_that_nobody_answered_for_is_put_again_and_another_ones_is_as_good() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let first = desk.effect();
    desk.on(Event::Work(Reply::Unknown));
    desk.pass(1);
    assert_eq!(desk.effect(), first);
    desk.on(Event::Work(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Delete { etag: tag(1) }));
}

#[test]
fn a_heartbeat_under_way_is_waited_for_before_the_semaphore_is_deleted() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.pass(20);
    desk.lease_put();
    desk.on(Event::Work(Reply::Applied(tag(50))));
    desk.effect();
    desk.on(Event::Work(Reply::Applied(tag(51))));
    desk.idle();
    desk.applied();
    assert_eq!(desk.effect(), Effect::Lease(LeaseAsk::Delete { etag: tag(2) }));
}

#[test]
fn a_store_that_refuses_ends_the_tenure_with_its_words() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Broken("403".to_owned())));
    assert_eq!(desk.over(), TenureOver::Broken("403".to_owned()));
}

#[test]
fn a_run_that_the_store_interrupts_is_made_again_under_a_new_attempt() {
    let (mut desk, first) = Desk::working(1);
    // More often than a task may fail: none of it counts as its failure.
    let mut attempts = vec![first];
    for _ in 0..policy().max_attempts + 1 {
        desk.on(Event::Ran(RunEnd::Interrupted { why: "no answer".to_owned() }));
        desk.idle();
        desk.pass(4);
        let again = desk.run(1);
        attempts.push(again);
    }
    let last = attempts[attempts.len() - 1];
    assert_eq!(attempts.len(), 2 + policy().max_attempts as usize);
    assert_eq!(attempts.iter().collect::<std::collections::BTreeSet<_>>().len(), attempts.len(), "none twice");
    desk.staged(1, last);
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let result = desk.close();
    let ends: Vec<AttemptEnd> = result.tasks[0].attempts.iter().map(|a| a.end).collect();
    assert_eq!(ends.last(), Some(&AttemptEnd::Done));
    assert!(ends[..ends.len() - 1].iter().all(|end| *end == AttemptEnd::Interrupted), "{ends:?}");
}
