//! The store's word: tried once, and recorded.

use dayfly_shared::bucket::JobBucket;

use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// Tries the store's conditional writes, unless a record says that this store passed before.
///
/// # Errors
/// A store that does not keep conditions, or refuses a call.
pub async fn store(parts: &Parts, job: &JobBucket) -> Result<()> {
    let checked = job.check_store(&parts.endpoint(), &*parts.clock, &*parts.dice).await;
    checked.map_err(|error| {
        Failure::from(error).during("trying the store's conditional writes").left("nothing was written")
    })
}
