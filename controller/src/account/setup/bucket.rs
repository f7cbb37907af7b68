//! The bucket: found or made, closed to the public, encrypted, and held to the protocol by its policy.

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Tag, Tagging,
};
use dayfly_shared::deployment::Deployment;
use serde_json::Value;

use super::work::{Work, tags_of};
use crate::cloud::{code, explain};
use crate::failure::{Failure, Result};
use crate::policy;

/// The largest policy of a bucket (S3 user guide, "Bucket policies for Amazon S3": 20 KB).
const POLICY_MAX: usize = 20_480;

/// Whether the bucket is there, and in the right region.
///
/// # Errors
/// A bucket in another region, or of somebody else's.
pub async fn look(work: &mut Work<'_>, bucket: &str) -> Result<bool> {
    let answer = work.cloud.s3().head_bucket().bucket(bucket).send().await;
    let (found, region) = match &answer {
        Ok(found) => (true, found.bucket_region().map(str::to_owned)),
        Err(error) => {
            // A bucket elsewhere answers with its region, whatever else it says (S3 API reference, HeadBucket).
            let headers = error.raw_response().map(|raw| raw.headers());
            (false, headers.and_then(|headers| headers.get("x-amz-bucket-region")).map(str::to_owned))
        }
    };
    if let Some(region) = region.filter(|region| region != work.cloud.region()) {
        return Err(Failure::new(format!("the bucket {bucket} is in {region}, not in {}", work.cloud.region()))
            .left("nothing was changed")
            .fix(format!(
                "pass --region {region}, so that instances and bucket are in one region, or take another bucket"
            )));
    }
    if found {
        return Ok(true);
    }
    let Err(error) = answer else { return Ok(true) };
    match error.raw_response().map(|raw| raw.status().as_u16()) {
        Some(404) => Ok(false),
        Some(403) => Err(Failure::new(format!("s3:HeadBucket {bucket}: 403")).left("nothing was changed").fix(
            "the bucket is somebody else's (their names are the whole world's), or the caller may not look at it",
        )),
        _ => Err(explain("s3:HeadBucket", bucket, &error)),
    }
}

/// Makes the bucket, or looks at what is there.
///
/// # Errors
/// What S3 does not allow.
pub async fn make(work: &mut Work<'_>, deployment: &mut Deployment, there: bool) -> Result<()> {
    let bucket = deployment.place.bucket().to_owned();
    if there {
        deployment.made_bucket = is_own(work, deployment).await?;
    } else {
        create(work, deployment).await?;
        deployment.made_bucket = true;
    }
    if there {
        work.there("bucket", &bucket);
    }
    if deployment.made_bucket {
        close(work, &bucket).await?;
    }
    encryption(work, deployment).await?;
    versioning(work, &bucket).await
}

/// Says what versioning costs here. It is only a warning: a store that does not say is left at that.
async fn versioning(work: &mut Work<'_>, bucket: &str) -> Result<()> {
    match work.cloud.s3().get_bucket_versioning().bucket(bucket).send().await {
        Ok(found) if found.status() == Some(&BucketVersioningStatus::Enabled) => work.warn(format!(
            "the bucket {bucket} keeps every version: semaphores are rewritten all the time, and each version is paid for; \
             add a lifecycle rule for noncurrent versions, or take a bucket without versioning"
        )),
        Err(error) if error.as_service_error().is_some_and(|said| said.meta().code().is_some()) => {
            return Err(explain("s3:GetBucketVersioning", bucket, &error));
        }
        _ => {}
    }
    Ok(())
}

/// Whether dayfly made the bucket, for this deployment: it carries its tag.
pub async fn is_own(work: &Work<'_>, deployment: &Deployment) -> Result<bool> {
    let bucket = deployment.place.bucket();
    match work.cloud.s3().get_bucket_tagging().bucket(bucket).send().await {
        Ok(tagging) => {
            let own = &tags_of(deployment)[0];
            Ok(tagging.tag_set().iter().any(|tag| (tag.key(), tag.value()) == *own))
        }
        Err(error) if code(&error) == Some("NoSuchTagSet") => Ok(false),
        Err(error) => Err(explain("s3:GetBucketTagging", bucket, &error)),
    }
}

async fn create(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let (s3, bucket, region) = (work.cloud.s3(), deployment.place.bucket(), work.cloud.region());
    let mut request = s3.create_bucket().bucket(bucket);
    // The first region is the default, and must not be named (S3 API reference, CreateBucket).
    if region != "us-east-1" {
        let at = BucketLocationConstraint::from(region);
        request =
            request.create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(at).build());
    }
    request.send().await.map_err(|e| explain("s3:CreateBucket", bucket, &e))?;
    let mut tagging = Tagging::builder().set_tag_set(Some(Vec::new()));
    for (key, value) in tags_of(deployment) {
        tagging = tagging.tag_set(Tag::builder().key(key).value(value).build().map_err(incomplete)?);
    }
    let tagging = tagging.build().map_err(incomplete)?;
    // A new bucket may be unknown to the next request for a moment.
    work.patiently(&["NoSuchBucket"], async || {
        s3.put_bucket_tagging().bucket(bucket).tagging(tagging.clone()).send().await
    })
    .await
    .map_err(|e| {
        explain("s3:PutBucketTagging", bucket, &e).left("the bucket was made, and is not marked as dayfly's")
    })?;
    work.made("bucket", bucket);
    Ok(())
}

/// Keeps the public out.
async fn close(work: &mut Work<'_>, bucket: &str) -> Result<()> {
    let s3 = work.cloud.s3();
    let wanted = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let standing = match s3.get_public_access_block().bucket(bucket).send().await {
        Ok(found) => found.public_access_block_configuration,
        Err(error) if code(&error) == Some("NoSuchPublicAccessBlockConfiguration") => None,
        Err(error) => return Err(explain("s3:GetBucketPublicAccessBlock", bucket, &error)),
    };
    if standing.as_ref() == Some(&wanted) {
        work.there("public access block of", bucket);
        return Ok(());
    }
    let put = s3.put_public_access_block().bucket(bucket).public_access_block_configuration(wanted).send().await;
    put.map_err(|e| explain("s3:PutBucketPublicAccessBlock", bucket, &e))?;
    work.made("public access block of", bucket);
    Ok(())
}

/// A bucket of dayfly's is encrypted as asked; at anybody else's the key is looked up, as agents need it.
async fn encryption(work: &mut Work<'_>, deployment: &mut Deployment) -> Result<()> {
    let (s3, bucket) = (work.cloud.s3(), deployment.place.bucket().to_owned());
    let standing = match s3.get_bucket_encryption().bucket(&bucket).send().await {
        Ok(found) => found.server_side_encryption_configuration,
        Err(error) if code(&error) == Some("ServerSideEncryptionConfigurationNotFoundError") => None,
        Err(error) => return Err(explain("s3:GetEncryptionConfiguration", &bucket, &error)),
    };
    let default = standing
        .as_ref()
        .and_then(|all| all.rules().first())
        .and_then(ServerSideEncryptionRule::apply_server_side_encryption_by_default);
    let (algorithm, key) =
        (default.map(|d| d.sse_algorithm().clone()), default.and_then(|d| d.kms_master_key_id()).map(str::to_owned));
    if !deployment.made_bucket {
        match (&deployment.kms_key, key) {
            (None, Some(key)) => {
                work.there("key of the bucket", &key);
                deployment.kms_key = Some(key);
            }
            (Some(wanted), key) if key.as_deref().is_none_or(|key| !same_key(key, wanted)) => work.warn(format!(
                "the bucket {bucket}, which dayfly did not make, is encrypted with {}, not with {wanted}: it was left so",
                key.as_deref().unwrap_or("S3's own keys")
            )),
            _ => {}
        }
        return Ok(());
    }
    let wanted = match &deployment.kms_key {
        Some(_) => ServerSideEncryption::AwsKms,
        None => ServerSideEncryption::Aes256,
    };
    let same_key = match (&deployment.kms_key, &key) {
        (Some(wanted), Some(key)) => same_key(key, wanted),
        (None, None) => true,
        _ => false,
    };
    if algorithm.as_ref() == Some(&wanted) && same_key {
        work.there("encryption of", &bucket);
        return Ok(());
    }
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(wanted)
        .set_kms_master_key_id(deployment.kms_key.clone())
        .build()
        .map_err(incomplete)?;
    // A bucket key spares a call to KMS for each object (S3 user guide, "Reducing the cost of SSE-KMS").
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .bucket_key_enabled(deployment.kms_key.is_some())
        .build();
    let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(incomplete)?;
    let put = s3.put_bucket_encryption().bucket(&bucket).server_side_encryption_configuration(all).send().await;
    put.map_err(|e| explain("s3:PutEncryptionConfiguration", &bucket, &e))?;
    work.made("encryption of", &bucket);
    Ok(())
}

/// A key may be named by its id or by its ARN, which ends with it.
fn same_key(one: &str, other: &str) -> bool {
    one.rsplit('/').next() == other.rsplit('/').next()
}

/// The bucket's policy as it stands.
///
/// # Errors
/// What S3 does not allow; a policy that is no JSON.
pub async fn standing_policy(work: &Work<'_>, bucket: &str) -> Result<Option<Value>> {
    let text = match work.cloud.s3().get_bucket_policy().bucket(bucket).send().await {
        Ok(found) => found.policy,
        Err(error) if code(&error) == Some("NoSuchBucketPolicy") => None,
        Err(error) => return Err(explain("s3:GetBucketPolicy", bucket, &error)),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| Failure::new(format!("the policy of {bucket} is no JSON: {e}")))
}

/// Merges the deployment's statements into the bucket's policy.
///
/// # Errors
/// What S3 does not allow.
pub async fn policy(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let bucket = deployment.place.bucket();
    let standing = standing_policy(work, bucket).await?;
    let prefix = policy::sid_prefix(&deployment.name);
    let wanted = policy::merged(standing.as_ref(), &prefix, policy::statements(deployment));
    if standing.as_ref().is_some_and(|standing| super::role::same(standing, &wanted)) {
        work.there("policy of", bucket);
        return Ok(());
    }
    put_policy(work, bucket, &wanted).await?;
    match standing {
        None => work.made("policy of", bucket),
        Some(_) => work.changed(
            "policy of",
            bucket,
            &format!("the statements {prefix}… were put in; all others stand as they were"),
        ),
    }
    Ok(())
}

/// Puts a policy.
///
/// # Errors
/// What S3 does not allow.
pub async fn put_policy(work: &Work<'_>, bucket: &str, policy: &Value) -> Result<()> {
    let bytes = policy.to_string().len();
    if bytes > POLICY_MAX {
        return Err(Failure::new(format!(
            "the policy of {bucket} would have {bytes} bytes, and S3 takes {POLICY_MAX}"
        ))
        .left("the policy stands as it was")
        .fix("give the deployment a bucket of its own, a shorter prefix, or --isolate, which needs half as much"));
    }
    let put = work.cloud.s3().put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await;
    put.map(|_| ()).map_err(|e| explain("s3:PutBucketPolicy", bucket, &e))
}

pub(super) fn incomplete(error: impl std::error::Error) -> Failure {
    Failure::new(format!("a request to AWS is incomplete: {error}")).fix("this is a defect of dayfly: report it")
}
