//! Multipart uploads: parts stored, listed, and made one object.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::store::{Store, Upload};
use futures::FutureExt;
use futures::future::{Either, select};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer::{etag, failed, no_such_upload, outcome, timestamp};
use super::conditions::{self, ReadConditions};
use super::parts::{self, Known};
use super::service::Front;
use super::{listing, objects};

/// A completion that takes longer is answered by 200 at once, with its result in the body when it comes (S3 API
/// reference, `CompleteMultipartUpload`: "a request could fail after the initial 200 OK response"): clients give up on
/// a silent connection, the AWS tools after 60 s. (Of a slow completion that fails, `s3s` 0.14 writes the XML
/// declaration twice. Clients cannot read that, and take the outcome for unknown, as they must be able to.)
const SLOW_COMPLETE: Duration = Duration::from_secs(10);

impl Front {
    /// Stores a part and remembers it.
    pub(super) async fn store_part(
        &self,
        bucket: &str,
        store: &dyn Store,
        upload: Upload,
        number: i32,
        body: Bytes,
    ) -> S3Result<Known> {
        let number = parts::number(number)?;
        let size = body.len() as u64;
        let part = store.upload_part(&upload, number, body).await.map_err(failed)?;
        let stored = self.clock.now().wall;
        let known = Known { etag: part.etag, size, checksum: part.checksum, stored };
        self.ledger.stored(bucket, &upload.id, number, known.clone());
        Ok(known)
    }

    /// Stores a part that is copied from an object.
    pub(super) async fn part_from(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let input = req.input;
        let (from_bucket, from_key) = objects::source_of(&input.copy_source)?;
        let from = self.bucket(from_bucket, None).await?;
        let range = match input.copy_source_range.as_deref().map(Range::parse) {
            None => None,
            Some(Ok(range)) => Some(range),
            Some(Err(_)) => return Err(s3_error!(InvalidArgument, "The x-amz-copy-source-range is not bytes=a-b")),
        };
        let source_conditions = ReadConditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let (_, body) = objects::source(from.as_ref(), from_key, source_conditions, range, self.body_limit).await?;
        let upload = Upload { key: input.key, id: input.upload_id, initiated: None };
        let known = self.store_part(&input.bucket, store.as_ref(), upload, input.part_number, body).await?;
        let result = CopyPartResult {
            e_tag: Some(etag(&known.etag)),
            last_modified: Some(timestamp(known.stored)),
            ..CopyPartResult::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() }))
    }

    /// Makes the parts one object.
    pub(super) async fn complete(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let input = req.input;
        let condition = conditions::of_write(input.if_none_match, input.if_match)?;
        let condition = self.strictness.apply(condition);
        let known = self.ledger.parts(&input.bucket, &input.upload_id).unwrap_or_default();
        let chosen = parts::chosen(input.multipart_upload.and_then(|it| it.parts).unwrap_or_default(), &known)?;
        let whole = parts::whole(&chosen, &known);
        if let Some((size, crc32)) = &whole {
            if input.mpu_object_size.is_some_and(|claimed| u64::try_from(claimed) != Ok(*size)) {
                return Err(s3_error!(
                    InvalidRequest,
                    "The parts have {size} bytes, not what x-amz-mp-object-size says"
                ));
            }
            // A claim that ends in a number of parts is one over the parts' checksums, which are not kept here.
            if input.checksum_crc32.as_ref().is_some_and(|claimed| claimed != crc32 && !claimed.contains('-')) {
                return Err(s3_error!(BadDigest, "The CRC32 you specified is not the whole object's, {crc32}"));
            }
        }
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let ledger = Arc::clone(&self.ledger);
        let completion = async move {
            let upload = Upload { key: key.clone(), id, initiated: None };
            let tag = outcome(store.upload_complete(&upload, &chosen, &condition).await)?;
            ledger.end(&bucket, &upload.id);
            Ok(CompleteMultipartUploadOutput {
                location: Some(format!("/{bucket}/{key}")),
                bucket: Some(bucket),
                key: Some(key),
                e_tag: Some(etag(&tag)),
                checksum_type: whole.is_some().then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
                checksum_crc32: whole.map(|(_, crc32)| crc32),
                ..CompleteMultipartUploadOutput::default()
            })
        };
        match select(completion.boxed(), self.clock.sleep(SLOW_COMPLETE)).await {
            Either::Left((output, _)) => Ok(S3Response::new(output?)),
            Either::Right(((), completion)) => {
                let output = CompleteMultipartUploadOutput {
                    future: Some(completion),
                    ..CompleteMultipartUploadOutput::default()
                };
                Ok(S3Response::new(output))
            }
        }
    }

    /// The parts that are known of an upload.
    pub(super) async fn parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let input = req.input;
        let known = match self.ledger.parts(&input.bucket, &input.upload_id) {
            Some(known) => known,
            None => {
                let uploads = store.uploads(&input.key).await.map_err(failed)?;
                if !uploads.iter().any(|upload| upload.id == input.upload_id && upload.key == input.key) {
                    return Err(no_such_upload());
                }
                Default::default()
            }
        };
        let max_parts = listing::page_size(input.max_parts, "max-parts")?;
        let after = input.part_number_marker.and_then(|marker| u32::try_from(marker).ok()).unwrap_or(0);
        let (page, more) = parts::page(&known, after, usize::try_from(max_parts).unwrap_or(0));
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(max_parts),
            part_number_marker: input.part_number_marker,
            next_part_number_marker: page.last().and_then(|part| part.part_number).filter(|_| more),
            is_truncated: Some(more),
            parts: Some(page),
            ..ListPartsOutput::default()
        }))
    }
}
