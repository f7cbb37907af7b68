//! The configurations.

use super::fleet::{Bounds, Setup};

const NONE: Bounds = Bounds { crashes: 0, drains: 0, lost: 0, late: 0, conflicts: 0, expiries: 0, heartbeats: 0, failures: 0, stalls: 0, launches: 0, pauses: 0 };

const ONE: Setup = Setup {
    name: "one chunk, one task",
    segments: &[&[1]],
    agents: 3,
    bounds: NONE,
    max_attempts: 2,
    max_losses: 1,
    lost_before: false,
    horizon: None,
};

/// The slice.
pub fn slice() -> Vec<Setup> {
    vec![
        Setup { name: "none", ..ONE },
        Setup { name: "lost", bounds: Bounds { lost: 1, ..NONE }, ..ONE },
        Setup { name: "late", bounds: Bounds { late: 1, ..NONE }, ..ONE },
        Setup { name: "exp", bounds: Bounds { expiries: 1, ..NONE }, ..ONE },
        Setup { name: "crash", bounds: Bounds { crashes: 1, ..NONE }, ..ONE },
        Setup { name: "drain", bounds: Bounds { drains: 1, ..NONE }, ..ONE },
        Setup { name: "stall", bounds: Bounds { stalls: 1, ..NONE }, ..ONE },
        Setup { name: "conflict", bounds: Bounds { conflicts: 1, ..NONE }, ..ONE },
        Setup { name: "heart", bounds: Bounds { heartbeats: 1, ..NONE }, ..ONE },
        Setup { name: "fail", bounds: Bounds { failures: 2, ..NONE }, ..ONE },
        Setup { name: "two tasks", segments: &[&[2]], ..ONE },
        Setup { name: "two chunks", segments: &[&[1], &[1]], ..ONE },
        Setup { name: "losses", agents: 2, lost_before: true, bounds: Bounds { crashes: 2, ..NONE }, ..ONE },
        Setup { name: "mix2", agents: 2, bounds: Bounds { crashes: 1, late: 1, expiries: 1, ..NONE }, ..ONE },
        Setup { name: "mix3", bounds: Bounds { crashes: 1, late: 1, expiries: 1, ..NONE }, ..ONE },
        Setup { name: "timed", agents: 2, bounds: Bounds { lost: 1, pauses: 1, ..NONE }, horizon: Some(16), ..ONE },
    ]
}

/// Views.
pub fn views() -> Vec<super::views::Setup> {
    use super::views::{Setup, Troubles};
    let none = Troubles::default();
    vec![
        Setup { name: "v none", seeded: &["a"], additions: &[], troubles: none },
        Setup { name: "v late", seeded: &["a"], additions: &[], troubles: Troubles { late: 1, ..none } },
        Setup { name: "v add", seeded: &["a"], additions: &["b"], troubles: none },
        Setup { name: "v fail", seeded: &["a"], additions: &["a"], troubles: Troubles { letters: 1, ..none } },
        Setup { name: "v two", seeded: &["a", "b"], additions: &[], troubles: none },
    ]
}
