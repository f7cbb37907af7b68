//! A bucket that dayfly made, emptied and removed.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::super::bucket::incomplete;
use super::super::work::Work;
use crate::cloud::explain;
use crate::failure::{Failure, Result};

/// Removes the bucket with every version, mark and upload in it. It ends without the last: nobody has to come back.
///
/// # Errors
/// What S3 does not allow; objects that are locked.
pub async fn remove(work: &mut Work<'_>, bucket: &str) -> Result<()> {
    let s3 = work.cloud.s3();
    let left = || format!("the bucket {bucket} stands, and part of it may be gone");
    let mut uploads = s3.list_multipart_uploads().bucket(bucket).send().await;
    if let Ok(found) = &mut uploads {
        for upload in found.uploads() {
            let (key, id) = (upload.key().unwrap_or_default(), upload.upload_id().unwrap_or_default());
            let aborted = s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await;
            aborted.map_err(|e| explain("s3:AbortMultipartUpload", key, &e).left(left()))?;
        }
    }
    loop {
        // A page has 1,000 entries at most, as many as one DeleteObjects takes; each turn takes the first page.
        let page = s3.list_object_versions().bucket(bucket).send().await;
        let page = page.map_err(|e| explain("s3:ListBucketVersions", bucket, &e).left(left()))?;
        let versions = page.versions().iter().map(|one| (one.key(), one.version_id()));
        let marks = page.delete_markers().iter().map(|one| (one.key(), one.version_id()));
        let mut objects = Vec::new();
        for (key, version) in versions.chain(marks) {
            let object = ObjectIdentifier::builder().key(key.unwrap_or_default());
            objects.push(object.set_version_id(version.map(str::to_owned)).build().map_err(incomplete)?);
        }
        if objects.is_empty() {
            break;
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(incomplete)?;
        let deleted = s3.delete_objects().bucket(bucket).delete(delete).send().await;
        let deleted = deleted.map_err(|e| explain("s3:DeleteObjects", bucket, &e).left(left()))?;
        if let Some(error) = deleted.errors().first() {
            let (key, said) = (error.key().unwrap_or_default(), error.message().unwrap_or_default());
            return Err(Failure::new(format!("s3:DeleteObject s3://{bucket}/{key}: {said}"))
                .left(left())
                .fix("see who holds it (object lock, a policy), and run dayfly teardown --bucket again"));
        }
    }
    let deleted = work.patiently(&["BucketNotEmpty"], async || s3.delete_bucket().bucket(bucket).send().await).await;
    deleted.map_err(|e| explain("s3:DeleteBucket", bucket, &e).left(left()))?;
    work.removed("bucket", bucket);
    Ok(())
}
