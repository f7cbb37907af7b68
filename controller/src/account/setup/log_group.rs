//! The log group of CloudWatch Logs that agents write to beside the bucket. One that was there is its people's.

use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;

use super::work::{Work, tags_of};
use crate::cloud::LogGroup;
use crate::failure::Result;
use crate::policy;

/// What a group of dayfly's keeps: long enough to look into what happened, and the bucket stays the record. (One of the
/// numbers that PutRetentionPolicy takes.)
pub const RETENTION_DAYS: u64 = 30;

fn arn(deployment: &Deployment, name: &str) -> String {
    let Deployment { region, account, .. } = deployment;
    format!("arn:{}:logs:{region}:{account}:log-group:{name}", policy::partition(region))
}

fn is_own(group: &LogGroup, deployment: &Deployment) -> bool {
    group.tags.get(tags::DEPLOYMENT) == Some(&deployment.name)
}

/// Makes the group if it is not there.
///
/// # Errors
/// What CloudWatch Logs does not allow.
pub async fn make(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let Some(name) = &deployment.log_group else { return Ok(()) };
    let logs = work.cloud.logs(work.parts)?;
    let standing = logs.group(name, &arn(deployment, name)).await?;
    let (made, cut_off) = match &standing {
        None => (true, false),
        Some(group) => (false, is_own(group, deployment) && group.retention_days.is_none()),
    };
    if made {
        logs.create(name, &tags_of(deployment)).await?;
    }
    if made || cut_off {
        logs.keep(name, RETENTION_DAYS).await?;
    }
    match (made, cut_off) {
        (true, _) => work.made("log group", name),
        (_, true) => work.changed("log group", name, &format!("it forgets after {RETENTION_DAYS} days")),
        _ => work.there("log group", name),
    }
    Ok(())
}

/// Removes it, if it is of the deployment's making.
///
/// # Errors
/// What CloudWatch Logs does not allow.
pub async fn remove(work: &mut Work<'_>, deployment: &Deployment, name: &str) -> Result<()> {
    let logs = work.cloud.logs(work.parts)?;
    match logs.group(name, &arn(deployment, name)).await? {
        None => {}
        Some(group) if is_own(&group, deployment) => {
            logs.delete(name).await?;
            work.removed("log group", name);
        }
        Some(_) => work.kept("log group", name, "dayfly did not make it"),
    }
    Ok(())
}
