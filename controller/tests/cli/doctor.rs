//! `dayfly doctor` on a folder. On services: the end-to-end tests.

use super::rig::{Rig, files};

#[tokio::test]
async fn a_folder_is_safe_and_left_as_it_was() {
    let rig = Rig::seeded();
    let before = files(&rig.at(""));
    let report = rig.dayfly(&["doctor", "--rounds", "3", "--json", "-q"]).ok().json();
    assert_eq!(
        (&report["verdict"], &report["store"], &report["clean"]),
        (&"safe".into(), &"local".into(), &true.into())
    );
    assert_eq!(files(&rig.at("")), before);
}
