//! The figures of a run, and the table of many.

use super::bill::{DOLLARS_A_MILLION_SQS, Prefix, Purpose, RATES, Tally};
use super::fleet::Fleet;
use super::scenario::{CLAIM_SPREAD, MEAN_SECONDS, NOTICE, Scenario};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What was simulated.
    pub scenario: Scenario,
    /// How many chunks the plan has.
    pub chunks: u32,
    /// Chunks closed and outputs committed at the end.
    pub closed: u32,
    /// Semaphores left at the end.
    pub left: usize,
    /// Tasks begun; more than there are where one was begun again.
    pub runs: u64,
    /// Seconds from the first machine's start to the last result.
    pub makespan: f64,
    /// The least that it could be.
    pub ideal: f64,
    /// Seconds to the end of the last agent.
    pub last_off: f64,
    /// Machines that died, and that were reclaimed.
    pub lost: (u64, u64),
    /// Takeovers of released and of expired chunks.
    pub takeovers: [u64; 2],
    /// Machine time.
    pub agent_hours: f64,
    /// Claims, results, listings.
    pub sharing: [Tally; 3],
    /// Rows by agent-hour: name and requests.
    pub beside: Vec<(&'static str, Tally)>,
    /// Of each prefix: name, most writes and most reads in a second.
    pub peaks: Vec<(&'static str, u32, u32)>,
    /// Refreshes of the views, collisions counted, and summaries written.
    pub refreshes: (u64, u64),
}

impl Figures {
    pub(super) fn of(fleet: &Fleet) -> Self {
        let bill = &fleet.bill;
        let seconds = |micros: u64| micros as f64 / 1e6;
        let first = fleet.boots.iter().min().copied().unwrap_or(0);
        Self {
            chunks: u32::try_from(fleet.sizes.len()).unwrap_or(u32::MAX),
            closed: fleet.bucket.closed(),
            left: fleet.bucket.held(),
            runs: fleet.runs,
            makespan: fleet.done_at.map_or(f64::INFINITY, |at| seconds(at - first)),
            ideal: fleet.ideal().as_secs_f64(),
            last_off: seconds(fleet.last_off - first),
            lost: (fleet.crashes, fleet.reclaims),
            takeovers: fleet.takeovers,
            agent_hours: seconds(fleet.agent_time) / 3600.0,
            sharing: [Purpose::Claims, Purpose::Results, Purpose::Listings].map(|p| bill.of(p)),
            beside: vec![
                ("heartbeats", bill.of(Purpose::Heartbeats)),
                ("agent records and logs", bill.of(Purpose::Records)),
                ("control reads", bill.of(Purpose::Control)),
                ("start checks", bill.of(Purpose::Start)),
                ("views and summary", bill.of(Purpose::Views)),
            ],
            peaks: Prefix::ALL
                .map(|(prefix, name)| {
                    let (writes, reads) = bill.peak(prefix);
                    (name, writes, reads)
                })
                .to_vec(),
            refreshes: (fleet.refreshed, fleet.summaries),
            scenario: fleet.scenario.clone(),
        }
    }

    /// Whether every chunk was closed, nothing is left over, and no prefix was above S3's rates.
    pub fn hold(&self) -> bool {
        let within = |(_, writes, reads): &(&str, u32, u32)| *writes <= RATES.0 && *reads <= RATES.1;
        self.closed == self.chunks && self.left == 0 && self.peaks.iter().all(within)
    }

    /// What is asked of 1,000,000 tasks of sigma 0.5: PUT-class requests a task, makespan over ideal, rejected writes a task.
    pub fn target(&self) -> Option<[f64; 3]> {
        let s = &self.scenario;
        let plain = s.tasks == 1_000_000 && !s.one_task_chunks && s.told.is_none() && s.sigma <= 0.5;
        match s.agents {
            1_000 if plain => Some([0.03, 1.03, 0.02]),
            10_000 if plain => Some([0.18, 1.20, 0.02]),
            _ => None,
        }
    }

    /// Whether the target is reached, where there is one.
    pub fn reaches_target(&self) -> bool {
        let reached = [self.writes_a_task(), self.over_ideal(), self.rejected_a_task()];
        self.target().is_none_or(|most| reached.iter().zip(most).all(|(is, most)| *is <= most))
    }

    /// Claims, results and listings together.
    pub fn shared(&self) -> Tally {
        self.sharing.iter().fold(Tally::default(), |sum, tally| sum.plus(*tally))
    }

    fn a_task(&self, count: u64) -> f64 {
        count as f64 / f64::from(self.scenario.tasks)
    }

    /// Requests at the price of a PUT a task, for claims, results and listings.
    pub fn writes_a_task(&self) -> f64 {
        self.a_task(self.shared().writes())
    }

    /// Rejected writes a task.
    pub fn rejected_a_task(&self) -> f64 {
        self.a_task(self.shared().rejected)
    }

    /// Makespan over ideal.
    pub fn over_ideal(&self) -> f64 {
        self.makespan / self.ideal
    }

    /// Dollars for sharing out a million tasks.
    pub fn dollars_a_million(&self) -> f64 {
        self.shared().dollars() * 1e6 / f64::from(self.scenario.tasks)
    }
}

/// Says what is assumed.
pub fn print_assumptions(scenario: &Scenario) {
    println!(
        "Tasks: lognormal, mean {MEAN_SECONDS} s. Machines up evenly over {} s, first claims spread over {} ms more; an \
         hour {} % die and {} % are reclaimed ({} s to drain), replaced after {} s. ttl {} s. Seed {}.",
        scenario.boot_spread.as_secs(),
        CLAIM_SPREAD.as_millis(),
        scenario.crashes * 100.0,
        scenario.reclaims * 100.0,
        NOTICE.as_secs(),
        scenario.replaced_after.as_secs(),
        scenario.job().lease_ttl_seconds,
        scenario.seed,
    );
    println!(
        "Latencies: GET 22 ms (p90 42), PUT 60 ms (133), LIST 70 ms (200), 1 in 1,000 a second more; sources in \
         tests/proof/src/scale/latency.rs. Prices: us-east-1, list. Rates: S3's {} writes and {} reads a second a prefix.",
        RATES.0, RATES.1
    );
}

/// The table.
pub fn print(all: &[Figures]) {
    println!("\nPUT-class requests a task (claims + results + listings; rejected ones are in them), and time");
    println!(
        "{:>9} {:>6} {:>5} {:>8} | {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} | {:>8} {:>8} {:>6} {:>8} {:>6}",
        "tasks",
        "agents",
        "sigma",
        "chunks",
        "claims",
        "results",
        "lists",
        "together",
        "rejected",
        "$/M",
        "makespan",
        "ideal",
        "ratio",
        "last off",
        "redone"
    );
    for f in all {
        let s = &f.scenario;
        let [claims, results, listings] = f.sharing.map(|tally| f.a_task(tally.writes()));
        println!(
            "{:>9} {:>6} {:>5} {:>8} | {claims:>7.4} {results:>7.4} {listings:>7.4} {:>8.4} {:>8.4} {:>8.3} | {:>6.0} s \
             {:>6.0} s {:>6.4} {:>6.0} s {:>6}",
            s.tasks,
            s.agents,
            s.sigma,
            f.chunks,
            f.writes_a_task(),
            f.rejected_a_task(),
            f.dollars_a_million(),
            f.makespan,
            f.ideal,
            f.over_ideal(),
            f.last_off,
            f.runs - u64::from(s.tasks).min(f.runs),
        );
    }
    println!(
        "{:>9} {:>6} {:>5} {:>8} | three requests a message: {:.3} $/M",
        "SQS",
        "any",
        "any",
        "-",
        3.0 * DOLLARS_A_MILLION_SQS
    );
    for f in all {
        if let Some([writes, ratio, rejected]) = f.target() {
            println!(
                "Target at {} agents: at most {writes} a task together, {rejected} rejected, {ratio} of ideal: {}",
                f.scenario.agents,
                if f.reaches_target() { "reached" } else { "MISSED" }
            );
        }
    }
    println!("\nBeside it, by agent-hour: PUT-class + GET-class requests, dollars a thousand agent-hours");
    for f in all {
        println!(
            "{} tasks, {} agents, sigma {}: {:.0} agent-hours, {} died, {} reclaimed, {} + {} chunks taken over \
             (released + expired), {} refreshes, {} summaries",
            f.scenario.tasks,
            f.scenario.agents,
            f.scenario.sigma,
            f.agent_hours,
            f.lost.0,
            f.lost.1,
            f.takeovers[0],
            f.takeovers[1],
            f.refreshes.0,
            f.refreshes.1
        );
        for (name, tally) in &f.beside {
            println!(
                "    {name:<24} {:>9.2} + {:>8.2}   ${:.3}",
                tally.writes() as f64 / f.agent_hours,
                tally.reads() as f64 / f.agent_hours,
                tally.dollars() * 1000.0 / f.agent_hours
            );
        }
        let peaks = f.peaks.iter().filter(|(_, writes, reads)| *writes + *reads > 0);
        let peaks: Vec<String> = peaks.map(|(name, writes, reads)| format!("{name} {writes}/{reads}")).collect();
        println!("    busiest second, writes/reads: {}", peaks.join(", "));
    }
}
