//! The configurations: what is searched, how far, and which planted defect each must find.

use dayfly_shared::planted::Defect;

use super::fleet::{Bounds, Setup};
use super::views::{Setup as ViewsSetup, Troubles};

/// One configuration of either model.
#[derive(Clone, Debug)]
pub enum Configuration {
    /// Agents that share chunks.
    Fleet(Setup),
    /// Refreshers of plan and views.
    Views(ViewsSetup),
}

const NONE: Bounds = Bounds {
    crashes: 0,
    drains: 0,
    lost: 0,
    late: 0,
    conflicts: 0,
    expiries: 0,
    heartbeats: 0,
    failures: 0,
    stalls: 0,
    launches: 0,
    pauses: 0,
};

/// Three agents and one chunk with one task.
const THREE: Setup = Setup {
    name: "",
    segments: &[&[1]],
    agents: 3,
    bounds: NONE,
    max_attempts: 2,
    max_losses: 1,
    lost_before: false,
    horizon: None,
};

/// The same with two.
const TWO: Setup = Setup { agents: 2, ..THREE };

const CALM: Troubles = Troubles { lost: 0, late: 0, conflicts: 0, crashes: 0, letters: 0, late_outputs: 0 };

fn fleets(setups: Vec<Setup>) -> impl Iterator<Item = Configuration> {
    setups.into_iter().map(Configuration::Fleet)
}

fn views(setups: Vec<ViewsSetup>) -> impl Iterator<Item = Configuration> {
    setups.into_iter().map(Configuration::Views)
}

/// The small bounds: a minute in all.
pub fn slice() -> Vec<Configuration> {
    let fleet = fleets(vec![
        Setup { name: "3 agents, 1 task: answers lost", bounds: Bounds { lost: 1, conflicts: 1, ..NONE }, ..THREE },
        Setup { name: "3 agents, 1 task: late writes", bounds: Bounds { late: 1, ..NONE }, ..THREE },
        Setup { name: "3 agents, 1 task: expiry", bounds: Bounds { expiries: 1, ..NONE }, ..THREE },
        Setup { name: "3 agents, 1 task: crashes", bounds: Bounds { crashes: 2, ..NONE }, ..THREE },
        Setup { name: "3 agents, 1 task: drain", bounds: Bounds { drains: 1, ..NONE }, ..THREE },
        Setup {
            name: "2 agents, 1 task: a little of everything",
            bounds: Bounds { crashes: 1, late: 1, expiries: 1, heartbeats: 1, stalls: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents, 1 task: late writes and lost ones",
            bounds: Bounds { late: 1, lost: 1, expiries: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents, 2 tasks: takeovers",
            segments: &[&[2]],
            bounds: Bounds { crashes: 1, drains: 1, expiries: 1, lost: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents, 2 chunks",
            segments: &[&[1], &[1]],
            bounds: Bounds { crashes: 1, expiries: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents, 2 tasks: dead letters",
            segments: &[&[2]],
            max_attempts: 1,
            bounds: Bounds { failures: 1, late: 1, expiries: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents, 1 task that takes agents with it",
            lost_before: true,
            bounds: Bounds { crashes: 3, expiries: 1, lost: 1, ..NONE },
            ..TWO
        },
        Setup { name: "2 agents by the clock", bounds: Bounds { pauses: 1, ..NONE }, horizon: Some(12), ..TWO },
    ]);
    let views = views(vec![
        ViewsSetup {
            name: "views: plan made twice",
            seeded: &["a", "b"],
            planned: false,
            additions: &[],
            troubles: CALM,
        },
        ViewsSetup {
            name: "views: late writes",
            seeded: &["a"],
            planned: false,
            additions: &[],
            troubles: Troubles { late: 1, lost: 1, ..CALM },
        },
        ViewsSetup {
            name: "views: a line added, and given up",
            seeded: &[],
            planned: false,
            additions: &["a"],
            troubles: Troubles { letters: 1, ..CALM },
        },
    ]);
    fleet.chain(views).collect()
}

/// The large bounds: some ten minutes in all, on two cores. The first one has 30 million states.
pub fn deep() -> Vec<Configuration> {
    let fleet = fleets(vec![
        Setup {
            name: "3 agents, 1 task: crash, late write, expiry, 409",
            bounds: Bounds { crashes: 1, late: 1, expiries: 1, conflicts: 1, ..NONE },
            ..THREE
        },
        Setup { name: "3 agents, 2 chunks", segments: &[&[1], &[1]], bounds: NONE, ..THREE },
        Setup {
            name: "2 agents, 1 task: everything",
            bounds: Bounds { crashes: 1, late: 1, lost: 1, expiries: 1, heartbeats: 1, stalls: 1, ..NONE },
            ..TWO
        },
        Setup {
            name: "2 agents by the clock, longer",
            bounds: Bounds { lost: 1, pauses: 1, ..NONE },
            horizon: Some(14),
            ..TWO
        },
    ]);
    let views = views(vec![
        ViewsSetup {
            name: "views: a person adds a line",
            seeded: &["a"],
            planned: false,
            additions: &["b"],
            troubles: CALM,
        },
        ViewsSetup {
            name: "views: a person lists a task anew",
            seeded: &["a"],
            planned: true,
            additions: &["a"],
            troubles: Troubles { letters: 1, ..CALM },
        },
    ]);
    fleet.chain(views).collect()
}

/// Which defect is found in which of the small configurations.
pub const CATCHES: [(Defect, &str); 12] = [
    (Defect::OutputWithoutCondition, "3 agents, 1 task: expiry"),
    (Defect::DeleteWithoutCondition, "3 agents, 1 task: expiry"),
    (Defect::BodyWithoutNonce, "2 agents by the clock"),
    (Defect::AdoptByName, "2 agents, 1 task: late writes and lost ones"),
    (Defect::NoExpiry, "2 agents, 2 chunks"),
    (Defect::ConflictMeansTaken, "3 agents, 1 task: answers lost"),
    (Defect::TrimBeforeCompleted, "views: plan made twice"),
    (Defect::ListBeforeRead, "views: a line added, and given up"),
    (Defect::RetryWithNewNonce, "3 agents, 1 task: answers lost"),
    (Defect::AttemptUsedTwice, "2 agents, 2 tasks: takeovers"),
    (Defect::EndWithReleasedLeft, "3 agents, 1 task: drain"),
    (Defect::ChunkIdsRestart, "2 agents, 2 chunks"),
];

/// Defects that this model cannot show: the model's clocks agree, so one that trusts a wall clock does no harm here.
pub const LEFT_TO_THE_SIMULATOR: [Defect; 1] = [Defect::ExpiryByWallClock];
