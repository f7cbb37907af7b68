//! From the port's words to S3's: errors, outcomes, times, tags.

use std::str::FromStr;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::store::{self, ObjectMeta, Outcome, Rejection, StoreError, StoreErrorKind};
use hyper::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Result, dto, s3_error};
use time::OffsetDateTime;

/// The content type where none was given (S3 user guide, "System-defined object metadata").
pub(super) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
/// Where the content type is kept: the store port does not give it back, user metadata it does.
pub(super) const CONTENT_TYPE_NAME: &str = "endpoint-content-type";

/// An error with a code that `s3s` does not know the status of.
pub(super) fn error(code: &str, status: StatusCode, message: impl Into<String>) -> S3Error {
    let code = S3ErrorCode::from_str(code).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(status);
    error
}

/// A store's error as S3 would say it.
pub(super) fn failed(cause: StoreError) -> S3Error {
    let message = cause.to_string();
    match cause.kind {
        StoreErrorKind::Full => error("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, message),
        StoreErrorKind::ReadOnly | StoreErrorKind::Denied => s3_error!(AccessDenied, "{message}"),
        StoreErrorKind::NoSuchBucket => s3_error!(NoSuchBucket, "{message}"),
        StoreErrorKind::Transient => s3_error!(ServiceUnavailable, "{message}"),
        StoreErrorKind::Unsupported => match code_of(&cause.detail) {
            Some("NoSuchUpload") => s3_error!(NoSuchUpload, "{message}"),
            Some("NoSuchKey") => s3_error!(NoSuchKey, "{message}"),
            Some(code) => error(code, StatusCode::BAD_REQUEST, message),
            None => s3_error!(InvalidRequest, "{message}"),
        },
        _ => s3_error!(InternalError, "{message}"),
    }
}

/// The code that a store's text begins with, as in `EntityTooSmall: part 1 …`.
fn code_of(detail: &str) -> Option<&str> {
    let (code, _) = detail.split_once(": ")?;
    (code.starts_with(|c: char| c.is_ascii_uppercase()) && code.chars().all(|c| c.is_ascii_alphanumeric()))
        .then_some(code)
}

/// What a write came to.
pub(super) fn outcome<T>(outcome: store::Result<Outcome<T>>) -> S3Result<T> {
    match outcome.map_err(failed)? {
        Outcome::Applied(value) => Ok(value),
        Outcome::Rejected(Rejection::Precondition) => {
            Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"))
        }
        Outcome::Rejected(Rejection::Missing) => Err(no_such_key()),
        Outcome::Rejected(Rejection::Conflict) => {
            Err(s3_error!(ConditionalRequestConflict, "A conflicting operation occurred during this request"))
        }
        Outcome::Rejected(Rejection::NoSuchUpload) => Err(no_such_upload()),
        Outcome::Unknown(text) => Err(s3_error!(InternalError, "{text}")),
    }
}

/// The object is not there.
pub(super) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// The upload is not there.
pub(super) fn no_such_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified upload does not exist; it may have been aborted or completed.")
}

/// A tag of the port's.
pub(super) fn etag(tag: &store::ETag) -> dto::ETag {
    dto::ETag::Strong(tag.as_str().to_owned())
}

/// A time of the port's for the `time` library.
pub(super) fn at(time: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(time.unix_ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time of the port's for `s3s`.
pub(super) fn timestamp(time: Timestamp) -> dto::Timestamp {
    at(time).into()
}

/// A size in bytes.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The user's metadata of an object, and its content type.
pub(super) fn metadata(meta: &ObjectMeta) -> (dto::Metadata, String) {
    let mut metadata: dto::Metadata = meta.metadata.clone().into_iter().collect();
    let content_type = metadata.remove(CONTENT_TYPE_NAME).unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned());
    (metadata, content_type)
}

/// What goes with a body into the store.
pub(super) fn attributes(metadata: Option<dto::Metadata>, content_type: Option<String>) -> store::Attributes {
    let mut attributes = store::Attributes::default();
    for (name, value) in metadata.unwrap_or_default() {
        attributes.metadata.insert(name.to_ascii_lowercase(), value);
    }
    if let Some(content_type) = content_type.filter(|it| !it.is_empty() && it != DEFAULT_CONTENT_TYPE) {
        attributes.metadata.insert(CONTENT_TYPE_NAME.to_owned(), content_type);
    }
    attributes
}

/// The checksum that the store keeps, in the field of its algorithm.
pub(super) fn checksum(kept: Option<&str>) -> dto::Checksum {
    let mut checksum = dto::Checksum::default();
    let Some((algorithm, value)) = kept.and_then(|kept| kept.split_once(':')) else { return checksum };
    let field = match algorithm {
        "crc32" => &mut checksum.checksum_crc32,
        "crc32c" => &mut checksum.checksum_crc32c,
        "crc64nvme" => &mut checksum.checksum_crc64nvme,
        "sha1" => &mut checksum.checksum_sha1,
        "sha256" => &mut checksum.checksum_sha256,
        _ => return checksum,
    };
    *field = Some(value.to_owned());
    // One over parts' checksums ends in their number.
    let kind = if value.contains('-') { dto::ChecksumType::COMPOSITE } else { dto::ChecksumType::FULL_OBJECT };
    checksum.checksum_type = Some(dto::ChecksumType::from_static(kind));
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_errors_keep_their_s3_codes() {
        let fail = |kind, detail: &str| {
            failed(StoreError { kind, action: "s3:PutObject", place: "memory://b/k".into(), detail: detail.into() })
        };
        let small = fail(StoreErrorKind::Unsupported, "EntityTooSmall: part 1 has 3 bytes");
        assert_eq!(small.code().as_str(), "EntityTooSmall");
        assert_eq!(small.status_code(), Some(StatusCode::BAD_REQUEST));
        let full = fail(StoreErrorKind::Full, "no space left on device");
        assert_eq!((full.code().as_str(), full.status_code().map(|s| s.as_u16())), ("InsufficientStorage", Some(507)));
        assert!(full.message().is_some_and(|text| text.contains("memory://b/k")));
        assert_eq!(fail(StoreErrorKind::ReadOnly, "read-only").code().as_str(), "AccessDenied");
        assert_eq!(fail(StoreErrorKind::Unsupported, "a key must not be empty").code().as_str(), "InvalidRequest");
    }
}
