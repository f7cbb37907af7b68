//! The bucket's side: what S3 itself holds agents to, whatever their own policy says.
//!
//! Statements deny, and name the role by `aws:PrincipalArn`: that holds for a role that does not exist yet, and for one
//! that was made anew. Where many jobs lie below the prefix, a wildcard stands for the way to a job, and crosses folders:
//! a job below it must not have a folder on its way that is called like one of a job's own ([`unserved`]). `--isolate` needs
//! no wildcard.

use dayfly_shared::deployment::{self, Deployment};
use dayfly_shared::job::Location;
use serde_json::{Value, json};

use super::document::Arns;

/// Put once, never again (protocol, "Guarantees").
const ONCE: [&str; 8] = ["plan/*", "results/*", "failed/*", "out/*", "out*.dat", "store.json", "wheels/*", "images/*"];
/// Put on condition: that there is none, or that it is still the version that was read.
const CONDITIONAL: [&str; 9] = [
    "semaphores/*",
    "standby/*",
    "scratch/*",
    "control.json",
    "summary.json",
    "tasklist.txt",
    "completed.txt",
    "failed.txt",
    "notified/*",
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

/// The first folder on the way from a deployment's place to a job below it that its wildcards take for one of a job's own.
/// Agents of such a job would be refused what they write freely, or could write over what they must not.
pub fn unserved(deployment: &Deployment, job: &Location) -> Option<String> {
    if deployment.isolate {
        return None;
    }
    let below = job.prefix().strip_prefix(deployment.place.prefix())?;
    below.split('/').find(|folder| is_reserved(folder)).map(str::to_owned)
}

/// Whether such a folder is anywhere on the way to a job.
pub fn is_suspicious(job: &Location) -> bool {
    job.prefix().split('/').any(is_reserved)
}

fn is_reserved(folder: &str) -> bool {
    let of_jobs = ONCE.iter().chain(&CONDITIONAL).chain(&FREE).filter_map(|pattern| pattern.strip_suffix("/*"));
    folder == deployment::FOLDER || of_jobs.into_iter().any(|own| own == folder)
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
    fn a_way_through_a_folder_of_a_jobs_own_is_not_served() {
        let unserved = |deployment: &Deployment, job: &str| unserved(deployment, &job.parse().unwrap());
        let plain = sample();
        for folder in [
            "plan",
            "results",
            "failed",
            "out",
            "semaphores",
            "standby",
            "scratch",
            "agents",
            "logs",
            "checkpoints",
            "wheels",
            "images",
            "notified",
            "dayfly",
        ] {
            for job in [format!("s3://bucket/jobs/{folder}"), format!("s3://bucket/jobs/a/{folder}/b")] {
                assert_eq!(unserved(&plain, &job).as_deref(), Some(folder), "{job}");
            }
        }
        for job in ["s3://bucket/jobs", "s3://bucket/jobs/one", "s3://bucket/jobs/outer/planet", "s3://bucket/out/one"]
        {
            assert_eq!(unserved(&plain, job), None, "{job}");
        }
        let above = Deployment { place: "s3://bucket/out".parse().unwrap(), ..sample() };
        assert_eq!(unserved(&above, "s3://bucket/out/one"), None);
        let alone = Deployment { isolate: true, place: "s3://bucket/jobs/out".parse().unwrap(), ..sample() };
        assert_eq!(unserved(&alone, "s3://bucket/jobs/out"), None);
    }

    /// Every folder of a job's own is one that no job may lie in; the agents' programs lie in none.
    #[test]
    fn what_agents_write_is_what_is_reserved() {
        for arn in written(&sample()).iter().chain(&deleted(&sample())) {
            let pattern = arn.strip_prefix("arn:aws:s3:::bucket/jobs/").unwrap();
            if let Some(folder) = pattern.strip_prefix("*/").unwrap_or(pattern).strip_suffix("/*") {
                assert!(is_reserved(folder), "{folder}");
                assert!(!deployment::agent_key(&sample().place, "0.1.0", "arm64").contains(&format!("/{folder}/")));
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
