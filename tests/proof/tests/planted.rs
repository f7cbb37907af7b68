//! Each known defect, planted, is caught by the simulator. (Planting is for the whole process: one test, by itself.)

use dayfly_proof::simulator::catch_planted;

#[test]
fn every_planted_defect_is_caught() {
    assert!(catch_planted(0, 6000, 2), "see above which one was not");
}
