//! The agents' role.

use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;
use serde_json::{Value, json};

use super::bucket;
use super::document::{Arns, dns_suffix, document};
use super::secrets;

/// Who may be the role: EC2, for its instances.
pub fn trust(deployment: &Deployment) -> Value {
    // China's EC2 has a name of its own (IAM user guide, "AWS services that work with IAM").
    let service = format!("ec2.{}", dns_suffix(&deployment.region));
    document(vec![json!({
        "Sid": "Instances",
        "Effect": "Allow",
        "Principal": { "Service": service },
        "Action": "sts:AssumeRole",
    })])
}

/// What the role may do: its deployment's prefix, and what each option adds.
pub fn inline(deployment: &Deployment) -> Value {
    let arns = Arns::new(deployment);
    let mut statements = objects(deployment, &arns);
    options(deployment, &arns, &mut statements);
    document(statements)
}

fn objects(deployment: &Deployment, arns: &Arns<'_>) -> Vec<Value> {
    vec![
        // Without it S3 answers 403 for a key that is absent (S3 API reference, GetObject, "Permissions").
        json!({
            "Sid": "List",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": arns.bucket(),
            "Condition": { "StringLike": { "s3:prefix": format!("{}*", deployment.place.prefix()) } },
        }),
        json!({ "Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": arns.objects("*") }),
        json!({
            "Sid": "Write",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": bucket::written(deployment),
        }),
        json!({ "Sid": "Delete", "Effect": "Allow", "Action": "s3:DeleteObject", "Resource": bucket::deleted(deployment) }),
    ]
}

fn options(deployment: &Deployment, arns: &Arns<'_>, statements: &mut Vec<Value>) {
    if let Some(key) = &deployment.kms_key {
        // Only through S3 (KMS developer guide, "kms:ViaService").
        statements.push(json!({
            "Sid": "Key",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": key_arn(arns, key),
            "Condition": { "StringEquals": { "kms:ViaService": format!("s3.{}.{}", deployment.region, dns_suffix(&deployment.region)) } },
        }));
    }
    if deployment.fleet_shut_off {
        // EC2 has no condition key for DeleteFleets' TerminateInstances: the tag is what holds it to its own fleets.
        statements.push(json!({
            "Sid": "FleetShutOff",
            "Effect": "Allow",
            "Action": "ec2:DeleteFleets",
            "Resource": arns.regional("ec2", "fleet/*"),
            "Condition": { "StringEquals": { tag_of_resource(): deployment.name } },
        }));
    }
    if let Some(group) = &deployment.log_group {
        statements.push(json!({
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": arns.regional("logs", &format!("log-group:{group}:log-stream:*")),
        }));
    }
    if let Some(topic) = &deployment.notify_topic {
        statements.push(json!({ "Sid": "Notify", "Effect": "Allow", "Action": "sns:Publish", "Resource": topic }));
    }
    statements.extend(secrets::statements(deployment, arns));
    if let Some(repository) = &deployment.ecr_repository {
        registry(arns, repository, deployment.ecr_push, statements);
    }
}

fn registry(arns: &Arns<'_>, repository: &str, push: bool, statements: &mut Vec<Value>) {
    let repository = arns.regional("ecr", &format!("repository/{repository}"));
    // The one action of ECR's that knows no repository.
    statements.push(json!({
        "Sid": "RegistryLogin", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*",
    }));
    statements.push(json!({
        "Sid": "RegistryPull",
        "Effect": "Allow",
        "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "Resource": repository,
    }));
    if push {
        statements.push(json!({
            "Sid": "RegistryPush",
            "Effect": "Allow",
            "Action": ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"],
            "Resource": repository,
        }));
    }
}

/// The condition key of the deployment's tag on what an action is about.
pub(super) fn tag_of_resource() -> String {
    format!("aws:ResourceTag/{}", tags::DEPLOYMENT)
}

/// A key's ARN, from its ARN or its id.
pub(super) fn key_arn(arns: &Arns<'_>, key: &str) -> String {
    if key.starts_with("arn:") { key.to_owned() } else { arns.regional("kms", &format!("key/{key}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample;

    fn sids(document: &Value) -> Vec<&str> {
        document["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].as_str().unwrap()).collect()
    }

    #[test]
    fn each_option_adds_its_own_statement() {
        let plain = sample();
        assert_eq!(sids(&inline(&plain)), ["List", "Read", "Write", "Delete"]);
        let all = Deployment {
            kms_key: Some("k".to_owned()),
            fleet_shut_off: true,
            log_group: Some("/g".to_owned()),
            notify_topic: Some("arn:aws:sns:us-east-1:123456789012:t".to_owned()),
            secrets: vec!["secretsmanager:a".to_owned(), "ssm:/b".to_owned()],
            ecr_repository: Some("r".to_owned()),
            ecr_push: true,
            ..plain
        };
        let added = [
            "Key",
            "FleetShutOff",
            "Logs",
            "Notify",
            "Parameters",
            "Secrets",
            "RegistryLogin",
            "RegistryPull",
            "RegistryPush",
        ];
        assert_eq!(sids(&inline(&all))[4..], added);
    }

    #[test]
    fn the_role_reaches_its_prefix_and_ends_no_instance() {
        let document = inline(&Deployment { fleet_shut_off: true, ..sample() });
        let text = document.to_string();
        assert!(!text.contains("TerminateInstances") && !text.contains("iam:") && !text.contains("s3:*"));
        for statement in document["Statement"].as_array().unwrap() {
            let about = statement["Resource"].to_string();
            let whole = about == "\"arn:aws:s3:::bucket\"";
            assert!(!about.contains("s3:::") || whole || !about.contains("s3:::bucket/*"), "{statement}");
            assert!(!about.contains("s3:::") || whole || about.contains("bucket/jobs/"), "{statement}");
            assert!(!whole || statement["Condition"]["StringLike"]["s3:prefix"] == "jobs/*", "{statement}");
        }
    }
}
