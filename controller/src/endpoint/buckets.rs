//! Where the buckets are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::store::{ListQuery, Result, Store};

/// A bucket in a list of buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketInfo {
    /// Its name.
    pub name: String,
    /// When it was made, where that is known.
    pub created: Option<Timestamp>,
}

/// What became of the wish to delete a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// There was none.
    Missing,
    /// There are objects or uploads in it.
    NotEmpty,
}

/// A set of buckets. Names have been checked against S3's rules (S3 user guide, "General purpose bucket naming rules")
/// before they come here: lower-case letters, digits, dots and dashes.
#[async_trait]
pub trait Buckets: Send + Sync + 'static {
    /// The bucket's store; none if there is no such bucket. One that was there may have gone since, unseen: then the
    /// store's own calls say so.
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Store>>>;

    /// Whether there is such a bucket now.
    async fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.open(name).await?.is_some())
    }

    /// All of them, in the order of their names.
    async fn list(&self) -> Result<Vec<BucketInfo>>;

    /// Makes a bucket; false if it is there already.
    async fn create(&self, name: &str) -> Result<bool>;

    /// Deletes a bucket if nothing is in it.
    async fn delete(&self, name: &str) -> Result<Deleted>;
}

/// Makes the store of a new bucket.
type Maker = dyn Fn(&str) -> Arc<dyn Store> + Send + Sync;

/// Buckets that are stores held in this process, such as memory stores.
pub struct BucketsOf {
    stores: Mutex<BTreeMap<String, Arc<dyn Store>>>,
    make: Box<Maker>,
}

impl BucketsOf {
    /// None yet; `make` makes the store of each new one.
    pub fn new(make: impl Fn(&str) -> Arc<dyn Store> + Send + Sync + 'static) -> Self {
        Self { stores: Mutex::default(), make: Box::new(make) }
    }

    /// With one more bucket.
    #[must_use]
    pub fn with(self, name: &str, store: Arc<dyn Store>) -> Self {
        self.stores().insert(name.to_owned(), store);
        self
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Buckets for BucketsOf {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Store>>> {
        Ok(self.stores().get(name).cloned())
    }

    async fn list(&self) -> Result<Vec<BucketInfo>> {
        Ok(self.stores().keys().map(|name| BucketInfo { name: name.clone(), created: None }).collect())
    }

    async fn create(&self, name: &str) -> Result<bool> {
        let mut stores = self.stores();
        if stores.contains_key(name) {
            return Ok(false);
        }
        stores.insert(name.to_owned(), (self.make)(name));
        Ok(true)
    }

    async fn delete(&self, name: &str) -> Result<Deleted> {
        let Some(store) = self.open(name).await? else { return Ok(Deleted::Missing) };
        if !is_empty(store.as_ref()).await? {
            return Ok(Deleted::NotEmpty);
        }
        self.stores().remove(name);
        Ok(Deleted::Gone)
    }
}

/// Whether nothing is in a bucket, uploads under way included.
pub(super) async fn is_empty(store: &dyn Store) -> Result<bool> {
    let query = ListQuery { limit: 1, ..ListQuery::under("") };
    Ok(store.list(&query).await?.entries.is_empty() && store.uploads("").await?.is_empty())
}
