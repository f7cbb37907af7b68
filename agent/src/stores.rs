//! The S3 stores of an agent: one connection pool, every request counted, reads patient.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dayfly_shared::clock::Clock;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{Counted, Patient, RequestCounts, Result, S3Settings, S3Store, Store, store_name};

use crate::driver::Stores;

/// The S3 stores of an agent.
pub struct S3Stores {
    first: S3Store,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    open: Mutex<HashMap<String, Counted<S3Store>>>,
}

impl S3Stores {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// An endpoint that is no URL; https without CA certificates.
    pub async fn connect(settings: S3Settings, clock: Arc<dyn Clock>, dice: Arc<dyn Dice>) -> Result<Self> {
        let first = S3Store::connect(settings, Arc::clone(&clock)).await?;
        Ok(Self { first, clock, dice, open: Mutex::default() })
    }
}

impl S3Stores {
    fn counted(&self, bucket: &str) -> Counted<S3Store> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(bucket.to_owned()).or_insert_with(|| Counted::new(self.first.with_bucket(bucket))).clone()
    }

    /// The store of a bucket, each call one try.
    pub fn impatient(&self, bucket: &str) -> Arc<dyn Store> {
        Arc::new(self.counted(bucket))
    }
}

impl Stores for S3Stores {
    fn open(&self, bucket: &str) -> Arc<dyn Store> {
        Arc::new(Patient::new(self.counted(bucket), Arc::clone(&self.clock), Arc::clone(&self.dice)))
    }

    fn counts(&self) -> RequestCounts {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = RequestCounts::default();
        for store in open.values() {
            all += store.snapshot();
        }
        all
    }

    fn endpoint(&self) -> String {
        store_name(self.first.endpoint_url())
    }

    fn region(&self) -> Option<&str> {
        self.first.endpoint_url().is_none().then(|| self.first.region())
    }
}
