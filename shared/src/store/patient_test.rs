//! Patience, with a clock that only sleeping moves and a store that fails so many times.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use super::*;
use crate::clock::{Moment, Now, Timestamp};
use crate::rng::StdDice;
use crate::store::{MemoryStore, StoreError, StoreErrorKind};

#[derive(Default)]
struct SleepClock(AtomicU64);

impl Clock for SleepClock {
    fn now(&self) -> Now {
        let ms = self.0.load(SeqCst);
        Now { at: Moment(Duration::from_millis(ms)), wall: Timestamp::from_unix_ms(ms) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.0.fetch_add(u64::try_from(wait.as_millis()).unwrap(), SeqCst);
        Box::pin(std::future::ready(()))
    }
}

/// Fails the first calls, whatever they are; counts all.
struct Flaky {
    inner: MemoryStore,
    kind: StoreErrorKind,
    failures: u32,
    calls: AtomicU32,
}

impl Flaky {
    fn fail(&self) -> Result<()> {
        if self.calls.fetch_add(1, SeqCst) < self.failures {
            let (action, place, detail) = ("s3:Test", "memory://b".to_owned(), "SlowDown".to_owned());
            return Err(StoreError { kind: self.kind, action, place, detail });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Flaky {
    fn place(&self, key: &str) -> String {
        self.inner.place(key)
    }
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.fail()?;
        self.inner.get(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.fail()?;
        self.inner.head(key).await
    }
    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.fail()?;
        self.inner.list(query).await
    }
    async fn put(&self, key: &str, body: Bytes, attr: &Attributes, condition: &Condition) -> Result<Outcome<ETag>> {
        self.fail()?;
        self.inner.put(key, body, attr, condition).await
    }
    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.fail()?;
        self.inner.delete(key, only).await
    }
    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.fail()?;
        self.inner.upload_begin(key, attributes).await
    }
    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.fail()?;
        self.inner.upload_part(upload, number, body).await
    }
    async fn upload_complete(&self, upload: &Upload, parts: &[Part], cond: &Condition) -> Result<Outcome<ETag>> {
        self.fail()?;
        self.inner.upload_complete(upload, parts, cond).await
    }
    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.fail()?;
        self.inner.upload_abort(upload).await
    }
    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.fail()?;
        self.inner.uploads(prefix).await
    }
}

fn store(kind: StoreErrorKind, failures: u32) -> (Patient<Flaky>, Arc<SleepClock>) {
    let clock = Arc::new(SleepClock::default());
    let inner = MemoryStore::new("b", clock.clone());
    let flaky = Flaky { inner, kind, failures, calls: AtomicU32::new(0) };
    (Patient::new(flaky, clock.clone(), Arc::new(StdDice::seeded(7))), clock)
}

fn upload() -> Upload {
    Upload { key: "k".to_owned(), id: "none".to_owned(), initiated: None }
}

/// Runs `call` against a store that fails four times with `kind`, and tells how many tries it got.
async fn tries<T>(kind: StoreErrorKind, call: impl AsyncFn(&dyn Store) -> Result<T>) -> (bool, u32) {
    let (store, _) = store(kind, 4);
    let ok = call(&store).await.is_ok();
    (ok, store.inner().calls.load(SeqCst))
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated() {
    let kind = StoreErrorKind::Transient;
    assert_eq!(tries(kind, async |s| s.get("k", None).await.map(drop)).await, (true, 5));
    assert_eq!(tries(kind, async |s| s.head("k").await).await, (true, 5));
    assert_eq!(tries(kind, async |s| s.list(&ListQuery::under("")).await).await, (true, 5));
    assert_eq!(tries(kind, async |s| s.uploads("").await).await, (true, 5));
    assert_eq!(tries(kind, async |s| s.upload_begin("k", &Attributes::default()).await).await, (true, 5));
    assert_eq!(tries(kind, async |s| s.upload_abort(&upload()).await).await, (true, 5));
    // There is no such upload: an answer for good, but only on the fifth try.
    assert_eq!(tries(kind, async |s| s.upload_part(&upload(), 1, Bytes::new()).await).await, (false, 5));
}

#[tokio::test]
async fn writes_get_one_try() {
    let kind = StoreErrorKind::Transient;
    let (none, create) = (Attributes::default(), Condition::Create);
    assert_eq!(tries(kind, async |s| s.put("k", Bytes::new(), &none, &create).await).await, (false, 1));
    assert_eq!(tries(kind, async |s| s.delete("k", None).await).await, (false, 1));
    assert_eq!(tries(kind, async |s| s.upload_complete(&upload(), &[], &create).await).await, (false, 1));
}

#[tokio::test]
async fn other_errors_are_final() {
    for kind in [StoreErrorKind::Denied, StoreErrorKind::NoSuchBucket, StoreErrorKind::Corrupt] {
        assert_eq!(tries(kind, async |s| s.head("k").await).await, (false, 1));
    }
}

#[tokio::test]
async fn patience_ends() {
    let (store, clock) = store(StoreErrorKind::Transient, u32::MAX);
    let error = store.head("k").await.unwrap_err();
    assert!(error.is_transient() && error.detail.starts_with("SlowDown (given up after "), "{error}");
    let waited = clock.now().at.0;
    assert!(waited <= PATIENCE && waited >= PATIENCE - Duration::from_secs(5), "{waited:?}");

    let hasty = store.with_patience(Duration::ZERO);
    hasty.inner().calls.store(0, SeqCst);
    hasty.head("k").await.unwrap_err();
    // A drawn wait may be zero, so more than one try is possible, but hardly a handful.
    assert!(hasty.inner().calls.load(SeqCst) < 5);
}
