//! What a deployment has in the account besides its bucket: launch template, security group, role, registry.

use dayfly_shared::deployment::Deployment;

use super::super::work::Work;
use super::super::{log_group, role};
use super::{Choice, of_deployment};
use crate::cli::KindArg;
use crate::cloud::{code, explain};
use crate::failure::Result;

/// What AWS says of a thing that is gone.
const GONE: [&str; 4] = [
    "NoSuchEntity",
    "InvalidGroup.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateName.NotFoundException",
];
/// What it says while something else still hangs on it.
const HELD: [&str; 3] = ["DeleteConflict", "DependencyViolation", "ConcurrentModification"];

/// Removes them.
///
/// # Errors
/// What AWS does not allow; a role of that name that is somebody else's.
pub async fn remove(work: &mut Work<'_>, deployment: &Deployment, choice: &Choice<'_>) -> Result<()> {
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
    match &deployment.log_group {
        Some(group) if !choice.takes(KindArg::LogGroup) => work.kept("log group", group, "as asked"),
        Some(group) => log_group::remove(work, deployment, group).await?,
        None => {}
    }
    let Some(repository) = &deployment.ecr_repository else { return Ok(()) };
    if !choice.takes(KindArg::Ecr) {
        work.kept("container repository", repository, "remove it with --destroy ecr");
        return Ok(());
    }
    match role::own_repository(work, deployment, repository).await? {
        None => return Ok(()),
        Some(false) => {
            work.kept("container repository", repository, "dayfly did not make it");
            return Ok(());
        }
        Some(true) => {}
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
