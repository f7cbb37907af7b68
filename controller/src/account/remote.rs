//! `dayfly exec`, `connect`: an instance at hand without SSH, keys or open ports, through Systems Manager.

mod answer;
mod command;
mod session;

use dayfly_shared::exit::Exit;

use crate::cli::{ConnectArgs, ExecArgs, JobArg};
use crate::cloud::{Cloud, find};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// `dayfly exec`.
///
/// # Errors
/// An instance that cannot be reached, a command that did not come to its end.
pub async fn exec(parts: &Parts, args: &ExecArgs) -> Result<Exit> {
    check_instance(&args.instance)?;
    let cloud = connected(parts, &args.job).await?;
    let answer = command::run(parts, &cloud, args).await?;
    let exit = answer.exit();
    parts.output().result(&answer);
    answer.complain(parts);
    Ok(exit)
}

/// `dayfly connect`.
///
/// # Errors
/// An instance that cannot be reached; no session manager plugin here.
pub async fn connect(parts: &Parts, args: &ConnectArgs) -> Result<Exit> {
    check_instance(&args.instance)?;
    let cloud = connected(parts, &args.job).await?;
    session::open(parts, &cloud, &args.instance).await
}

fn check_instance(id: &str) -> Result<()> {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("'{id}' is no instance")).fix("name it as i-…; dayfly ps lists them"));
    }
    Ok(())
}

/// The account, in the region of the job's deployment if a job is named.
async fn connected(parts: &Parts, job: &JobArg) -> Result<Cloud> {
    let Some(job) = &job.job else { return Cloud::connect(parts).await };
    let deployment = find(parts, job).await?;
    if let Some(deployment) = &deployment
        && !deployment.ssm
    {
        let place = &deployment.place;
        return Err(Failure::new(format!("the deployment {} was set up without --ssm", deployment.name))
            .left("its instances are not known to Systems Manager")
            .fix(format!("run dayfly setup {place} --ssm; instances have it some minutes later")));
    }
    Cloud::connect_in(parts, deployment.as_ref().map(|deployment| deployment.region.as_str())).await
}
