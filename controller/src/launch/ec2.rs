//! Launches on EC2: looked up, planned, shown or carried out.

mod fleet;
mod image;
pub mod journal;
mod kinds;
mod machines;
mod plan;
mod planned;
mod rehearsal;
mod report;
mod template;
mod user_data;

use dayfly_shared::deployment::Deployment;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::launch::Launch;

use crate::cli::{AgentsArgs, JobArg, LaunchArgs, WatchArgs};
use crate::cloud::Cloud;
use crate::control::cap_cost;
use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::watch;

use planned::{expect, prepare};
use report::{MachinesReport, reasons};

pub use machines::found;
pub use rehearsal::rehearse;

/// `dayfly launch` where the job belongs to a deployment.
///
/// # Errors
/// As [`start`].
pub async fn command(parts: &Parts, args: &LaunchArgs, deployment: &Deployment, job: &Location) -> Result<Exit> {
    let cloud = Cloud::connect_in(parts, Some(&deployment.region)).await?;
    if args.agents.machines.dry_run {
        let rehearsal = rehearse(parts, &cloud, deployment, job, &args.agents).await?;
        parts.output().result(&rehearsal);
        return Ok(if rehearsal.is_good() { Exit::Done } else { Exit::Failed });
    }
    let (_, report) = start(parts, &cloud, deployment, job, &args.agents).await?;
    parts.output().result(&report);
    match args.wait {
        true => {
            let job = JobArg { job: Some(job.clone()) };
            watch::command(parts, &WatchArgs { job, notify: Vec::new(), web: false, port: 0 }).await
        }
        false => Ok(Exit::Done),
    }
}

/// Carries a launch out.
///
/// # Errors
/// No machine came at all; EC2 refuses.
pub async fn start(
    parts: &Parts,
    cloud: &Cloud,
    deployment: &Deployment,
    job: &Location,
    args: &AgentsArgs,
) -> Result<(Launch, MachinesReport)> {
    let planned = prepare(parts, cloud, deployment, job, args).await?;
    parts.output().note(format!("expected: {}", expect(parts, cloud, &planned).await));
    let bucket = parts.job(job, Patience::Long).await?;
    if let Some(cap) = &planned.launch.max_cost {
        cap_cost(parts, &bucket, cap).await?;
    }
    let launch = machines::launch(parts, cloud, &bucket, planned.launch).await?;
    let report = MachinesReport::of(&launch, job, parts.settings.command("watch", job));
    if report.instances.is_empty() && !report.maintain {
        let why = reasons(&report.errors);
        let why = if why.is_empty() { "EC2 gave no reason".to_owned() } else { why.join("; ") };
        return Err(Failure::new(format!("none of {} machines came: {why}", report.wanted))
            .left("the job is as it was, and nothing runs that costs money")
            .fix("mend that, or wait, and launch again"));
    }
    if report.is_short() {
        let (came, wanted) = (report.instances.len(), report.wanted);
        parts.output().warn(format!("{came} of {wanted} machines came; more can be launched into the job at any time"));
    }
    Ok((launch, report))
}
