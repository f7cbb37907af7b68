//! Runs that fail or are interrupted, and tasks that are given up.

use dayfly_shared::claim::{Effect, Event, Reply, RunEnd, Tenure, TenureOver, WorkAsk};
use dayfly_shared::clock::Now;
use dayfly_shared::ids::Nonce;
use dayfly_shared::plan::Task;
use dayfly_shared::records::{AttemptEnd, TaskOutcome};

use crate::desk::{CHUNK, Desk, agent, policy, stood, tag, task};

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
