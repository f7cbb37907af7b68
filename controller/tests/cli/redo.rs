//! `dayfly seed --redo`.

use super::rig::Rig;

#[test]
fn an_output_from_before_the_job_is_deleted_and_listed_anew() {
    let rig = Rig::seeded();
    rig.dayfly(&["seed", "--redo", "in[01].dat"]).failed(2, &["Delete 2 outputs", "in0.dat, in1.dat", "--yes"]);
    assert!(rig.at("out0.dat").exists());
    let report = rig.dayfly(&["seed", "--redo", "in0.dat", "--yes", "--json"]).ok().json();
    assert_eq!((&report["redone"], &report["to_do"]), (&1.into(), &8.into()));
    assert!(!rig.at("out0.dat").exists() && rig.at("out1.dat").exists());
    assert_eq!(rig.read("completed.txt"), "in1.dat\nin2.dat\n");
    assert!(rig.read("tasklist.txt").lines().any(|line| line == "in0.dat"));
}

#[tokio::test]
async fn what_the_plan_knows_is_refused_with_the_way_to_do_it() {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat", "in4.dat"]).await;
    std::fs::write(rig.at("out3.dat"), "made").unwrap();
    rig.done(1, "in3.dat").await;
    let words =
        ["in3.dat cannot be done again in this job", "nothing was changed", "--inputs s3://dayfly/ --glob 'in3.dat'"];
    rig.dayfly(&["seed", "--redo", "in3.dat", "--yes"]).failed(1, &words);
    assert_eq!(rig.read("out3.dat"), "made");
    // One that the plan does not know goes, plan or not.
    rig.dayfly(&["seed", "--redo", "in2.dat", "--yes"]).ok();
    assert!(!rig.at("out2.dat").exists());
}

#[test]
fn a_name_that_is_no_input_is_said_to_be_none() {
    let rig = Rig::seeded();
    rig.dayfly(&["seed", "--redo", "out0.dat", "--yes"]).failed(2, &["no input is called out0.dat"]);
    assert!(rig.at("out0.dat").exists());
}
