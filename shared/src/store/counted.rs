//! Counts the requests that go to a store, by kind: for an agent's record, and for the cost of a job.

use std::ops::{AddAssign, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, Upload,
};

/// A store whose requests are counted. Clones count together.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    tally: Arc<Tally>,
}

/// How many requests of each kind went out: every try counts, whatever its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestCounts {
    /// GET of an object or a range of it.
    pub get: u64,
    /// HEAD of an object.
    pub head: u64,
    /// Pages of keys, and listings of uploads.
    pub list: u64,
    /// PUT of a whole object.
    pub put: u64,
    /// Begun and completed multipart uploads: one request each.
    pub multipart: u64,
    /// Parts of multipart uploads.
    pub parts: u64,
    /// DELETE of an object, and aborted uploads.
    pub delete: u64,
    /// Writes among these that the store rejected.
    pub rejected: u64,
    /// Writes among these whose outcome nobody told.
    pub unknown: u64,
    /// Requests among these that ended in an error.
    pub failed: u64,
    /// Bytes of objects that came from the store.
    pub bytes_in: u64,
    /// Bytes of objects and parts that went to the store.
    pub bytes_out: u64,
}

impl RequestCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.put_class() + self.get_class() + self.delete
    }

    /// What S3 bills at the price of a PUT: PUT, LIST, and the requests of a multipart upload but its abort.
    pub fn put_class(&self) -> u64 {
        self.put + self.list + self.multipart + self.parts
    }

    /// What S3 bills at the price of a GET: GET and HEAD. (Deletes are free.)
    pub fn get_class(&self) -> u64 {
        self.get + self.head
    }
}

impl AddAssign for RequestCounts {
    fn add_assign(&mut self, other: Self) {
        self.get += other.get;
        self.head += other.head;
        self.list += other.list;
        self.put += other.put;
        self.multipart += other.multipart;
        self.parts += other.parts;
        self.delete += other.delete;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

#[derive(Default)]
struct Tally {
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    put: AtomicU64,
    multipart: AtomicU64,
    parts: AtomicU64,
    delete: AtomicU64,
    rejected: AtomicU64,
    unknown: AtomicU64,
    failed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl<S> Counted<S> {
    /// Counts from zero what goes to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, tally: Arc::default() }
    }

    /// The store itself, past the counter.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The counts so far. Requests under way are in it, their answers not yet.
    pub fn snapshot(&self) -> RequestCounts {
        let tally = &self.tally;
        RequestCounts {
            get: tally.get.load(Relaxed),
            head: tally.head.load(Relaxed),
            list: tally.list.load(Relaxed),
            put: tally.put.load(Relaxed),
            multipart: tally.multipart.load(Relaxed),
            parts: tally.parts.load(Relaxed),
            delete: tally.delete.load(Relaxed),
            rejected: tally.rejected.load(Relaxed),
            unknown: tally.unknown.load(Relaxed),
            failed: tally.failed.load(Relaxed),
            bytes_in: tally.bytes_in.load(Relaxed),
            bytes_out: tally.bytes_out.load(Relaxed),
        }
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Tally {
    fn answered<T>(&self, answer: Result<T>) -> Result<T> {
        if answer.is_err() {
            one(&self.failed);
        }
        answer
    }

    fn written<T>(&self, answer: Result<Outcome<T>>) -> Result<Outcome<T>> {
        match &answer {
            Ok(Outcome::Applied(_)) => {}
            Ok(Outcome::Rejected(_)) => one(&self.rejected),
            Ok(Outcome::Unknown(_)) => one(&self.unknown),
            Err(_) => one(&self.failed),
        }
        answer
    }

    fn sent(&self, body: &Bytes) {
        self.bytes_out.fetch_add(body.len() as u64, Relaxed);
    }
}

#[async_trait]
impl<S: Store> Store for Counted<S> {
    fn place(&self, key: &str) -> String {
        self.inner.place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        one(&self.tally.get);
        let object = self.tally.answered(self.inner.get(key, range).await)?;
        Ok(object.map(|Object { meta, body }| {
            let tally = self.tally.clone();
            let body = body.inspect(move |piece| {
                if let Ok(piece) = piece {
                    tally.bytes_in.fetch_add(piece.len() as u64, Relaxed);
                }
            });
            Object { meta, body: body.boxed() }
        }))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        one(&self.tally.head);
        self.tally.answered(self.inner.head(key).await)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        one(&self.tally.list);
        self.tally.answered(self.inner.list(query).await)
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        one(&self.tally.put);
        self.tally.sent(&body);
        self.tally.written(self.inner.put(key, body, attributes, condition).await)
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        one(&self.tally.delete);
        self.tally.written(self.inner.delete(key, only).await)
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        one(&self.tally.multipart);
        self.tally.answered(self.inner.upload_begin(key, attributes).await)
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        one(&self.tally.parts);
        self.tally.sent(&body);
        self.tally.answered(self.inner.upload_part(upload, number, body).await)
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        one(&self.tally.multipart);
        self.tally.written(self.inner.upload_complete(upload, parts, condition).await)
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        one(&self.tally.delete);
        self.tally.answered(self.inner.upload_abort(upload).await)
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        one(&self.tally.list);
        self.tally.answered(self.inner.uploads(prefix).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::{MemoryStore, StoreExt};

    #[tokio::test]
    async fn every_request_is_counted_in_its_class() {
        let shared: Arc<dyn Store> = Arc::new(MemoryStore::new("b", Arc::new(SystemClock)));
        let store = Counted::new(shared);
        let none = Attributes::default();
        store.put("a", Bytes::from_static(b"four"), &none, &Condition::Create).await.unwrap();
        store.put("a", Bytes::from_static(b"four"), &none, &Condition::Create).await.unwrap();
        store.read("a").await.unwrap();
        store.get("a", Some(1..3)).await.unwrap().unwrap().bytes().await.unwrap();
        store.head("a").await.unwrap();
        store.list(&ListQuery::under("")).await.unwrap();
        let upload = store.upload_begin("m", &none).await.unwrap();
        let part = store.upload_part(&upload, 1, Bytes::from_static(b"12")).await.unwrap();
        store.upload_part(&upload, 0, Bytes::new()).await.unwrap_err();
        store.upload_complete(&upload, &[part], &Condition::Create).await.unwrap();
        store.upload_abort(&upload).await.unwrap();
        store.uploads("").await.unwrap();
        store.clone().delete("a", None).await.unwrap();
        let counts = store.snapshot();
        let expected = RequestCounts {
            get: 2,
            head: 1,
            list: 2,
            put: 2,
            multipart: 2,
            parts: 2,
            delete: 2,
            rejected: 1,
            unknown: 0,
            failed: 1,
            bytes_in: 6,
            bytes_out: 10,
        };
        assert_eq!(counts, expected);
        assert_eq!((counts.total(), counts.put_class(), counts.get_class()), (13, 8, 3));
        let mut twice = counts;
        twice += counts;
        assert_eq!((twice.total(), twice.bytes_out), (26, 20));
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<RequestCounts>(&text).unwrap(), counts);
    }
}
