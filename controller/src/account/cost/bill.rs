//! What a job has cost: gathered, priced and summed up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::job::Location;
use dayfly_shared::launch::{Launch, Market, tags};
use dayfly_shared::records::{Cost, from_json};
use dayfly_shared::store::StoreExt as _;
use serde::Serialize;

use super::prices;
use super::stay::{Described, Stay, market, moment_in, stays};
use super::tariff::{Charge, Tariff, word};
use crate::cloud::{Cloud, explain};
use crate::failure::Result;
use crate::human;

/// A machine and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its time.
    #[serde(flatten)]
    pub stay: Stay,
    /// Seconds that are billed; none where its time is unknown.
    pub seconds: Option<u64>,
    /// The machine, its disk and its address.
    #[serde(flatten)]
    pub charge: Charge,
}

/// What a job has cost.
#[derive(Clone, Debug, Serialize)]
pub struct Bill {
    /// The job.
    pub job: Location,
    /// Its machines.
    pub machines: Vec<Line>,
    /// Requests of its agents to the store, by price: the class of PUT, the class of GET.
    pub requests: (u64, u64),
    /// What those cost.
    pub requests_charge: Charge,
    /// Why prices are unknown, in the services' words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Up to when.
    pub at: Timestamp,
    #[serde(skip)]
    all: bool,
}

impl Bill {
    /// What the job has cost up to `now`.
    ///
    /// # Errors
    /// A store that refuses. A service that does not tell prices or machines leaves them unknown.
    pub async fn draw(cloud: &Cloud, bucket: &JobBucket, now: Timestamp, all: bool) -> Result<Self> {
        let agents = bucket.agents().await?;
        let launches = launches(bucket).await?;
        let mut notes = Vec::new();
        let described = describe(cloud, &bucket.location).await.unwrap_or_else(|failure| {
            notes.push(format!("{failure:#}"));
            Vec::new()
        });
        let stays = stays(described, &agents, &launches);
        let wanted: BTreeSet<(String, Market)> =
            stays.iter().filter_map(|s| Some((s.instance_type.clone()?, s.market?))).collect();
        let from = stays.iter().filter_map(|s| s.from).min().unwrap_or(now);
        let (tariff, more) = prices::tariff(cloud, &wanted, from, now).await;
        notes.extend(more);
        let puts = agents.iter().map(|a| a.requests.put_class()).sum();
        let gets = agents.iter().map(|a| a.requests.get_class()).sum();
        Ok(Self {
            job: bucket.location.clone(),
            machines: stays.into_iter().map(|stay| line(&tariff, stay, now)).collect(),
            requests: (puts, gets),
            requests_charge: tariff.requests(puts, gets),
            notes,
            at: now,
            all,
        })
    }

    /// The sum, for `summary.json`.
    pub fn cost(&self) -> Cost {
        let machines: f64 = self.machines.iter().map(|line| line.charge.dollars).sum();
        let unknown = self.machines.iter().flat_map(|line| &line.charge.unknown);
        Cost {
            dollars: machines + self.requests_charge.dollars,
            machines,
            requests: self.requests_charge.dollars,
            machine_count: self.machines.len() as u64,
            machine_seconds: self.machines.iter().filter_map(|line| line.seconds).sum(),
            unknown: unknown.chain(&self.requests_charge.unknown).cloned().collect(),
            at: self.at,
        }
    }

    /// Whether a machine still runs.
    pub fn is_running(&self) -> bool {
        self.machines.iter().any(|line| line.stay.running)
    }
}

fn line(tariff: &Tariff, stay: Stay, now: Timestamp) -> Line {
    let charge = tariff.machine(&stay, now).and(tariff.beside(&stay, now));
    Line { seconds: Tariff::billed(&stay, now).map(|d| d.as_secs()), charge, stay }
}

/// The launches of a job.
///
/// # Errors
/// A store that refuses.
async fn launches(bucket: &JobBucket) -> Result<Vec<Launch>> {
    let mut launches = Vec::new();
    for entry in bucket.store().list_all(&bucket.keys.launches()).await? {
        let Some((_, bytes)) = bucket.read(&entry.key).await? else { continue };
        match from_json(&bytes) {
            Ok(launch) => launches.push(launch),
            Err(error) => tracing::warn!(key = entry.key, %error, "not a launch's record"),
        }
    }
    Ok(launches)
}

/// What EC2 still knows of the job's machines: it forgets them about an hour after their end.
async fn describe(cloud: &Cloud, job: &Location) -> Result<Vec<Described>> {
    let of_job = aws_sdk_ec2::types::Filter::builder().name(format!("tag:{}", tags::JOB)).values(job.to_string());
    let mut pages = cloud.ec2().describe_instances().filters(of_job.build()).into_paginator().send();
    let mut machines = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeInstances", &format!("of {job}"), &e))?;
        machines.extend(page.reservations().iter().flat_map(|r| r.instances()).map(described));
    }
    Ok(machines)
}

fn described(machine: &aws_sdk_ec2::types::Instance) -> Described {
    use aws_sdk_ec2::types::InstanceStateName as State;
    let state = machine.state().and_then(|s| s.name());
    let running = matches!(state, Some(State::Pending | State::Running | State::ShuttingDown | State::Stopping));
    let launched = machine.launch_time().and_then(|t| t.to_millis().ok()).and_then(|ms| u64::try_from(ms).ok());
    Described {
        stay: Stay {
            instance: machine.instance_id().unwrap_or_default().to_owned(),
            instance_type: machine.instance_type().map(|t| t.as_str().to_owned()),
            zone: machine.placement().and_then(|p| p.availability_zone()).map(str::to_owned),
            market: Some(market(machine.instance_lifecycle().map_or("", |l| l.as_str()))),
            from: launched.map(Timestamp::from_unix_ms),
            to: None,
            running,
            public_address: Some(machine.public_ip_address().is_some()),
            // The sizes of volumes are not in this answer, and those of machines that are gone in none.
            disk_gib: None,
        },
        ended: machine.state_transition_reason().and_then(moment_in).filter(|_| !running),
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = self.cost();
        let so_far = if self.is_running() { " so far" } else { "" };
        let nothing = self.machines.is_empty() && !self.requests_charge.unknown.is_empty();
        match nothing {
            true => writeln!(f, "{}: no machine of EC2 worked on it that is known", self.job)?,
            false => writeln!(f, "{} cost ${:.4}{so_far}", self.job, cost.dollars)?,
        }
        if self.all {
            for line in &self.machines {
                let time = line.seconds.map_or("time unknown".to_owned(), |s| human::duration(Duration::from_secs(s)));
                writeln!(f, "  {}  {}  {time}  ${:.4}", line.stay.instance, pool(&line.stay), line.charge.dollars)?;
            }
        } else {
            let mut pools: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
            for line in &self.machines {
                let sum = pools.entry(pool(&line.stay)).or_default();
                *sum = (sum.0 + 1, sum.1 + line.seconds.unwrap_or(0), sum.2 + line.charge.dollars);
            }
            for (pool, (count, seconds, dollars)) in pools {
                let time = human::duration(Duration::from_secs(seconds));
                writeln!(f, "  {} {pool}  {time} together  ${dollars:.4}", human::count(count, "machine"))?;
            }
        }
        let (puts, gets) = self.requests;
        write!(f, "  {} and {} requests to the store", human::thousands(puts), human::thousands(gets))?;
        match nothing {
            true => writeln!(f)?,
            false => writeln!(f, "  ${:.4}", self.requests_charge.dollars)?,
        }
        if !cost.unknown.is_empty() {
            writeln!(f, "not in it, as unknown: {}", human::some(&cost.unknown))?;
        }
        // Where nothing of AWS answers, each service's failure says the same.
        for note in self.notes.iter().take(if nothing { 1 } else { usize::MAX }) {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

fn pool(stay: &Stay) -> String {
    let kind = stay.instance_type.as_deref().unwrap_or("of an unknown type");
    let market = stay.market.map_or("market unknown", word);
    format!("{kind} {market} {}", stay.zone.as_deref().unwrap_or("zone unknown"))
}
