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

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::deployment::Deployment;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::{Location, SCHEMA};
use dayfly_shared::launch::Launch;
use dayfly_shared::records::{Control, to_json};
use dayfly_shared::store::{Attributes, Condition};

use crate::cli::{AgentsArgs, JobArg, LaunchArgs};
use crate::cloud::Cloud;
use crate::failure::{Failure, Result};
use crate::host;
use crate::parts::{Parts, Patience};
use crate::watch;
use crate::write::{self, Settled};

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
        true => watch::command(parts, &JobArg { job: Some(job.clone()) }).await,
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

/// Writes into the job's control what it may cost: whoever watches it drains it there.
async fn cap_cost(parts: &Parts, job: &JobBucket, cap: &str) -> Result<()> {
    /// People who contradict each other so often are better off talking.
    const TRIES: u32 = 10;
    let key = job.keys.control();
    for _ in 0..TRIES {
        let stands = job.control().await?;
        if stands.as_ref().is_some_and(|(control, _)| control.max_cost.as_deref() == Some(cap)) {
            return Ok(());
        }
        let (control, condition) = match stands {
            Some((control, etag)) => (control, Condition::Update(etag)),
            None => (
                Control {
                    schema: SCHEMA,
                    state: Default::default(),
                    why: None,
                    by: Some(host::who()),
                    at: Some(parts.clock.now().wall),
                    max_cost: None,
                },
                Condition::Create,
            ),
        };
        let control = Control { max_cost: Some(cap.to_owned()), ..control };
        let body = to_json(&control).into();
        if let Settled::Applied(_) =
            write::put(parts, &**job.store(), &key, body, &Attributes::json(), &condition).await?
        {
            return Ok(());
        }
    }
    Err(Failure::new(format!("{} changed each time it was read", job.place(&key)))
        .left("nothing was started")
        .fix("run it again"))
}
