//! Writes that are carried to a clear end: applied, or not.

use bytes::Bytes;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::store::{Attributes, Condition, ETag, Outcome, Rejection, Store, StoreExt as _};

use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// With waits that grow to 5 s this is about half a minute: a store that gives no clear answer for so long is down.
const TRIES: u32 = 12;

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It went through; this is the version.
    Applied(ETag),
    /// Its condition does not hold: something else stands there.
    Rejected,
}

/// Puts an object. An unknown outcome is found out: what stands is read, and is one's own write if it has this body and
/// this metadata. (Two writers of one body want the same thing, so each may take the other's write for its own.)
///
/// # Errors
/// A store that refuses, or gives no clear answer.
pub async fn put(
    parts: &Parts,
    store: &dyn Store,
    key: &str,
    body: Bytes,
    attributes: &Attributes,
    condition: &Condition,
) -> Result<Settled> {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    let mut doubt = false;
    for _ in 0..TRIES {
        match store.put(key, body.clone(), attributes, condition).await? {
            Outcome::Applied(etag) => return Ok(Settled::Applied(etag)),
            Outcome::Rejected(Rejection::Conflict) => said = "409, a conflicting write".to_owned(),
            Outcome::Rejected(_) if !doubt => return Ok(Settled::Rejected),
            Outcome::Rejected(_) => {
                let stands = store.read(key).await?;
                let own = stands.filter(|(meta, bytes)| *bytes == body && meta.metadata == attributes.metadata);
                return Ok(own.map_or(Settled::Rejected, |(meta, _)| Settled::Applied(meta.etag)));
            }
            Outcome::Unknown(text) => {
                doubt = true;
                said = text;
            }
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
    Err(unclear(store, "s3:PutObject", key, &said).left("it may have been written, or not"))
}

/// Deletes the version that was judged. Gone already, or another by now: false.
///
/// # Errors
/// A store that refuses, or gives no clear answer.
pub async fn delete(parts: &Parts, store: &dyn Store, key: &str, only: &ETag) -> Result<bool> {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    let mut doubt = false;
    for _ in 0..TRIES {
        match store.delete(key, Some(only)).await? {
            Outcome::Applied(()) => return Ok(true),
            Outcome::Rejected(Rejection::Conflict) => said = "409, a conflicting write".to_owned(),
            // After an unknown outcome "missing" is most likely one's own doing.
            Outcome::Rejected(why) => return Ok(doubt && why == Rejection::Missing),
            Outcome::Unknown(text) => {
                doubt = true;
                said = text;
            }
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
    Err(unclear(store, "s3:DeleteObject", key, &said).left("it may have been deleted, or not"))
}

/// That a store gave no clear answer.
pub fn unclear(store: &dyn Store, action: &str, key: &str, said: &str) -> Failure {
    Failure::new(format!("{action} {}: no clear answer in {TRIES} tries: {said}", store.place(key)))
        .fix("run it again: it goes on where it stood")
}
