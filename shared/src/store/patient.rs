//! Repeats what is safe to repeat: reads, and the steps of a multipart upload before its completion.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

use super::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, Upload,
};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::rng::Dice;

/// Longer than the throttling and the partial outages that S3 rides out by itself, and not much longer than a lease.
const PATIENCE: Duration = Duration::from_secs(120);

/// A store whose transient errors are met with another try, after a wait that grows.
///
/// Only where repeating is safe: get (the opening of its stream), head, list, and begin, part, abort and list of
/// multipart uploads. (A begin that is repeated after a lost answer may leave an empty upload behind, as a process that
/// dies does.) Put, delete and complete pass through with their one try.
#[derive(Clone)]
pub struct Patient<S> {
    inner: S,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    patience: Duration,
}

impl<S> Patient<S> {
    /// Repeats calls to `inner` for up to two minutes each; waits and draws through the ports.
    pub fn new(inner: S, clock: Arc<dyn Clock>, dice: Arc<dyn Dice>) -> Self {
        Self { inner, clock, dice, patience: PATIENCE }
    }

    /// With this limit, per call, on the time from its first try to the beginning of its last.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The store itself, without the repeats.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Calls until there is an answer, an error that is not transient, or no patience left.
    async fn patiently<'a, T>(&'a self, call: impl Fn() -> BoxFuture<'a, Result<T>> + Send) -> Result<T> {
        let start = self.clock.now().at;
        let mut backoff = Backoff::default();
        let mut tries: u32 = 1;
        loop {
            let mut error = match call().await {
                Err(error) if error.is_transient() => error,
                answer => return answer,
            };
            let wait = backoff.next(&*self.dice);
            let waited = self.clock.now().at.since(start);
            if waited.saturating_add(wait) > self.patience {
                error.detail += &format!(" (given up after {tries} tries in {} s)", waited.as_secs());
                return Err(error);
            }
            tracing::debug!(%error, tries, wait_ms = wait.as_millis(), "another try");
            self.clock.sleep(wait).await;
            tries += 1;
        }
    }
}

#[async_trait]
impl<S: Store> Store for Patient<S> {
    fn place(&self, key: &str) -> String {
        self.inner.place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.patiently(|| self.inner.get(key, range.clone())).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.patiently(|| self.inner.head(key)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.patiently(|| self.inner.list(query)).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        self.inner.put(key, body, attributes, condition).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.inner.delete(key, only).await
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.patiently(|| self.inner.upload_begin(key, attributes)).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.patiently(|| self.inner.upload_part(upload, number, body.clone())).await
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        self.inner.upload_complete(upload, parts, condition).await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.patiently(|| self.inner.upload_abort(upload)).await
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.patiently(|| self.inner.uploads(prefix)).await
    }
}

#[cfg(test)]
#[path = "patient_test.rs"]
mod tests;
