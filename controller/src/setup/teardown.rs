//! `dayfly teardown`: removes what setup made, in the order in which AWS lets it go. The record goes last, so that a
//! teardown that was cut off is run again; where it is gone, names and tags lead to what there is.

use std::fmt;

use aws_sdk_ec2::types::{Filter, FleetStateCode};
use dayfly_shared::deployment::{self, Deployment, Resource};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::{Location, SCHEMA};
use dayfly_shared::launch::tags;
use dayfly_shared::store::ETag;
use serde::Serialize;

use super::work::{Step, Work};
use super::{bucket, draft, lifecycle, role};
use crate::ask::confirm;
use crate::cli::{KindArg, TeardownArgs};
use crate::cloud::{Cloud, Identity, code, explain, load};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::{Parts, Patience};
use crate::{policy, write};

mod contents;

/// What AWS says of a thing that is gone.
const GONE: [&str; 4] = [
    "NoSuchEntity",
    "InvalidGroup.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateName.NotFoundException",
];
/// What it says while something else still hangs on it.
const HELD: [&str; 3] = ["DeleteConflict", "DependencyViolation", "ConcurrentModification"];

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
    account(&mut work, &deployment, &choice).await?;
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
    let made = |name: String| Resource { id: String::new(), name, made: true };
    Ok(Deployment {
        schema: SCHEMA,
        place: place.clone(),
        account: identity.account.clone(),
        region: region.to_owned(),
        by: identity.arn.clone(),
        version: String::new(),
        at: dayfly_shared::clock::Timestamp::default(),
        role: made(format!("dayfly-{name}-{region}")),
        instance_profile: made(format!("dayfly-{name}-{region}")),
        launch_template: made(format!("dayfly-{name}")),
        vpc: String::new(),
        subnets: Vec::new(),
        security_groups: vec![made(format!("dayfly-{name}"))],
        made_bucket: true,
        isolate: false,
        keep_logs_days: None,
        kms_key: None,
        ssm: false,
        fleet_shut_off: false,
        log_group: None,
        ecr_repository: None,
        ecr_push: false,
        agents: Vec::new(),
        owner: String::new(),
        project: String::new(),
        name,
    })
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

async fn account(work: &mut Work<'_>, deployment: &Deployment, choice: &Choice<'_>) -> Result<()> {
    if choice.takes(KindArg::LaunchTemplate) {
        template(work, deployment).await?;
    } else {
        work.kept("launch template", &deployment.launch_template.name, "as asked");
    }
    if choice.takes(KindArg::SecurityGroup) {
        groups(work, deployment).await?;
    } else {
        work.kept("security group", &format!("dayfly-{}", deployment.name), "as asked");
    }
    for group in deployment.security_groups.iter().filter(|group| !group.made) {
        work.kept("security group", &group.name, "dayfly did not make it");
    }
    if choice.takes(KindArg::Role) {
        the_role(work, deployment).await?;
    } else {
        work.kept("role", &deployment.role.name, "as asked");
    }
    for linked in ["AWSServiceRoleForEC2Spot", "AWSServiceRoleForEC2Fleet"] {
        work.kept("service-linked role", linked, "it is the whole account's");
    }
    let Some(repository) = &deployment.ecr_repository else { return Ok(()) };
    if !choice.takes(KindArg::Ecr) {
        work.kept("container repository", repository, "remove it with --destroy ecr");
        return Ok(());
    }
    match work.cloud.ecr().delete_repository().repository_name(repository).force(true).send().await {
        Ok(_) => work.removed("container repository", repository),
        Err(error) if code(&error) == Some("RepositoryNotFoundException") => {}
        Err(error) => return Err(explain("ecr:DeleteRepository", repository, &error)),
    }
    Ok(())
}

async fn template(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let ec2 = work.cloud.ec2();
    let found = ec2.describe_launch_templates().filters(of_deployment(deployment)).send().await;
    let found = found.map_err(|e| explain("ec2:DescribeLaunchTemplates", &deployment.name, &e))?;
    for template in found.launch_templates() {
        let (id, name) =
            (template.launch_template_id().unwrap_or_default(), template.launch_template_name().unwrap_or_default());
        match ec2.delete_launch_template().launch_template_id(id).send().await {
            Ok(_) => work.removed("launch template", name),
            Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => {}
            Err(error) => return Err(explain("ec2:DeleteLaunchTemplate", name, &error)),
        }
    }
    Ok(())
}

async fn groups(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let ec2 = work.cloud.ec2();
    let found = ec2.describe_security_groups().filters(of_deployment(deployment)).send().await;
    let found = found.map_err(|e| explain("ec2:DescribeSecurityGroups", &deployment.name, &e))?;
    for group in found.security_groups() {
        let (id, name) = (group.group_id().unwrap_or_default(), group.group_name().unwrap_or_default());
        // The interfaces of instances that have just ended hold their group for a while.
        match work.patiently(&HELD, async || ec2.delete_security_group().group_id(id).send().await).await {
            Ok(_) => work.removed("security group", name),
            Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => {}
            Err(error) => {
                return Err(explain("ec2:DeleteSecurityGroup", name, &error)
                    .fix("see what uses it (aws ec2 describe-network-interfaces --filters Name=group-id,Values=…)"));
            }
        }
    }
    Ok(())
}

/// The profile first, then what hangs on the role, then the role.
async fn the_role(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (iam, role, profile) = (work.cloud.iam(), &deployment.role.name, &deployment.instance_profile.name);
    let gone = |code: Option<&str>| code.is_some_and(|code| GONE.contains(&code));
    match iam.get_role().role_name(role).send().await {
        Ok(found) if !found.role().is_some_and(|found| role::carries(found.tags(), deployment)) => {
            return Err(role::not_own("role", role, deployment));
        }
        Err(error) if !gone(code(&error)) => return Err(explain("iam:GetRole", role, &error)),
        _ => {}
    }
    let removed = iam.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role).send().await;
    if let Err(error) = removed.as_ref()
        && !gone(code(error))
    {
        return Err(explain("iam:RemoveRoleFromInstanceProfile", profile, error));
    }
    let deleted =
        work.patiently(&HELD, async || iam.delete_instance_profile().instance_profile_name(profile).send().await).await;
    match deleted {
        Ok(_) => work.removed("instance profile", profile),
        Err(error) if gone(code(&error)) => {}
        Err(error) => return Err(explain("iam:DeleteInstanceProfile", profile, &error)),
    }
    // Somebody may have attached or added more; what dayfly did not give keeps the role there, and IAM says so.
    let arn = role::managed_arn(work);
    let detached = iam.detach_role_policy().role_name(role).policy_arn(&arn).send().await;
    if let Err(error) = detached.as_ref()
        && !gone(code(error))
    {
        return Err(explain("iam:DetachRolePolicy", role, error));
    }
    let inline = iam.delete_role_policy().role_name(role).policy_name(role::POLICY).send().await;
    if let Err(error) = inline.as_ref()
        && !gone(code(error))
    {
        return Err(explain("iam:DeleteRolePolicy", role, error));
    }
    match work.patiently(&HELD, async || iam.delete_role().role_name(role).send().await).await {
        Ok(_) => work.removed("role", role),
        Err(error) if gone(code(&error)) => {}
        Err(error) => {
            return Err(explain("iam:DeleteRole", role, &error)
                .fix("take off what others attached to it, and run dayfly teardown again"));
        }
    }
    Ok(())
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
