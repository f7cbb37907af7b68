//! Listings: of objects in both versions, of uploads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use dayfly_shared::store::{Entry, ListPage, ListQuery, Store};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, MultipartUpload, Object,
};
use s3s::{S3Result, s3_error};

use super::answer::{etag, failed, size, timestamp};

/// What `encoding-type=url` leaves alone.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// A page at most (S3 API reference, `ListObjectsV2`).
const PAGE_MAX: i32 = 1000;

/// How keys go into an answer: as they are, or encoded as the request asks.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    encoded: bool,
}

impl Keys {
    /// As asked.
    pub(super) fn new(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked {
            None => Ok(Self { encoded: false }),
            Some(asked) if asked.as_str() == EncodingType::URL => Ok(Self { encoded: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    /// A key, prefix or marker.
    pub(super) fn show(self, key: &str) -> String {
        if self.encoded { utf8_percent_encode(key, PLAIN).to_string() } else { key.to_owned() }
    }

    fn entry(self, entry: Entry) -> Object {
        Object {
            key: Some(self.show(&entry.key)),
            e_tag: Some(etag(&entry.etag)),
            size: Some(size(entry.size)),
            last_modified: entry.modified.map(timestamp),
            ..Object::default()
        }
    }

    fn folder(self, folder: &str) -> CommonPrefix {
        CommonPrefix { prefix: Some(self.show(folder)) }
    }
}

/// The page size that was asked for.
pub(super) fn page_size(asked: Option<i32>, what: &str) -> S3Result<i32> {
    match asked.unwrap_or(PAGE_MAX) {
        asked @ 0.. => Ok(asked.min(PAGE_MAX)),
        _ => Err(s3_error!(InvalidArgument, "{what} must not be negative")),
    }
}

/// Whether to fold at `/`, the one delimiter that there is.
fn fold(delimiter: Option<&str>) -> S3Result<bool> {
    match delimiter {
        None | Some("") => Ok(false),
        Some("/") => Ok(true),
        Some(_) => Err(s3_error!(NotImplemented, "The only delimiter of this endpoint is /")),
    }
}

async fn page(store: &dyn Store, query: &ListQuery) -> S3Result<ListPage> {
    // S3 takes a page of no keys for an answer.
    if query.limit == 0 { Ok(ListPage::default()) } else { store.list(query).await.map_err(failed) }
}

/// `ListObjectsV2`.
pub(super) async fn objects_v2(store: &dyn Store, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let keys = Keys::new(input.encoding_type.as_ref())?;
    let max_keys = page_size(input.max_keys, "max-keys")?;
    let start_after = match &input.continuation_token {
        Some(token) => Some(from_token(token)?),
        None => input.start_after.clone().filter(|key| !key.is_empty()),
    };
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        start_after,
        limit: usize::try_from(max_keys).unwrap_or(0),
        fold: fold(input.delimiter.as_deref())?,
    };
    let page = page(store, &query).await?;
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(keys.show(&query.prefix)),
        delimiter: input.delimiter.map(|delimiter| keys.show(&delimiter)),
        max_keys: Some(max_keys),
        key_count: i32::try_from(page.entries.len() + page.folders.len()).ok(),
        continuation_token: input.continuation_token,
        start_after: input.start_after.map(|key| keys.show(&key)),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|next| BASE64.encode(next)),
        common_prefixes: Some(page.folders.iter().map(|folder| keys.folder(folder)).collect()),
        contents: Some(page.entries.into_iter().map(|entry| keys.entry(entry)).collect()),
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

/// `ListObjects`, the first version.
pub(super) async fn objects_v1(store: &dyn Store, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let keys = Keys::new(input.encoding_type.as_ref())?;
    let max_keys = page_size(input.max_keys, "max-keys")?;
    let fold = fold(input.delimiter.as_deref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    // A marker that names a folder is behind all that is in it.
    let start_after = input.marker.clone().filter(|marker| !marker.is_empty()).map(|marker| {
        let folder = fold && marker.ends_with('/') && marker.len() > prefix.len();
        if folder { format!("{marker}{}", char::MAX) } else { marker }
    });
    let query = ListQuery { prefix, start_after, limit: usize::try_from(max_keys).unwrap_or(0), fold };
    let page = page(store, &query).await?;
    // The last thing on the page; S3 gives it where there is a delimiter, and clients take the last key otherwise.
    let last = page.folders.last().max(page.entries.last().map(|entry| &entry.key)).cloned();
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(keys.show(&query.prefix)),
        delimiter: input.delimiter.map(|delimiter| keys.show(&delimiter)),
        marker: Some(keys.show(&input.marker.unwrap_or_default())),
        max_keys: Some(max_keys),
        is_truncated: Some(page.next.is_some()),
        next_marker: last.filter(|_| fold && page.next.is_some()).map(|last| keys.show(&last)),
        common_prefixes: Some(page.folders.iter().map(|folder| keys.folder(folder)).collect()),
        contents: Some(page.entries.into_iter().map(|entry| keys.entry(entry)).collect()),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}

fn from_token(token: &str) -> S3Result<String> {
    let bytes = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// `ListMultipartUploads`, in the order of keys, then of uploads.
pub(super) async fn uploads(
    store: &dyn Store,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let keys = Keys::new(input.encoding_type.as_ref())?;
    let max_uploads = page_size(input.max_uploads, "max-uploads")?;
    if fold(input.delimiter.as_deref())? {
        return Err(s3_error!(NotImplemented, "Uploads are listed without a delimiter"));
    }
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut all = store.uploads(&prefix).await.map_err(failed)?;
    all.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let id_marker = input.upload_id_marker.clone().unwrap_or_default();
    // Behind the key, or, with an upload named, behind that one of the same key.
    let mut rest = all.into_iter().filter(|upload| {
        key_marker.is_empty()
            || upload.key > key_marker
            || (!id_marker.is_empty() && upload.key == key_marker && upload.id > id_marker)
    });
    let page: Vec<_> = rest.by_ref().take(usize::try_from(max_uploads).unwrap_or(0)).collect();
    let more = rest.next().is_some();
    let last = page.last().filter(|_| more).cloned();
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(keys.show(&prefix)),
        key_marker: Some(keys.show(&key_marker)),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max_uploads),
        is_truncated: Some(more),
        next_key_marker: last.as_ref().map(|upload| keys.show(&upload.key)),
        next_upload_id_marker: last.map(|upload| upload.id),
        encoding_type: input.encoding_type,
        uploads: Some(
            page.into_iter()
                .map(|upload| MultipartUpload {
                    key: Some(keys.show(&upload.key)),
                    upload_id: Some(upload.id),
                    initiated: upload.initiated.map(timestamp),
                    ..MultipartUpload::default()
                })
                .collect(),
        ),
        ..ListMultipartUploadsOutput::default()
    })
}
