//! A directory of buckets: each of its sub-directories is one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;
use std::{fs, process};

use async_trait::async_trait;
use dayfly_shared::clock::{Clock, Timestamp};
use dayfly_shared::store::{LocalStore, Result, Store, StoreError, StoreErrorKind};

use super::buckets::{BucketInfo, Buckets, Deleted, is_empty};

/// Buckets as the sub-directories of one directory. Other processes may use it at the same time; names that begin with
/// a dot are left alone.
#[derive(Clone)]
pub struct BucketDirectory {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    opened: Mutex<HashMap<String, Arc<LocalStore>>>,
    deleted: AtomicU64,
}

impl BucketDirectory {
    /// The buckets in `root`, which is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(root: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        fs::create_dir_all(&root).map_err(|error| failed("s3:CreateBucket", &root, &error))?;
        let (opened, deleted) = (Mutex::default(), AtomicU64::default());
        Ok(Self { inner: Arc::new(Inner { root, clock, opened, deleted }) })
    }

    /// Runs what may block where it does not hold up other requests.
    async fn aside<T: Send + 'static>(&self, call: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let result = tokio::task::spawn_blocking(move || call(&inner)).await;
        result.unwrap_or_else(|error| {
            let error = io::Error::other(error);
            Err(failed("s3:ListAllMyBuckets", &self.inner.root, &error))
        })
    }
}

impl Inner {
    fn opened(&self) -> MutexGuard<'_, HashMap<String, Arc<LocalStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, name: &str) -> Result<Option<Arc<LocalStore>>> {
        let dir = self.root.join(name);
        if !dir.is_dir() {
            self.opened().remove(name);
            return Ok(None);
        }
        if let Some(store) = self.opened().get(name) {
            return Ok(Some(Arc::clone(store)));
        }
        match LocalStore::open(&dir, name, Arc::clone(&self.clock)) {
            Ok(store) => Ok(Some(Arc::clone(self.opened().entry(name.to_owned()).or_insert(Arc::new(store))))),
            Err(error) if error.kind == StoreErrorKind::NoSuchBucket => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> Result<Vec<BucketInfo>> {
        let fail = |error: io::Error| failed("s3:ListAllMyBuckets", &self.root, &error);
        let mut buckets = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !s3s::path::check_bucket_name(&name) || !entry.path().is_dir() {
                continue;
            }
            let time = entry.metadata().and_then(|meta| meta.created().or_else(|_| meta.modified())).ok();
            let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let created = since.and_then(|since| u64::try_from(since.as_millis()).ok()).map(Timestamp::from_unix_ms);
            buckets.push(BucketInfo { name, created });
        }
        buckets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(buckets)
    }

    fn create(&self, name: &str) -> Result<bool> {
        let dir = self.root.join(name);
        match fs::create_dir(&dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("s3:CreateBucket", &dir, &error)),
        }
    }

    /// Takes a bucket out of the way under a name that no bucket has.
    fn set_aside(&self, name: &str) -> Result<Option<PathBuf>> {
        let dir = self.root.join(name);
        let n = self.deleted.fetch_add(1, Ordering::Relaxed);
        let aside = self.root.join(format!(".deleted-{name}-{}-{n}", process::id()));
        self.opened().remove(name);
        match fs::rename(&dir, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("s3:DeleteBucket", &dir, &error)),
        }
    }
}

#[async_trait]
impl Buckets for BucketDirectory {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Store>>> {
        let opened = self.inner.opened().get(name).cloned();
        let store = match opened {
            Some(store) => Some(store),
            None => {
                let name = name.to_owned();
                self.aside(move |inner| inner.open(&name)).await?
            }
        };
        Ok(store.map(|store| store as Arc<dyn Store>))
    }

    async fn exists(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        Ok(self.aside(move |inner| inner.open(&name)).await?.is_some())
    }

    async fn list(&self) -> Result<Vec<BucketInfo>> {
        self.aside(Inner::list).await
    }

    async fn create(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.aside(move |inner| inner.create(&name)).await
    }

    async fn delete(&self, name: &str) -> Result<Deleted> {
        if !self.exists(name).await? {
            return Ok(Deleted::Missing);
        }
        let Some(store) = self.open(name).await? else { return Ok(Deleted::Missing) };
        if !is_empty(store.as_ref()).await? {
            return Ok(Deleted::NotEmpty);
        }
        // Looked at again where nobody writes any more: what was written meanwhile is not lost.
        let own = name.to_owned();
        let Some(aside) = self.aside(move |inner| inner.set_aside(&own)).await? else { return Ok(Deleted::Missing) };
        let (own, clock) = (aside.clone(), Arc::clone(&self.inner.clock));
        let left = self.aside(move |_| LocalStore::open(&own, "deleted", clock)).await?;
        let empty = is_empty(&left).await?;
        let dir = self.inner.root.join(name);
        self.aside(move |_| {
            let fail = |error: io::Error| failed("s3:DeleteBucket", &dir, &error);
            if empty {
                fs::remove_dir_all(&aside).map_err(fail)?;
                Ok(Deleted::Gone)
            } else {
                fs::rename(&aside, &dir).map_err(fail)?;
                Ok(Deleted::NotEmpty)
            }
        })
        .await
    }
}

fn failed(action: &'static str, path: &Path, error: &io::Error) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
        ErrorKind::PermissionDenied => StoreErrorKind::Denied,
        _ => StoreErrorKind::Unsupported,
    };
    StoreError { kind, action, place: path.display().to_string(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dayfly_shared::clock::SystemClock;
    use dayfly_shared::store::{Attributes, Condition};

    use super::*;

    #[tokio::test]
    async fn sub_directories_are_buckets() {
        let root = tempfile::tempdir().unwrap();
        let buckets = BucketDirectory::new(&root.path().join("new"), Arc::new(SystemClock)).unwrap();
        assert!(buckets.open("one").await.unwrap().is_none());
        assert!(buckets.create("one").await.unwrap());
        assert!(!buckets.create("one").await.unwrap());
        let store = buckets.open("one").await.unwrap().unwrap();
        store.put("a/b", Bytes::from_static(b"x"), &Attributes::default(), &Condition::Create).await.unwrap();
        assert_eq!(fs::read(root.path().join("new/one/a/b")).unwrap(), b"x");
        // One that is put there by hand, and what is no bucket.
        fs::create_dir(root.path().join("new/two")).unwrap();
        fs::create_dir(root.path().join("new/.hidden")).unwrap();
        let names: Vec<String> = buckets.list().await.unwrap().into_iter().map(|bucket| bucket.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(buckets.delete("one").await.unwrap(), Deleted::NotEmpty);
        store.delete("a/b", None).await.unwrap();
        assert_eq!(buckets.delete("one").await.unwrap(), Deleted::Gone);
        assert_eq!(buckets.delete("one").await.unwrap(), Deleted::Missing);
        assert!(buckets.open("one").await.unwrap().is_none());
        assert_eq!(fs::read_dir(root.path().join("new")).unwrap().count(), 2);
    }
}
