//! The agents' role, the profile that hands it to instances, the roles that EC2 wants for itself, the registry.

use std::collections::HashMap;

use aws_sdk_iam::types::Tag;
use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::bucket::incomplete;
use super::work::{Work, tags_of};
use crate::cloud::{code, explain};
use crate::failure::{Failure, Result};
use crate::policy;

/// The role's own policy.
pub const POLICY: &str = "dayfly";
/// The most that policies written into a role may have (IAM user guide, "IAM and AWS STS quotas").
const POLICY_MAX: usize = 10_240;
/// Roles of EC2's own, without which spot machines and fleets do not start (EC2 user guide, "Service-linked role for Spot
/// Instance requests", "… for EC2 Fleet"). Made here, so that whoever launches need not write to IAM.
const LINKED: [(&str, &str); 2] =
    [("spot.amazonaws.com", "AWSServiceRoleForEC2Spot"), ("ec2fleet.amazonaws.com", "AWSServiceRoleForEC2Fleet")];
/// What IAM says while one part of it has not heard of what another made.
const NOT_YET: [&str; 2] = ["NoSuchEntity", "ConcurrentModification"];

/// Whether two policies mean the same: services store them with lists of one taken apart, and in another order.
pub fn same(one: &Value, other: &Value) -> bool {
    plain(one) == plain(other)
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Array(all) if all.len() == 1 => plain(&all[0]),
        Value::Array(all) => {
            let mut all: Vec<Value> = all.iter().map(plain).collect();
            all.sort_by_key(ToString::to_string);
            Value::Array(all)
        }
        Value::Object(map) => {
            Value::Object(map.iter().filter(|(key, _)| *key != "Id").map(|(k, v)| (k.clone(), plain(v))).collect())
        }
        Value::Bool(flag) => Value::String(flag.to_string()),
        other => other.clone(),
    }
}

/// A policy as IAM hands it out: percent-encoded JSON (IAM API reference, GetRolePolicy).
fn decoded(text: &str) -> Option<Value> {
    serde_json::from_str(&percent_decode_str(text).decode_utf8_lossy()).ok()
}

fn own_tags(deployment: &Deployment) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&str, &str)| Tag::builder().key(key).value(value).build().map_err(incomplete);
    tags_of(deployment).into_iter().map(tag).collect()
}

/// That a thing of the name that dayfly would give it is somebody else's.
pub fn not_own(kind: &str, name: &str, deployment: &Deployment) -> Failure {
    Failure::new(format!("there is a {kind} {name} without the tag {}={}", tags::DEPLOYMENT, deployment.name))
        .left("it was not touched")
        .fix("it is not of this deployment's making: choose another --name, or remove it")
}

pub fn carries(all: &[Tag], deployment: &Deployment) -> bool {
    all.iter().any(|tag| tag.key() == tags::DEPLOYMENT && tag.value() == deployment.name)
}

/// The role with its policies, and the instance profile.
///
/// # Errors
/// What IAM does not allow; a role of that name that is somebody else's.
pub async fn make(work: &mut Work<'_>, deployment: &mut Deployment) -> Result<()> {
    role(work, deployment).await?;
    inline(work, deployment).await?;
    if deployment.ssm {
        managed(work, deployment).await?;
    }
    profile(work, deployment).await
}

async fn role(work: &mut Work<'_>, deployment: &mut Deployment) -> Result<()> {
    let (iam, name, trust) = (work.cloud.iam(), deployment.role.name.clone(), policy::trust(deployment));
    let standing = match iam.get_role().role_name(&name).send().await {
        Ok(found) => found.role,
        Err(error) if code(&error) == Some("NoSuchEntity") => None,
        Err(error) => return Err(explain("iam:GetRole", &name, &error)),
    };
    let Some(standing) = standing else {
        let made = iam
            .create_role()
            .role_name(&name)
            .assume_role_policy_document(trust.to_string())
            .description(format!("Agents of dayfly's jobs at {}", deployment.place))
            .set_tags(Some(own_tags(deployment)?))
            .send()
            .await
            .map_err(|e| explain("iam:CreateRole", &name, &e))?;
        deployment.role.id = made.role().map(|role| role.arn().to_owned()).unwrap_or_default();
        work.made("role", &name);
        return Ok(());
    };
    if !carries(standing.tags(), deployment) {
        return Err(not_own("role", &name, deployment));
    }
    standing.arn().clone_into(&mut deployment.role.id);
    let trusts = standing.assume_role_policy_document().and_then(decoded);
    if trusts.is_some_and(|standing| same(&standing, &trust)) {
        work.there("role", &name);
        return Ok(());
    }
    let put = iam.update_assume_role_policy().role_name(&name).policy_document(trust.to_string()).send().await;
    put.map_err(|e| explain("iam:UpdateAssumeRolePolicy", &name, &e))?;
    work.changed("role", &name, "who may be it");
    Ok(())
}

async fn inline(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (iam, name, wanted) = (work.cloud.iam(), &deployment.role.name, policy::inline(deployment));
    let standing = match iam.get_role_policy().role_name(name).policy_name(POLICY).send().await {
        Ok(found) => decoded(found.policy_document()),
        Err(error) if code(&error) == Some("NoSuchEntity") => None,
        Err(error) => return Err(explain("iam:GetRolePolicy", name, &error)),
    };
    if standing.as_ref().is_some_and(|standing| same(standing, &wanted)) {
        work.there("policy of role", name);
        return Ok(());
    }
    let text = wanted.to_string();
    if text.len() > POLICY_MAX {
        return Err(Failure::new(format!(
            "the policy of {name} would have {} characters, and IAM takes {POLICY_MAX}",
            text.len()
        ))
        .fix("take a shorter prefix, or --isolate, which needs half as much"));
    }
    work.patiently(&NOT_YET, async || {
        iam.put_role_policy().role_name(name).policy_name(POLICY).policy_document(&text).send().await
    })
    .await
    .map_err(|e| explain("iam:PutRolePolicy", name, &e))?;
    match standing {
        None => work.made("policy of role", name),
        Some(_) => work.changed("policy of role", name, "what agents may do"),
    }
    Ok(())
}

/// The ARN of the managed policy.
pub fn managed_arn(work: &Work<'_>) -> String {
    format!("arn:{}:{}", work.cloud.partition(), policy::MANAGED_SSM)
}

async fn managed(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (iam, name, arn) = (work.cloud.iam(), &deployment.role.name, managed_arn(work));
    let attached = iam.list_attached_role_policies().role_name(name).send().await;
    let attached = attached.map_err(|e| explain("iam:ListAttachedRolePolicies", name, &e))?;
    if attached.attached_policies().iter().any(|policy| policy.policy_arn() == Some(arn.as_str())) {
        work.there("managed policy", &arn);
        return Ok(());
    }
    work.patiently(&NOT_YET, async || iam.attach_role_policy().role_name(name).policy_arn(&arn).send().await)
        .await
        .map_err(|e| explain("iam:AttachRolePolicy", &arn, &e))?;
    work.made("managed policy", &arn);
    Ok(())
}

async fn profile(work: &mut Work<'_>, deployment: &mut Deployment) -> Result<()> {
    let (iam, name, role) = (work.cloud.iam(), deployment.instance_profile.name.clone(), deployment.role.name.clone());
    let standing = match iam.get_instance_profile().instance_profile_name(&name).send().await {
        Ok(found) => found.instance_profile,
        Err(error) if code(&error) == Some("NoSuchEntity") => None,
        Err(error) => return Err(explain("iam:GetInstanceProfile", &name, &error)),
    };
    let has_role = standing.as_ref().is_some_and(|profile| profile.roles().iter().any(|r| r.role_name() == role));
    match standing {
        Some(profile) => {
            if !carries(profile.tags(), deployment) {
                return Err(not_own("instance profile", &name, deployment));
            }
            profile.arn().clone_into(&mut deployment.instance_profile.id);
            if has_role {
                work.there("instance profile", &name);
                return Ok(());
            }
        }
        None => {
            let made = iam
                .create_instance_profile()
                .instance_profile_name(&name)
                .set_tags(Some(own_tags(deployment)?))
                .send()
                .await
                .map_err(|e| explain("iam:CreateInstanceProfile", &name, &e))?;
            deployment.instance_profile.id = made.instance_profile().map(|p| p.arn().to_owned()).unwrap_or_default();
        }
    }
    work.patiently(&NOT_YET, async || {
        iam.add_role_to_instance_profile().instance_profile_name(&name).role_name(&role).send().await
    })
    .await
    .map_err(|e| explain("iam:AddRoleToInstanceProfile", &name, &e))?;
    // EC2 sees it last of all: what IAM itself shows is waited for here, and launch waits for EC2.
    work.patiently(&NOT_YET, async || iam.get_instance_profile().instance_profile_name(&name).send().await)
        .await
        .map_err(|e| explain("iam:GetInstanceProfile", &name, &e))?;
    work.made("instance profile", &name);
    Ok(())
}

/// The service-linked roles of spot and fleets.
///
/// # Errors
/// What IAM does not allow.
pub async fn linked(work: &mut Work<'_>) -> Result<()> {
    let iam = work.cloud.iam();
    for (service, role) in LINKED {
        match iam.get_role().role_name(role).send().await {
            Ok(_) => {
                work.there("service-linked role", role);
                continue;
            }
            Err(error) if code(&error) == Some("NoSuchEntity") => {}
            Err(error) => return Err(explain("iam:GetRole", role, &error)),
        }
        match iam.create_service_linked_role().aws_service_name(service).send().await {
            Ok(_) => work.made("service-linked role", role),
            // Somebody was quicker: "Service role name … has been taken in this account".
            Err(error) if matches!(code(&error), Some("InvalidInput" | "EntityAlreadyExists")) => {
                work.there("service-linked role", role);
            }
            Err(error) => return Err(explain("iam:CreateServiceLinkedRole", service, &error)),
        }
    }
    Ok(())
}

/// The container repository.
///
/// # Errors
/// What ECR does not allow.
pub async fn registry(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let Some(name) = &deployment.ecr_repository else { return Ok(()) };
    let ecr = work.cloud.ecr();
    if own_repository(work, deployment, name).await?.is_some() {
        work.there("container repository", name);
        return Ok(());
    }
    let mut own = Vec::new();
    for (key, value) in tags_of(deployment) {
        own.push(aws_sdk_ecr::types::Tag::builder().key(key).value(value).build().map_err(incomplete)?);
    }
    let made = ecr.create_repository().repository_name(name).set_tags(Some(own)).send().await;
    made.map_err(|e| explain("ecr:CreateRepository", name, &e))?;
    work.made("container repository", name);
    Ok(())
}

/// Whether a repository is there, and of the deployment's making.
///
/// # Errors
/// What ECR does not allow.
pub async fn own_repository(work: &Work<'_>, deployment: &Deployment, name: &str) -> Result<Option<bool>> {
    let ecr = work.cloud.ecr();
    let found = match ecr.describe_repositories().repository_names(name).send().await {
        Ok(found) => found,
        Err(error) if code(&error) == Some("RepositoryNotFoundException") => return Ok(None),
        Err(error) => return Err(explain("ecr:DescribeRepositories", name, &error)),
    };
    let arn = found.repositories().first().and_then(|one| one.repository_arn()).unwrap_or_default();
    let listed = ecr.list_tags_for_resource().resource_arn(arn).send().await;
    let listed = listed.map_err(|e| explain("ecr:ListTagsForResource", name, &e))?;
    Ok(Some(listed.tags().iter().any(|tag| tag.key() == tags::DEPLOYMENT && tag.value() == deployment.name)))
}

/// Tags as EC2 takes them.
pub fn ec2_tags(deployment: &Deployment, name: &str) -> Vec<aws_sdk_ec2::types::Tag> {
    let mut all: HashMap<&str, &str> = tags_of(deployment).into();
    all.insert(tags::NAME, name);
    all.into_iter().map(|(key, value)| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_compare_by_what_they_mean() {
        let one = json!({ "Statement": [{ "Action": ["b", "a"], "Resource": ["x"] }] });
        let other = json!({ "Statement": { "Action": ["a", "b"], "Resource": "x" } });
        assert!(same(&one, &other));
        assert!(!same(&one, &json!({ "Statement": { "Action": ["a"], "Resource": "x" } })));
    }
}
