//! The policy of people who launch, follow and end.

use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;
use serde_json::{Value, json};

use super::super::agent::tag_of_resource;
use super::super::document::{Arns, document};
use super::{allow, pass_role, tag_of_request, through_s3};

/// For `dayfly run` and all that follows a job: no write to IAM, and one role to pass.
pub fn run(deployment: &Deployment) -> Value {
    let arns = Arns::new(deployment);
    let mut all = vec![
        // GetCallerIdentity needs no permission (STS API reference).
        allow("Refusals", &["sts:DecodeAuthorizationMessage"], json!("*")),
        json!({
            "Sid": "ListJobs",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": arns.bucket(),
            "Condition": { "StringLike": { "s3:prefix": format!("{}*", deployment.place.prefix()) } },
        }),
        allow("Uploads", &["s3:ListBucketMultipartUploads"], json!(arns.bucket())),
        allow(
            "Jobs",
            &["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            json!(arns.objects("*")),
        ),
        allow(
            "Look",
            &[
                "ec2:DescribeAddresses",
                "ec2:DescribeFleetHistory",
                "ec2:DescribeFleets",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeSnapshots",
                "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeSubnets",
                "ec2:DescribeVolumes",
                "ec2:GetInstanceTypesFromInstanceRequirements",
                "pricing:GetProducts",
                "servicequotas:GetServiceQuota",
            ],
            json!("*"),
        ),
        // AWS's own parameters that name its images; they belong to no account.
        allow("Images", &["ssm:GetParameter"], json!(arns.shared("ssm", "parameter/aws/service/*"))),
        pass_role(deployment, &arns, "StringEquals"),
    ];
    launching(deployment, &arns, &mut all);
    if let Some(key) = &deployment.kms_key {
        all.push(through_s3(deployment, &arns, key));
    }
    if deployment.ssm {
        sessions(deployment, &arns, &mut all);
    }
    document(all)
}

fn launching(deployment: &Deployment, arns: &Arns<'_>, all: &mut Vec<Value>) {
    let ec2 = |kind: &str| arns.regional("ec2", &format!("{kind}/*"));
    let of_request = json!({ "StringEquals": { tag_of_request(): deployment.name } });
    let of_resource = json!({ "StringEquals": { tag_of_resource(): deployment.name } });
    let with = |mut statement: Value, condition: &Value| {
        statement["Condition"] = condition.clone();
        statement
    };
    // What a launch makes carries the deployment's tag from its birth.
    let made = json!([ec2("fleet"), ec2("instance"), ec2("volume")]);
    all.push(with(allow("Launch", &["ec2:CreateFleet", "ec2:RunInstances"], made.clone()), &of_request));
    // What a launch takes: the deployment's template, group and profile, and networks and images of any make.
    all.push(with(
        allow(
            "LaunchFromTemplate",
            &["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplateVersion"],
            json!(ec2("launch-template")),
        ),
        &of_resource,
    ));
    all.push(allow(
        "LaunchInto",
        &["ec2:CreateFleet", "ec2:RunInstances"],
        json!([
            ec2("network-interface"),
            ec2("security-group"),
            ec2("subnet"),
            arns.shared("ec2", "image/*"),
            arns.shared("ec2", "snapshot/*"),
        ]),
    ));
    let births = json!({ "StringEquals": { "ec2:CreateAction": ["CreateFleet", "RunInstances"] } });
    all.push(with(allow("TagAtBirth", &["ec2:CreateTags"], made), &births));
    // `reap` marks what it means to end.
    let marks = json!({
        "StringEquals": { tag_of_resource(): deployment.name },
        "ForAllValues:StringEquals": { "aws:TagKeys": [tags::CONDEMNED] },
    });
    all.push(with(allow("Mark", &["ec2:CreateTags", "ec2:DeleteTags"], json!(ec2("instance"))), &marks));
    all.push(with(
        allow(
            "Manage",
            &[
                "ec2:DeleteFleets",
                "ec2:GetConsoleOutput",
                "ec2:StartInstances",
                "ec2:StopInstances",
                "ec2:TerminateInstances",
            ],
            json!([ec2("fleet"), ec2("instance")]),
        ),
        &of_resource,
    ));
}

/// `exec` and `connect`: one document for each, on the deployment's own instances.
fn sessions(deployment: &Deployment, arns: &Arns<'_>, all: &mut Vec<Value>) {
    all.push(allow(
        "ExecDocument",
        &["ssm:SendCommand", "ssm:StartSession"],
        json!([
            arns.shared("ssm", "document/AWS-RunShellScript"),
            arns.regional("ssm", "document/SSM-SessionManagerRunShell")
        ]),
    ));
    let mut exec = allow("Exec", &["ssm:SendCommand", "ssm:StartSession"], json!(arns.regional("ec2", "instance/*")));
    // Systems Manager has a condition key of its own for the tags of instances.
    exec["Condition"] = json!({ "StringEquals": { format!("ssm:resourceTag/{}", tags::DEPLOYMENT): deployment.name } });
    all.push(exec);
    all.push(allow("ExecAnswer", &["ssm:GetCommandInvocation"], json!("*")));
    // One's own sessions alone (Systems Manager user guide, "Additional sample IAM policies for Session Manager").
    all.push(allow(
        "OwnSessions",
        &["ssm:TerminateSession", "ssm:ResumeSession"],
        json!(arns.regional("ssm", "session/${aws:username}-*")),
    ));
}
