//! The bucket's side: what S3 itself holds agents to, whatever their own policy says.
//!
//! Statements deny, and name the role by `aws:PrincipalArn`: that holds for a role that does not exist yet, and for one
//! that was made anew. Where many jobs lie below the prefix, a wildcard stands for the way to a job, and crosses folders:
//! a job below it must not have a folder `plan`, `results`, `failed` or `out` on its way. `--isolate` needs no wildcard.

use dayfly_shared::deployment::Deployment;
use serde_json::{Value, json};

use super::document::Arns;

/// Put once, never again (protocol, "Guarantees").
const ONCE: [&str; 6] = ["plan/*", "results/*", "failed/*", "out/*", "out*.dat", "store.json"];
/// Put on condition: that there is none, or that it is still the version that was read.
const CONDITIONAL: [&str; 8] = [
    "semaphores/*",
    "standby/*",
    "scratch/*",
    "control.json",
    "summary.json",
    "tasklist.txt",
    "completed.txt",
    "failed.txt",
];
/// Of one process alone: put as it likes.
const FREE: [&str; 3] = ["agents/*", "logs/*", "checkpoints/*"];
/// Deleted, on condition.
const DELETED: [&str; 3] = ["semaphores/*", "standby/*", "scratch/*"];
/// Deleted as their process likes.
const DELETED_FREELY: [&str; 1] = ["checkpoints/*"];

/// What Sids of a deployment's statements begin with. A Sid has letters and digits only, and names of deployments have no
/// capitals: so no two names come to one prefix, and no prefix begins another.
pub fn sid_prefix(name: &str) -> String {
    format!("Dayfly{}Z", name.replace('-', "X"))
}

/// ARNs of these objects in every job of the deployment.
fn of_jobs(deployment: &Deployment, patterns: &[&str]) -> Vec<String> {
    let arns = Arns::new(deployment);
    let mut all: Vec<String> = patterns.iter().map(|pattern| arns.objects(pattern)).collect();
    if !deployment.isolate {
        all.extend(patterns.iter().map(|pattern| arns.objects(&format!("*/{pattern}"))));
    }
    all
}

/// What agents write.
pub(super) fn written(deployment: &Deployment) -> Vec<String> {
    of_jobs(deployment, &[&ONCE[..], &CONDITIONAL, &FREE].concat())
}

/// What agents delete.
pub(super) fn deleted(deployment: &Deployment) -> Vec<String> {
    of_jobs(deployment, &[&DELETED[..], &DELETED_FREELY].concat())
}

/// The deployment's statements in its bucket's policy.
pub fn statements(deployment: &Deployment) -> Vec<Value> {
    let arns = Arns::new(deployment);
    let agents = json!({ "aws:PrincipalArn": arns.role() });
    // A part of a multipart upload creates no object and carries no condition; its completion does.
    let creates = json!({ "s3:ObjectCreationOperation": "true" });
    let mut all = vec![
        json!({
            "Sid": "WriteOnce",
            "Action": "s3:PutObject",
            "Resource": of_jobs(deployment, &ONCE),
            "Condition": { "ArnEquals": agents, "Null": { "s3:if-none-match": "true" }, "Bool": creates },
        }),
        json!({
            "Sid": "WriteOnCondition",
            "Action": "s3:PutObject",
            "Resource": of_jobs(deployment, &CONDITIONAL),
            "Condition": {
                "ArnEquals": agents,
                "Null": { "s3:if-match": "true", "s3:if-none-match": "true" },
                "Bool": creates,
            },
        }),
        json!({
            "Sid": "WriteNothingElse",
            "Action": "s3:PutObject",
            "NotResource": written(deployment),
            "Condition": { "ArnEquals": agents },
        }),
        json!({
            "Sid": "DeleteOnCondition",
            "Action": "s3:DeleteObject",
            "Resource": of_jobs(deployment, &DELETED),
            "Condition": { "ArnEquals": agents, "Null": { "s3:if-match": "true" } },
        }),
        json!({
            "Sid": "DeleteNothingCommitted",
            "Action": "s3:DeleteObject",
            "Resource": of_jobs(deployment, &ONCE),
            "Condition": { "ArnEquals": agents },
        }),
        json!({
            "Sid": "DeleteNothingElse",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "NotResource": deleted(deployment),
            "Condition": { "ArnEquals": agents },
        }),
        json!({
            "Sid": "EncryptedTransport",
            "Action": "s3:*",
            "Resource": transport(deployment, &arns),
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }),
    ];
    let prefix = sid_prefix(&deployment.name);
    for statement in &mut all {
        let sid = format!("{prefix}{}", statement["Sid"].as_str().unwrap_or_default());
        statement["Sid"] = sid.into();
        statement["Effect"] = "Deny".into();
        statement["Principal"] = "*".into();
    }
    all
}

/// A bucket of dayfly's own as a whole; of anybody else's the prefix alone.
fn transport(deployment: &Deployment, arns: &Arns<'_>) -> Vec<String> {
    let mut all = vec![arns.objects("*")];
    if deployment.made_bucket {
        all.push(arns.bucket());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample;

    #[test]
    fn no_two_deployments_share_a_prefix() {
        let names = ["a", "a-b", "ab", "a-b-c", "a1", "axb"];
        for one in names {
            for other in names.iter().filter(|other| **other != one) {
                assert!(!sid_prefix(other).starts_with(&sid_prefix(one)), "{one} {other}");
            }
        }
    }

    #[test]
    fn all_deny_and_none_speaks_of_another_place() {
        for deployment in [sample(), Deployment { isolate: true, made_bucket: false, ..sample() }] {
            for statement in statements(&deployment) {
                assert_eq!(statement["Effect"], "Deny");
                let sid = statement["Sid"].as_str().unwrap();
                assert!(sid.starts_with("DayflybXjobsZ") && sid.chars().all(char::is_alphanumeric), "{sid}");
                let about = statement.get("Resource").or(statement.get("NotResource")).unwrap();
                for arn in about.as_array().unwrap() {
                    let arn = arn.as_str().unwrap();
                    let whole = deployment.made_bucket && arn == "arn:aws:s3:::bucket";
                    assert!(whole || arn.starts_with("arn:aws:s3:::bucket/jobs/"), "{arn}");
                    assert!(!deployment.isolate || !arn.contains("jobs/*/"), "{arn}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_once_is_not_written_otherwise() {
        assert!(ONCE.iter().all(|once| !CONDITIONAL.contains(once) && !FREE.contains(once)));
        let text = json!(written(&sample())).to_string();
        assert!(!text.contains("job.json") && !text.contains("kernel") && !text.contains("launches"));
        // S3 takes policies of up to 20 KB (S3 user guide, "Bucket policies").
        assert!(json!(statements(&sample())).to_string().len() < 10_000);
    }
}
