//! The agents of a job, as their records say.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::AgentId;
use dayfly_shared::records::{AgentRecord, AgentState, AttemptEnd, ResultRecord, TaskOutcome, from_json};
use serde::Serialize;

use super::{Aged, Cache, RunningNow};

/// An agent writes its record at least with each heartbeat, a third of a lease; this many leases without one, and
/// something is wrong with it.
const SILENT_LEASES: u32 = 2;

/// An agent now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentNow {
    /// Who.
    pub agent: AgentId,
    /// What its record says it is doing.
    pub state: AgentState,
    /// Not ended, and heard of lately.
    pub live: bool,
    /// How long ago it wrote its record, by the store's clock.
    pub seen_seconds_ago: Option<u64>,
    /// Why it drains or ended.
    pub why: Option<String>,
    /// Where it runs.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The engine that started it, such as `slurm 1234_3`.
    pub engine: Option<String>,
    /// The instance's id, type, zone and market, where it is one.
    pub instance_id: Option<String>,
    /// Such as `c7i.large`.
    pub instance_type: Option<String>,
    /// Such as `us-west-2a`.
    pub zone: Option<String>,
    /// `spot` or `on-demand`.
    pub market: Option<String>,
    /// When it started, by its own clock.
    pub born: Timestamp,
    /// When it wrote its record, by its own clock.
    pub last_seen: Timestamp,
    /// The names of the tasks in hand.
    pub tasks: Vec<String>,
    /// Tasks it runs at once.
    pub slots: u32,
    /// Tasks in hand.
    pub running: u64,
    /// Tasks whose output it committed.
    pub done: u64,
    /// Tasks it gave up.
    pub failed: u64,
    /// Requests it sent to the store.
    pub requests: u64,
    /// Load of the machine, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Memory of the process.
    pub memory_bytes: u64,
    /// Processors of its machine.
    pub cores: Option<u32>,
    /// Memory of its machine.
    pub machine_memory_bytes: Option<u64>,
}

/// What an agent has decided.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decided {
    done: u64,
    failed: u64,
}

/// Adds what a result tells.
pub(super) fn count(decided: &mut BTreeMap<AgentId, Decided>, result: &ResultRecord) {
    for task in &result.tasks {
        let Some(last) = task.attempts.last() else { continue };
        let own = decided.entry(last.agent.clone()).or_default();
        match task.outcome {
            // Else its output was another's.
            TaskOutcome::Done { .. } => own.done += u64::from(last.end == AttemptEnd::Done),
            TaskOutcome::Failed { .. } => own.failed += 1,
        }
    }
}

/// All agents, those at work first, by name.
pub(super) fn agents(listed: &[Aged], cache: &Cache, lease_ttl: Duration) -> Vec<AgentNow> {
    let silent = lease_ttl.saturating_mul(SILENT_LEASES);
    let mut agents: Vec<AgentNow> = listed
        .iter()
        .filter_map(|(entry, age)| {
            let (_, bytes) = cache.get(&entry.key)?;
            match from_json::<AgentRecord>(bytes) {
                Ok(record) => Some(now(record, *age, silent)),
                Err(error) => {
                    tracing::warn!(key = entry.key, %error, "not an agent's record");
                    None
                }
            }
        })
        .collect();
    agents.sort_by(|a, b| b.live.cmp(&a.live).then_with(|| a.agent.cmp(&b.agent)));
    agents
}

fn now(record: AgentRecord, age: Option<Duration>, silent: Duration) -> AgentNow {
    AgentNow {
        live: record.state != AgentState::Ended && age.is_none_or(|age| age <= silent),
        agent: record.agent,
        state: record.state,
        seen_seconds_ago: age.map(|a| a.as_secs()),
        why: record.why,
        host: record.machine.host,
        pid: record.machine.pid,
        engine: record.machine.engine,
        instance_id: record.machine.instance_id,
        instance_type: record.machine.instance_type,
        zone: record.machine.zone,
        market: record.machine.market,
        born: record.born,
        last_seen: record.last_seen,
        slots: record.slots,
        running: record.running.len() as u64,
        tasks: record.running.into_iter().map(|running| running.name).collect(),
        done: record.done,
        failed: record.failed,
        requests: record.requests.total(),
        cpu_percent: record.cpu_percent,
        memory_bytes: record.memory_bytes,
        cores: record.machine.cores,
        machine_memory_bytes: record.machine.memory_bytes,
    }
}

impl AgentNow {
    /// Takes up what is known from elsewhere: a record is written at the start, and then with each heartbeat.
    pub(super) fn catch_up(&mut self, decided: Option<&Decided>, leases: &[RunningNow]) {
        if let Some(decided) = decided {
            self.done = self.done.max(decided.done);
            self.failed = self.failed.max(decided.failed);
        }
        if self.live {
            // A slot may hold the next chunk, or one of which the last output goes up; it runs one task.
            let held = leases.iter().filter(|lease| lease.agent == self.agent && lease.holds()).count() as u64;
            self.running = held.min(self.slots.into());
        }
    }

    /// Where it runs: `c7i.large spot us-west-2a`, or the host; and by which engine.
    pub fn place(&self) -> String {
        let words = [&self.instance_type, &self.market, &self.zone];
        let words: Vec<&str> = words.into_iter().filter_map(|word| word.as_deref()).collect();
        let place = if words.is_empty() { self.host.clone() } else { words.join(" ") };
        match &self.engine {
            Some(engine) => format!("{engine}, {place}"),
            None => place,
        }
    }

    /// How long it is, or was, there: until now where it lives, else until it wrote its record last.
    pub fn age(&self) -> Duration {
        let since = self.seen_seconds_ago.filter(|_| self.live).map_or(Duration::ZERO, Duration::from_secs);
        self.last_seen.since(self.born) + since
    }

    /// What it is doing, in a word.
    pub fn doing(&self) -> &'static str {
        match self.state {
            AgentState::Ended => "ended",
            _ if !self.live => "silent",
            AgentState::Working => "working",
            AgentState::Standby => "standby",
            AgentState::Lingering => "lingering",
            AgentState::Draining => "draining",
        }
    }
}
