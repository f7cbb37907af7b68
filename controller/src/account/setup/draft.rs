//! What a deployment is to be: from the command line, and from its record where it stands.

use std::collections::BTreeSet;

use dayfly_shared::deployment::Deployment;
use dayfly_shared::job::Location;
use dayfly_shared::notice::is_topic;
use sha2::{Digest as _, Sha256};

use crate::cli::SetupArgs;
use crate::cloud::Identity;
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::policy;

/// The longest name of a deployment: a role's may have 64 characters (IAM user guide, "IAM and AWS STS quotas"), and is
/// `dayfly-<name>-<region>`.
const NAME_MAX: usize = 40;
/// Characters of a hash that tell apart what was cut: one in four thousand million is alike.
const HASH: usize = 8;

/// A caller that nobody asked for, to print for an account.
pub fn nobody(account: &str) -> Identity {
    Identity { account: account.to_owned(), arn: String::new() }
}

/// The name of the deployment at a place, unless one is given.
pub fn default_name(place: &Location) -> String {
    let text = format!("{}/{}", place.bucket(), place.prefix());
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_matches('-');
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let hash = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}", name[..NAME_MAX - HASH - 1].trim_end_matches('-'), &hash[..HASH])
}

/// Whether the command line makes sense by itself.
pub fn check(args: &SetupArgs) -> Result<()> {
    if let Some(name) = &args.name {
        check_name(name)?;
    }
    if let Some(account) = &args.account
        && !(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Failure::usage(format!("'{account}' is no account")).fix("an account is a number of 12 digits"));
    }
    if let Some(topic) = &args.notify
        && !is_topic(topic)
    {
        return Err(Failure::usage(format!("'{topic}' is no topic of SNS"))
            .fix("name it by its ARN: arn:aws:sns:REGION:ACCOUNT:NAME"));
    }
    if let Some(secret) = args.secrets.iter().find(|secret| !policy::is_secret(secret)) {
        return Err(Failure::usage(format!("'{secret}' names no secret that rights can be given to")).fix(
            "write it as ssm:/path/parameter or secretsmanager:NAME, with a * at the end for all whose names so begin, and \
             without a #KEY",
        ));
    }
    if let Some(group) = &args.cloudwatch
        && !is_log_group(group)
    {
        return Err(Failure::usage(format!("'{group}' cannot be a log group's name"))
            .fix("take letters, digits and . - _ / #, 512 at most"));
    }
    Ok(())
}

/// As CreateLogGroup has it (CloudWatch Logs API reference). It goes into ARNs of policies, where a `*` would be a wildcard.
fn is_log_group(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-/#".contains(c);
    (1..=512).contains(&name.len()) && name.chars().all(good) && !name.starts_with("aws/")
}

pub fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(good) || !edges {
        return Err(Failure::usage(format!("'{name}' cannot be a deployment's name"))
            .fix(format!("take lower-case letters, digits and hyphens, {NAME_MAX} at most")));
    }
    Ok(())
}

/// The deployment as it is to be, with ids still missing. Options that it has stay; new ones are added.
pub fn draft(
    parts: &Parts,
    args: &SetupArgs,
    place: &Location,
    identity: &Identity,
    region: &str,
    standing: Option<&Deployment>,
) -> Result<Deployment> {
    if let Some(standing) = standing {
        check_standing(args, identity, region, standing)?;
    }
    let name = standing.map(|d| d.name.clone()).or_else(|| args.name.clone()).unwrap_or_else(|| default_name(place));
    let before = standing.cloned();
    let ecr_repository = args.ecr.clone().or_else(|| before.as_ref().and_then(|d| d.ecr_repository.clone()));
    if args.ecr_push && ecr_repository.is_none() {
        return Err(Failure::usage("--ecr-push has no repository to push to").fix("name it with --ecr"));
    }
    let named = Deployment::named(&name, place.clone(), &identity.account, region);
    Ok(Deployment {
        by: identity.arn.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: parts.clock.now().wall,
        vpc: before.as_ref().map(|d| d.vpc.clone()).unwrap_or_default(),
        subnets: before.as_ref().map(|d| d.subnets.clone()).unwrap_or_default(),
        security_groups: before.as_ref().map_or(named.security_groups.clone(), |d| d.security_groups.clone()),
        made_bucket: before.as_ref().is_none_or(|d| d.made_bucket),
        isolate: args.isolate || before.as_ref().is_some_and(|d| d.isolate),
        keep_logs_days: args.keep_logs.or_else(|| before.as_ref().and_then(|d| d.keep_logs_days)),
        kms_key: args.kms_key.clone().or_else(|| before.as_ref().and_then(|d| d.kms_key.clone())),
        ssm: args.ssm || before.as_ref().is_some_and(|d| d.ssm),
        fleet_shut_off: args.fleet_shut_off || before.as_ref().is_some_and(|d| d.fleet_shut_off),
        log_group: args.cloudwatch.clone().or_else(|| before.as_ref().and_then(|d| d.log_group.clone())),
        notify_topic: args.notify.clone().or_else(|| before.as_ref().and_then(|d| d.notify_topic.clone())),
        secrets: before
            .iter()
            .flat_map(|d| &d.secrets)
            .chain(&args.secrets)
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        ecr_push: args.ecr_push || before.as_ref().is_some_and(|d| d.ecr_push),
        ecr_repository,
        agents: before.as_ref().map(|d| d.agents.clone()).unwrap_or_default(),
        owner: args
            .owner
            .clone()
            .or_else(|| before.as_ref().map(|d| d.owner.clone()))
            .unwrap_or_else(|| who(&identity.arn)),
        project: args
            .project
            .clone()
            .or_else(|| before.as_ref().map(|d| d.project.clone()))
            .unwrap_or_else(|| name.clone()),
        ..named
    })
}

fn check_standing(args: &SetupArgs, identity: &Identity, region: &str, standing: &Deployment) -> Result<()> {
    let at = &standing.place;
    if let Some(name) = args.name.as_ref().filter(|name| **name != standing.name) {
        return Err(Failure::usage(format!("the deployment at {at} is called {}, not {name}", standing.name))
            .fix("leave out --name, or tear it down first (dayfly teardown)"));
    }
    for (what, is, wanted) in
        [("account", &standing.account, identity.account.as_str()), ("region", &standing.region, region)]
    {
        if is != wanted {
            return Err(Failure::usage(format!(
                "the deployment at {at} is in {what} {is}, and these credentials and settings are of {wanted}"
            ))
            .fix("use --profile and --region of the deployment, or another place"));
        }
    }
    Ok(())
}

/// The name of a caller: the last part of its ARN (a user's name, a session's).
fn who(arn: &str) -> String {
    match arn.rsplit(['/', ':']).next() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_place() {
        let name = |text: &str| default_name(&text.parse().expect("a place"));
        assert_eq!(name("s3://my.bucket/Some jobs/2026"), "my-bucket-some-jobs-2026");
        assert_eq!(name("s3://bucket"), "bucket");
        let long = ["a", "b"].map(|end| name(&format!("s3://bucket/{}{end}", "x".repeat(80))));
        assert!(long.iter().all(|name| name.len() <= NAME_MAX) && long[0] != long[1], "{long:?}");
        for name in long {
            check_name(&name).expect("a name");
        }
    }

    #[test]
    fn topics_and_log_groups_are_plain_names() {
        assert!(is_topic("arn:aws:sns:us-east-1:123456789012:jobs"));
        for bad in ["jobs", "arn:aws:sqs:us-east-1:123456789012:jobs", "arn:aws:sns:us-east-1:123456789012:jobs.fifo"] {
            assert!(!is_topic(bad), "{bad}");
        }
        assert!(is_log_group("/dayfly/jobs_1"));
        for bad in ["", "a*", "a b", "aws/x"] {
            assert!(!is_log_group(bad), "{bad}");
        }
    }

    #[test]
    fn names_that_cannot_be_say_so() {
        for bad in ["", "A", "a_b", "-a", "a-", &"x".repeat(41)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
