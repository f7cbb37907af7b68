//! Machine time by type and market, and what it cost as far as that is known.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
#[cfg(feature = "ec2")]
use dayfly_shared::store::ListQuery;
use serde::Serialize;

#[cfg(feature = "ec2")]
use crate::cloud::{self, Cloud};
#[cfg(feature = "ec2")]
use crate::cost::Bill;
use crate::failure::Result;
use crate::human;
use crate::observe::{AgentNow, Snapshot};
use crate::parts::Parts;

/// Machines of one type and market.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pool {
    /// The type; none for machines that are no instances.
    pub instance_type: Option<String>,
    /// The market.
    pub market: Option<String>,
    /// How many.
    pub machines: u64,
    /// Their time together, in seconds; none where that of all is unknown.
    pub seconds: Option<f64>,
    /// What they cost, where prices are known.
    pub dollars: Option<f64>,
}

/// What a job used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Machines by type and market.
    pub pools: Vec<Pool>,
    /// The time of all machines together, in seconds; none as long as no agent has reported.
    pub seconds: Option<f64>,
    /// Dollars in all, as far as they are known.
    pub dollars: Option<f64>,
    /// Of these, requests to the store.
    pub requests_dollars: Option<f64>,
    /// What is not in it, and why.
    pub notes: Vec<String>,
    /// Whether AWS was asked, which is not to be done at every look.
    #[serde(skip)]
    pub asked: bool,
}

type Pools = BTreeMap<(Option<String>, Option<String>), Pool>;

fn add(pools: &mut Pools, kind: Option<String>, market: Option<String>, seconds: Option<f64>, dollars: Option<f64>) {
    let pool = pools.entry((kind.clone(), market.clone())).or_insert_with(|| Pool {
        instance_type: kind,
        market,
        ..Pool::default()
    });
    pool.machines += 1;
    pool.seconds = sum(pool.seconds, seconds);
    pool.dollars = sum(pool.dollars, dollars);
}

/// Of what is known.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// What the agents' records tell, and, for machines of EC2, what they cost.
///
/// # Errors
/// A store that refuses. A service that does not tell prices leaves them unknown.
pub async fn spent(parts: &Parts, job: &JobBucket, snapshot: &Snapshot, now: Timestamp) -> Result<Spent> {
    let mut pools = Pools::new();
    let mut spent = Spent::default();
    let agents = &snapshot.agents;
    let bill = bill(parts, job, agents, now, &mut pools, &mut spent).await?;
    for agent in agents.iter().filter(|agent| !bill || agent.instance_id.is_none()) {
        let seconds = Some(agent.age().as_secs_f64());
        add(&mut pools, agent.instance_type.clone(), agent.market.clone(), seconds, None);
    }
    spent.pools = pools.into_values().collect();
    spent.seconds = spent.pools.iter().fold(None, |all, pool| sum(all, pool.seconds));
    if spent.dollars.is_none()
        && let Some(noted) = noted(job).await?
    {
        spent.dollars = noted.dollars;
        spent.requests_dollars = noted.requests_dollars;
        spent.notes.extend(noted.notes);
    }
    Ok(spent)
}

/// What `dayfly cost` last wrote into the bucket.
///
/// # Errors
/// A store that refuses.
pub async fn noted(job: &JobBucket) -> Result<Option<Spent>> {
    let Some(cost) = job.summary().await?.and_then(|summary| summary.cost) else { return Ok(None) };
    Ok(Some(Spent {
        // Agents elsewhere than on EC2 are no machines of the bill.
        seconds: (cost.machine_count > 0).then_some(cost.machine_seconds as f64),
        dollars: Some(cost.dollars),
        requests_dollars: Some(cost.requests),
        notes: std::iter::once(format!("as of {}, by dayfly cost", cost.at))
            .chain(cost.unknown.iter().map(|unknown| format!("not in it: {unknown}")))
            .collect(),
        ..Spent::default()
    }))
}

impl Spent {
    /// How long machines were there, in words.
    pub fn machine_time(&self) -> String {
        match self.seconds {
            Some(seconds) => format!("{} together", human::duration(Duration::from_secs_f64(seconds))),
            None => "their time is not known yet: no agent has reported".to_owned(),
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dollars {
            Some(dollars) => write!(f, "${dollars:.4}")?,
            None if self.pools.iter().any(|pool| pool.instance_type.is_some()) => f.write_str("unknown")?,
            None => f.write_str("nothing on EC2")?,
        }
        if let Some(requests) = self.requests_dollars {
            write!(f, ", of which requests ${requests:.4}")?;
        }
        match self.notes.as_slice() {
            [] => Ok(()),
            notes => write!(f, " ({})", notes.join("; ")),
        }
    }
}

/// Whether machines of EC2 are accounted for.
#[cfg(feature = "ec2")]
async fn bill(
    parts: &Parts,
    job: &JobBucket,
    agents: &[AgentNow],
    now: Timestamp,
    pools: &mut Pools,
    spent: &mut Spent,
) -> Result<bool> {
    let on_ec2 = agents.iter().any(|agent| agent.instance_id.is_some());
    if !on_ec2 && job.store().list(&ListQuery::under(job.keys.launches())).await?.entries.is_empty() {
        return Ok(false);
    }
    spent.asked = true;
    let drawn = async {
        let deployment = cloud::find(parts, &job.location).await?;
        let cloud = Cloud::connect_in(parts, deployment.as_ref().map(|d| d.region.as_str())).await?;
        Bill::draw(&cloud, job, now, false).await
    };
    let bill = match drawn.await {
        Ok(bill) => bill,
        Err(failure) => {
            spent.notes.push(format!("prices are unknown: {failure:#}"));
            return Ok(false);
        }
    };
    let cost = bill.cost();
    spent.dollars = Some(cost.dollars);
    spent.requests_dollars = Some(cost.requests);
    spent.notes.extend(cost.unknown.iter().map(|unknown| format!("not in it: {unknown}")));
    spent.notes.extend(bill.notes.iter().cloned());
    for line in bill.machines {
        let market = line.stay.market.map(|market| market.word().to_owned());
        add(
            pools,
            line.stay.instance_type,
            market,
            line.seconds.map(|seconds| seconds as f64),
            Some(line.charge.dollars),
        );
    }
    Ok(true)
}

/// Without machines on EC2 there is no bill.
#[cfg(not(feature = "ec2"))]
async fn bill(_: &Parts, _: &JobBucket, _: &[AgentNow], _: Timestamp, _: &mut Pools, _: &mut Spent) -> Result<bool> {
    Ok(false)
}
