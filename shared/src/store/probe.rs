//! Does the store keep its word? Everything rests on conditional writes, and some stores take the headers and ignore
//! them; so the conditions are tried on scratch keys before a job is trusted to a store.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Attributes, Condition, ETag, Outcome, Rejection, Store, StoreError, Upload};
use crate::clock::{Clock, Timestamp};

/// An answer that says nothing (500, 409) is asked again so many times: enough for a hiccup, and a store that fails each
/// time is down.
const TRIES: u32 = 6;
/// Between two of these tries.
const PAUSE: Duration = Duration::from_millis(500);

/// `store.json`: the store was tried and kept its word. Create-only, and written only then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCheck {
    /// The version of this format.
    pub schema: u32,
    /// The endpoint that was asked.
    pub endpoint: String,
    /// When, by the clock of who asked.
    pub at: Timestamp,
    /// That conditions are kept.
    pub ok: bool,
}

/// Why a store cannot be trusted with a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It let a write through that it had to reject, or the other way round.
    #[error(
        "the store at {place} {what}. Agents share a job through conditional writes alone, and on this store two of them \
         could overwrite each other's work; use Amazon S3, a folder (--local), or another store that keeps If-None-Match \
         and If-Match on PutObject and CompleteMultipartUpload"
    )]
    Conditions {
        /// Where the scratch objects were.
        place: String,
        /// What it did.
        what: String,
    },
    /// A call failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a store is called in its record: `aws`; `local` for a folder and for servers on this machine, whose ports change;
/// else its address.
pub fn store_name(endpoint_url: Option<&str>) -> String {
    let Some(url) = endpoint_url else { return "aws".to_owned() };
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let local = ["127.", "localhost", "[::1]"].iter().any(|name| host.starts_with(name));
    if local { "local".to_owned() } else { url.trim_end_matches('/').to_owned() }
}

struct Probe<'a> {
    store: &'a dyn Store,
    scratch: &'a str,
    clock: &'a dyn Clock,
}

/// Tries the store's conditions on keys that begin with `scratch`, and removes them again.
///
/// # Errors
/// A store that does not keep conditions, or one that refuses a call.
pub async fn probe(store: &dyn Store, scratch: &str, clock: &dyn Clock) -> Result<(), Refused> {
    let probe = Probe { store, scratch, clock };
    let verdict = probe.run().await;
    // Whatever the verdict: nothing is left behind. A failure to tidy up is no reason to refuse the store.
    for name in ["put", "multipart"] {
        let key = format!("{scratch}{name}");
        // By version, as the policy of an agent's role wants every delete.
        if let Ok(Some(meta)) = store.head(&key).await {
            let _ = store.delete(&key, Some(&meta.etag)).await;
        }
    }
    verdict
}

impl Probe<'_> {
    async fn run(&self) -> Result<(), Refused> {
        let first = self.put("one", &Condition::Create).await?;
        let first = first.ok_or_else(|| self.refused("rejected If-None-Match: * for a key that nobody had written"))?;
        if self.put("two", &Condition::Create).await?.is_some() {
            return Err(self.refused("let a second object through where If-None-Match: * had to reject it"));
        }
        if self.put("three", &Condition::Update(first.clone())).await?.is_none() {
            return Err(self.refused("rejected If-Match with the tag of the version that stands"));
        }
        if self.put("four", &Condition::Update(first)).await?.is_some() {
            return Err(self.refused("let a write through whose If-Match named a version that no longer stands"));
        }
        if self.upload("one").await?.is_none() {
            return Err(self.refused("rejected a multipart upload with If-None-Match: * for a key nobody had written"));
        }
        if self.upload("two").await?.is_some() {
            return Err(self.refused("let a second multipart upload through where If-None-Match: * had to reject it"));
        }
        Ok(())
    }

    fn refused(&self, what: &str) -> Refused {
        Refused::Conditions { place: self.store.place(self.scratch), what: what.to_owned() }
    }

    fn silent(&self, action: &'static str, key: &str, said: String) -> Refused {
        Refused::Store(StoreError {
            kind: super::StoreErrorKind::Transient,
            action,
            place: self.store.place(key),
            detail: format!("no clear answer in {TRIES} tries: {said}"),
        })
    }

    /// The new version's tag, or none if the condition was said not to hold.
    async fn put(&self, body: &'static str, condition: &Condition) -> Result<Option<ETag>, Refused> {
        let key = format!("{}put", self.scratch);
        let mut said = String::new();
        let mut doubt = false;
        for _ in 0..TRIES {
            match self.store.put(&key, Bytes::from_static(body.as_bytes()), &Attributes::text(), condition).await? {
                Outcome::Applied(etag) => return Ok(Some(etag)),
                Outcome::Rejected(Rejection::Conflict) => said = "409".to_owned(),
                Outcome::Rejected(_) if doubt => return Ok(self.own(&key, body).await?),
                Outcome::Rejected(_) => return Ok(None),
                Outcome::Unknown(text) => {
                    doubt = true;
                    said = text;
                }
            }
            self.clock.sleep(PAUSE).await;
        }
        Err(self.silent("s3:PutObject", &key, said))
    }

    /// After an unknown outcome a rejection may be of one's own write: then what stands is one's own body.
    async fn own(&self, key: &str, body: &str) -> Result<Option<ETag>, StoreError> {
        use super::StoreExt as _;
        let stands = self.store.read(key).await?;
        Ok(stands.filter(|(_, bytes)| bytes == body.as_bytes()).map(|(meta, _)| meta.etag))
    }

    async fn upload(&self, body: &'static str) -> Result<Option<ETag>, Refused> {
        let key = format!("{}multipart", self.scratch);
        let mut said = String::new();
        let mut doubt = false;
        for _ in 0..TRIES {
            // A 409 at completion asks for a new upload with all its parts.
            let upload = self.store.upload_begin(&key, &Attributes::text()).await?;
            let completed = self.complete(&upload, body).await;
            if !matches!(completed, Ok(Outcome::Applied(_))) {
                // By its own id: an agent's role may not list uploads.
                let _ = self.store.upload_abort(&upload).await;
            }
            match completed? {
                Outcome::Applied(etag) => return Ok(Some(etag)),
                Outcome::Rejected(Rejection::Conflict) => said = "409".to_owned(),
                Outcome::Rejected(_) if doubt => return Ok(self.own(&key, body).await?),
                Outcome::Rejected(_) => return Ok(None),
                Outcome::Unknown(text) => {
                    doubt = true;
                    said = text;
                }
            }
            self.clock.sleep(PAUSE).await;
        }
        Err(self.silent("s3:PutObject", &key, said))
    }

    async fn complete(&self, upload: &Upload, body: &'static str) -> Result<Outcome<ETag>, StoreError> {
        let part = self.store.upload_part(upload, 1, Bytes::from_static(body.as_bytes())).await?;
        self.store.upload_complete(upload, &[part], &Condition::Create).await
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::super::{
        ListPage, ListQuery, MemoryStore, Object, ObjectMeta, Part, Result as StoreResult, StoreErrorKind, StoreExt,
    };
    use super::*;
    use crate::clock::SystemClock;

    /// A store that ignores some of its conditions, and lists no uploads.
    struct Careless {
        inner: MemoryStore,
        create: bool,
        update: bool,
        complete: bool,
    }

    #[async_trait]
    impl Store for Careless {
        fn place(&self, key: &str) -> String {
            self.inner.place(key)
        }
        async fn get(&self, key: &str, range: Option<Range<u64>>) -> StoreResult<Option<Object>> {
            self.inner.get(key, range).await
        }
        async fn head(&self, key: &str) -> StoreResult<Option<ObjectMeta>> {
            self.inner.head(key).await
        }
        async fn list(&self, query: &ListQuery) -> StoreResult<ListPage> {
            self.inner.list(query).await
        }
        async fn put(&self, key: &str, body: Bytes, a: &Attributes, c: &Condition) -> StoreResult<Outcome<ETag>> {
            let ignored = match c {
                Condition::Create => self.create,
                Condition::Update(_) => self.update,
                Condition::Overwrite => false,
            };
            self.inner.put(key, body, a, if ignored { &Condition::Overwrite } else { c }).await
        }
        async fn delete(&self, key: &str, only: Option<&ETag>) -> StoreResult<Outcome<()>> {
            self.inner.delete(key, only).await
        }
        async fn upload_begin(&self, key: &str, attributes: &Attributes) -> StoreResult<Upload> {
            self.inner.upload_begin(key, attributes).await
        }
        async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> StoreResult<Part> {
            self.inner.upload_part(upload, number, body).await
        }
        async fn upload_complete(&self, u: &Upload, p: &[Part], c: &Condition) -> StoreResult<Outcome<ETag>> {
            self.inner.upload_complete(u, p, if self.complete { &Condition::Overwrite } else { c }).await
        }
        async fn upload_abort(&self, upload: &Upload) -> StoreResult<()> {
            self.inner.upload_abort(upload).await
        }
        async fn uploads(&self, prefix: &str) -> StoreResult<Vec<Upload>> {
            let detail = "the role of agents has no such right".to_owned();
            let action = "s3:ListBucketMultipartUploads";
            Err(StoreError { kind: StoreErrorKind::Denied, action, place: self.place(prefix), detail })
        }
    }

    fn careless(create: bool, update: bool, complete: bool) -> Careless {
        Careless { inner: MemoryStore::new("b", Arc::new(SystemClock)), create, update, complete }
    }

    #[tokio::test]
    async fn a_store_that_keeps_conditions_passes_and_is_left_clean() {
        let store = careless(false, false, false);
        assert_eq!(probe(&store, "job/scratch/1/", &SystemClock).await, Ok(()));
        assert_eq!(store.list_all("").await.unwrap(), []);
        assert_eq!(store.inner.uploads("").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_store_that_ignores_one_condition_is_refused() {
        for (store, word) in [
            (careless(true, false, false), "second object"),
            (careless(false, true, false), "no longer stands"),
            (careless(false, false, true), "second multipart"),
        ] {
            let refused = probe(&store, "job/scratch/1/", &SystemClock).await.unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
            assert_eq!(store.list_all("").await.unwrap(), []);
            assert_eq!(store.inner.uploads("").await.unwrap(), []);
        }
    }
}
