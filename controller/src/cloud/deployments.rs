//! The deployment's record in the bucket.

use dayfly_shared::deployment::{self, Deployment};
use dayfly_shared::job::Location;
use dayfly_shared::records::{from_json, to_json};
use dayfly_shared::store::{Attributes, Condition, ETag, StoreExt as _};

use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
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

/// The deployment that a job belongs to: the one at the job's own place, or the nearest above it.
///
/// # Errors
/// As [`load`].
pub async fn find(parts: &Parts, job: &Location) -> Result<Option<Deployment>> {
    let mut prefix = job.prefix().to_owned();
    loop {
        let place = Location::new(job.bucket(), &prefix).map_err(|e| Failure::usage(e.to_string()))?;
        if let Some((record, _)) = load(parts, &place).await? {
            return Ok(Some(record));
        }
        if prefix.is_empty() {
            return Ok(None);
        }
        let above = prefix.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
        prefix.truncate(above);
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
