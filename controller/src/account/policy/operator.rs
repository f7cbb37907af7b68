//! What people need: one policy to set up and tear down, another to launch, follow and end.

mod image;
mod run;

use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;
use serde_json::{Value, json};

use super::agent::{key_arn, tag_of_resource};
use super::document::{Arns, MANAGED_SSM, dns_suffix, document};

pub use image::image;
pub use run::run;

/// For `dayfly setup` and `dayfly teardown`.
pub fn setup(deployment: &Deployment) -> Value {
    let arns = Arns::new(deployment);
    let mut all = vec![
        allow(
            "Bucket",
            &[
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:GetBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:ListBucket",
                "s3:ListBucketMultipartUploads",
                "s3:ListBucketVersions",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            json!(arns.bucket()),
        ),
        allow(
            "Objects",
            &["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"],
            json!(emptied(deployment, &arns)),
        ),
        allow(
            "Role",
            &[
                "iam:AddRoleToInstanceProfile",
                "iam:AttachRolePolicy",
                "iam:CreateInstanceProfile",
                "iam:CreateRole",
                "iam:DeleteInstanceProfile",
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:GetInstanceProfile",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:PutRolePolicy",
                "iam:RemoveRoleFromInstanceProfile",
                "iam:TagInstanceProfile",
                "iam:TagRole",
                "iam:UpdateAssumeRolePolicy",
            ],
            json!([arns.role(), arns.instance_profile()]),
        ),
        pass_role(deployment, &arns, "StringEqualsIfExists"),
    ];
    // Attaching is held to the one managed policy that --ssm attaches (IAM, "iam:PolicyARN").
    all.push(json!({
        "Sid": "NoOtherManagedPolicy",
        "Effect": "Deny",
        "Action": "iam:AttachRolePolicy",
        "Resource": arns.role(),
        "Condition": { "ArnNotEquals": { "iam:PolicyARN": arns.managed(MANAGED_SSM) } },
    }));
    all.push(json!({
        "Sid": "ServiceLinkedRoles",
        "Effect": "Allow",
        "Action": "iam:CreateServiceLinkedRole",
        "Resource": arns.iam("role/aws-service-role/*"),
        "Condition": { "StringEquals": { "iam:AWSServiceName": ["spot.amazonaws.com", "ec2fleet.amazonaws.com"] } },
    }));
    // A role that is not there is asked for without its path.
    all.push(allow(
        "LinkedRoles",
        &["iam:GetRole"],
        json!([arns.iam("role/aws-service-role/*"), arns.iam("role/AWSServiceRoleForEC2*")]),
    ));
    network(deployment, &arns, &mut all);
    if deployment.ecr_repository.is_some() {
        all.push(allow(
            "Registry",
            &[
                "ecr:CreateRepository",
                "ecr:DeleteRepository",
                "ecr:DescribeRepositories",
                "ecr:ListTagsForResource",
                "ecr:TagResource",
            ],
            json!(arns.regional("ecr", "repository/*")),
        ));
    }
    if let Some(group) = &deployment.log_group {
        let group = arns.regional("logs", &format!("log-group:{group}"));
        all.push(allow(
            "LogGroup",
            &[
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:ListTagsForResource",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
            ],
            // Some actions name the group with the streams in it.
            json!([group, format!("{group}:*")]),
        ));
        all.push(allow("LookAtLogGroups", &["logs:DescribeLogGroups"], json!(arns.regional("logs", "log-group:*"))));
    }
    if let Some(key) = &deployment.kms_key {
        all.push(through_s3(deployment, &arns, key));
    }
    document(all)
}

/// The prefix; of a bucket that dayfly made, everything, so that it can be emptied and removed.
fn emptied(deployment: &Deployment, arns: &Arns<'_>) -> String {
    if deployment.made_bucket { format!("{}/*", arns.bucket()) } else { arns.objects("*") }
}

/// Security group and launch template: made with the deployment's tag, changed and removed by it.
fn network(deployment: &Deployment, arns: &Arns<'_>, all: &mut Vec<Value>) {
    // EC2's Describe actions know no resource (Service Authorization Reference, Amazon EC2).
    all.push(allow(
        "Look",
        &[
            "ec2:DescribeFleets",
            "ec2:DescribeInstances",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcEndpoints",
            "ec2:DescribeVpcs",
        ],
        json!("*"),
    ));
    let made = json!([arns.regional("ec2", "security-group/*"), arns.regional("ec2", "launch-template/*")]);
    let mut make = allow("Make", &["ec2:CreateLaunchTemplate", "ec2:CreateSecurityGroup"], made.clone());
    make["Condition"] = json!({ "StringEquals": { tag_of_request(): deployment.name } });
    all.push(make);
    // The network that a security group is made in carries no tag of dayfly's.
    all.push(allow("MakeInNetwork", &["ec2:CreateSecurityGroup"], json!(arns.regional("ec2", "vpc/*"))));
    let mut tag = allow("Tag", &["ec2:CreateTags"], made.clone());
    tag["Condition"] =
        json!({ "StringEquals": { "ec2:CreateAction": ["CreateSecurityGroup", "CreateLaunchTemplate"] } });
    all.push(tag);
    let mut change = allow(
        "Change",
        &[
            "ec2:CreateLaunchTemplateVersion",
            "ec2:DeleteLaunchTemplate",
            "ec2:DeleteSecurityGroup",
            "ec2:ModifyLaunchTemplate",
        ],
        made,
    );
    change["Condition"] = json!({ "StringEquals": { tag_of_resource(): deployment.name } });
    all.push(change);
}

/// Both may pass the agents' role, to EC2 and nobody else. Setup puts it into its profile, which is passing it too (IAM API
/// reference, AddRoleToInstanceProfile) and names no service there for certain: so its condition holds where one is named.
fn pass_role(deployment: &Deployment, arns: &Arns<'_>, operator: &str) -> Value {
    let mut pass = allow("PassRole", &["iam:PassRole"], json!(arns.role()));
    let service = format!("ec2.{}", dns_suffix(&deployment.region));
    pass["Condition"] = json!({ operator: { "iam:PassedToService": service } });
    pass
}

fn through_s3(deployment: &Deployment, arns: &Arns<'_>, key: &str) -> Value {
    let mut through = allow("Key", &["kms:Decrypt", "kms:GenerateDataKey"], json!(key_arn(arns, key)));
    through["Condition"] = json!({ "StringEquals": { "kms:ViaService": format!("s3.{}.{}", deployment.region, dns_suffix(&deployment.region)) } });
    through
}

fn allow(sid: &str, actions: &[&str], resource: Value) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource })
}

fn tag_of_request() -> String {
    format!("aws:RequestTag/{}", tags::DEPLOYMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample;

    #[test]
    fn run_writes_nothing_in_iam_and_passes_one_role() {
        let document = run(&Deployment { ssm: true, ..sample() });
        let all = document["Statement"].as_array().unwrap();
        let of_iam: Vec<&Value> = all.iter().filter(|s| s["Action"].to_string().contains("iam:")).collect();
        assert_eq!(of_iam.len(), 1);
        assert_eq!(of_iam[0]["Action"], json!(["iam:PassRole"]));
        assert_eq!(of_iam[0]["Resource"], "arn:aws:iam::123456789012:role/dayfly-b-jobs-us-east-1");
        assert_eq!(of_iam[0]["Condition"]["StringEquals"]["iam:PassedToService"], "ec2.amazonaws.com");
    }

    #[test]
    fn what_ends_or_tags_is_held_to_the_deployment() {
        for document in [run(&sample()), setup(&sample())] {
            for statement in document["Statement"].as_array().unwrap() {
                let actions = statement["Action"].to_string();
                let deletes = ["ec2:Terminate", "ec2:Stop", "ec2:Delete", "ec2:CreateTags", "ec2:Modify"];
                if deletes.iter().any(|action| actions.contains(action)) {
                    assert!(statement.get("Condition").is_some(), "{statement}");
                }
                assert!(!actions.contains('*'), "{statement}");
            }
        }
    }

    #[test]
    fn sids_are_unique() {
        for document in [run(&Deployment { ssm: true, ..sample() }), setup(&sample())] {
            let mut sids: Vec<String> =
                document["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].to_string()).collect();
            let all = sids.len();
            sids.sort();
            sids.dedup();
            assert_eq!(sids.len(), all);
        }
    }
}
