//! The bucket's lifecycle rules: own ones, by the prefix of their id, among whatever others there are.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, TransitionDefaultMinimumObjectSize,
};
use dayfly_shared::deployment::Deployment;

use super::bucket::incomplete;
use super::work::Work;
use crate::cloud::{code, explain};
use crate::failure::Result;

/// Longer than any upload of a task takes, whose time limit is a day at most.
const STALE_UPLOAD_DAYS: i32 = 2;

/// What ids of a deployment's rules begin with; a name has no colon.
fn id_prefix(deployment: &Deployment) -> String {
    format!("dayfly-{}:", deployment.name)
}

struct Standing {
    rules: Vec<LifecycleRule>,
    /// Goes back with the rules, or S3 would set it anew.
    smallest: Option<TransitionDefaultMinimumObjectSize>,
}

async fn standing(work: &Work<'_>, bucket: &str) -> Result<Standing> {
    match work.cloud.s3().get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        Ok(found) => Ok(Standing {
            rules: found.rules.unwrap_or_default(),
            smallest: found.transition_default_minimum_object_size,
        }),
        Err(error) if code(&error) == Some("NoSuchLifecycleConfiguration") => {
            Ok(Standing { rules: Vec::new(), smallest: None })
        }
        Err(error) => Err(explain("s3:GetLifecycleConfiguration", bucket, &error)),
    }
}

async fn put(work: &Work<'_>, bucket: &str, all: Standing) -> Result<()> {
    let s3 = work.cloud.s3();
    if all.rules.is_empty() {
        let deleted = s3.delete_bucket_lifecycle().bucket(bucket).send().await;
        return deleted.map(|_| ()).map_err(|e| explain("s3:PutLifecycleConfiguration", bucket, &e));
    }
    let rules = BucketLifecycleConfiguration::builder().set_rules(Some(all.rules)).build().map_err(incomplete)?;
    let put = s3
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .lifecycle_configuration(rules)
        .set_transition_default_minimum_object_size(all.smallest)
        .send()
        .await;
    put.map(|_| ()).map_err(|e| explain("s3:PutLifecycleConfiguration", bucket, &e))
}

fn wanted(deployment: &Deployment) -> Result<Vec<LifecycleRule>> {
    let rule = |name: &str, prefix: String| {
        LifecycleRule::builder()
            .id(format!("{}{name}", id_prefix(deployment)))
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .status(ExpirationStatus::Enabled)
    };
    let stale = AbortIncompleteMultipartUpload::builder().days_after_initiation(STALE_UPLOAD_DAYS).build();
    let mut all = vec![
        rule("uploads", deployment.place.prefix().to_owned())
            .abort_incomplete_multipart_upload(stale)
            .build()
            .map_err(incomplete)?,
    ];
    if let Some(days) = deployment.keep_logs_days {
        let after = LifecycleExpiration::builder().days(i32::try_from(days).unwrap_or(i32::MAX)).build();
        all.push(rule("logs", deployment.place.key("logs/")).expiration(after).build().map_err(incomplete)?);
    }
    Ok(all)
}

/// What of a rule is dayfly's to decide.
fn gist(rule: &LifecycleRule) -> (Option<&str>, Option<&str>, Option<i32>, Option<i32>, &ExpirationStatus) {
    (
        rule.id(),
        rule.filter().and_then(LifecycleRuleFilter::prefix).filter(|prefix| !prefix.is_empty()),
        rule.abort_incomplete_multipart_upload().and_then(AbortIncompleteMultipartUpload::days_after_initiation),
        rule.expiration().and_then(LifecycleExpiration::days),
        rule.status(),
    )
}

/// Merges the deployment's rules into the bucket's.
///
/// # Errors
/// What S3 does not allow.
pub async fn rules(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (bucket, prefix) = (deployment.place.bucket(), id_prefix(deployment));
    let mut all = standing(work, bucket).await?;
    let wanted = wanted(deployment)?;
    let is_own = |rule: &LifecycleRule| rule.id().is_some_and(|id| id.starts_with(&prefix));
    if deployment.keep_logs_days.is_some() && !deployment.isolate {
        work.warn(format!(
            "logs are removed for a job at {} itself: S3's rules know no wildcards, and jobs below keep theirs",
            deployment.place
        ));
    }
    let own: Vec<_> = all.rules.iter().filter(|rule| is_own(rule)).map(gist).collect();
    if own.len() == wanted.len() && wanted.iter().all(|rule| own.contains(&gist(rule))) {
        work.there("lifecycle rules of", bucket);
        return Ok(());
    }
    let first = all.rules.is_empty();
    all.rules.retain(|rule| !is_own(rule));
    all.rules.extend(wanted);
    put(work, bucket, all).await?;
    if first {
        work.made("lifecycle rules of", bucket);
    } else {
        work.changed(
            "lifecycle rules of",
            bucket,
            &format!("the rules {prefix}… were put in; all others stand as they were"),
        );
    }
    Ok(())
}

/// Takes the deployment's rules out again.
///
/// # Errors
/// What S3 does not allow.
pub async fn remove(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (bucket, prefix) = (deployment.place.bucket(), id_prefix(deployment));
    let mut all = standing(work, bucket).await?;
    let before = all.rules.len();
    all.rules.retain(|rule| !rule.id().is_some_and(|id| id.starts_with(&prefix)));
    if all.rules.len() == before {
        return Ok(());
    }
    put(work, bucket, all).await?;
    work.removed("lifecycle rules of", bucket);
    Ok(())
}
