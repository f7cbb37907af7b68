//! Counts requests as S3 bills them, and the busiest second of each prefix.

use super::Micros;

/// What a million PUT, COPY, POST or LIST requests cost (S3 Standard, us-east-1, list price).
pub const DOLLARS_A_MILLION_WRITES: f64 = 5.00;
/// What a million GET or HEAD requests cost. DELETE is free.
pub const DOLLARS_A_MILLION_READS: f64 = 0.40;
/// What a million SQS requests cost (standard queue, us-east-1, list price); a message takes three: send, receive, delete.
pub const DOLLARS_A_MILLION_SQS: f64 = 0.40;
/// Requests that S3 takes a second on one prefix before it scales: writes (PUT, COPY, POST, DELETE) and reads (GET, HEAD;
/// listings are counted among them). S3 user guide, "Best practices design patterns: optimizing Amazon S3 performance".
pub const RATES: (u32, u32) = (3500, 5500);

/// A request as S3 bills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PUT, also a rejected one: S3 bills 4xx answers ("Billing for Amazon S3 error responses").
    Put,
    /// One page.
    List,
    Get,
    Head,
    Delete,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Getting and giving back chunks.
    Claims,
    Results,
    /// Finding chunks.
    Listings,
    Heartbeats,
    Records,
    Control,
    Start,
    Views,
    /// Inputs, outputs and the tasks' names: what any queue would pay as well.
    Data,
}

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Semaphores,
    Results,
    Outputs,
    Inputs,
    Plan,
    Standby,
    Agents,
    Logs,
    Failed,
    /// Views, settings, control and kernel.
    Root,
}

impl Prefix {
    /// Every one, with its name.
    pub const ALL: [(Prefix, &str); 10] = [
        (Prefix::Semaphores, "semaphores/"),
        (Prefix::Results, "results/"),
        (Prefix::Outputs, "outputs"),
        (Prefix::Inputs, "inputs"),
        (Prefix::Plan, "plan/"),
        (Prefix::Standby, "standby/"),
        (Prefix::Agents, "agents/"),
        (Prefix::Logs, "logs/"),
        (Prefix::Failed, "failed/"),
        (Prefix::Root, "the job's root"),
    ];
}

/// Requests of one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// PUT.
    pub puts: u64,
    /// Pages of listings.
    pub lists: u64,
    /// GET.
    pub gets: u64,
    /// HEAD.
    pub heads: u64,
    /// DELETE.
    pub deletes: u64,
    /// Of the puts, those that S3 rejected.
    pub rejected: u64,
}

impl Tally {
    /// Requests at the price of a PUT.
    pub fn writes(&self) -> u64 {
        self.puts + self.lists
    }

    /// Requests at the price of a GET.
    pub fn reads(&self) -> u64 {
        self.gets + self.heads
    }

    /// What they cost.
    pub fn dollars(&self) -> f64 {
        (self.writes() as f64 * DOLLARS_A_MILLION_WRITES + self.reads() as f64 * DOLLARS_A_MILLION_READS) / 1e6
    }

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Put => self.puts += 1,
            Kind::List => self.lists += 1,
            Kind::Get => self.gets += 1,
            Kind::Head => self.heads += 1,
            Kind::Delete => self.deletes += 1,
        }
    }

    /// Both together.
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            puts: self.puts + other.puts,
            lists: self.lists + other.lists,
            gets: self.gets + other.gets,
            heads: self.heads + other.heads,
            deletes: self.deletes + other.deletes,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// All requests of a run.
#[derive(Debug, Default)]
pub struct Bill {
    tallies: [Tally; 9],
    /// Of each second and prefix: writes and reads.
    seconds: Vec<[(u32, u32); Prefix::ALL.len()]>,
}

impl Bill {
    /// Counts a request that reaches the store at `at`.
    pub fn count(&mut self, at: Micros, prefix: Prefix, kind: Kind, purpose: Purpose) {
        self.tallies[purpose as usize].count(kind);
        let second = usize::try_from(at / 1_000_000).unwrap_or(usize::MAX);
        if second >= self.seconds.len() {
            self.seconds.resize(second + 1, Default::default());
        }
        let (writes, reads) = &mut self.seconds[second][prefix as usize];
        match kind {
            Kind::Put | Kind::Delete => *writes += 1,
            Kind::Get | Kind::Head | Kind::List => *reads += 1,
        }
    }

    /// Of a put that was counted: it was rejected.
    pub fn reject(&mut self, purpose: Purpose) {
        self.tallies[purpose as usize].rejected += 1;
    }

    /// The requests of one purpose.
    pub fn of(&self, purpose: Purpose) -> Tally {
        self.tallies[purpose as usize]
    }

    /// The most writes and the most reads of a prefix in any one second.
    pub fn peak(&self, prefix: Prefix) -> (u32, u32) {
        let of = self.seconds.iter().map(|second| second[prefix as usize]);
        of.fold((0, 0), |most, (writes, reads)| (most.0.max(writes), most.1.max(reads)))
    }
}
