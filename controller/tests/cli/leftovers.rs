//! `dayfly clean`.

use bytes::Bytes;
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
