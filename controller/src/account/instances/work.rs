//! What machines work on, as their jobs' buckets say.

use std::collections::HashMap;
use std::time::Duration;

use dayfly_shared::bucket::age;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::AgentId;
use dayfly_shared::job::Location;
use dayfly_shared::records::{AgentRecord, AgentState, from_json};
use dayfly_shared::store::{ListQuery, StoreExt as _};

use super::is_job;
use crate::failure::Result;
use crate::observe::{JobState, Observer};
use crate::parts::{Parts, Patience};

/// As where agents are listed: so many leases without a sign of life, and something is wrong.
const SILENT_LEASES: u32 = 2;

/// What one agent's record says, and how old it is.
#[derive(Clone, Debug)]
pub struct Report {
    /// The record.
    pub record: AgentRecord,
    /// Its age, by the store's clock; none where the store has none.
    pub age: Option<Duration>,
    /// Whether it holds a lease that has not expired.
    pub leases: bool,
}

/// A job as its bucket has it.
pub struct Work {
    /// Where the job is in its life; none: there is no job.
    pub state: Option<JobState>,
    /// The last report of each instance.
    pub reports: HashMap<String, Report>,
    /// How long an agent may be silent.
    pub silent: Duration,
    /// The store's time; this machine's where the store has none.
    pub now: Timestamp,
}

impl Work {
    /// Reads it.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn read(parts: &Parts, job: &Location) -> Result<Self> {
        let bucket = parts.job(job, Patience::Brief).await?;
        let store = bucket.store().clone();
        let keys = bucket.keys.clone();
        let mut query = ListQuery::under(keys.agents());
        let mut listed = Vec::new();
        let mut now = None;
        loop {
            let page = store.list(&query).await?;
            now = page.served.or(now);
            listed.extend(page.entries.into_iter().map(|entry| (age(page.served, entry.modified), entry.key)));
            match page.next {
                Some(next) => query.start_after = Some(next),
                None => break,
            }
        }
        let snapshot = match is_job(parts, job).await? {
            true => Some(Observer::new(bucket).look().await?),
            false => None,
        };
        let holders: Vec<AgentId> = snapshot
            .iter()
            .flat_map(|s| s.running.iter())
            .filter(|running| running.holds())
            .map(|running| running.agent.clone())
            .collect();
        let mut reports: HashMap<String, Report> = HashMap::new();
        for (age, key) in listed {
            let Some((_, bytes)) = store.read(&key).await? else { continue };
            let Ok(record) = from_json::<AgentRecord>(&bytes) else { continue };
            let Some(instance) = record.machine.instance_id.clone() else { continue };
            let report = Report { leases: holders.contains(&record.agent), age, record };
            // An agent that was started again on its instance has a new record: the younger one speaks.
            match reports.get(&instance) {
                Some(other) if other.record.born >= report.record.born => {}
                _ => drop(reports.insert(instance, report)),
            }
        }
        Ok(Self {
            state: snapshot.as_ref().map(|s| s.state),
            reports,
            silent: snapshot.as_ref().map_or(Duration::from_mins(2), |s| s.settings.lease_ttl()) * SILENT_LEASES,
            now: now.unwrap_or_else(|| parts.clock.now().wall),
        })
    }

    /// Whether an instance's agent is at work: heard of lately, or holding a lease.
    pub fn works(&self, instance: &str) -> bool {
        self.reports.get(instance).is_some_and(|report| {
            let fresh = report.age.is_none_or(|age| age <= self.silent);
            report.leases || (fresh && report.record.state != AgentState::Ended)
        })
    }

    /// What an instance works on, in words.
    pub fn words(&self, instance: &str) -> String {
        let Some(report) = self.reports.get(instance) else { return "has not reported".to_owned() };
        if report.record.state == AgentState::Ended {
            let why = report.record.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            return format!("its agent ended{why}");
        }
        if !self.works(instance) {
            let age = report.age.unwrap_or_default();
            return format!("silent for {}", crate::human::duration(age));
        }
        let names: Vec<&str> = report.record.running.iter().map(|task| task.name.as_str()).collect();
        match names.is_empty() {
            true => format!("{} done, nothing in hand", report.record.done),
            false => format!("{}; {} done", crate::human::some(&names), report.record.done),
        }
    }
}
