//! `dayfly teardown`: removes what setup made, in the order in which AWS lets it go. The record goes last, so that a
//! teardown that was cut off is run again; where it is gone, names and tags lead to what there is.

use std::fmt;

use aws_sdk_ec2::types::{Filter, FleetStateCode};
use dayfly_shared::deployment::{self, Deployment};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::launch::tags;
use dayfly_shared::store::ETag;
use serde::Serialize;

use super::work::{Step, Work};
use super::{bucket, draft, lifecycle, role};
use crate::ask::confirm;
use crate::cli::{KindArg, TeardownArgs};
use crate::cloud::{Cloud, Identity, explain, load};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::{Parts, Patience};
use crate::{policy, write};

mod account;
mod contents;

/// What is to go.
struct Choice<'a>(&'a TeardownArgs);

impl Choice<'_> {
    fn takes(&self, kind: KindArg) -> bool {
        let asked = self.0.destroy.contains(&kind) || (kind == KindArg::Bucket && self.0.bucket);
        let by_itself = !matches!(kind, KindArg::Bucket | KindArg::Ecr);
        (asked || by_itself) && !self.0.keep.contains(&kind)
    }
}

/// `dayfly teardown`.
///
/// # Errors
/// Instances or fleets that live; what AWS does not allow.
pub async fn command(parts: &Parts, args: &TeardownArgs, place: &Location) -> Result<Exit> {
    let choice = Choice(args);
    if let Some(kind) = args.keep.iter().find(|kind| args.destroy.contains(kind)) {
        return Err(Failure::usage(format!("{kind:?} is to be kept and destroyed")).fix("name it once"));
    }
    let cloud = Cloud::connect(parts).await?;
    let identity = cloud.identity().await?;
    let mut work = Work::new(parts, &cloud);
    let there = bucket::look(&mut work, place.bucket()).await?;
    let standing = if there { load(parts, place).await? } else { None };
    let (deployment, version) = match standing {
        Some((record, version)) => (record, Some(version)),
        None => (of_names(args, place, &identity, cloud.region())?, None),
    };
    idle(&work, &deployment).await?;
    if there && choice.takes(KindArg::Bucket) {
        alone(&work, &deployment).await?;
    }
    if !confirm(&parts.settings, &question(&deployment, &choice, version.is_some()))? {
        return Err(Failure::new("nothing was removed").fix("answer yes, or pass --yes"));
    }
    account::remove(&mut work, &deployment, &choice).await?;
    if there {
        in_bucket(&mut work, &deployment, &choice, version).await?;
    }
    parts.output().result(&TeardownReport {
        deployment: deployment.name,
        place: deployment.place,
        steps: work.into_steps(),
    });
    Ok(Exit::Done)
}

fn question(deployment: &Deployment, choice: &Choice<'_>, recorded: bool) -> String {
    let Deployment { name, place, region, account, .. } = deployment;
    let bucket = if choice.takes(KindArg::Bucket) && deployment.made_bucket {
        format!(" and the bucket {} with ALL that is in it", place.bucket())
    } else {
        String::new()
    };
    let guess = if recorded { "" } else { " (it has no record: what has its names and tags)" };
    format!("Remove the deployment {name}{guess} at {place}, account {account}, {region}{bucket}?")
}

/// A deployment whose record is gone: its names follow from its own, and tags say what is its.
fn of_names(args: &TeardownArgs, place: &Location, identity: &Identity, region: &str) -> Result<Deployment> {
    let name = args.name.clone().unwrap_or_else(|| draft::default_name(place));
    draft::check_name(&name)?;
    let named = Deployment::named(&name, place.clone(), &identity.account, region);
    Ok(Deployment { by: identity.arn.clone(), ..named })
}

fn of_deployment(deployment: &Deployment) -> Filter {
    Filter::builder().name(format!("tag:{}", tags::DEPLOYMENT)).values(&deployment.name).build()
}

/// Refuses while instances or fleets of the deployment live.
async fn idle(work: &Work<'_>, deployment: &Deployment) -> Result<()> {
    let ec2 = work.cloud.ec2();
    let states = ["pending", "running", "stopping", "stopped"].map(str::to_owned).to_vec();
    let mut living = Vec::new();
    let mut pages = ec2
        .describe_instances()
        .filters(of_deployment(deployment))
        .filters(Filter::builder().name("instance-state-name").set_values(Some(states)).build())
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeInstances", &deployment.name, &e))?;
        let instances = page.reservations().iter().flat_map(|one| one.instances());
        living.extend(instances.filter_map(|instance| instance.instance_id()).map(str::to_owned));
    }
    // DescribeFleets has no filter for tags (EC2 API reference).
    let mut pages = ec2.describe_fleets().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeFleets", &deployment.name, &e))?;
        for fleet in page.fleets() {
            let own = fleet
                .tags()
                .iter()
                .any(|tag| tag.key() == Some(tags::DEPLOYMENT) && tag.value() == Some(&deployment.name));
            let over = [FleetStateCode::Deleted, FleetStateCode::DeletedTerminatingInstances, FleetStateCode::Failed];
            // A fleet of type instant is an answer that was given, and starts nothing more.
            let instant = fleet.r#type() == Some(&aws_sdk_ec2::types::FleetType::Instant);
            if own && !instant && !fleet.fleet_state().is_some_and(|state| over.contains(state)) {
                living.extend(fleet.fleet_id().map(str::to_owned));
            }
        }
    }
    if living.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the deployment {} still has {}", deployment.name, human::some(&living)))
        .left("nothing was removed")
        .fix(format!("end them first: dayfly terminate {}", deployment.place)))
}

/// Refuses to remove a bucket that other deployments live in: their statements are in its policy.
async fn alone(work: &Work<'_>, deployment: &Deployment) -> Result<()> {
    let name = deployment.place.bucket();
    let standing = bucket::standing_policy(work, name).await?;
    let others = standing.map(|standing| policy::others(&standing, &deployment.name)).unwrap_or_default();
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "other deployments live in the bucket {name}: their statements {} are in its policy",
        human::some(&others)
    ))
    .left("nothing was removed")
    .fix("tear them down first, or leave out --bucket"))
}

async fn in_bucket(
    work: &mut Work<'_>,
    deployment: &Deployment,
    choice: &Choice<'_>,
    version: Option<ETag>,
) -> Result<()> {
    let name = deployment.place.bucket();
    let own = bucket::is_own(work, deployment).await?;
    if choice.takes(KindArg::Bucket) && own {
        return contents::remove(work, name).await;
    }
    if choice.takes(KindArg::Policy) {
        statements(work, deployment).await?;
    } else {
        work.kept("policy of", name, "as asked");
    }
    if choice.takes(KindArg::Lifecycle) {
        lifecycle::remove(work, deployment).await?;
    } else {
        work.kept("lifecycle rules of", name, "as asked");
    }
    let store = work.parts.bucket(name, Patience::Long).await?;
    for program in &deployment.agents {
        if !choice.takes(KindArg::Agents) {
            work.kept("agent program", &program.key, "as asked");
        } else if let Some(meta) = store.head(&program.key).await?
            && write::delete(work.parts, &*store, &program.key, &meta.etag).await?
        {
            work.removed("agent program", &program.key);
        }
    }
    if let Some(version) = version {
        let key = deployment::key(&deployment.place);
        if write::delete(work.parts, &*store, &key, &version).await? {
            work.removed("record", &store.place(&key));
        }
    }
    let why = match (own, choice.takes(KindArg::Bucket)) {
        (false, _) => "dayfly did not make it",
        (true, false) if choice.0.keep.contains(&KindArg::Bucket) => "as asked",
        (true, _) => "with its jobs; remove it with --bucket",
    };
    work.kept("bucket", name, why);
    Ok(())
}

/// Takes the deployment's statements out of the bucket's policy.
async fn statements(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let name = deployment.place.bucket();
    let Some(standing) = bucket::standing_policy(work, name).await? else { return Ok(()) };
    let prefix = policy::sid_prefix(&deployment.name);
    match policy::without(&standing, &prefix) {
        Some(rest) if role::same(&rest, &standing) => {}
        Some(rest) => {
            bucket::put_policy(work, name, &rest).await?;
            work.removed("statements in the policy of", name);
        }
        None => {
            let deleted = work.cloud.s3().delete_bucket_policy().bucket(name).send().await;
            deleted.map_err(|e| explain("s3:DeleteBucketPolicy", name, &e))?;
            work.removed("policy of", name);
        }
    }
    Ok(())
}

/// What a teardown came to.
#[derive(Debug, Serialize)]
struct TeardownReport {
    deployment: String,
    place: Location,
    steps: Vec<Step>,
}

impl fmt::Display for TeardownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::work::Deed;
        let of = |deed| self.steps.iter().filter(move |step| step.deed == deed);
        write!(f, "deployment {} at {}: ", self.deployment, self.place)?;
        match of(Deed::Removed).count() {
            0 => write!(f, "there was nothing to remove")?,
            n => write!(f, "{} removed", human::count(n as u64, "thing"))?,
        }
        for step in of(Deed::Kept) {
            write!(f, "\n  {step}")?;
        }
        Ok(())
    }
}
