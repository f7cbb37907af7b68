//! Output and result: put, put again, found to stand.

use dayfly_shared::claim::{Effect, Event, LeaseAsk, Reply, WorkAsk};
use dayfly_shared::ids::{Attempt, Nonce};
use dayfly_shared::records::TaskOutcome;

use crate::desk::{Desk, stood, tag, task};

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
