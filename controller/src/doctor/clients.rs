//! Several clients of one bucket as one store: each call goes to the next, so that those who race each other do so over
//! connections of their own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, Upload,
};

/// Clients in turn.
pub struct Clients {
    clients: Vec<Arc<dyn Store>>,
    turn: AtomicUsize,
}

impl Clients {
    /// Of these, at least one.
    pub fn new(clients: Vec<Arc<dyn Store>>) -> Self {
        Self { clients, turn: AtomicUsize::new(0) }
    }

    fn next(&self) -> &dyn Store {
        &*self.clients[self.turn.fetch_add(1, Relaxed) % self.clients.len()]
    }
}

#[async_trait]
impl Store for Clients {
    fn place(&self, key: &str) -> String {
        self.clients[0].place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.next().get(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.next().head(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.next().list(query).await
    }

    async fn put(&self, key: &str, body: Bytes, with: &Attributes, condition: &Condition) -> Result<Outcome<ETag>> {
        self.next().put(key, body, with, condition).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.next().delete(key, only).await
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.next().upload_begin(key, attributes).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.next().upload_part(upload, number, body).await
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        self.next().upload_complete(upload, parts, condition).await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.next().upload_abort(upload).await
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.next().uploads(prefix).await
    }
}
