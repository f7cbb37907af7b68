//! `dayfly clean`.

use bytes::Bytes;
use dayfly_shared::keys::View;
use dayfly_shared::store::{Attributes, Condition, Store as _};

use super::rig::{Rig, files};

async fn interrupted() -> Rig {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat", "in4.dat"]).await;
    rig.done(1, "in3.dat").await;
    rig.hold(1, "in3.dat").await;
    rig.hold(2, "in4.dat").await;
    let store = rig.store("dayfly");
    let none = Attributes::default();
    store.put("scratch/0000000000000001/put", Bytes::from_static(b"x"), &none, &Condition::Create).await.unwrap();
    let upload = store.upload_begin("out4.dat", &none).await.unwrap();
    store.upload_part(&upload, 1, Bytes::from_static(b"half")).await.unwrap();
    rig
}

#[tokio::test]
async fn what_interrupted_work_left_goes_and_nothing_else() {
    let rig = interrupted().await;
    let before = files(&rig.at(""));
    rig.dayfly(&["clean", "--older-than", "0s", "-q"]).failed(2, &["Remove these?", "--yes"]);
    assert_eq!(files(&rig.at("")), before);
    let report = rig.dayfly(&["clean", "--older-than", "0s", "--yes", "--json"]).ok().json();
    assert_eq!(report["removed"], 3);
    let gone = ["scratch/0000000000000001/put", "semaphores/0001-0000001.in3.dat.json"];
    let expected: Vec<String> = before.into_iter().filter(|name| !gone.contains(&name.as_str())).collect();
    assert_eq!(files(&rig.at("")), expected, "the semaphore of in4, which is held, stays");
    assert_eq!(rig.store("dayfly").uploads("").await.unwrap(), []);
    let again = rig.dayfly(&["clean", "--older-than", "0s"]).ok().stdout;
    assert!(again.contains("nothing to remove"), "{again}");
}

#[tokio::test]
async fn what_is_young_may_be_in_use_and_stays() {
    let rig = interrupted().await;
    let report = rig.dayfly(&["clean", "--yes", "--json"]).ok().json();
    // A semaphore whose result stands is stale whatever its age.
    assert_eq!((&report["removed"], &report["semaphores"].as_array().unwrap().len()), (&1.into(), &1));
    assert_eq!(rig.store("dayfly").uploads("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_seat_of_an_agent_that_is_gone_goes_and_one_in_use_stays() {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat"]).await;
    rig.done(1, "in3.dat").await;
    let store = rig.store("dayfly");
    let none = Attributes::default();
    for seat in ["standby/0001.json", "standby/0002.json"] {
        store.put(seat, Bytes::from_static(b"{}"), &none, &Condition::Create).await.unwrap();
    }
    // Renewed last a week after 1970.
    let left = std::fs::File::options().write(true).open(rig.at("standby/0001.json")).unwrap();
    left.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(604_800)).unwrap();
    let report = rig.dayfly(&["clean", "--yes", "--json"]).ok().json();
    assert_eq!(report["seats"], serde_json::json!(["standby/0001.json"]));
    let seats: Vec<String> = files(&rig.at("")).into_iter().filter(|name| name.starts_with("standby/")).collect();
    assert_eq!(seats, ["standby/0002.json"]);
}

fn a_week_after_1970(path: &std::path::Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(604_800)).unwrap();
}

/// A manifest is write-once, so what it does not name never counts; without one, only what can no more get one goes.
#[tokio::test]
async fn files_of_attempts_that_lost_go_and_those_that_may_be_committed_stay() {
    let rig = Rig::new();
    std::fs::create_dir_all(rig.at("")).unwrap();
    let list = rig.file("list.txt", "won\nlost\nyoung\nopen\n");
    rig.dayfly(&["seed", "--tasks", &list, "--shell", "echo {name} > {output_dir}/x"]).ok();
    rig.plan(&["won", "lost", "young", "open"]).await;
    rig.view(View::Tasklist, &["open"]).await;
    rig.done(1, "won").await;
    rig.given_up(2, "lost", "no").await;
    rig.given_up(3, "young", "no").await;
    let store = rig.store("dayfly");
    let put = async |key: &str, body: &'static [u8]| {
        store.put(key, Bytes::from_static(body), &Attributes::default(), &Condition::Create).await.unwrap();
    };
    let (first, second) = ("1-0000000000000001-1", "2-0000000000000002-1");
    for (name, attempt) in [("won", first), ("won", second), ("lost", first), ("young", first), ("open", first)] {
        put(&format!("out/{name}/{attempt}/x"), b"x").await;
    }
    a_week_after_1970(&rig.at(&format!("out/lost/{first}/x")));
    a_week_after_1970(&rig.at(&format!("out/open/{first}/x")));
    put(
        "out/won/manifest.json",
        br#"{"schema": 1, "task": "0001-0000001", "name": "won", "attempt": "2-0000000000000002-1",
             "files": [{"path": "x", "bytes": 1, "checksum": "crc32:AAAAAA=="}]}"#,
    )
    .await;
    for checkpoint in ["checkpoints/0001-0000001.won.tar", "checkpoints/0001-0000004.open.tar"] {
        put(checkpoint, b"x").await;
    }
    let report = rig.dayfly(&["clean", "--older-than", "0s", "--yes", "--json"]).ok().json();
    assert_eq!(report["attempt_files"], serde_json::json!([rig.at(&format!("out/won/{first}/x"))]), "{report}");
    assert_eq!(report["checkpoints"], serde_json::json!(["checkpoints/0001-0000001.won.tar"]), "{report}");
    rig.done(4, "open").await;
    rig.dayfly(&["clean", "--older-than", "0s", "--yes"]).ok();
    let left: Vec<String> = files(&rig.at("")).into_iter().filter(|name| name.starts_with("out/")).collect();
    let kept = [
        "open/1-0000000000000001-1/x",
        "won/2-0000000000000002-1/x",
        "won/manifest.json",
        "young/1-0000000000000001-1/x",
    ];
    assert_eq!(left, kept.map(|name| format!("out/{name}")), "what is young may be on its way still");
    assert!(!files(&rig.at("")).iter().any(|name| name.starts_with("checkpoints/")));
}
