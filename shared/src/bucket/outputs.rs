//! The tasks' outputs: what they say of themselves, and which stand.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::claim::Stood;
use crate::ids::Attempt;
use crate::job::{JobSettings, Location};
use crate::store::{ObjectMeta, Result, Store, StoreExt};

use super::READS_AT_ONCE;

/// User metadata of an output: the attempt that made it.
pub const META_ATTEMPT: &str = "dayfly-attempt";
/// User metadata of an output: its task.
pub const META_TASK: &str = "dayfly-task";
/// User metadata of a manifest: the bytes of all its files.
pub const META_BYTES: &str = "dayfly-bytes";

/// What an output says of itself.
pub fn stood(meta: &ObjectMeta) -> Stood {
    Stood {
        bytes: meta.metadata.get(META_BYTES).and_then(|b| b.parse().ok()).unwrap_or(meta.size),
        checksum: meta.checksum.clone(),
        attempt: meta.metadata.get(META_ATTEMPT).and_then(|a| a.parse::<Attempt>().ok()),
    }
}

/// Which of the names have an output in `outputs` (a store for the bucket of the outputs of the job at `job`).
///
/// # Errors
/// A store that refuses.
pub async fn existing_outputs(
    outputs: &dyn Store,
    settings: &JobSettings,
    job: &Location,
    names: Vec<String>,
) -> Result<BTreeSet<String>> {
    /// Above so many names one listing of everything is cheaper than a head each.
    const HEADS_AT_MOST: usize = 2000;
    let place = settings.outputs(job);
    if names.len() > HEADS_AT_MOST {
        let keys: BTreeSet<String> = outputs.list_all(place.prefix()).await?.into_iter().map(|e| e.key).collect();
        return Ok(names.into_iter().filter(|n| keys.contains(&place.key(&settings.commit_name(n)))).collect());
    }
    stream::iter(names)
        .map(|name| async move {
            let key = place.key(&settings.commit_name(&name));
            Ok(outputs.head(&key).await?.map(|_| name))
        })
        .buffer_unordered(READS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}
