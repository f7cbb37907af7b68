//! When a tenure has nothing left to run, and what it would run next.

use dayfly_shared::claim::{Effect, Event, Reply, WorkAsk};
use dayfly_shared::records::LeaseState;

use crate::desk::{Desk, left, tag, task};

#[test]
fn all_is_run_when_the_last_output_goes_up() {
    let (mut desk, attempt) = Desk::working(2);
    assert!(!desk.tenure.has_run_all());
    desk.staged(1, attempt);
    assert!(!desk.tenure.has_run_all(), "another task follows");
    desk.on(Event::Work(Reply::Applied(tag(50))));
    let attempt = desk.run(2);
    desk.staged(2, attempt);
    assert!(desk.tenure.has_run_all());
    desk.on(Event::Work(Reply::Applied(tag(51))));
    assert!(desk.tenure.has_run_all(), "it is being closed");
    desk.close();
}

#[test]
fn what_is_lost_or_given_back_leads_nowhere() {
    let (mut desk, attempt) = Desk::working(1);
    desk.on(Event::Release);
    desk.staged(1, attempt);
    assert!(!desk.tenure.has_run_all());

    let (mut desk, attempt) = Desk::working(1);
    desk.pass(30);
    desk.lease_put();
    desk.on(Event::Lease(Reply::Rejected));
    assert_eq!(desk.effect(), Effect::Cancel);
    desk.on(Event::Ran(dayfly_shared::claim::RunEnd::Staged { bytes: 1, checksum: None }));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::Commit(task(1), attempt)));
    assert!(!desk.tenure.has_run_all());
}

#[test]
fn an_output_that_has_to_be_made_again_takes_the_slot_back() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    assert!(desk.tenure.has_run_all());
    desk.on(Event::Work(Reply::Restage));
    assert!(!desk.tenure.has_run_all());
}

#[test]
fn the_following_task_is_known_unless_something_stands_against_it() {
    let following = |desk: &Desk| desk.tenure.following().map(|next| next.id);
    let mut desk = Desk::claim(2, None);
    assert_eq!(following(&desk), None, "nothing is held yet");
    desk.lease_put();
    desk.applied();
    assert_eq!(following(&desk), Some(task(1)));
    assert_eq!(desk.effect(), Effect::Work(WorkAsk::HeadResult));
    desk.on(Event::Work(Reply::Absent));
    let attempt = desk.run(1);
    assert_eq!(following(&desk), None, "one at a time");
    desk.staged(1, attempt);
    assert_eq!(following(&desk), Some(task(2)));
    desk.on(Event::Release);
    assert_eq!(following(&desk), None, "the chunk is given back");

    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    assert_eq!(following(&desk), None, "it was the last");

    let mut desk = Desk::claim(2, Some(left(LeaseState::Released, 0, None)));
    desk.lease_put();
    desk.applied();
    assert_eq!(following(&desk), None, "it may be done already");
}
