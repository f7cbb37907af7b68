//! The policy of people who publish images and prune them. It is of a region, and of no deployment.

use dayfly_shared::launch::tags;
use serde_json::{Value, json};

use super::super::document::{dns_suffix, document, partition};
use super::allow;

/// For `dayfly image publish`, `list` and `prune`: only what carries dayfly's tags is written, registered or removed.
///
/// `key` is the ARN of the key that snapshots are encrypted with, where it is not the account's default.
pub fn image(region: &str, key: Option<&str>) -> Value {
    // Snapshots and images belong to no account in ARNs (Service Authorization Reference, Amazon EC2, "Resource types").
    let arn = |kind: &str| format!("arn:{}:ec2:{region}::{kind}/*", partition(region));
    let (images, snapshots) = (arn("image"), arn("snapshot"));
    let with = |mut statement: Value, condition: Value| {
        statement["Condition"] = condition;
        statement
    };
    // A request or a resource that has the tag, whatever flavour it names.
    let requested = json!({ "StringLike": { format!("aws:RequestTag/{}", tags::IMAGE): "?*" } });
    let tagged = json!({ "StringLike": { format!("aws:ResourceTag/{}", tags::IMAGE): "?*" } });
    let mut all = vec![
        with(allow("Begin", &["ebs:StartSnapshot"], json!(snapshots)), requested.clone()),
        with(allow("Write", &["ebs:CompleteSnapshot", "ebs:PutSnapshotBlock"], json!(snapshots)), tagged.clone()),
        with(allow("Register", &["ec2:RegisterImage"], json!(images)), requested),
        with(allow("RegisterFrom", &["ec2:RegisterImage"], json!(snapshots)), tagged.clone()),
        with(
            allow("TagAtBirth", &["ec2:CreateTags"], json!([images, snapshots])),
            json!({ "StringEquals": { "ec2:CreateAction": ["RegisterImage", "StartSnapshot"] } }),
        ),
        with(
            allow("NoteProgress", &["ec2:CreateTags"], json!(snapshots)),
            json!({
                "StringLike": { format!("aws:ResourceTag/{}", tags::IMAGE): "?*" },
                "ForAllValues:StringEquals": { "aws:TagKeys": [tags::WRITTEN] },
            }),
        ),
        with(allow("Remove", &["ec2:DeleteSnapshot", "ec2:DeregisterImage"], json!([images, snapshots])), tagged),
        // EC2's Describe actions and the price list know no resource.
        allow(
            "Look",
            &[
                "ec2:DescribeFleets",
                "ec2:DescribeImages",
                "ec2:DescribeInstances",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeSnapshots",
                "pricing:GetProducts",
            ],
            json!("*"),
        ),
        // What EC2 says when it refuses is encoded.
        allow("Refusals", &["sts:DecodeAuthorizationMessage"], json!("*")),
    ];
    if let Some(key) = key {
        // EBS user guide, "Control access to EBS direct APIs using IAM": what a key of one's own is used for.
        let actions = [
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncrypt*",
        ];
        all.push(with(
            allow("Key", &actions, json!(key)),
            json!({ "StringLike": { "kms:ViaService": format!("ec2.*.{}", dns_suffix(region)) } }),
        ));
    }
    document(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_that_carries_no_tag_of_dayflys() {
        let document = image("eu-west-1", Some("arn:aws:kms:eu-west-1:1:key/k"));
        for statement in document["Statement"].as_array().unwrap() {
            let reads = ["Look", "Refusals"].contains(&statement["Sid"].as_str().unwrap());
            assert_eq!(statement.get("Condition").is_none(), reads, "{statement}");
        }
        assert!(image("cn-north-1", None).to_string().contains("arn:aws-cn:ec2:cn-north-1::snapshot/*"));
    }
}
