//! Objects: read, written, copied, deleted.

use bytes::Bytes;
use dayfly_shared::store::{Object, ObjectMeta, Store};
use futures::StreamExt;
use hyper::HeaderMap;
use hyper::header::ETAG;
use s3s::dto::{self, CopySource, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput};
use s3s::{S3Error, S3Response, S3Result, s3_error};

use super::answer::{self, DEFAULT_CONTENT_TYPE, etag, failed, no_such_key, size, timestamp};
use super::body;
use super::conditions::{Read, ReadConditions, refused};

/// How often a read by suffix is begun anew because the object changed between asking its size and reading it.
const SUFFIX_TRIES: usize = 5;

/// `GetObject`.
pub(super) async fn get(store: &dyn Store, input: GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
    let ranged = input.range.is_some();
    let (object, sent) = match open(store, &input.key, input.range).await? {
        Opened::Object(object, sent) => (object, sent),
        Opened::Unsatisfiable(size) => return Err(unsatisfiable(size)),
    };
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let meta = object.meta;
    match conditions.judge(&meta) {
        Read::Send => {}
        Read::Refused => return Err(refused()),
        Read::NotModified => return Err(not_modified(&meta)),
    }
    // The checksum is that of the whole.
    let checksum = checksum(&meta, input.checksum_mode.filter(|_| !ranged));
    let (metadata, content_type) = answer::metadata(&meta);
    let length = sent.end - sent.start;
    Ok(S3Response::new(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        body: Some(body::send(object.body, length)),
        content_length: Some(size(length)),
        content_range: ranged.then(|| format!("bytes {}-{}/{}", sent.start, sent.end.saturating_sub(1), meta.size)),
        content_type: Some(content_type),
        e_tag: Some(etag(&meta.etag)),
        last_modified: meta.modified.map(timestamp),
        metadata: Some(metadata),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        ..GetObjectOutput::default()
    }))
}

/// `HeadObject`.
pub(super) async fn head(store: &dyn Store, input: HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
    let meta = store.head(&input.key).await.map_err(failed)?.ok_or_else(no_such_key)?;
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    match conditions.judge(&meta) {
        Read::Send => {}
        Read::Refused => return Err(refused()),
        Read::NotModified => return Err(not_modified(&meta)),
    }
    let checksum = checksum(&meta, input.checksum_mode);
    let (metadata, content_type) = answer::metadata(&meta);
    Ok(S3Response::new(HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(size(meta.size)),
        content_type: Some(content_type),
        e_tag: Some(etag(&meta.etag)),
        last_modified: meta.modified.map(timestamp),
        metadata: Some(metadata),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        checksum_type: checksum.checksum_type,
        ..HeadObjectOutput::default()
    }))
}

/// The source of a copy, whole in memory.
///
/// # Errors
/// `NoSuchKey`, `PreconditionFailed`, `EntityTooLarge` above `limit` (S3's own for a copy is 5 GiB).
pub(super) async fn source(
    store: &dyn Store,
    key: &str,
    conditions: ReadConditions,
    range: Option<dto::Range>,
    limit: u64,
) -> S3Result<(ObjectMeta, Bytes)> {
    let (object, part) = match open(store, key, range).await? {
        Opened::Object(object, part) => (object, part),
        Opened::Unsatisfiable(size) => return Err(unsatisfiable(size)),
    };
    conditions.check_source(&object.meta)?;
    if part.end - part.start > limit {
        return Err(s3_error!(
            EntityTooLarge,
            "The source is larger than the {limit} bytes that can be copied at once"
        ));
    }
    let meta = object.meta.clone();
    Ok((meta, object.bytes().await.map_err(failed)?))
}

/// Bucket and key of a copy's source.
pub(super) fn source_of(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id: None } => Ok((bucket, key)),
        _ => Err(s3_error!(NotImplemented, "A copy's source is <bucket>/<key>, without a version")),
    }
}

/// A range that was asked for, of an object that is there.
enum Opened {
    Object(Object, std::ops::Range<u64>),
    Unsatisfiable(u64),
}

async fn open(store: &dyn Store, key: &str, range: Option<dto::Range>) -> S3Result<Opened> {
    let (first, end) = match range {
        None => (0, None),
        Some(dto::Range::Int { first, last }) => (first, Some(last.map_or(u64::MAX, |last| last.saturating_add(1)))),
        Some(dto::Range::Suffix { length }) => return open_suffix(store, key, length).await,
    };
    let asked = end.map(|end| first..end);
    let object = store.get(key, asked).await.map_err(failed)?.ok_or_else(no_such_key)?;
    let size = object.meta.size;
    match end {
        None => Ok(Opened::Object(object, 0..size)),
        Some(_) if first >= size => Ok(Opened::Unsatisfiable(size)),
        Some(end) => Ok(Opened::Object(object, first..end.min(size))),
    }
}

async fn open_suffix(store: &dyn Store, key: &str, length: u64) -> S3Result<Opened> {
    for _ in 0..SUFFIX_TRIES {
        let meta = store.head(key).await.map_err(failed)?.ok_or_else(no_such_key)?;
        if length == 0 || meta.size == 0 {
            return Ok(Opened::Unsatisfiable(meta.size));
        }
        let part = meta.size.saturating_sub(length)..meta.size;
        let object = store.get(key, Some(part.clone())).await.map_err(failed)?.ok_or_else(no_such_key)?;
        if object.meta.etag == meta.etag {
            return Ok(Opened::Object(object, part));
        }
    }
    Err(s3_error!(SlowDown, "The object changes faster than its end can be read"))
}

/// 304 with the version's tag. (The library takes a status from an error only; the body of this one is taken off on
/// its way out.)
fn not_modified(meta: &ObjectMeta) -> S3Error {
    let mut error = s3_error!(NotModified);
    if let Ok(tag) = etag(&meta.etag).to_http_header() {
        error.set_headers(HeaderMap::from_iter([(ETAG, tag)]));
    }
    error
}

fn unsatisfiable(size: u64) -> S3Error {
    s3_error!(InvalidRange, "The requested range is not satisfiable; the object has {size} bytes")
}

fn checksum(meta: &ObjectMeta, mode: Option<dto::ChecksumMode>) -> dto::Checksum {
    answer::checksum(mode.and(meta.checksum.as_deref()))
}

/// What a copy takes from its source besides the body: metadata and content type, unless they are to be replaced.
pub(super) fn copied_attributes(
    source: &ObjectMeta,
    replace: bool,
    metadata: Option<dto::Metadata>,
    content_type: Option<String>,
) -> dayfly_shared::store::Attributes {
    if replace {
        return answer::attributes(metadata, content_type);
    }
    let (metadata, kept) = answer::metadata(source);
    answer::attributes(Some(metadata), Some(kept).filter(|kept| kept != DEFAULT_CONTENT_TYPE))
}

/// Deletes many keys; gives back each key's error, if any.
pub(super) async fn delete_many<F, R>(
    keys: Vec<(String, F)>,
    delete: impl Fn(String, F) -> R,
) -> Vec<(String, Option<S3Error>)>
where
    R: Future<Output = S3Result<()>>,
{
    /// At once: enough to hide a disk's latency.
    const AT_ONCE: usize = 16;
    futures::stream::iter(keys)
        .map(|(key, only)| {
            let deleted = delete(key.clone(), only);
            async move { (key, deleted.await.err()) }
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}
