//! Machines as EC2 lists them, found by their tags.

use std::fmt;

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::Nonce;
use dayfly_shared::job::Location;
use dayfly_shared::launch::{Market, tags};
use serde::Serialize;

use crate::cloud::{Cloud, explain};
use crate::failure::Result;

/// The tag that EC2 itself puts on a fleet's instances (EC2 user guide, "Tag your EC2 Fleet").
const FLEET: &str = "aws:ec2:fleet-id";

/// Which machines are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of a job.
    Job(Location),
    /// Those of a deployment.
    Deployment(String),
    /// Those of one launch.
    Launch(Nonce),
    /// All of dayfly's in the account and region.
    Account,
}

impl Scope {
    /// As a filter of EC2's, which fits instances, volumes, fleets' tags and the rest alike.
    pub fn filter(&self) -> Filter {
        let (name, value) = match self {
            Self::Job(job) => (format!("tag:{}", tags::JOB), job.to_string()),
            Self::Deployment(name) => (format!("tag:{}", tags::DEPLOYMENT), name.clone()),
            Self::Launch(id) => (format!("tag:{}", tags::LAUNCH), id.to_string()),
            Self::Account => ("tag-key".to_owned(), tags::DEPLOYMENT.to_owned()),
        };
        Filter::builder().name(name).values(value).build()
    }

    /// The same for what EC2 lists without filters by tag.
    pub fn has(&self, tag: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Job(job) => tag(tags::JOB) == Some(job.to_string()),
            Self::Deployment(name) => tag(tags::DEPLOYMENT).as_ref() == Some(name),
            Self::Launch(id) => tag(tags::LAUNCH) == Some(id.to_string()),
            Self::Account => tag(tags::DEPLOYMENT).is_some(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "{job}"),
            Self::Deployment(name) => write!(f, "the deployment {name}"),
            Self::Launch(id) => write!(f, "the launch {id}"),
            Self::Account => write!(f, "this account and region"),
        }
    }
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `i-…`.
    pub id: String,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// Its market.
    pub market: Market,
    /// As EC2 says it: pending, running, stopping, stopped, shutting-down, terminated.
    pub state: String,
    /// When it was launched, or started last.
    pub launched: Option<Timestamp>,
    /// The job that it is tagged with.
    pub job: Option<Location>,
    /// The launch.
    pub launch: Option<Nonce>,
    /// The deployment.
    pub deployment: Option<String>,
    /// The fleet, if one made it.
    pub fleet: Option<String>,
    /// Since when it is condemned, if it is.
    pub condemned: Option<Timestamp>,
}

impl Machine {
    /// Whether it is there, and not on its way out.
    pub fn is_there(&self) -> bool {
        !matches!(self.state.as_str(), "terminated" | "shutting-down")
    }

    /// Whether it runs or is about to.
    pub fn is_up(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "running")
    }
}

/// The machines, those gone not long ago too, the oldest first.
///
/// # Errors
/// EC2 refuses.
pub async fn list(cloud: &Cloud, scope: &Scope) -> Result<Vec<Machine>> {
    let mut pages = cloud.ec2().describe_instances().filters(scope.filter()).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeInstances", &format!("of {scope}"), &e))?;
        all.extend(page.reservations().iter().flat_map(|r| r.instances()).map(machine));
    }
    all.sort_by(|a, b| a.launched.cmp(&b.launched).then_with(|| a.id.cmp(&b.id)));
    Ok(all)
}

/// EC2's time as a timestamp.
pub fn time(at: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    at.to_millis().ok().and_then(|ms| u64::try_from(ms).ok()).map(Timestamp::from_unix_ms)
}

fn machine(instance: &Instance) -> Machine {
    let tag = |key: &str| instance.tags().iter().find(|t| t.key() == Some(key)).and_then(|t| t.value());
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Machine {
        id: text(instance.instance_id()),
        instance_type: text(instance.instance_type().map(|t| t.as_str())),
        zone: text(instance.placement().and_then(|p| p.availability_zone())),
        market: match instance.instance_lifecycle() {
            Some(InstanceLifecycleType::Spot) => Market::Spot,
            _ => Market::OnDemand,
        },
        state: text(instance.state().and_then(|s| s.name()).map(|n| n.as_str())),
        launched: instance.launch_time().and_then(time),
        job: tag(tags::JOB).and_then(|job| job.parse().ok()),
        launch: tag(tags::LAUNCH).and_then(|launch| launch.parse().ok()),
        deployment: tag(tags::DEPLOYMENT).map(str::to_owned),
        fleet: tag(FLEET).map(str::to_owned),
        condemned: tag(tags::CONDEMNED).and_then(|at| at.parse().ok()),
    }
}
