//! The store's word: tried once, and recorded.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{from_json, to_json};
use dayfly_shared::store::{Attributes, Condition, Refused, StoreCheck, StoreExt as _, probe};

use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::write;

/// Tries the store's conditional writes, unless a record says that this endpoint passed before.
///
/// # Errors
/// A store that does not keep conditions, or refuses a call.
pub async fn store(parts: &Parts, job: &JobBucket) -> Result<()> {
    let (store, key, endpoint) = (&**job.store(), job.keys.store_check(), parts.endpoint());
    if let Some((_, bytes)) = store.read(&key).await?
        && from_json::<StoreCheck>(&bytes).is_ok_and(|check| check.ok && check.endpoint == endpoint)
    {
        return Ok(());
    }
    tracing::info!(%endpoint, "trying the store's conditional writes");
    probe(store, &job.keys.scratch(parts.dice.nonce()), &*parts.clock).await.map_err(|refused| match refused {
        Refused::Store(error) => Failure::from(error).during("trying the store's conditional writes"),
        conditions => Failure::new(conditions.to_string()).left("nothing was written"),
    })?;
    let check = StoreCheck { schema: SCHEMA, endpoint, at: parts.clock.now().wall, ok: true };
    // Rejected: a record stands, of this endpoint or of another name for the same store. Either says that it passed.
    write::put(parts, store, &key, to_json(&check).into(), &Attributes::json(), &Condition::Create).await?;
    Ok(())
}
