//! A directory as a bucket, safe between processes.
//!
//! Objects are plain files at their keys' paths: `ls` and `cat` show them, `cp` adds one, an editor changes one. (Not
//! what a symbolic link leads to: links are no objects and are not followed.) All else stands under `.dayfly/`, which
//! no listing shows:
//!
//! | path | what |
//! |---|---|
//! | `meta/<xx>/<hash>.json` | a key's sidecar: ETag, checksum and metadata of its present and last version |
//! | `locks/<xx>` | 256 lock files, a key's by its hash; they stay |
//! | `uploads/<id>/` | a multipart upload: `upload.json`, parts, parts' sidecars |
//! | `tmp/<process>-<n>` | files not yet at their place; what a dead process left goes after a day |
//!
//! **What it promises.** A write is one rename, under the key's lock, after its sidecar: whichever process dies at
//! whatever point, the object is the old one with its old metadata or the new one with its new. A file that no sidecar
//! knows was put by hand: its ETag is the MD5 of its content, as S3 would have it. Other processes see a write when it
//! is applied, and never half of it. A copy of the directory keeps the objects but not their metadata.
//!
//! **What it does not.** Nothing is synced to the disk, so after a power failure the last writes may be missing or
//! empty: a job can be run again, and a sync for each of its small objects would cost it many times its work. A
//! file that a person writes in place can be read half written. A name is a key only if it is UTF-8 and written as
//! this store would write it. Upper and lower case differ if they do on the file system. Where locks do not reach
//! (some network file systems), neither do conditions.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use async_trait::async_trait;
use bytes::Bytes;

use self::failure::{Access, Failure};
use self::private::Private;
use self::tree::Tree;
use super::rules;
use super::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, Upload,
};
use crate::clock::Clock;

mod failure;
mod listing;
mod multipart;
mod names;
mod private;
mod read;
mod tree;
mod versions;
mod write;

/// Bodies are read, written and hashed in pieces of this size: it fits the processor's cache, and costs few calls.
const PIECE_BYTES: usize = 256 << 10;

/// A directory as a bucket. Clones are the same bucket, as are other processes on the same directory.
#[derive(Clone)]
pub struct LocalStore {
    bucket: Arc<Bucket>,
}

/// The bucket, for callers that may block.
struct Bucket {
    dir: PathBuf,
    name: String,
    tree: Tree,
    private: Private,
}

impl LocalStore {
    /// The bucket called `name` in the directory `dir`, which must be there. Nothing is written yet; what dead processes
    /// left in it is removed.
    ///
    /// # Errors
    /// [`super::StoreErrorKind::NoSuchBucket`] if `dir` is no directory, `Denied` if it cannot be read.
    pub fn open(dir: &Path, name: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let bucket = Bucket { name: name.to_owned(), tree: Tree::new(&dir), private: Private::new(&dir, clock), dir };
        bucket
            .tree
            .root()
            .map_err(|failure| failure.into_error("s3:ListBucket", bucket.dir.display().to_string(), Access::Read))?;
        bucket.private.sweep();
        Ok(Self { bucket: Arc::new(bucket) })
    }

    /// The same, with `dir` and the directories above it made first if they are missing.
    ///
    /// # Errors
    /// As [`LocalStore::open`]; `ReadOnly` or `Full` if the directory cannot be made.
    pub fn create(dir: &Path, name: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| {
            Failure::from(error).into_error("s3:CreateBucket", dir.display().to_string(), Access::Write)
        })?;
        Self::open(dir, name, clock)
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.bucket.name
    }

    /// The bucket's directory, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.bucket.dir
    }

    async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        call: impl FnOnce(&Bucket, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.call(action, key, Access::Read, call).await
    }

    async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        call: impl FnOnce(&Bucket, &str) -> Result<Outcome<T>, Failure> + Send + 'static,
    ) -> Result<Outcome<T>> {
        match self.call(action, key, Access::Write, call).await {
            // A write's errors are final or unknown: nobody is to repeat it without looking.
            Err(error) if error.is_transient() => Ok(Outcome::Unknown(error.to_string())),
            result => result,
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        access: Access,
        call: impl FnOnce(&Bucket, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        let result = blocking(move || {
            let result = call(&bucket, &key);
            result.map_err(|failure| failure.into_error(action, bucket.place(&key), access))
        });
        match result.await {
            Ok(result) => result,
            Err(error) => Err(Failure::from(error).into_error(action, self.place(""), access)),
        }
    }

    fn check_key(&self, action: &'static str, key: &str) -> Result<()> {
        rules::check_key(action, || self.place(key), key)
    }
}

impl Bucket {
    fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.dir.display())
    }
}

/// Runs what blocks where it may. A panic in it goes on here; an error says that the runtime is shutting down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

#[async_trait]
impl Store for LocalStore {
    fn place(&self, key: &str) -> String {
        self.bucket.place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.check_key("s3:GetObject", key)?;
        self.read("s3:GetObject", key, move |bucket, key| {
            let Some((found, version)) = bucket.look(key)? else { return Ok(None) };
            let meta = version.meta(bucket.private.wall());
            let range = rules::clip(range, meta.size);
            let body = read::body(found.file, range, bucket.place(key))?;
            Ok(Some(Object { meta, body }))
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.check_key("s3:GetObject", key)?;
        self.read("s3:GetObject", key, |bucket, key| {
            Ok(bucket.look(key)?.map(|(_, version)| version.meta(bucket.private.wall())))
        })
        .await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        let query = query.clone();
        self.read("s3:ListBucket", &query.prefix.clone(), move |bucket, _| bucket.list(&query)).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        self.check_key("s3:PutObject", key)?;
        let (attributes, condition) = (attributes.clone(), condition.clone());
        self.write("s3:PutObject", key, move |bucket, key| bucket.put(key, &body, &attributes, &condition)).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.check_key("s3:DeleteObject", key)?;
        let only = only.cloned();
        self.write("s3:DeleteObject", key, move |bucket, key| bucket.delete(key, only.as_ref())).await
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.check_key("s3:CreateMultipartUpload", key)?;
        let attributes = attributes.clone();
        self.call("s3:CreateMultipartUpload", key, Access::Write, move |bucket, key| {
            bucket.upload_begin(key, &attributes)
        })
        .await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        rules::check_part_number(|| self.place(&upload.key), number)?;
        let upload = upload.clone();
        self.call("s3:UploadPart", &upload.key.clone(), Access::Write, move |bucket, _| {
            bucket.upload_part(&upload, number, &body)
        })
        .await
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        let (upload, parts, condition) = (upload.clone(), parts.to_vec(), condition.clone());
        self.write("s3:CompleteMultipartUpload", &upload.key.clone(), move |bucket, _| {
            bucket.upload_complete(&upload, &parts, &condition)
        })
        .await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        self.call("s3:AbortMultipartUpload", &upload.key.clone(), Access::Write, move |bucket, _| {
            bucket.upload_abort(&upload)
        })
        .await
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.read("s3:ListBucketMultipartUploads", prefix, |bucket, prefix| bucket.uploads(prefix)).await
    }
}
