//! Searches every state that the claim protocol can reach, within bounds that are printed.
//!
//! * [`fleet`]: agents that share chunks, with the real `Board` and `Tenure`;
//! * [`views`]: refreshers of plan and views, with the real `Refresh`;
//! * [`search`]: visits every state, checks the properties, and walks back from the ends;
//! * [`configurations`]: what is searched, and how far.
//!
//! Both are models of the `stateright` crate, whose own checker visits the same states in the tests.

pub mod configurations;
pub mod fleet;
pub mod planting;
pub mod pooled;
pub mod report;
pub mod search;
pub mod views;

use std::time::Duration;

use search::Caps;

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The large bounds: some ten minutes on two cores, and up to 4 GB.
    #[arg(long)]
    deep: bool,
    /// Plants each defect that the model must find, and looks for it.
    #[arg(long)]
    planted: bool,
    /// Only configurations whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Cuts a configuration after so many million states.
    #[arg(long, default_value_t = 120, value_name = "N")]
    millions: usize,
    /// Cuts a configuration after so many minutes.
    #[arg(long, default_value_t = 25, value_name = "N")]
    minutes: u64,
    /// Threads.
    #[arg(long, default_value_t = 2, value_name = "N")]
    threads: usize,
}

/// Runs it and prints what it found. Whether all is well.
pub fn run(options: &Options) -> bool {
    let caps = Caps {
        states: options.millions * 1_000_000,
        time: Duration::from_secs(options.minutes * 60),
        threads: options.threads,
    };
    if options.planted {
        return planting::run(caps);
    }
    let configurations = if options.deep { configurations::deep() } else { configurations::slice() };
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    report::run(configurations.into_iter().filter(|c| wanted(c.name())), caps)
}
