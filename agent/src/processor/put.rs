//! Puts what belongs to one attempt alone: files of a folder of outputs, logs, checkpoints.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use dayfly_shared::store::{Attributes, Condition, Outcome, Rejection, Store};

use super::{Failure, Staged, StagedBody};

/// A store that does not answer is tried so often, over some two minutes; then the attempt is given back.
const TRIES: u32 = 8;
/// Before the second try; doubles from try to try.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Puts `staged` as `key`. Under [`Condition::Create`] an object that stands already is this attempt's own, from a try that
/// nobody answered.
///
/// # Errors
/// A store that refuses, or that does not answer for long.
pub async fn put_own(
    store: &Arc<dyn Store>,
    key: &str,
    staged: &Staged,
    attributes: &Attributes,
    condition: &Condition,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let mut wait = FIRST_WAIT;
    let mut last = String::new();
    for _ in 0..TRIES {
        let outcome = match &staged.body {
            StagedBody::Whole(body) => store.put(key, body.clone(), attributes, condition).await?,
            StagedBody::Parts(upload, parts) => store.upload_complete(upload, parts, condition).await?,
        };
        match outcome {
            Outcome::Applied(_) => return Ok(()),
            Outcome::Rejected(Rejection::Precondition) => return Ok(()),
            // Completed by an earlier try, or dropped by somebody.
            Outcome::Rejected(Rejection::NoSuchUpload) => {
                return match store.head(key).await?.filter(|meta| meta.size == staged.bytes) {
                    Some(_) => Ok(()),
                    None => Err(Failure::Interrupted(format!("the upload of {} is gone", store.place(key)))),
                };
            }
            Outcome::Rejected(rejection) => last = format!("{rejection:?}"),
            Outcome::Unknown(why) => last = why,
        }
        clock.sleep(wait).await;
        wait *= 2;
    }
    Err(Failure::Interrupted(format!("{} could not be put: {last}", store.place(key))))
}
