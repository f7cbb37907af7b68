//! Stores that fail, and stores that are slow.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, MemoryStore, Object, ObjectMeta, Outcome, Part, Result, Store,
    StoreError, StoreErrorKind, Upload,
};

use crate::rig::*;

/// A store on which every call fails.
pub struct Broken(pub StoreErrorKind, pub &'static str);

impl Broken {
    fn fail<T>(&self) -> Result<T> {
        Err(StoreError { kind: self.0, action: "s3:PutObject", place: "disk".into(), detail: self.1.into() })
    }
}

#[async_trait]
impl Store for Broken {
    fn place(&self, key: &str) -> String {
        key.to_owned()
    }
    async fn get(&self, _: &str, _: Option<Range<u64>>) -> Result<Option<Object>> {
        self.fail()
    }
    async fn head(&self, _: &str) -> Result<Option<ObjectMeta>> {
        self.fail()
    }
    async fn list(&self, _: &ListQuery) -> Result<ListPage> {
        self.fail()
    }
    async fn put(&self, _: &str, _: Bytes, _: &Attributes, _: &Condition) -> Result<Outcome<ETag>> {
        self.fail()
    }
    async fn delete(&self, _: &str, _: Option<&ETag>) -> Result<Outcome<()>> {
        self.fail()
    }
    async fn upload_begin(&self, _: &str, _: &Attributes) -> Result<Upload> {
        self.fail()
    }
    async fn upload_part(&self, _: &Upload, _: u32, _: Bytes) -> Result<Part> {
        self.fail()
    }
    async fn upload_complete(&self, _: &Upload, _: &[Part], _: &Condition) -> Result<Outcome<ETag>> {
        self.fail()
    }
    async fn upload_abort(&self, _: &Upload) -> Result<()> {
        self.fail()
    }
    async fn uploads(&self, _: &str) -> Result<Vec<Upload>> {
        self.fail()
    }
}

/// A store whose uploads take their time to complete.
pub struct Slow {
    pub store: MemoryStore,
    pub wait: Duration,
}

#[async_trait]
impl Store for Slow {
    fn place(&self, key: &str) -> String {
        self.store.place(key)
    }
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.store.get(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.store.head(key).await
    }
    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.store.list(query).await
    }
    async fn put(&self, key: &str, body: Bytes, with: &Attributes, condition: &Condition) -> Result<Outcome<ETag>> {
        self.store.put(key, body, with, condition).await
    }
    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.store.delete(key, only).await
    }
    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.store.upload_begin(key, attributes).await
    }
    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.store.upload_part(upload, number, body).await
    }
    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        clock().sleep(self.wait).await;
        self.store.upload_complete(upload, parts, condition).await
    }
    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.store.upload_abort(upload).await
    }
    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.store.uploads(prefix).await
    }
}
