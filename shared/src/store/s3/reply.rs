//! From the SDK's types to the port's, and back.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStreamError;
use aws_sdk_s3::types::EncodingType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::StreamExt;
use percent_encoding::percent_decode_str;

use super::failure::{Call, chain, place};
use super::time::timestamp;
use crate::clock::Timestamp;
use crate::store::{
    Attributes, Condition, ETag, Entry, ListPage, Object, ObjectMeta, Outcome, StoreError, StoreErrorKind, Upload,
};

/// `If-None-Match` and `If-Match`.
pub(super) fn conditions(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Create => (Some("*".to_owned()), None),
        Condition::Update(etag) => (None, Some(etag.quoted())),
        Condition::Overwrite => (None, None),
    }
}

/// The `Range` header for a range that is not empty. An end that no object reaches is left open: servers read the
/// numbers as signed.
pub(super) fn range(range: &Range<u64>) -> String {
    match i64::try_from(range.end) {
        Ok(end) => format!("bytes={}-{}", range.start, end - 1),
        Err(_) => format!("bytes={}-", range.start),
    }
}

/// A CRC-32 as its header wants it.
pub(super) fn crc32(crc32: u32) -> String {
    BASE64.encode(crc32.to_be_bytes())
}

/// User metadata as the SDK takes it.
pub(super) fn metadata(attributes: &Attributes) -> Option<HashMap<String, String>> {
    (!attributes.metadata.is_empty()).then(|| attributes.metadata.clone().into_iter().collect())
}

/// The outcome of a write that was answered 200.
pub(super) fn applied(etag: Option<&str>) -> Outcome<ETag> {
    match etag {
        Some(etag) => Outcome::Applied(ETag::new(etag)),
        None => Outcome::Unknown("the store answered 200 without an ETag".to_owned()),
    }
}

/// An object of which no byte was asked for.
pub(super) fn empty(meta: ObjectMeta) -> Object {
    Object { meta, body: futures::stream::empty().boxed() }
}

/// An answer that is no S3 answer.
pub(super) fn unsupported(call: &Call<'_>, detail: String) -> StoreError {
    let place = place(call.bucket, call.key);
    StoreError { kind: StoreErrorKind::Unsupported, action: call.action, place, detail }
}

/// Why a body ended early.
pub(super) fn broken_body(error: &ByteStreamError) -> (StoreErrorKind, String) {
    let text = chain(error);
    // The SDK's validating body says so; its error type is not public.
    let kind = if text.contains("checksum mismatch") { StoreErrorKind::Corrupt } else { StoreErrorKind::Transient };
    (kind, text)
}

/// What a GET says of the object. With a range, the size stands in `Content-Range`.
pub(super) fn meta_of_get(
    answer: GetObjectOutput,
    served: Option<Timestamp>,
    range: Option<Range<u64>>,
) -> Result<ObjectMeta, String> {
    let size = match (range, answer.content_range()) {
        (None, _) => answer.content_length().and_then(|size| u64::try_from(size).ok()),
        (Some(asked), Some(told)) => {
            let (from, size) = content_range(told).ok_or_else(|| format!("unreadable Content-Range {told:?}"))?;
            if from != asked.start {
                return Err(format!("asked for bytes from {}, got them from {from}", asked.start));
            }
            Some(size)
        }
        (Some(_), None) => return Err("the store ignores the Range header".to_owned()),
    };
    let checksum = checksum([
        ("crc32", answer.checksum_crc32()),
        ("crc64nvme", answer.checksum_crc64_nvme()),
        ("crc32c", answer.checksum_crc32_c()),
        ("sha256", answer.checksum_sha256()),
        ("sha1", answer.checksum_sha1()),
    ]);
    Ok(ObjectMeta {
        etag: ETag::new(answer.e_tag().ok_or("the store gave no ETag")?),
        size: size.ok_or("the store gave no size")?,
        modified: answer.last_modified().and_then(timestamp),
        served,
        checksum,
        metadata: sorted(answer.metadata),
    })
}

/// What a HEAD says of the object.
pub(super) fn meta_of_head(answer: HeadObjectOutput, served: Option<Timestamp>) -> Result<ObjectMeta, String> {
    let checksum = checksum([
        ("crc32", answer.checksum_crc32()),
        ("crc64nvme", answer.checksum_crc64_nvme()),
        ("crc32c", answer.checksum_crc32_c()),
        ("sha256", answer.checksum_sha256()),
        ("sha1", answer.checksum_sha1()),
    ]);
    let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
    Ok(ObjectMeta {
        etag: ETag::new(answer.e_tag().ok_or("the store gave no ETag")?),
        size: size.ok_or("the store gave no size")?,
        modified: answer.last_modified().and_then(timestamp),
        served,
        checksum,
        metadata: sorted(answer.metadata),
    })
}

/// A page of a listing.
pub(super) fn page(answer: ListObjectsV2Output, served: Option<Timestamp>) -> Result<ListPage, String> {
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let mut page = ListPage { served, ..ListPage::default() };
    for object in answer.contents() {
        page.entries.push(Entry {
            key: decode(object.key().unwrap_or_default(), encoded)?,
            etag: ETag::new(object.e_tag().unwrap_or_default()),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            modified: object.last_modified().and_then(timestamp),
        });
    }
    for folder in answer.common_prefixes() {
        page.folders.push(decode(folder.prefix().unwrap_or_default(), encoded)?);
    }
    if answer.is_truncated() == Some(true) {
        // A listing that starts after a folder's name would name the folder again; nothing in it sorts behind this.
        let folder = page.folders.last().map(|folder| format!("{folder}{}", char::MAX));
        let key = page.entries.last().map(|entry| entry.key.clone());
        page.next = key.max(folder);
        if page.next.is_none() {
            return Err("the store gave an empty page and says that there is more".to_owned());
        }
    }
    Ok(page)
}

/// Where the next page of a listing of uploads starts: a key and an upload's id.
pub(super) type Markers = (Option<String>, Option<String>);

/// Adds a page of uploads to those read before.
pub(super) fn uploads(answer: &ListMultipartUploadsOutput, to: &mut Vec<Upload>) -> Result<Option<Markers>, String> {
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    for upload in answer.uploads() {
        to.push(Upload {
            key: decode(upload.key().unwrap_or_default(), encoded)?,
            id: upload.upload_id().unwrap_or_default().to_owned(),
            initiated: upload.initiated().and_then(timestamp),
        });
    }
    if answer.is_truncated() != Some(true) {
        return Ok(None);
    }
    let key = answer.next_key_marker().map(|key| decode(key, encoded)).transpose()?;
    if key.is_none() {
        return Err("the store says that there are more uploads, but not from where on".to_owned());
    }
    Ok(Some((key, answer.next_upload_id_marker().map(str::to_owned))))
}

/// A key out of a listing with `encoding-type=url`: percent-encoded, with `+` for a space.
fn decode(text: &str, encoded: bool) -> Result<String, String> {
    if !encoded {
        return Ok(text.to_owned());
    }
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err(format!("the key {text:?} in the listing is not UTF-8")),
    }
}

/// The first checksum that there is.
fn checksum<const N: usize>(known: [(&str, Option<&str>); N]) -> Option<String> {
    known.into_iter().find_map(|(name, value)| value.map(|value| format!("{name}:{value}")))
}

fn sorted(metadata: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    metadata.unwrap_or_default().into_iter().collect()
}

/// The first byte and the whole size in `bytes 5-9/100`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_are_decoded() {
        assert_eq!(decode("a+b%2Bc%20d%25/%C3%A9%01", true).as_deref(), Ok("a b+c d%/é\u{1}"));
        assert_eq!(decode("a+b%2B", false).as_deref(), Ok("a+b%2B"));
        assert!(decode("%FF", true).is_err());
    }

    #[test]
    fn ranges_exclude_their_end_and_may_be_open() {
        assert_eq!(range(&(2..5)), "bytes=2-4");
        assert_eq!(range(&(2..u64::MAX)), "bytes=2-");
    }

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/100"), Some((5, 100)));
        assert_eq!(content_range("bytes */100"), None);
    }
}
