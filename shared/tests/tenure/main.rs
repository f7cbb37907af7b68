//! The tenure's state machine, answer by answer: what each answer of the store makes it do.

mod commit;
mod desk;
mod failure;
mod handover;
mod lease;
mod passing;

use dayfly_shared::claim::{Effect, Event, Reply, TenureOver, WorkAsk};
use dayfly_shared::ids::Nonce;
use dayfly_shared::records::{TaskOutcome, TenureEnd};
use dayfly_shared::store::Condition;

use desk::{Desk, tag};

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
fn a_store_that_refuses_ends_the_tenure_with_its_words() {
    let (mut desk, attempt) = Desk::working(1);
    desk.staged(1, attempt);
    desk.on(Event::Work(Reply::Broken("403".to_owned())));
    assert_eq!(desk.over(), TenureOver::Broken("403".to_owned()));
}
