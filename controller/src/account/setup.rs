//! `dayfly setup`, `teardown`: what a deployment needs in the account, made and removed.
//!
//! Everything has a name that follows from the deployment's, and carries its tag: so a setup that was cut off is run again
//! and finds what it made, and nothing of anybody else's is taken for its own.

mod bucket;
mod draft;
mod lifecycle;
mod log_group;
mod network;
mod print;
mod program;
mod role;
mod teardown;
mod template;
mod work;

use dayfly_shared::deployment::Deployment;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;

use crate::cli::{JobArg, SetupArgs, TeardownArgs};
use crate::cloud::{Cloud, load, save};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

use print::Printed;
pub use print::region as region_said;
use work::Work;

/// `dayfly setup`.
///
/// # Errors
/// What is missing in the account, or not allowed; each error names it, and setup can be run again.
pub async fn setup(parts: &Parts, args: &SetupArgs) -> Result<Exit> {
    let place = place(&args.job)?;
    draft::check(args)?;
    if args.print {
        return print(parts, args, &place).await;
    }
    let cloud = Cloud::connect(parts).await?;
    let identity = cloud.identity().await?;
    let mut work = Work::new(parts, &cloud);
    let there = bucket::look(&mut work, place.bucket()).await?;
    let standing = if there { load(parts, &place).await? } else { None };
    let (standing, version) = standing.map_or((None, None), |(record, etag)| (Some(record), Some(etag)));
    let mut deployment = draft::draft(parts, args, &place, &identity, cloud.region(), standing.as_ref())?;
    let programs = program::inspect(parts, args).await?;

    bucket::make(&mut work, &mut deployment, there).await?;
    network::find(&mut work, &mut deployment, args, standing.is_some()).await?;
    network::security_group(&mut work, &mut deployment, args).await?;
    role::make(&mut work, &mut deployment).await?;
    role::linked(&mut work).await?;
    bucket::policy(&mut work, &deployment).await?;
    lifecycle::rules(&mut work, &deployment).await?;
    template::make(&mut work, &mut deployment).await?;
    role::registry(&mut work, &deployment).await?;
    log_group::make(&mut work, &deployment).await?;
    program::upload(&mut work, &mut deployment, programs).await?;
    record(&mut work, &deployment, standing.as_ref(), version).await?;
    parts.output().result(&work.report(deployment));
    Ok(Exit::Done)
}

/// Writes the record, unless it says the same already.
async fn record(
    work: &mut Work<'_>,
    deployment: &Deployment,
    standing: Option<&Deployment>,
    version: Option<dayfly_shared::store::ETag>,
) -> Result<()> {
    let name = format!("{}dayfly/deployment.json", deployment.place);
    let same = standing.is_some_and(|standing| {
        let undated = Deployment { at: deployment.at, by: deployment.by.clone(), ..standing.clone() };
        undated == *deployment
    });
    if same {
        work.there("record", &name);
        return Ok(());
    }
    let made = version.is_none();
    save(work.parts, deployment, version).await?;
    if made {
        work.made("record", &name)
    } else {
        work.changed("record", &name, "what is new")
    }
    Ok(())
}

async fn print(parts: &Parts, args: &SetupArgs, place: &Location) -> Result<Exit> {
    let deployment = match (&args.account, print::region(parts)) {
        (Some(account), Some(region)) => draft::draft(parts, args, place, &draft::nobody(account), &region, None)?,
        _ => found(parts, args, place).await?,
    };
    parts.output().result(&Printed::new(&deployment));
    Ok(Exit::Done)
}

/// The deployment as setup would make it of what is there: one that stands keeps its name and options, a bucket of others
/// stays theirs.
async fn found(parts: &Parts, args: &SetupArgs, place: &Location) -> Result<Deployment> {
    let cloud = Cloud::connect(parts).await?;
    let identity = cloud.identity().await?;
    let mut work = Work::new(parts, &cloud);
    let there = bucket::look(&mut work, place.bucket()).await?;
    let standing = if there { load(parts, place).await?.map(|(record, _)| record) } else { None };
    let mut deployment = draft::draft(parts, args, place, &identity, cloud.region(), standing.as_ref())?;
    if there && standing.is_none() {
        deployment.made_bucket = bucket::is_own(&work, &deployment).await?;
    }
    Ok(deployment)
}

/// `dayfly teardown`.
///
/// # Errors
/// Instances that still run; what cannot be removed.
pub async fn teardown(parts: &Parts, args: &TeardownArgs) -> Result<Exit> {
    teardown::command(parts, args, &place(&args.job)?).await
}

fn place(job: &JobArg) -> Result<Location> {
    job.job.clone().ok_or_else(|| {
        Failure::usage("a deployment needs a place").fix("name it as s3://BUCKET/PREFIX; its jobs are those below")
    })
}
