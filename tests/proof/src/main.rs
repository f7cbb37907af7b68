//! `dayfly-prove`: checks the protocol harder than tests can. See shared/README.md, "What was checked".

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dayfly_proof::{model, scale, simulator};

/// Checks dayfly's protocol: by search of every state, by simulation, at scale.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Searches every state that the claim protocol can reach, within printed bounds.
    Model(model::Options),
    /// Runs whole fleets under seeded faults.
    Simulate(simulator::Options),
    /// What a million tasks cost and how long they take, on fleets of many sizes.
    Scale(scale::Options),
}

fn main() -> ExitCode {
    let held = match Cli::parse().what {
        What::Model(options) => model::run(&options),
        What::Simulate(options) => simulator::run(&options),
        What::Scale(options) => scale::run(&options),
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
