//! A shared store is a store, so that wrappers compose over `Arc<dyn Store>` as over the stores themselves.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Result, Store, Upload,
};

#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn place(&self, key: &str) -> String {
        (**self).place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        (**self).get(key, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        (**self).head(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        (**self).list(query).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        (**self).put(key, body, attributes, condition).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        (**self).delete(key, only).await
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        (**self).upload_begin(key, attributes).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        (**self).upload_part(upload, number, body).await
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        (**self).upload_complete(upload, parts, condition).await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        (**self).upload_abort(upload).await
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        (**self).uploads(prefix).await
    }
}
