//! Chunks that are given back, taken over, and held alone after losses.

use dayfly_shared::claim::{Effect, Event, LeaseAsk, Reply, RunEnd, Stage, TenureOver, WorkAsk};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{Attempt, Nonce};
use dayfly_shared::records::{AttemptEnd, DeadLetter, LeaseState, Running, TenureEnd};
use dayfly_shared::store::Condition;

use crate::desk::{Desk, agent, left, stood, tag, task};

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
            usage: None,
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
