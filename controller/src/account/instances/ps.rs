//! `dayfly ps`: the machines of a job, and what each works on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use serde::Serialize;

use super::fleets::{self, MaintainedFleet};
use super::machine::{self, Machine};
use super::reach;
use super::work::Work;
use crate::cli::PsArgs;
use crate::failure::Result;
use crate::human;
use crate::parts::Parts;

/// How far back a fleet's history is read for why machines do not come: what was longer ago says nothing of now.
const HISTORY: Duration = Duration::from_hours(1);

/// `dayfly ps`.
///
/// # Errors
/// No credentials, EC2 refuses, a store that refuses.
pub async fn ps(parts: &Parts, args: &PsArgs) -> Result<Exit> {
    let (cloud, scope) = reach(parts, args.job.job.as_ref()).await?;
    let machines: Vec<Machine> =
        machine::list(&cloud, &scope).await?.into_iter().filter(|machine| args.all || machine.is_there()).collect();
    let fleets = fleets::list(&cloud, &scope).await?;
    let now = parts.clock.now().wall;
    let mut works: BTreeMap<Location, Option<Work>> = BTreeMap::new();
    let jobs: BTreeSet<Location> = machines.iter().filter_map(|machine| machine.job.clone()).collect();
    for job in jobs {
        // One bucket that is gone or closed must not hide the machines that cost money.
        let work = Work::read(parts, &job).await;
        if let Err(failure) = &work {
            parts.output().warn(failure);
        }
        works.insert(job, work.ok());
    }
    let lines = machines
        .into_iter()
        .map(|machine| {
            let work = machine.job.as_ref().and_then(|job| works.get(job)).and_then(Option::as_ref);
            let doing = match work {
                Some(work) if machine.is_up() => work.words(&machine.id),
                _ => String::new(),
            };
            Line { age_seconds: machine.launched.map(|at| now.since(at).as_secs()), machine, doing }
        })
        .collect();
    let mut lacking = Vec::new();
    for fleet in fleets {
        let mut errors = fleet.errors.clone();
        if fleet.fulfilled < fleet.target && errors.is_empty() {
            let since = Timestamp::from_unix_ms(now.unix_ms.saturating_sub(HISTORY.as_millis() as u64));
            let since = aws_smithy_types::DateTime::from_secs(i64::try_from(since.unix_ms / 1000).unwrap_or(0));
            errors.extend(fleets::last_complaint(&cloud, &fleet.id, since).await);
        }
        lacking.push(MaintainedFleet { errors, ..fleet });
    }
    parts.output().result(&PsReport { scope: scope.to_string(), machines: lines, fleets: lacking });
    Ok(Exit::Done)
}

#[derive(Clone, Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    machine: Machine,
    age_seconds: Option<u64>,
    doing: String,
}

#[derive(Clone, Debug, Serialize)]
struct PsReport {
    scope: String,
    machines: Vec<Line>,
    fleets: Vec<MaintainedFleet>,
}

impl fmt::Display for PsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.machines.is_empty() {
            writeln!(f, "no machines of {}", self.scope)?;
        } else {
            let head = ["INSTANCE", "TYPE", "ZONE", "MARKET", "STATE", "AGE", "WORKS ON"].map(str::to_owned);
            let mut rows = vec![head];
            for line in &self.machines {
                let machine = &line.machine;
                let age = line.age_seconds.map(|s| human::duration(Duration::from_secs(s))).unwrap_or_default();
                let condemned = machine.condemned.map(|_| " (condemned)").unwrap_or_default();
                rows.push([
                    machine.id.clone(),
                    machine.instance_type.clone(),
                    machine.zone.clone(),
                    machine.market.word().to_owned(),
                    format!("{}{condemned}", machine.state),
                    age,
                    line.doing.clone(),
                ]);
            }
            let widths: Vec<usize> =
                (0..7).map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0)).collect();
            for row in rows {
                let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
                writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
            }
        }
        for fleet in &self.fleets {
            write!(f, "{} keeps {} machines, and has {}", fleet.id, fleet.target, fleet.fulfilled)?;
            if fleet.fulfilled < fleet.target {
                match fleet.errors.first() {
                    Some(error) => write!(f, "; the rest never came: {error}")?,
                    None => write!(f, "; the rest has not come yet")?,
                }
                write!(f, "; launch other types beside it (dayfly launch), or on demand, if it stays so")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
