//! `dayfly retry`.

use dayfly_shared::keys::View;
use dayfly_shared::plan::clean_lines;

use super::rig::Rig;

async fn two_given_up() -> Rig {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat", "in4.dat", "in5.dat", "in6.dat"]).await;
    rig.done(1, "in3.dat").await;
    rig.given_up(2, "in4.dat", "it broke").await;
    rig.given_up(3, "in5.dat", "it broke").await;
    rig.view(View::Failed, &["in4.dat", "in5.dat"]).await;
    // As between two refreshes: in5 still stands in the list.
    rig.view(View::Tasklist, &["in5.dat", "in6.dat"]).await;
    rig
}

#[tokio::test]
async fn a_given_up_task_is_listed_as_if_by_hand_and_no_other_with_it() {
    let rig = two_given_up().await;
    rig.dayfly(&["retry", "in4.dat"]).ok();
    let list = rig.job().view(View::Tasklist).await.unwrap().unwrap();
    assert!(!list.marked, "only a list that dayfly did not write makes given-up names new tasks");
    assert_eq!(clean_lines(&list.text), ["in6.dat", "in4.dat"]);
    let status = rig.dayfly(&["status", "--json"]).ok().json();
    assert_eq!((&status["tasks"]["failed"], &status["tasks"]["unplanned"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn all_means_all_but_those_whose_output_came_late() {
    let rig = two_given_up().await;
    std::fs::write(rig.at("out5.dat"), "late").unwrap();
    let report = rig.dayfly(&["retry", "--all", "--json"]).ok().json();
    assert_eq!((&report["again"], &report["done"]), (&serde_json::json!(["in4.dat"]), &serde_json::json!(["in5.dat"])));
}

#[tokio::test]
async fn what_was_not_given_up_is_refused_by_name() {
    let rig = two_given_up().await;
    let before = rig.read("tasklist.txt");
    let words = ["in3.dat is done", "in6.dat is still to do", "in1.dat is no task", "nothing was changed"];
    rig.dayfly(&["retry", "in3.dat", "in4.dat", "in6.dat", "in1.dat"]).failed(1, &words);
    rig.dayfly(&["retry"]).failed(2, &["--all"]);
    assert_eq!(rig.read("tasklist.txt"), before);
}
