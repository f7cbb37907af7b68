//! `dayfly fetch`.

use std::fs;
use std::path::Path;

use dayfly_shared::keys::View;

use super::rig::{Rig, files};

#[tokio::test]
async fn outputs_arrive_once_and_whole() {
    let rig = Rig::seeded();
    rig.plan(&["in3.dat"]).await;
    fs::write(rig.at("out3.dat"), "three").unwrap();
    // Not committed: no result says so.
    fs::write(rig.at("out4.dat"), "four").unwrap();
    rig.done(1, "in3.dat").await;
    let first = rig.dayfly(&["fetch", "results", "--json"]).ok().json();
    assert_eq!((&first["fetched"], &first["there"]), (&4.into(), &0.into()));
    let dir = rig.beside("results");
    assert_eq!(files(Path::new(&dir)), ["out0.dat", "out1.dat", "out2.dat", "out3.dat"]);
    assert!(fs::read(format!("{dir}/out0.dat")).unwrap() == fs::read(rig.at("out0.dat")).unwrap());
    // One of the right size and the wrong content, one that is gone.
    fs::write(format!("{dir}/out3.dat"), "THREE").unwrap();
    fs::remove_file(format!("{dir}/out0.dat")).unwrap();
    let second = rig.dayfly(&["fetch", "s3://dayfly/", "results", "--json"]).ok().json();
    assert_eq!((&second["fetched"], &second["there"]), (&2.into(), &2.into()));
    assert_eq!(fs::read_to_string(format!("{dir}/out3.dat")).unwrap(), "three");
}

#[test]
fn a_glob_chooses_by_either_name() {
    let rig = Rig::seeded();
    rig.dayfly(&["fetch", "one", "--glob", "out1*"]).ok();
    rig.dayfly(&["fetch", "two", "--glob", "in2*"]).ok();
    assert_eq!(files(Path::new(&rig.beside("one"))), ["out1.dat"]);
    assert_eq!(files(Path::new(&rig.beside("two"))), ["out2.dat"]);
}

#[tokio::test]
async fn an_output_that_is_gone_is_named_and_the_rest_arrives() {
    let rig = Rig::seeded();
    rig.view(View::Completed, &["in0.dat", "in9.dat", "../evil"]).await;
    let words = ["2 outputs did not arrive", "out9.dat", "out/../evil", "1 output in results", "run it again"];
    rig.dayfly(&["fetch", "results"]).failed(1, &words);
    assert_eq!(files(Path::new(&rig.beside("results"))), ["out0.dat"]);
    rig.file("file", "");
    rig.dayfly(&["fetch", "file/dir"]).failed(1, &["file/dir"]);
}
