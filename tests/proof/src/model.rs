//! Searches every state that the claim protocol can reach.

pub mod configurations;
pub mod fleet;
pub mod pooled;
pub mod search;
pub mod views;

use std::time::Duration;

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The large bounds: minutes, not seconds.
    #[arg(long)]
    pub deep: bool,
    /// Only configurations whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
    /// Stop a configuration after so many states, in millions.
    #[arg(long, default_value_t = 80)]
    pub millions: usize,
}

/// Runs it and prints what it found. Whether all is well.
pub fn run(options: &Options) -> bool {
    let caps = search::Caps { states: options.millions * 1_000_000, time: Duration::from_secs(1500), threads: 2 };
    for setup in configurations::slice() {
        if options.only.as_ref().is_some_and(|only| !setup.name.contains(only.as_str())) { continue; }
        println!("{} {:?}", setup.name, setup.bounds);
        let fleet = fleet::Fleet::new(setup);
        let f = search::search(&fleet, caps);
        println!("  states {} transitions {} depth {} ends {} {:.1}s", f.states, f.transitions, f.depth, f.ends, f.took.as_secs_f64());
        match f.verdict {
            search::Verdict::Violated { property, trace } => {
                println!("  VIOLATED {property}");
                for (n, line) in trace.iter().enumerate().take(150) { println!("   {n:3} {line}"); }
            }
            v => println!("  {v:?}"),
        }
    }
    for setup in configurations::views() {
        if options.only.as_ref().is_some_and(|only| !setup.name.contains(only.as_str())) { continue; }
        println!("{} {:?}", setup.name, setup.troubles);
        let fleet = views::Views::new(setup);
        let f = search::search(&fleet, caps);
        println!("  states {} transitions {} depth {} ends {} {:.1}s", f.states, f.transitions, f.depth, f.ends, f.took.as_secs_f64());
        match f.verdict {
            search::Verdict::Violated { property, trace } => {
                println!("  VIOLATED {property}");
                for (n, line) in trace.iter().enumerate().take(150) { println!("   {n:3} {line}"); }
            }
            v => println!("  {v:?}"),
        }
    }
    true
}
