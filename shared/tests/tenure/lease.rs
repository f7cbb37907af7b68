//! The semaphore: claimed, kept alive, lost, deleted.

use std::time::Duration;

use dayfly_shared::claim::{Effect, Event, LeaseAsk, Reply, RunEnd, TenureOver, WorkAsk};
use dayfly_shared::ids::Nonce;
use dayfly_shared::records::{LeaseState, Semaphore};
use dayfly_shared::store::Condition;

use crate::desk::{Desk, left, tag};

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
