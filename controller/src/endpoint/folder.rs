//! A folder of buckets: each folder in it is one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dayfly_shared::clock::{Clock, Timestamp};
use dayfly_shared::job::Location;
use dayfly_shared::store::{LocalStore, Result, Store, StoreError, StoreErrorKind};

use super::buckets::{BucketInfo, Buckets, Deleted, is_empty};

/// Folders in a folder, served as buckets.
pub struct FolderBuckets {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    open: Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

impl FolderBuckets {
    /// Those in `dir`.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { dir: dir.to_owned(), clock, open: Mutex::default() }
    }

    fn failed(&self, action: &'static str, path: &Path, error: &io::Error) -> StoreError {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
            _ => StoreErrorKind::Denied,
        };
        StoreError { kind, action, place: path.display().to_string(), detail: error.to_string() }
    }
}

/// Names of the buckets in a folder, sorted: folders whose name can be a bucket's.
///
/// # Errors
/// A folder that cannot be read.
pub fn bucket_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && Location::new(&name, "").is_ok()
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[async_trait]
impl Buckets for FolderBuckets {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Store>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = self.dir.join(name);
        if !dir.is_dir() {
            open.remove(name);
            return Ok(None);
        }
        if let Some(store) = open.get(name) {
            return Ok(Some(Arc::clone(store)));
        }
        let store: Arc<dyn Store> = Arc::new(LocalStore::open(&dir, name, Arc::clone(&self.clock))?);
        open.insert(name.to_owned(), Arc::clone(&store));
        Ok(Some(store))
    }

    async fn list(&self) -> Result<Vec<BucketInfo>> {
        let names = bucket_names(&self.dir).map_err(|e| self.failed("s3:ListAllMyBuckets", &self.dir, &e))?;
        let created = |name: &str| {
            let since = fs::metadata(self.dir.join(name)).ok()?.created().ok()?;
            let age = since.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(Timestamp::from_unix_ms(u64::try_from(age.as_millis()).ok()?))
        };
        Ok(names.into_iter().map(|name| BucketInfo { created: created(&name), name }).collect())
    }

    async fn create(&self, name: &str) -> Result<bool> {
        let dir = self.dir.join(name);
        match fs::create_dir(&dir) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(self.failed("s3:CreateBucket", &dir, &e)),
        }
    }

    async fn delete(&self, name: &str) -> Result<Deleted> {
        let Some(store) = self.open(name).await? else { return Ok(Deleted::Missing) };
        if !is_empty(store.as_ref()).await? {
            return Ok(Deleted::NotEmpty);
        }
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        // What is left is the store's own: locks and sidecars, and folders without objects.
        let dir = self.dir.join(name);
        fs::remove_dir_all(&dir).map_err(|e| self.failed("s3:DeleteBucket", &dir, &e))?;
        Ok(Deleted::Gone)
    }
}
