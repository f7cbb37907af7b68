//! A bucket of S3, or of a store that speaks its protocol. The one place that knows the AWS SDK for S3.
//!
//! One call is one request: the SDK's retries are off, because it re-sends a conditional write by itself and then
//! reports 412 against its own success. What an answer means is in `failure`; where settings come from, in `connect`.

mod connect;
mod credentials;
mod failure;
mod http;
mod reply;
mod time;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, select};

pub use connect::{S3Settings, S3Timeouts, sdk_config};
pub use credentials::Lack;
pub use failure::chain;
use failure::{Call, Failure};
pub(crate) use http::{NO_CA_ROOTS, have_ca_roots};
use time::ServedAt;

use super::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, StoreError,
    StoreErrorKind, Upload,
};
use crate::clock::Clock;

/// One bucket of S3. Clones, and the stores of [`S3Store::with_bucket`], share one pool of connections.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: Arc<str>,
    region: Arc<str>,
    endpoint: Option<Arc<str>>,
    profile: Option<Arc<str>>,
    unsigned_bodies: bool,
    timeouts: S3Timeouts,
    clock: Arc<dyn Clock>,
}

impl S3Store {
    /// Reads the configuration; the store itself is not asked anything yet.
    ///
    /// # Errors
    /// For an endpoint that is no URL, and for https where no CA certificates are found. Missing credentials show with
    /// the first request, as they may come later on an instance.
    pub async fn connect(settings: S3Settings, clock: Arc<dyn Clock>) -> Result<S3Store> {
        let connected = connect::connect(&settings, Arc::clone(&clock)).await?;
        Ok(S3Store {
            client: connected.client,
            bucket: settings.bucket.into(),
            region: connected.region.into(),
            unsigned_bodies: connected.endpoint.as_deref().is_none_or(connect::guards_bodies),
            endpoint: connected.endpoint.map(Arc::from),
            profile: connected.profile.map(Arc::from),
            timeouts: settings.timeouts,
            clock,
        })
    }

    /// Another bucket of the same store and region, through the same connections.
    #[must_use]
    pub fn with_bucket(&self, bucket: &str) -> S3Store {
        S3Store { bucket: bucket.into(), ..self.clone() }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The region that is asked.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint, where it is not AWS's own.
    pub fn endpoint_url(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    fn call<'a>(&'a self, action: &'static str, key: Option<&'a str>) -> Call<'a> {
        let (endpoint, profile) = (self.endpoint.as_deref(), self.profile.as_deref());
        Call { action, bucket: &self.bucket, key, region: &self.region, endpoint, profile }
    }

    /// One try, given up after `wait`. Giving up drops the request, and with it its connection.
    async fn bounded<T, E>(
        &self,
        wait: Duration,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let request = std::pin::pin!(request);
        match select(request, self.clock.sleep(wait)).await {
            Either::Left((answer, _)) => answer.map_err(Failure::of),
            Either::Right(_) => Err(Failure::timeout(wait)),
        }
    }

    /// The body's pieces, each within the time between two.
    fn pieces(&self, key: &str, body: ByteStream) -> futures::stream::BoxStream<'static, Result<Bytes>> {
        let (clock, idle) = (Arc::clone(&self.clock), self.timeouts.body_idle);
        let place = self.place(key);
        futures::stream::unfold(Some(body), move |body| {
            let (clock, place) = (Arc::clone(&clock), place.clone());
            async move {
                let mut body = body?;
                let next = match select(std::pin::pin!(body.next()), clock.sleep(idle)).await {
                    Either::Left((next, _)) => next?.map_err(|error| reply::broken_body(&error)),
                    Either::Right(_) => {
                        Err((StoreErrorKind::Transient, format!("no bytes came for {} s", idle.as_secs_f32().round())))
                    }
                };
                match next {
                    Ok(piece) => Some((Ok(piece), Some(body))),
                    Err((kind, detail)) => {
                        Some((Err(StoreError { kind, action: "s3:GetObject", place, detail }), None))
                    }
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl Store for S3Store {
    fn place(&self, key: &str) -> String {
        failure::place(&self.bucket, Some(key))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        let call = self.call("s3:GetObject", Some(key));
        // No range of HTTP's is empty.
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(self.head(key).await?.map(reply::empty));
        }
        let served = ServedAt::default();
        let request = self
            .client
            .get_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_range(range.as_ref().map(reply::range))
            .checksum_mode(ChecksumMode::Enabled)
            .customize()
            .interceptor(served.clone())
            .send();
        match self.bounded(self.timeouts.answer, request).await {
            Ok(mut answer) => {
                let body = self.pieces(key, std::mem::take(&mut answer.body));
                match reply::meta_of_get(answer, served.get(), range) {
                    Ok(meta) => Ok(Some(Object { meta, body })),
                    Err(detail) => Err(reply::unsupported(&call, detail)),
                }
            }
            // Nothing of the object lies in the range.
            Err(failure) if failure.status == Some(416) => Ok(self.head(key).await?.map(reply::empty)),
            Err(failure) => failure.of_read(&call).map(|()| None),
        }
    }

    /// A missing bucket reads as an absent object: a HEAD answer has no body that could tell them apart.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let call = self.call("s3:GetObject", Some(key));
        let served = ServedAt::default();
        let request = self
            .client
            .head_object()
            .bucket(&*self.bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .customize()
            .interceptor(served.clone())
            .send();
        match self.bounded(self.timeouts.answer, request).await {
            Ok(answer) => {
                reply::meta_of_head(answer, served.get()).map(Some).map_err(|detail| reply::unsupported(&call, detail))
            }
            Err(failure) => failure.of_read(&call).map(|()| None),
        }
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        let call = self.call("s3:ListBucket", Some(&query.prefix));
        let served = ServedAt::default();
        let request = self
            .client
            .list_objects_v2()
            .bucket(&*self.bucket)
            .prefix(&query.prefix)
            .set_start_after(query.start_after.clone())
            .set_delimiter(query.fold.then(|| "/".to_owned()))
            .max_keys(i32::try_from(query.limit.clamp(1, 1000)).unwrap_or(1000))
            // Keys may hold characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .customize()
            .interceptor(served.clone())
            .send();
        match self.bounded(self.timeouts.answer, request).await {
            Ok(answer) => reply::page(answer, served.get()).map_err(|detail| reply::unsupported(&call, detail)),
            Err(failure) => Err(failure.into_error(&call)),
        }
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        let call = self.call("s3:PutObject", Some(key));
        let wait = self.timeouts.sending(body.len());
        let (if_none_match, if_match) = reply::conditions(condition);
        let request = self
            .client
            .put_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .set_content_type(attributes.content_type.map(str::to_owned))
            .set_metadata(reply::metadata(attributes))
            .checksum_crc32(reply::crc32(attributes.crc32.unwrap_or_else(|| crc32fast::hash(&body))))
            .body(ByteStream::from(body))
            .customize();
        let request = if self.unsigned_bodies { request.disable_payload_signing() } else { request };
        match self.bounded(wait, request.send()).await {
            Ok(answer) => Ok(reply::applied(answer.e_tag())),
            Err(failure) => failure.of_write(&call),
        }
    }

    /// Without `only`, S3 does not say whether there was anything: it answers 204 either way, so `Applied`.
    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        let call = self.call("s3:DeleteObject", Some(key));
        let request =
            self.client.delete_object().bucket(&*self.bucket).key(key).set_if_match(only.map(ETag::quoted)).send();
        match self.bounded(self.timeouts.answer, request).await {
            Ok(_) => Ok(Outcome::Applied(())),
            Err(failure) => failure.of_write(&call),
        }
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        let call = self.call("s3:PutObject", Some(key));
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .set_content_type(attributes.content_type.map(str::to_owned))
            .set_metadata(reply::metadata(attributes))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            // The whole object's CRC32, made of the parts': the same number as a put in one piece would have.
            .checksum_type(ChecksumType::FullObject)
            .send();
        let answer = self.bounded(self.timeouts.answer, request).await.map_err(|failure| failure.into_error(&call))?;
        match answer.upload_id {
            Some(id) => Ok(Upload { key: key.to_owned(), id, initiated: None }),
            None => Err(reply::unsupported(&call, "the store gave no id for the upload".to_owned())),
        }
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        let call = self.call("s3:PutObject", Some(&upload.key));
        let wait = self.timeouts.sending(body.len());
        let request = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .checksum_crc32(reply::crc32(crc32fast::hash(&body)))
            .body(ByteStream::from(body))
            .customize();
        let request = if self.unsigned_bodies { request.disable_payload_signing() } else { request };
        let answer = self.bounded(wait, request.send()).await.map_err(|failure| failure.into_error(&call))?;
        let Some(etag) = answer.e_tag() else {
            return Err(reply::unsupported(&call, format!("the store gave no ETag for part {number}")));
        };
        let checksum = answer.checksum_crc32().map(|crc| format!("crc32:{crc}"));
        Ok(Part { number, etag: ETag::new(etag), checksum })
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        let call = self.call("s3:PutObject", Some(&upload.key));
        let (if_none_match, if_match) = reply::conditions(condition);
        let parts = parts
            .iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                    .e_tag(part.etag.quoted())
                    .set_checksum_crc32(
                        part.checksum.as_deref().and_then(|sum| sum.strip_prefix("crc32:")).map(str::to_owned),
                    )
                    .build()
            })
            .collect();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&*self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .checksum_type(ChecksumType::FullObject)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send();
        match self.bounded(self.timeouts.complete, request).await {
            Ok(answer) => Ok(reply::applied(answer.e_tag())),
            Err(failure) => failure.of_write(&call),
        }
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        let call = self.call("s3:AbortMultipartUpload", Some(&upload.key));
        let request =
            self.client.abort_multipart_upload().bucket(&*self.bucket).key(&upload.key).upload_id(&upload.id).send();
        match self.bounded(self.timeouts.answer, request).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.code == "NoSuchUpload" => Ok(()),
            Err(failure) => failure.of_read(&call),
        }
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        let call = self.call("s3:ListBucketMultipartUploads", Some(prefix));
        let mut uploads = Vec::new();
        let mut markers = (None, None);
        loop {
            let (key, id) = markers;
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&*self.bucket)
                .prefix(prefix)
                .encoding_type(EncodingType::Url)
                .set_key_marker(key)
                .set_upload_id_marker(id)
                .send();
            let answer =
                self.bounded(self.timeouts.answer, request).await.map_err(|failure| failure.into_error(&call))?;
            match reply::uploads(&answer, &mut uploads).map_err(|detail| reply::unsupported(&call, detail))? {
                Some(next) => markers = next,
                None => return Ok(uploads),
            }
        }
    }
}
