//! Deterministic simulation: whole fleets, each agent the very driver that the binary runs, in one thread under simulated
//! time, against the store in memory behind a network that loses, delays, repeats and damages. One seed is one schedule:
//! what it is about, what goes wrong in it and when is all drawn from the seed, and the same seed gives the same events.

mod agent;
mod bystander;
mod clock;
mod faults;
mod scenario;
mod schedule;
mod store;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use faults::{Fault, FaultCounts};
pub use schedule::{Report, run as run_schedule};

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// So many schedules.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// The seed of the first.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this schedule, with every event.
    #[arg(long, conflicts_with = "schedules")]
    seed: Option<u64>,
    /// Threads; each runs schedules of its own.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

/// What many schedules came to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// How many ran.
    pub schedules: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Requests of agents.
    pub requests: u64,
    /// What went wrong on the way.
    pub faults: FaultCounts,
    /// The lowest seed whose schedule broke a guarantee, and which.
    pub violation: Option<(u64, String)>,
}

impl Sum {
    fn add(&mut self, seed: u64, report: Report) {
        self.schedules += 1;
        self.simulated += report.simulated;
        self.requests += report.requests;
        self.faults += &report.faults;
        if let Some(what) = report.violation {
            self.note_violation(seed, what);
        }
    }

    fn note_violation(&mut self, seed: u64, what: String) {
        if self.violation.as_ref().is_none_or(|(first, _)| seed < *first) {
            self.violation = Some((seed, what));
        }
    }

    fn merge(&mut self, other: Sum) {
        self.schedules += other.schedules;
        self.simulated += other.simulated;
        self.requests += other.requests;
        self.faults += &other.faults;
        if let Some((seed, what)) = other.violation {
            self.note_violation(seed, what);
        }
    }
}

/// Runs the schedules of `count` seeds from `from` on, on `threads` threads, until one breaks a guarantee.
pub fn run_schedules(from: u64, count: u64, threads: u64) -> Sum {
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let one_thread = || {
        let mut sum = Sum::default();
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= from + count {
                break;
            }
            sum.add(seed, run_schedule(seed, false));
            if sum.violation.is_some() {
                stop.store(true, Relaxed);
            }
        }
        sum
    };
    let mut all = Sum::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one_thread)).collect();
        for thread in threads {
            match thread.join() {
                Ok(sum) => all.merge(sum),
                Err(_) => all.note_violation(u64::MAX, "a schedule panicked".to_owned()),
            }
        }
    });
    all
}

/// Runs it and prints what it found. Whether all is well.
pub fn run(options: &Options) -> bool {
    if let Some(seed) = options.seed {
        let report = run_schedule(seed, true);
        print!("{}", report.trace.unwrap_or_default());
        return match report.violation {
            Some(what) => {
                println!("seed {seed}: VIOLATION: {what}");
                false
            }
            None => {
                println!("seed {seed}: every guarantee held");
                true
            }
        };
    }
    let sum = run_schedules(options.from, options.schedules, options.threads);
    println!(
        "{} schedules, {:.0} simulated hours, {} requests, {} faults injected",
        sum.schedules,
        sum.simulated.as_secs_f64() / 3600.0,
        sum.requests,
        sum.faults.total()
    );
    for (fault, count) in &sum.faults.0 {
        println!("  {count:>10}  {fault:?}");
    }
    match sum.violation {
        Some((seed, what)) => {
            println!("VIOLATION in seed {seed}: {what}\nreplay: dayfly-prove simulate --seed {seed}");
            false
        }
        None => {
            println!("no violation");
            true
        }
    }
}
