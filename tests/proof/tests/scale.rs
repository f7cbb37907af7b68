//! The scale simulation, small: it ends, it adds up, and the same seed gives the same figures.

use dayfly_proof::scale::{Figures, Scenario, simulate};

fn small() -> Figures {
    simulate(Scenario::new(20_000, 100, 0.5))
}

#[test]
fn every_chunk_is_closed_and_the_counts_add_up() {
    let figures = small();
    assert!(figures.hold(), "{figures:?}");
    let [claims, results, listings] = figures.sharing;
    let chunks = u64::from(figures.chunks);
    // Each chunk has one result; a second one may be tried, and is rejected.
    assert_eq!(results.puts - results.rejected, chunks);
    // It was claimed, or taken over after it was given back or its agent died.
    let takeovers: u64 = figures.takeovers.iter().sum();
    assert!(claims.puts - claims.rejected >= chunks + takeovers, "{figures:?}");
    assert!(figures.runs >= 20_000);
    assert_eq!(listings.lists % 2, 0, "results and semaphores are listed in pairs");
    assert!(figures.makespan >= figures.ideal);
    // Far from the two of one-task chunks: that is what lanes and large chunks are for.
    assert!(figures.writes_a_task() < 0.3 && figures.rejected_a_task() < 0.02, "{figures:?}");
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    assert_eq!(format!("{:?}", small()), format!("{:?}", small()));
    let other = simulate(Scenario { seed: 2, ..Scenario::new(20_000, 100, 0.5) });
    assert_ne!(small().makespan.to_bits(), other.makespan.to_bits());
}

#[test]
fn machines_that_vanish_cost_no_task() {
    let figures = simulate(Scenario { crashes: 2.0, reclaims: 2.0, ..Scenario::new(20_000, 100, 0.5) });
    assert!(figures.lost.0 > 20 && figures.lost.1 > 20, "{figures:?}");
    assert!(figures.takeovers.iter().all(|n| *n > 0), "{figures:?}");
    assert!(figures.hold(), "{figures:?}");
}

#[test]
fn fleets_of_another_size_than_the_job_was_told_finish_too() {
    for (agents, told) in [(100, 1), (30, 100), (100, 30)] {
        let figures = simulate(Scenario { told: Some(told), ..Scenario::new(10_500, agents, 0.5) });
        assert!(figures.hold(), "{agents} told {told}: {figures:?}");
    }
}
