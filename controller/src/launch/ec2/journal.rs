//! The records of a job's launches in the bucket.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::ids::Nonce;
use dayfly_shared::launch::Launch;
use dayfly_shared::records::{from_json, to_json};
use dayfly_shared::store::{Attributes, Condition, ETag, StoreExt as _};

use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::write::{self, Settled};

/// A launch's record, and the version of it that stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub launch: Launch,
    etag: ETag,
}

/// Writes the intent, before anything is asked of EC2.
///
/// # Errors
/// A store that refuses.
pub async fn open(parts: &Parts, job: &JobBucket, launch: Launch) -> Result<Entry> {
    match put(parts, job, &launch, &Condition::Create).await? {
        Some(etag) => Ok(Entry { launch, etag }),
        None => Err(Failure::new(format!("{} is there already", job.place(&job.keys.launch(launch.id))))
            .left("nothing was started")
            .fix("run it again")),
    }
}

/// Writes what is known now over what was read.
///
/// # Errors
/// Somebody else has written it: a second run of the same launch, or `dayfly reap`.
pub async fn save(parts: &Parts, job: &JobBucket, entry: &mut Entry) -> Result<()> {
    match put(parts, job, &entry.launch, &Condition::Update(entry.etag.clone())).await? {
        Some(etag) => entry.etag = etag,
        None => {
            let key = job.keys.launch(entry.launch.id);
            return Err(Failure::new(format!("{} was changed by somebody else meanwhile", job.place(&key)))
                .left("what the launch has started so far goes on, and has its tags")
                .fix(format!("look at it (dayfly ps {}), and run it again if machines are missing", job.location)));
        }
    }
    Ok(())
}

async fn put(parts: &Parts, job: &JobBucket, launch: &Launch, condition: &Condition) -> Result<Option<ETag>> {
    let key = job.keys.launch(launch.id);
    match write::put(parts, &**job.store(), &key, to_json(launch).into(), &Attributes::json(), condition).await? {
        Settled::Applied(etag) => Ok(Some(etag)),
        Settled::Rejected => Ok(None),
    }
}

/// One of them.
///
/// # Errors
/// A store that refuses, a record that cannot be read.
pub async fn read(job: &JobBucket, id: Nonce) -> Result<Option<Entry>> {
    let key = job.keys.launch(id);
    let Some((meta, bytes)) = job.store().read(&key).await? else { return Ok(None) };
    let launch = from_json(&bytes).map_err(|e| {
        Failure::new(format!("{} is not the record of a launch: {e}", job.place(&key)))
            .fix("use the dayfly that wrote it, or a newer one")
    })?;
    Ok(Some(Entry { launch, etag: meta.etag }))
}

/// All of them.
///
/// # Errors
/// As [`read`].
pub async fn all(job: &JobBucket) -> Result<Vec<Entry>> {
    let listed = job.store().list_all(&job.keys.launches()).await?;
    let mut entries = Vec::new();
    for id in listed.iter().filter_map(|entry| job.keys.parse_launch(&entry.key)) {
        entries.extend(read(job, id).await?);
    }
    Ok(entries)
}
