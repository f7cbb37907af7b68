//! Where a job's agents run: on this machine, or on EC2.

#[cfg(feature = "ec2")]
use dayfly_shared::deployment::Deployment;
use dayfly_shared::job::Location;

use crate::cli::AgentsArgs;
#[cfg(feature = "ec2")]
use crate::cloud;
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::settings::Place;

/// Where agents run.
pub enum Ground {
    /// As processes of this machine.
    Here,
    /// On machines of their own.
    #[cfg(feature = "ec2")]
    Ec2(Box<Deployment>),
}

/// Here with `--local` or `--here`; on EC2 where the job belongs to a deployment; else here, and that is said.
///
/// # Errors
/// Options for EC2 where there is no EC2 to be had.
pub async fn ground(parts: &Parts, job: &Location, args: &AgentsArgs) -> Result<Ground> {
    let machines = &args.machines;
    if matches!(parts.settings.place, Place::Local(_)) || machines.here {
        if machines.any() {
            let why = if machines.here { "--here" } else { "--local" };
            return Err(Failure::usage(format!(
                "{why} starts agents on this machine, and other options say which machines"
            ))
            .left("nothing was started")
            .fix("leave out one or the other"));
        }
        return Ok(Ground::Here);
    }
    on_machines(parts, job, args).await
}

#[cfg(not(feature = "ec2"))]
async fn on_machines(_parts: &Parts, _job: &Location, args: &AgentsArgs) -> Result<Ground> {
    if args.machines.any() { Err(crate::without_ec2()) } else { Ok(Ground::Here) }
}

#[cfg(feature = "ec2")]
async fn on_machines(parts: &Parts, job: &Location, args: &AgentsArgs) -> Result<Ground> {
    // Who may read the job alone may not look above it, and has machines nowhere.
    let search = cloud::search(parts, job).await;
    let search = search.map_err(|failure| match failure.is_of_bucket() {
        // Where agents run makes no difference.
        true => failure,
        false => failure.during("looking for a deployment").or("pass --here to start agents on this machine"),
    })?;
    if let Some(deployment) = search.found {
        cloud::check_place(&deployment, job)?;
        return Ok(Ground::Ec2(Box::new(deployment)));
    }
    if let Some(Deployment { name, place, .. }) = search.passed.first() {
        return Err(Failure::usage(format!(
            "the deployment {name} at {place} is isolated: it serves the job at its own place, and {job} is another"
        ))
        .left("nothing was started")
        .fix(format!("run: dayfly setup {job} --isolate; or pass --here to start agents on this machine")));
    }
    if args.machines.any() {
        return Err(Failure::usage(format!("there is no deployment at {job} or above it to launch from"))
            .left("nothing was started")
            .fix(format!("run: dayfly setup s3://{}; or leave out the options for machines", job.bucket())));
    }
    let count = crate::human::count(u64::from(args.count), "agent");
    parts.output().note(format!("{count} on this machine; for machines on EC2: dayfly setup s3://{}", job.bucket()));
    Ok(Ground::Here)
}
