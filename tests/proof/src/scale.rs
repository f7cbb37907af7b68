//! What a million tasks cost and how long they take.
//!
//! A discrete-event simulation of whole fleets against one bucket. The agents run the product's own
//! [`Board`](dayfly_shared::claim::Board), [`Tenure`](dayfly_shared::claim::Tenure) with its lease,
//! [`Policy`](dayfly_shared::claim::Policy), `chunk_sizes` and `refresh_interval`; the loop around them mirrors
//! `agent/src/driver`, with one slot. Seats and views are aggregates (see `ending.rs`), requests are never lost or refused,
//! and two writes of one key never answer 409.

mod agent;
mod bill;
mod bucket;
mod ending;
mod fleet;
mod latency;
mod scenario;
mod table;

pub use bill::Tally;
pub use scenario::Scenario;
pub use table::Figures;

use std::time::Duration;

/// Virtual time in microseconds.
type Micros = u64;

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A slice that takes seconds: 20,000 tasks on 100 agents
    #[arg(long)]
    small: bool,
    /// Of all that is drawn at random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this many tasks …
    #[arg(long, requires = "agents")]
    tasks: Option<u32>,
    /// … on this many agents
    #[arg(long, requires = "tasks")]
    agents: Option<u32>,
    /// … of which the job was told of so many only
    #[arg(long, requires = "tasks")]
    told: Option<u32>,
    /// … of this shape
    #[arg(long, default_value_t = 0.5)]
    sigma: f64,
    /// Over how many seconds the machines come up
    #[arg(long, default_value_t = 60)]
    boot_spread: u64,
    /// With --tasks: in chunks of one task
    #[arg(long)]
    one_task_chunks: bool,
}

/// Simulates one fleet to its end.
pub fn simulate(scenario: Scenario) -> Figures {
    let mut fleet = fleet::Fleet::new(scenario);
    fleet.run();
    Figures::of(&fleet)
}

/// Runs it and prints what it found. Whether all is well.
pub fn run(options: &Options) -> bool {
    let scenario = |tasks, agents, sigma| Scenario {
        seed: options.seed,
        boot_spread: Duration::from_secs(options.boot_spread),
        ..Scenario::new(tasks, agents, sigma)
    };
    let scenarios = match (options.tasks, options.agents) {
        (Some(tasks), Some(agents)) => {
            vec![Scenario {
                one_task_chunks: options.one_task_chunks,
                told: options.told,
                ..scenario(tasks, agents, options.sigma)
            }]
        }
        _ if options.small => vec![scenario(20_000, 100, 0.5)],
        _ => vec![
            scenario(10_000, 10, 0.5),
            scenario(1_000_000, 100, 0.5),
            scenario(1_000_000, 1_000, 0.5),
            scenario(1_000_000, 1_000, 1.0),
            scenario(1_000_000, 10_000, 0.5),
            scenario(1_000_000, 10_000, 1.0),
            Scenario { one_task_chunks: true, ..scenario(1_000_000, 1_000, 0.5) },
        ],
    };
    table::print_assumptions(&scenarios[0]);
    let mut held = true;
    let mut all = Vec::new();
    for scenario in scenarios {
        let figures = simulate(scenario);
        held &= figures.hold() && figures.reaches_target();
        all.push(figures);
    }
    table::print(&all);
    held
}
