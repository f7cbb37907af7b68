//! Deterministic simulation: whole fleets, each agent the very driver that the binary runs, in one thread under simulated
//! time, against the store in memory behind a network that loses, delays, repeats and damages. One seed is one schedule:
//! what it is about, what goes wrong in it and when is all drawn from the seed, and the same seed gives the same events.

mod agent;
mod bystander;
mod clock;
mod faults;
mod overlap;
mod scenario;
mod schedule;
mod sights;
mod store;
mod takeover;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dayfly_shared::planted::{Defect, plant};

pub use faults::{Fault, FaultCounts};
pub use overlap::Overlaps;
pub use schedule::{Report, run as run_schedule};
pub use takeover::Takeover;

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
    /// Plants each known defect in turn and says which seed caught it.
    #[arg(long, conflicts_with = "seed")]
    planted: bool,
    /// Instead: so many killed agents, and how soon their chunks are taken over.
    #[arg(long, conflicts_with_all = ["seed", "planted"])]
    takeovers: Option<u64>,
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
    /// What overlapped within agents.
    pub overlaps: Overlaps,
    /// The lowest seed whose schedule broke a guarantee, and which.
    pub violation: Option<(u64, String)>,
}

impl Sum {
    fn add(&mut self, seed: u64, report: Report) {
        self.schedules += 1;
        self.simulated += report.simulated;
        self.requests += report.requests;
        self.faults += &report.faults;
        self.overlaps += report.overlaps;
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
        self.overlaps += other.overlaps;
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

/// Defects that no simulation of whole fleets can show: a claim that is not recognised only costs the wait for its expiry.
/// The model checker catches them.
pub const LEFT_TO_THE_MODEL: [Defect; 1] = [Defect::RetryWithNewNonce];

/// Plants each defect in turn, and none at the end. Whether each was caught within `count` schedules.
pub fn catch_planted(from: u64, count: u64, threads: u64) -> bool {
    let mut all_caught = true;
    for defect in Defect::ALL {
        plant(Some(defect));
        let sum = run_schedules(from, count, threads);
        match sum.violation {
            Some((seed, what)) => {
                println!("{defect:?}: caught by seed {seed}, after {} schedules: {what}", sum.schedules)
            }
            None if LEFT_TO_THE_MODEL.contains(&defect) => println!("{defect:?}: not seen; left to the model checker"),
            None => {
                println!("{defect:?}: NOT CAUGHT in {} schedules", sum.schedules);
                all_caught = false;
            }
        }
    }
    plant(None);
    all_caught
}

/// Kills `count` agents, each in a schedule of its own, and prints how soon their chunks were taken over. Whether 99 of 100
/// were within the ttl, a tenth of it, and one listing.
fn print_takeovers(from: u64, count: u64) -> bool {
    let seen: Vec<Takeover> = (from..from + count).filter_map(takeover::run).collect();
    if seen.is_empty() {
        println!("no takeover was seen");
        return false;
    }
    let mut of_ttl: Vec<f64> = seen.iter().map(|t| t.took.as_secs_f64() / t.ttl.as_secs_f64()).collect();
    of_ttl.sort_by(f64::total_cmp);
    let quantile = |q: usize| of_ttl[((of_ttl.len() - 1) * q).div_ceil(100)];
    let within = seen.iter().filter(|t| t.took <= t.bound()).count();
    println!(
        "{} killed agents, {} takeovers: p50 {:.3}, p99 {:.3}, longest {:.3} of the ttl; {within} within 1.1 ttl and one listing",
        count,
        seen.len(),
        quantile(50),
        quantile(99),
        quantile(100)
    );
    seen.len() as u64 == count && within * 100 >= seen.len() * 99
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
    if let Some(count) = options.takeovers {
        return print_takeovers(options.from, count);
    }
    if options.planted {
        return catch_planted(options.from, options.schedules, options.threads);
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
    println!(
        "{} chunks claimed beside an upload, {} inputs fetched ahead, {} of these dropped",
        sum.overlaps.claimed_beside,
        sum.overlaps.fetched_ahead + sum.overlaps.dropped,
        sum.overlaps.dropped
    );
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
