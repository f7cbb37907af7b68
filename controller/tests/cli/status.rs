//! `dayfly status`, `watch` and `jobs`.

use std::fs;

use super::rig::{Rig, place};
use dayfly_shared::keys::View;

/// Four tasks: one done, one given up, one held, one free; and a line that nobody planned yet.
async fn half_way() -> Rig {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat", "in4.dat", "in5.dat", "in6.dat"]).await;
    rig.done(1, "in3.dat").await;
    rig.given_up(2, "in4.dat", "it broke").await;
    rig.hold(3, "in5.dat").await;
    rig.view(View::Tasklist, &["in5.dat", "in6.dat", "in7.dat"]).await;
    rig
}

#[tokio::test]
async fn status_counts_what_the_bucket_holds() {
    let rig = half_way().await;
    let status = rig.dayfly(&["status", "--json"]).ok().json();
    // in0 to in2 were done before; in7 is on the list and not planned.
    let expected = serde_json::json!({"total": 8, "done": 4, "failed": 1, "unplanned": 1});
    assert_eq!(status["tasks"], expected);
    assert_eq!(
        (&status["state"], &status["chunks"], &status["chunks_closed"]),
        (&"running".into(), &4.into(), &2.into())
    );
    assert_eq!(
        (&status["running"][0]["name"], &status["running"][0]["agent"]),
        (&"in5.dat".into(), &"tester-00000001".into())
    );
    assert_eq!(
        (&status["given_up"][0]["name"], &status["given_up"][0]["error"]),
        (&"in4.dat".into(), &"it broke".into())
    );
    let text = rig.dayfly(&["status"]).ok().stdout;
    for words in [
        "4 of 8 done, 1 given up, 1 running",
        "1 line of tasklist.txt not planned",
        "in4.dat  after 1 attempt: it broke",
        "in5.dat  on tester-00000001",
    ] {
        assert!(text.contains(words), "no '{words}' in: {text}");
    }
}

#[tokio::test]
async fn watch_ends_with_the_job_and_says_whether_tasks_failed() {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat", "in4.dat"]).await;
    rig.done(1, "in3.dat").await;
    rig.given_up(2, "in4.dat", "it broke").await;
    rig.view(View::Tasklist, &[]).await;
    let ran = rig.dayfly(&["watch", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let last: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["tasks"]["failed"]), (&"over".into(), &1.into()));
}

#[test]
fn where_there_is_no_job_that_is_said() {
    let rig = Rig::new();
    rig.dayfly(&["status"]).failed(1, &["no folder", "seed"]);
    fs::create_dir_all(rig.at("")).unwrap();
    for verb in ["status", "watch", "pause", "clean"] {
        rig.dayfly(&[verb, "s3://dayfly/typo"]).failed(1, &["no job at s3://dayfly/typo/"]);
    }
    assert!(!rig.at("typo").exists());
    rig.dayfly(&["status", "s3://other/"]).failed(1, &["no bucket 'other'"]);
}

#[test]
fn jobs_lists_each_job_once_with_its_state() {
    let rig = Rig::new();
    rig.file("data/in1.dat", "x");
    rig.file("data/in2.dat", "x");
    rig.file("k", "k");
    for job in ["s3://dayfly/a/one", "s3://dayfly/two"] {
        fs::create_dir_all(rig.at("")).unwrap();
        rig.dayfly(&["seed", job, "--inputs", "data", "--kernel", "k"]).ok();
    }
    fs::create_dir_all(rig.at("no-job")).unwrap();
    fs::write(rig.at("no-job/file"), "").unwrap();
    rig.dayfly(&["pause", "s3://dayfly/two", "--why", "lunch"]).ok();
    let jobs = rig.dayfly(&["jobs", "s3://dayfly/", "--json"]).ok().json();
    let found: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|j| (&j["job"], &j["state"], &j["open"])).collect();
    let (one, two) = (place("s3://dayfly/a/one").to_string().into(), place("s3://dayfly/two").to_string().into());
    assert_eq!(found.len(), 2);
    assert!(found.contains(&(&one, &"open".into(), &2.into())) && found.contains(&(&two, &"paused".into(), &2.into())));
}
