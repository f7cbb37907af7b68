//! The store port: the few calls of an object store that dayfly needs, for the objects of one bucket.
//!
//! Six operations: get (with range), head, list, put, delete, and multipart upload whose completion may be conditional.
//! A store makes exactly **one** try per call: whoever calls decides what to do with [`Outcome::Unknown`] (see
//! [`crate::claim`]), because only the caller knows how to find out whose write it was.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::clock::Timestamp;

pub mod conformance;
mod counted;
pub mod digest;
mod local;
mod memory;
mod patient;
mod probe;
mod rules;
#[cfg(feature = "s3")]
mod s3;
mod shared;

pub use counted::{Counted, RequestCounts};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use patient::Patient;
pub use probe::{Refused, StoreCheck, probe, store_name};
#[cfg(feature = "s3")]
pub use s3::{Lack, S3Settings, S3Store, S3Timeouts, chain, sdk_config};
#[cfg(feature = "s3")]
pub(crate) use s3::{NO_CA_ROOTS, have_ca_roots};

/// An object's entity tag, opaque, without the quotes that HTTP puts around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag(String);

impl ETag {
    /// From a header or a listing; quotes are taken off, so that tags from both compare.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches('"').to_owned())
    }

    /// Without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As `If-Match` wants it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under which condition a write goes through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `If-None-Match: *`: only if there is no such object.
    Create,
    /// `If-Match`: only if the object still is this version.
    Update(ETag),
    /// Whatever stands there.
    Overwrite,
}

/// What became of one try of a write. Unknown is never guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The store said that it went through.
    Applied(T),
    /// The store said that it did not. (After an earlier unknown try it may still be one's own write that stands.)
    Rejected(Rejection),
    /// Nobody said: 500, 502, 503, a timeout, a connection that broke. It may have gone through, or yet go through.
    Unknown(String),
}

/// Why a write was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// 412: the condition does not hold.
    Precondition,
    /// 404 for `If-Match`: there is no such object.
    Missing,
    /// 409, whatever its code: not applied because of something concurrent. It does **not** say that the object exists.
    Conflict,
    /// 404 NoSuchUpload: the upload was completed or aborted.
    NoSuchUpload,
}

/// What the store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The version's tag.
    pub etag: ETag,
    /// Bytes of the whole object, also where a range was asked for.
    pub size: u64,
    /// `LastModified`, in whole seconds on S3.
    pub modified: Option<Timestamp>,
    /// The store's own `Date` in the same answer: the only clock that `modified` may be compared with.
    pub served: Option<Timestamp>,
    /// User metadata (`x-amz-meta-…`), names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// The checksum that the store keeps, as `<algorithm>:<base64>`, such as `crc32:AAAAAA==`.
    pub checksum: Option<String>,
}

/// An object with its content on the way.
pub struct Object {
    /// What the store says of it.
    pub meta: ObjectMeta,
    /// The bytes, in pieces as they arrive. A stream that ends early, or fails its checksum, ends with an error.
    pub body: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl Object {
    /// The whole content in memory.
    ///
    /// # Errors
    /// When the stream breaks or its checksum does not match.
    pub async fn bytes(mut self) -> Result<Bytes, StoreError> {
        let Some(first) = self.body.next().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.body.next().await.transpose()? else { return Ok(first) };
        let mut all = BytesMut::with_capacity(first.len() + second.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.body.next().await.transpose()? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

/// What goes with a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `Content-Type`; none leaves it to the store.
    pub content_type: Option<&'static str>,
    /// User metadata. Names in lower case; values printable ASCII (others are percent-encoded by whoever sets them).
    pub metadata: BTreeMap<String, String>,
    /// CRC-32 (IEEE) of a body that is put in one piece, where the caller knows it: it is then not computed again.
    pub crc32: Option<u32>,
    /// MD5 of such a body, where the caller knows it.
    pub md5: Option<[u8; 16]>,
}

impl Attributes {
    /// For plain text.
    pub fn text() -> Self {
        Self { content_type: Some("text/plain; charset=utf-8"), ..Self::default() }
    }

    /// For JSON.
    pub fn json() -> Self {
        Self { content_type: Some("application/json"), ..Self::default() }
    }

    /// With one more line of user metadata.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only keys that sort after this one.
    pub start_after: Option<String>,
    /// At most so many keys and folders, 1 to 1000 (S3's page).
    pub limit: usize,
    /// Fold keys with a further `/` after the prefix into [`ListPage::folders`].
    pub fold: bool,
}

impl ListQuery {
    /// A full page of the keys under `prefix`.
    pub fn under(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), start_after: None, limit: 1000, fold: false }
    }

    /// From the key after `key` on.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.start_after = Some(key.into());
        self
    }
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// The version's tag.
    pub etag: ETag,
    /// In bytes.
    pub size: u64,
    /// `LastModified`.
    pub modified: Option<Timestamp>,
}

/// One page of a listing, in the order of the keys' UTF-8 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The keys.
    pub entries: Vec<Entry>,
    /// The folders, each with its trailing `/`, where [`ListQuery::fold`] is set.
    pub folders: Vec<String>,
    /// Where the next page starts (a `start_after`), if there is one.
    pub next: Option<String>,
    /// The store's `Date` in this answer.
    pub served: Option<Timestamp>,
}

/// A multipart upload under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object that it will be.
    pub key: String,
    /// The store's name for it.
    pub id: String,
    /// When it began, where a listing says so.
    pub initiated: Option<Timestamp>,
}

/// A part that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// The part's tag.
    pub etag: ETag,
    /// The part's checksum as the store gave it, `<algorithm>:<base64>`.
    pub checksum: Option<String>,
}

/// What went wrong, as far as the caller's next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No answer, or one that says "later": worth another try. Only reads report it so; a write's is [`Outcome::Unknown`].
    Transient,
    /// 403: refused. Never "absent".
    Denied,
    /// The bucket is not there.
    NoSuchBucket,
    /// The bucket is in another region than the one asked.
    WrongRegion,
    /// No credentials were found.
    NoCredentials,
    /// The credentials have expired.
    ExpiredCredentials,
    /// No space, or no quota, left.
    Full,
    /// The place can be read but not written.
    ReadOnly,
    /// What arrived is not what was stored: length or checksum differ. Worth another try.
    Corrupt,
    /// An object of the job that is not the record it should be: somebody wrote over it.
    BadRecord,
    /// An object that has to be restored from an archive before it can be read.
    Archived,
    /// The multipart upload is gone.
    NoSuchUpload,
    /// The store does not understand or does not offer it (an ignored condition, an invalid request).
    Unsupported,
}

/// A call that failed for good (or, for a read, once). Says the action, the place and the store's own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} {place}: {detail}")]
pub struct StoreError {
    /// What the caller's next step depends on.
    pub kind: StoreErrorKind,
    /// The action as a permission names it, such as `s3:PutObject`.
    pub action: &'static str,
    /// The object or bucket, as a URL or a path.
    pub place: String,
    /// What the store said, or what is wrong, and the fix where one is known.
    pub detail: String,
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind == StoreErrorKind::Transient
    }

    /// Whether the same read may succeed at once: nothing came, or it came damaged.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Transient | StoreErrorKind::Corrupt)
    }
}

/// The result of a call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The objects of one bucket.
#[async_trait]
pub trait Store: Send + Sync {
    /// How a key reads in messages, such as `s3://bucket/key`.
    fn place(&self, key: &str) -> String;

    /// The object, or a range of its bytes. Absent: `None`. A range beyond the end gives what there is of it; an empty
    /// one gives no bytes.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>>;

    /// What the store says of the object. Absent: `None`.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>>;

    /// One page of keys.
    async fn list(&self, query: &ListQuery) -> Result<ListPage>;

    /// Stores `body` as one object, if the condition holds: one try.
    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>>;

    /// Deletes the object if it still is version `only` (or, without it, whatever stands there). Absent:
    /// `Rejected(Missing)`.
    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>>;

    /// Begins a multipart upload.
    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload>;

    /// Stores one part; sending a number again replaces it. Parts but the last are 5 MiB or more (S3's rule).
    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part>;

    /// Makes the parts one object, if the condition holds ([`Condition::Create`] or [`Condition::Overwrite`]): one try.
    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>>;

    /// Drops the upload and its parts. One that is gone already is fine.
    async fn upload_abort(&self, upload: &Upload) -> Result<()>;

    /// The uploads under way whose key begins with `prefix`, all of them.
    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>>;
}

/// Calls that every store offers, made of the others.
#[async_trait]
pub trait StoreExt: Store {
    /// The whole object in memory with what the store says of it.
    async fn read(&self, key: &str) -> Result<Option<(ObjectMeta, Bytes)>> {
        match self.get(key, None).await? {
            Some(object) => {
                let meta = object.meta.clone();
                Ok(Some((meta, object.bytes().await?)))
            }
            None => Ok(None),
        }
    }

    /// Every key under `prefix`, page by page.
    async fn list_all(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut query = ListQuery::under(prefix);
        let mut all = Vec::new();
        loop {
            let page = self.list(&query).await?;
            all.extend(page.entries);
            match page.next {
                Some(next) => query.start_after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
