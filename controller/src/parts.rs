//! What commands are handed: clock, dice, stores, and where to speak.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::console;
use dayfly_shared::job::Location;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{LocalStore, Patient, S3Settings, S3Store, Store, StoreErrorKind, store_name};
use tokio::sync::OnceCell;

use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::settings::{Place, Settings};

/// How long a person waits for a first word before thinking that nothing happens; a service that is down shows by then.
const BRIEF: Duration = Duration::from_secs(10);

/// The parts of a command.
#[derive(Clone)]
pub struct Parts {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Nonces, waits, demo data.
    pub dice: Arc<dyn Dice>,
    /// The settings that every command shares.
    pub settings: Settings,
    /// The region of AWS's own S3; none where the store is another. Found out once, when it is asked for.
    region: Arc<OnceCell<Option<String>>>,
}

/// How long a call to a store is repeated while nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Some seconds: for the first call of a command, and for what a person waits for.
    Brief,
    /// Some minutes: for work that has begun, and would be lost.
    Long,
}

impl Parts {
    /// The machine's clock and entropy.
    pub fn new(settings: &Settings) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            dice: Arc::new(StdDice::from_os()),
            settings: settings.clone(),
            region: Arc::default(),
        }
    }

    /// Where to speak.
    pub fn output(&self) -> &Output {
        &self.settings.output
    }

    /// The store of a bucket.
    ///
    /// # Errors
    /// A folder that is not there, settings that lead nowhere.
    pub async fn bucket(&self, name: &str, patience: Patience) -> Result<Arc<dyn Store>> {
        let (clock, dice) = (Arc::clone(&self.clock), Arc::clone(&self.dice));
        match &self.settings.place {
            Place::Local(dir) => {
                let store = LocalStore::open(&dir.join(name), name, clock).map_err(|error| match error.kind {
                    StoreErrorKind::NoSuchBucket => no_such_bucket(dir, name),
                    _ => error.into(),
                })?;
                Ok(Arc::new(store))
            }
            Place::S3 { .. } => {
                let settings = self.s3_settings(name);
                let store = Patient::new(S3Store::connect(settings, Arc::clone(&clock)).await?, clock, dice);
                Ok(match patience {
                    Patience::Brief => Arc::new(store.with_patience(BRIEF)),
                    Patience::Long => Arc::new(store),
                })
            }
        }
    }

    /// How a bucket is reached, and whatever else of AWS with it; where buckets are folders, as the AWS tools would.
    pub fn s3_settings(&self, bucket: &str) -> S3Settings {
        match &self.settings.place {
            Place::Local(_) => S3Settings::new(bucket),
            Place::S3 { endpoint_url, region, profile } => S3Settings {
                endpoint_url: endpoint_url.clone(),
                region: region.clone(),
                profile: profile.clone(),
                ..S3Settings::new(bucket)
            },
        }
    }

    /// The page of a place in the S3 console; none where it is not in AWS's own S3.
    pub async fn console(&self, place: &Location) -> Option<String> {
        if matches!(self.settings.place, Place::Local(_)) {
            return None;
        }
        let region = self.region.get_or_init(|| async {
            let store = S3Store::connect(self.s3_settings(place.bucket()), Arc::clone(&self.clock)).await.ok()?;
            // An endpoint that somebody names may be anybody's.
            store.endpoint_url().is_none().then(|| store.region().to_owned())
        });
        console::link(place, region.await.as_deref()?)
    }

    /// The store of a bucket that is made if it is a folder and not there yet. A service's buckets are its people's to
    /// make: they cost, and belong to a region.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub async fn bucket_made(&self, name: &str) -> Result<Arc<dyn Store>> {
        if let Place::Local(dir) = &self.settings.place {
            let bucket = dir.join(name);
            fs::create_dir_all(&bucket).map_err(|e| Failure::io("making the bucket's folder", &bucket, &e))?;
        }
        self.bucket(name, Patience::Brief).await
    }

    /// A job's objects.
    ///
    /// # Errors
    /// As [`Parts::bucket`].
    pub async fn job(&self, job: &Location, patience: Patience) -> Result<JobBucket> {
        Ok(JobBucket::new(job.clone(), self.bucket(job.bucket(), patience).await?))
    }

    /// The store as it is recorded and said: the service's URL, or that it is a folder.
    pub fn endpoint(&self) -> String {
        match &self.settings.place {
            Place::Local(_) => "local".to_owned(),
            Place::S3 { endpoint_url: Some(url), .. } => store_name(Some(url)),
            Place::S3 { .. } => {
                let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
                store_name(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(set).as_deref())
            }
        }
    }
}

fn no_such_bucket(dir: &Path, name: &str) -> Failure {
    if dir.is_dir() {
        Failure::new(format!("there is no bucket '{name}' in {}", dir.display()))
            .fix("seed a job there (dayfly seed --local …), or correct the name")
    } else {
        Failure::new(format!("there is no folder {}", dir.display()))
            .fix("seed a job there (dayfly seed --local …), or correct the path")
    }
}
