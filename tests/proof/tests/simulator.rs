//! The simulator itself: the same seed is the same story, and every guarantee holds in many of them.

use dayfly_proof::simulator::{Fault, Overlaps, run_schedule, run_schedules};

#[test]
fn one_seed_is_one_trace() {
    for seed in 0..40 {
        let (one, other) = (run_schedule(seed, true), run_schedule(seed, true));
        let (one, other) = (one.trace.unwrap_or_default(), other.trace.unwrap_or_default());
        assert!(one.lines().count() > 20, "seed {seed} tells of something");
        assert_eq!(one, other, "seed {seed} is told the same twice");
    }
    assert_ne!(run_schedule(1, true).trace, run_schedule(2, true).trace);
}

#[test]
fn a_trace_changes_nothing() {
    for seed in 0..40 {
        let (told, untold) = (run_schedule(seed, true), run_schedule(seed, false));
        assert_eq!(
            (told.requests, told.simulated, told.faults),
            (untold.requests, untold.simulated, untold.faults),
            "seed {seed}"
        );
    }
}

#[test]
fn every_guarantee_holds_under_every_fault() {
    let sum = run_schedules(0, 3000, 2);
    assert_eq!(sum.violation, None);
    for fault in Fault::OF_REQUESTS.into_iter().chain(Fault::OF_FLEETS) {
        assert!(sum.faults.0.get(&fault).is_some_and(|count| *count > 0), "{fault:?} was never injected");
    }
    let Overlaps { claimed_beside, fetched_ahead, dropped } = sum.overlaps;
    assert!(claimed_beside > 0 && fetched_ahead > 0 && dropped > 0, "{:?}", sum.overlaps);
}
