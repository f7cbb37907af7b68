//! Puts what is beside the outputs themselves, and fetches it: files of a folder of outputs, logs, checkpoints, wheels.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use dayfly_shared::store::{Attributes, Condition, Object, Outcome, Rejection, Store};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::aside::next_piece;
use super::sink::Sink;
use super::{Failure, PART_BYTES, PartBudget, Staged, StagedBody, on_disk};

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
    let known = Attributes { crc32: Some(staged.crc32), ..attributes.clone() };
    let mut wait = FIRST_WAIT;
    let mut last = String::new();
    for _ in 0..TRIES {
        let outcome = match &staged.body {
            StagedBody::Whole(body) => store.put(key, body.clone(), &known, condition).await?,
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

/// Fetches an object to a file; whether there is one.
///
/// # Errors
/// A store that does not answer or refuses, a disk that is full.
pub async fn fetch_file(store: &Arc<dyn Store>, key: &str, to: &Path) -> Result<bool, Failure> {
    match store.get(key, None).await? {
        Some(object) => write_file(object, to).await.map(|()| true),
        None => Ok(false),
    }
}

/// Writes an object to a file as it arrives.
///
/// # Errors
/// A store that does not answer, a disk that is full.
pub async fn write_file(mut object: Object, to: &Path) -> Result<(), Failure> {
    let broken = |e: std::io::Error| on_disk(&format!("{} cannot be written", to.display()), &e);
    let mut file = tokio::fs::File::create(to).await.map_err(broken)?;
    while let Some(piece) = object.body.next().await {
        file.write_all(&piece?).await.map_err(broken)?;
    }
    file.flush().await.map_err(broken)
}

/// Puts a file under a key that may stand already, from whoever was quicker: one try, as nothing hangs on it.
///
/// # Errors
/// A file that cannot be read, a store that refuses or does not answer.
pub async fn put_file_once(store: &Arc<dyn Store>, key: &str, from: &Path) -> Result<(), Failure> {
    put_file_new(store, key, from, &Attributes::default()).await.map(drop)
}

/// The same, with attributes; whether it was this one that stands now.
///
/// # Errors
/// As [`put_file_once`].
pub async fn put_file_new(
    store: &Arc<dyn Store>,
    key: &str,
    from: &Path,
    attributes: &Attributes,
) -> Result<bool, Failure> {
    let broken = |e: std::io::Error| Failure::Interrupted(format!("{} cannot be read: {e}", from.display()));
    let mut file = tokio::fs::File::open(from).await.map_err(broken)?;
    let size = file.metadata().await.map_err(broken)?.len();
    let parts = (PART_BYTES, PartBudget::default());
    let mut sink = Sink::new(Arc::clone(store), key.to_owned(), attributes.clone(), parts, size);
    while let Some(piece) = next_piece(&mut file).await.map_err(broken)? {
        sink.write(piece).await?;
    }
    let (staged, _room) = sink.finish().await?;
    let outcome = match &staged.body {
        StagedBody::Whole(body) => store.put(key, body.clone(), attributes, &Condition::Create).await?,
        StagedBody::Parts(upload, parts) => {
            let outcome = store.upload_complete(upload, parts, &Condition::Create).await?;
            if matches!(outcome, Outcome::Rejected(_)) {
                // Its parts would be billed for ever.
                drop(store.upload_abort(upload).await);
            }
            outcome
        }
    };
    match outcome {
        Outcome::Unknown(why) => Err(Failure::Interrupted(why)),
        Outcome::Applied(_) => Ok(true),
        Outcome::Rejected(_) => Ok(false),
    }
}
