//! `dayfly pause`, `resume` and `cancel`.

use dayfly_shared::records::ControlState;

use super::rig::Rig;

async fn state(rig: &Rig) -> (ControlState, Option<String>) {
    let (control, _) = rig.job().control().await.unwrap().unwrap();
    (control.state, control.why)
}

#[tokio::test]
async fn agents_are_told_and_status_says_why() {
    let rig = Rig::seeded();
    rig.dayfly(&["pause", "--why", "too dear"]).ok();
    assert_eq!(state(&rig).await, (ControlState::Paused, Some("too dear".to_owned())));
    let status = rig.dayfly(&["status"]).ok().stdout;
    assert!(status.contains("paused: too dear"), "{status}");
    let again = rig.dayfly(&["pause", "--json"]).ok().json();
    assert_eq!((&again["changed"], state(&rig).await.1.as_deref()), (&false.into(), Some("too dear")));
    rig.dayfly(&["resume"]).ok();
    assert_eq!(state(&rig).await, (ControlState::Running, None));
    rig.dayfly(&["drain", "--why", "the cap"]).ok();
    assert_eq!(state(&rig).await, (ControlState::Draining, Some("the cap".to_owned())));
    let status = rig.dayfly(&["status"]).ok().stdout;
    assert!(status.contains("draining: the cap"), "{status}");
    rig.dayfly(&["resume"]).ok();
    rig.dayfly(&["cancel"]).ok();
    assert_eq!(state(&rig).await.0, ControlState::Cancelled);
    let watched = rig.dayfly(&["watch"]);
    assert_eq!(watched.code, 5, "{watched:?}");
}
