//! S3's operations, each handed to the module that knows what it means.

use std::sync::Arc;

use async_trait::async_trait;
use dayfly_shared::clock::Clock;
use dayfly_shared::store::{ETag, Outcome, Rejection, Store, Upload};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use s3s::auth::SecretKey;
use s3s::dto::*;
use s3s::region::Region as SignedRegion;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::EndpointSettings;
use super::access::{Counters, Doorkeeper, Logged, OneKey};
use super::answer::{attributes, etag, failed, outcome, timestamp};
use super::buckets::{Buckets, Deleted};
use super::checksums::Claims;
use super::conditions::{self, Strictness};
use super::parts::Ledger;
use super::{body, listing, objects};

/// The region that is shown where the settings name none.
const REGION: &str = "us-east-1";

/// The whole service.
pub(super) fn build(
    buckets: Arc<dyn Buckets>,
    settings: EndpointSettings,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
) -> Logged {
    let front = Front {
        buckets,
        clock: Arc::clone(&clock),
        region: settings.region,
        body_limit: settings.body_limit_bytes,
        strictness: Strictness::new(settings.ignore_conditions, settings.lossy_conditions),
        ledger: Arc::default(),
    };
    let mut builder = S3ServiceBuilder::new(front);
    builder.set_auth(OneKey { access_key: settings.access_key, secret_key: SecretKey::from(settings.secret_key) });
    builder.set_access(Doorkeeper);
    Logged::new(builder.build(), clock, counters)
}

/// The operations over a set of buckets.
pub(super) struct Front {
    buckets: Arc<dyn Buckets>,
    pub(super) clock: Arc<dyn Clock>,
    region: Option<String>,
    pub(super) body_limit: u64,
    pub(super) strictness: Strictness,
    pub(super) ledger: Arc<Ledger>,
}

impl Front {
    /// The bucket's store, for a request signed for this region.
    pub(super) async fn bucket(&self, name: &str, signed: Option<&SignedRegion>) -> S3Result<Arc<dyn Store>> {
        self.check_region(signed)?;
        match self.buckets.open(name).await.map_err(failed)? {
            Some(store) => Ok(store),
            None => Err(no_such_bucket(name)),
        }
    }

    /// Refuses where the bucket is not there now.
    async fn check_bucket(&self, name: &str, signed: Option<&SignedRegion>) -> S3Result<()> {
        self.check_region(signed)?;
        if self.buckets.exists(name).await.map_err(failed)? { Ok(()) } else { Err(no_such_bucket(name)) }
    }

    /// Refuses as S3 does, naming the right region in the header that it uses for that.
    fn check_region(&self, signed: Option<&SignedRegion>) -> S3Result<()> {
        let (Some(own), Some(signed)) = (&self.region, signed) else { return Ok(()) };
        if own == signed.as_str() {
            return Ok(());
        }
        let mut error = s3_error!(
            AuthorizationHeaderMalformed,
            "The authorization header is malformed; the region '{}' is wrong; expecting '{own}'",
            signed.as_str()
        );
        if let Ok(value) = HeaderValue::from_str(own) {
            error.set_headers(HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static("x-amz-bucket-region"),
                value,
            )]));
        }
        Err(error)
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or(REGION)
    }

    async fn delete_one(&self, store: &dyn Store, key: &str, only: Option<ETag>) -> S3Result<()> {
        let only = self.strictness.apply_to_delete(only);
        match store.delete(key, only.as_ref()).await {
            // Without a condition, S3 does not tell whether there was anything.
            Ok(Outcome::Rejected(Rejection::Missing)) if only.is_none() => Ok(()),
            other => outcome(other),
        }
    }
}

fn no_such_bucket(name: &str) -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket {name} does not exist")
}

#[async_trait]
impl S3 for Front {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.buckets.list().await.map_err(failed)?;
        let buckets = buckets.into_iter().map(|bucket| Bucket {
            name: Some(bucket.name),
            creation_date: Some(timestamp(bucket.created.unwrap_or_default())),
            ..Bucket::default()
        });
        let output = ListBucketsOutput { buckets: Some(buckets.collect()), ..ListBucketsOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.check_region(req.region.as_ref())?;
        let name = req.input.bucket;
        if !self.buckets.create(&name).await.map_err(failed)? {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "The bucket {name} exists already, and you own it."));
        }
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check_bucket(&req.input.bucket, req.region.as_ref()).await?;
        let output = HeadBucketOutput { bucket_region: Some(self.region().to_owned()), ..HeadBucketOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.check_region(req.region.as_ref())?;
        match self.buckets.delete(&req.input.bucket).await.map_err(failed)? {
            Deleted::Gone => Ok(S3Response::new(DeleteBucketOutput::default())),
            Deleted::Missing => Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")),
            Deleted::NotEmpty => Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty")),
        }
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        // Asked to find the region out, so whatever region signed it will do.
        self.check_bucket(&req.input.bucket, None).await?;
        // S3 shows its first region as none.
        let location = (self.region() != REGION).then(|| BucketLocationConstraint::from(self.region().to_owned()));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint: location }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        objects::get(store.as_ref(), req.input).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        objects::head(store.as_ref(), req.input).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        Ok(S3Response::new(listing::objects_v2(store.as_ref(), req.input).await?))
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        Ok(S3Response::new(listing::objects_v1(store.as_ref(), req.input).await?))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let announced = Claims::announced(&req.headers);
        let input = req.input;
        let condition = conditions::of_write(input.if_none_match, input.if_match)?;
        let body = body::receive(input.body, input.content_length, self.body_limit, self.clock.as_ref()).await?;
        let checksum = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        let claims = Claims { md5: input.content_md5, checksum, announced, trailer: req.trailing_headers };
        let verified = claims.verify(&body).await?;
        let attributes = verified.tell(attributes(input.metadata, input.content_type));
        let checksum = verified.checksum;
        let condition = self.strictness.apply(condition);
        let tag = outcome(store.put(&input.key, body, &attributes, &condition).await)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(etag(&tag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        self.copy(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let only = match req.input.if_match {
            None => None,
            Some(ETagCondition::ETag(tag)) => Some(ETag::new(tag.value())),
            Some(ETagCondition::Any) => return Err(s3_error!(NotImplemented, "If-Match: * on a delete")),
        };
        self.delete_one(store.as_ref(), &req.input.key, only).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let wanted = req.input.delete;
        let keys: Vec<_> = wanted
            .objects
            .into_iter()
            .map(|object| (object.key, object.e_tag.map(|tag| ETag::new(tag.value()))))
            .collect();
        let store = store.as_ref();
        let done = objects::delete_many(keys, |key, only| async move { self.delete_one(store, &key, only).await });
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for (key, error) in done.await {
            match error {
                None => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                Some(error) => errors.push(Error {
                    key: Some(key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    ..Error::default()
                }),
            }
        }
        let deleted = Some(deleted).filter(|_| wanted.quiet != Some(true));
        let output = DeleteObjectsOutput { deleted, errors: Some(errors), ..DeleteObjectsOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let input = req.input;
        let attributes = attributes(input.metadata, input.content_type);
        let upload = store.upload_begin(&input.key, &attributes).await.map_err(failed)?;
        self.ledger.begin(&input.bucket, &upload.id);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let announced = Claims::announced(&req.headers);
        let input = req.input;
        let body = body::receive(input.body, input.content_length, self.body_limit, self.clock.as_ref()).await?;
        let checksum = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        let claims = Claims { md5: input.content_md5, checksum, announced, trailer: req.trailing_headers };
        let checksum = claims.verify(&body).await?.checksum;
        let upload = Upload { key: input.key, id: input.upload_id, initiated: None };
        let known = self.store_part(&input.bucket, store.as_ref(), upload, input.part_number, body).await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(etag(&known.etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..UploadPartOutput::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.part_from(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let input = req.input;
        self.ledger.end(&input.bucket, &input.upload_id);
        let upload = Upload { key: input.key, id: input.upload_id, initiated: None };
        store.upload_abort(&upload).await.map_err(failed)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(req).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        Ok(S3Response::new(listing::uploads(store.as_ref(), req.input).await?))
    }
}
