//! What a launch came to, in words.

use std::fmt;

use dayfly_shared::job::Location;
use dayfly_shared::launch::{Launch, LaunchError, Launched, Market};
use serde::Serialize;

use crate::cloud;
use crate::human;

/// What a launch came to.
#[derive(Clone, Debug, Serialize)]
pub struct MachinesReport {
    /// The job.
    pub job: Location,
    /// The launch.
    pub launch: String,
    /// Machines wanted.
    pub wanted: u32,
    /// Those that came.
    pub instances: Vec<Launched>,
    /// The fleets that were asked.
    pub fleets: Vec<String>,
    /// Whether a fleet goes on trying.
    pub maintain: bool,
    /// Why others did not come.
    pub errors: Vec<LaunchError>,
    /// How to follow them.
    #[serde(skip)]
    pub follow: String,
}

impl MachinesReport {
    /// Of a launch that is closed.
    pub fn of(launch: &Launch, job: &Location, follow: String) -> Self {
        let outcomes: Vec<_> = launch.requests().into_iter().filter_map(|request| request.outcome.as_ref()).collect();
        Self {
            job: job.clone(),
            launch: launch.id.to_string(),
            wanted: launch.request.count,
            instances: outcomes.iter().flat_map(|outcome| outcome.instances.clone()).collect(),
            fleets: outcomes.iter().filter_map(|outcome| outcome.fleet.clone()).collect(),
            maintain: launch.request.maintain,
            errors: outcomes.iter().flat_map(|outcome| outcome.errors.clone()).collect(),
            follow,
        }
    }

    /// Whether fewer came than were wanted, and no fleet goes on trying.
    pub fn is_short(&self) -> bool {
        !self.maintain && self.instances.len() < self.wanted as usize
    }
}

/// The reasons in lines: the code, EC2's words, where, and the fix.
pub fn reasons(errors: &[LaunchError]) -> Vec<String> {
    let mut lines = Vec::new();
    for error in errors {
        let place = match error.pools.is_empty() {
            true => String::new(),
            false => format!(" ({})", human::some(&error.pools)),
        };
        let fix = cloud::fix("ec2:CreateFleet", &error.code, &error.message)
            .map(|fix| format!("; {fix}"))
            .unwrap_or_default();
        let line = format!("{}: {}{place}{fix}", error.code, error.message.trim_end_matches('.'));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

impl fmt::Display for MachinesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = self.instances.len() as u64;
        if self.maintain {
            let fleet = self.fleets.first().map_or("a fleet", String::as_str);
            writeln!(f, "{fleet} keeps {} for {}", human::count(u64::from(self.wanted), "machine"), self.job)?;
        } else if self.is_short() {
            writeln!(f, "{came} of {} machines started for {}", self.wanted, self.job)?;
        } else {
            writeln!(f, "{} started for {}", human::count(came, "machine"), self.job)?;
        }
        for market in [Market::Spot, Market::OnDemand] {
            let of: Vec<&Launched> = self.instances.iter().filter(|i| i.market == market).collect();
            if of.is_empty() {
                continue;
            }
            let mut pools: Vec<String> = of
                .iter()
                .map(|i| match &i.zone {
                    Some(zone) => format!("{} in {zone}", i.instance_type),
                    None => i.instance_type.clone(),
                })
                .collect();
            pools.sort();
            pools.dedup();
            writeln!(f, "  {} {}: {}", of.len(), market.word(), human::some(&pools))?;
        }
        for line in reasons(&self.errors) {
            writeln!(f, "  not all came: {line}")?;
        }
        write!(f, "they go on by themselves, and end by themselves; to follow them: {}", self.follow)
    }
}
