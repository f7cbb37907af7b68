//! The deployment's record in the bucket.

use dayfly_shared::deployment::{self, Deployment};
use dayfly_shared::job::Location;
use dayfly_shared::records::{from_json, to_json};
use dayfly_shared::store::{Attributes, Condition, ETag, StoreExt as _};

use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::policy;
use crate::settings::Place;
use crate::write::{self, Settled};

/// The record of the deployment at exactly this place, and its version.
///
/// # Errors
/// A store that refuses, a record that cannot be read.
pub async fn load(parts: &Parts, place: &Location) -> Result<Option<(Deployment, ETag)>> {
    let store = parts.bucket(place.bucket(), Patience::Brief).await?;
    let key = deployment::key(place);
    let Some((meta, bytes)) = store.read(&key).await? else { return Ok(None) };
    let record = from_json(&bytes).map_err(|e| {
        Failure::new(format!("{} is not a deployment's record: {e}", store.place(&key)))
            .fix("run dayfly setup again, with the dayfly that made it or a newer one")
    })?;
    Ok(Some((record, meta.etag)))
}

/// The deployment that a job belongs to: the one at the job's own place, or the nearest above it that serves more than one
/// job.
///
/// # Errors
/// As [`load`].
pub async fn find(parts: &Parts, job: &Location) -> Result<Option<Deployment>> {
    Ok(search(parts, job).await?.found)
}

/// What lies above a job.
#[derive(Default)]
pub struct Search {
    /// The deployment that the job belongs to.
    pub found: Option<Deployment>,
    /// Nearer ones that are isolated: each is one job's, and this is another.
    pub passed: Vec<Deployment>,
}

/// Looks for the deployment of a job, from its own place upwards.
///
/// # Errors
/// As [`load`].
pub async fn search(parts: &Parts, job: &Location) -> Result<Search> {
    let mut search = Search::default();
    let mut prefix = job.prefix().to_owned();
    loop {
        let place = Location::new(job.bucket(), &prefix).map_err(|e| Failure::usage(e.to_string()))?;
        let there = match load(parts, &place).await {
            // Whose rights end at an isolated job cannot look further up.
            Err(failure) if !search.passed.is_empty() => {
                tracing::info!(%failure, "no look at the deployments above");
                return Ok(search);
            }
            there => there?,
        };
        match there {
            // The role and the bucket's policy are of that one job: agents of any other would be refused.
            Some((record, _)) if record.isolate && record.place != *job => search.passed.push(record),
            Some((record, _)) => {
                search.found = Some(record);
                return Ok(search);
            }
            None => {}
        }
        if prefix.is_empty() {
            return Ok(search);
        }
        let above = prefix.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
        prefix.truncate(above);
    }
}

/// Refuses a job that the policies of its deployment cannot serve: their wildcards take a folder of such a name on its way
/// for one of a job's own.
///
/// # Errors
/// With the folder, and the fix.
pub fn check_place(deployment: &Deployment, job: &Location) -> Result<()> {
    let Some(folder) = policy::unserved(deployment, job) else { return Ok(()) };
    let Deployment { name, place, .. } = deployment;
    Err(Failure::usage(format!(
        "the place {job} has the folder '{folder}' below {place}, where the policies of the deployment {name} take it for a \
         folder of a job's own: agents there would be refused, or held to nothing"
    ))
    .left("nothing was written or started")
    .fix(format!("name the folder otherwise, or give the job a deployment of its own: dayfly setup {job} --isolate")))
}

/// The same before anything is written: where the way to the job has such a folder at all, its deployment is looked up.
///
/// # Errors
/// As [`check_place`]; a store that refuses.
pub async fn check_way(parts: &Parts, job: &Location) -> Result<()> {
    if !matches!(parts.settings.place, Place::S3 { .. }) || !policy::is_suspicious(job) {
        return Ok(());
    }
    match search(parts, job).await {
        Ok(search) => search.found.iter().try_for_each(|deployment| check_place(deployment, job)),
        // Who may reach the job alone cannot tell; whoever launches will.
        Err(failure) => {
            tracing::info!(%failure, "no look at the deployment above the job");
            Ok(())
        }
    }
}

/// Writes the record: over the version that was read, or where there was none.
///
/// # Errors
/// Somebody else's setup at the same time; a store that refuses.
pub async fn save(parts: &Parts, record: &Deployment, over: Option<ETag>) -> Result<()> {
    let store = parts.bucket(record.place.bucket(), Patience::Brief).await?;
    let key = deployment::key(&record.place);
    let condition = over.map_or(Condition::Create, Condition::Update);
    match write::put(parts, &*store, &key, to_json(record).into(), &Attributes::json(), &condition).await? {
        Settled::Applied(_) => Ok(()),
        Settled::Rejected => Err(Failure::new(format!("{} was changed by somebody else meanwhile", store.place(&key)))
            .left("what was made in the account stands")
            .fix("run dayfly setup again: it takes up what is there")),
    }
}
