//! A bucket in memory, with S3's exact semantics: for the simulator and for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::digest::{self, Digest};
use super::rules::{self, Offered, Pager};
use super::{
    Attributes, Condition, ETag, Entry, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Rejection, Result,
    Store, Upload,
};
use crate::clock::{Clock, Timestamp};

/// A bucket in memory. Clones are the same bucket.
///
/// Every call takes effect at one moment, before it first awaits, so whoever owns the calls' order owns the history.
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    bucket: String,
    clock: Arc<dyn Clock>,
    least_part_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Pending>,
    uploads_begun: u64,
}

#[derive(Clone)]
struct Stored {
    body: Bytes,
    etag: ETag,
    checksum: String,
    modified: Timestamp,
    metadata: BTreeMap<String, String>,
}

struct Pending {
    key: String,
    initiated: Timestamp,
    attributes: Attributes,
    parts: BTreeMap<u32, (Digest, Bytes)>,
}

impl MemoryStore {
    /// An empty bucket called `bucket`, whose times are those of `clock`.
    pub fn new(bucket: &str, clock: Arc<dyn Clock>) -> Self {
        Self::with_least_part(bucket, clock, rules::PART_MIN_BYTES)
    }

    /// An empty bucket that takes parts of an upload from `least_part_bytes` on, for simulations of large outputs with small
    /// ones.
    pub fn with_least_part(bucket: &str, clock: Arc<dyn Clock>, least_part_bytes: u64) -> Self {
        let state = Mutex::default();
        Self { inner: Arc::new(Inner { bucket: bucket.to_owned(), clock, least_part_bytes, state }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall(&self) -> Timestamp {
        self.inner.clock.now().wall
    }

    fn check_key(&self, action: &'static str, key: &str) -> Result<()> {
        rules::check_key(action, || self.place(key), key)
    }

    fn meta(&self, stored: &Stored) -> ObjectMeta {
        ObjectMeta {
            etag: stored.etag.clone(),
            size: stored.body.len() as u64,
            modified: Some(stored.modified),
            served: Some(self.wall()),
            metadata: stored.metadata.clone(),
            checksum: Some(stored.checksum.clone()),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn place(&self, key: &str) -> String {
        format!("memory://{}/{key}", self.inner.bucket)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.check_key("s3:GetObject", key)?;
        let Some(stored) = self.state().objects.get(key).cloned() else { return Ok(None) };
        let range = rules::clip(range, stored.body.len() as u64);
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let body = stored.body.slice(index(range.start)..index(range.end));
        Ok(Some(Object { meta: self.meta(&stored), body: futures::stream::iter([Ok(body)]).boxed() }))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.check_key("s3:GetObject", key)?;
        Ok(self.state().objects.get(key).map(|stored| self.meta(stored)))
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        let mut pager = Pager::new(query);
        let state = self.state();
        // From the prefix, or from behind start_after if that lies further on; behind each folder once it is on the page.
        let mut from = match &query.start_after {
            Some(after) if *after >= query.prefix => Bound::Excluded(after.clone()),
            _ => Bound::Included(query.prefix.clone()),
        };
        while let Some((key, stored)) = state.objects.range((from, Bound::Unbounded)).next() {
            from = match pager.offer(key) {
                Offered::Outside | Offered::Full => break,
                Offered::Folded => {
                    let folder = query.prefix.len() + key[query.prefix.len()..].find('/').map_or(0, |slash| slash + 1);
                    Bound::Excluded(rules::past(&key[..folder]))
                }
                Offered::Wanted => {
                    pager.push(Entry {
                        key: key.clone(),
                        etag: stored.etag.clone(),
                        size: stored.body.len() as u64,
                        modified: Some(stored.modified),
                    });
                    Bound::Excluded(key.clone())
                }
            };
        }
        Ok(pager.finish(self.wall()))
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        self.check_key("s3:PutObject", key)?;
        let digest = Digest::of(&body);
        let stored = Stored {
            body,
            etag: digest.etag(),
            checksum: digest.checksum(),
            modified: rules::whole_seconds(self.wall()),
            metadata: rules::lower_case_names(&attributes.metadata),
        };
        let mut state = self.state();
        if let Some(why) = rules::judge(condition, state.objects.get(key).map(|o| &o.etag)) {
            return Ok(Outcome::Rejected(why));
        }
        state.objects.insert(key.to_owned(), stored);
        Ok(Outcome::Applied(digest.etag()))
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.check_key("s3:DeleteObject", key)?;
        let mut state = self.state();
        let Some(stored) = state.objects.get(key) else { return Ok(Outcome::Rejected(Rejection::Missing)) };
        if only.is_some_and(|only| *only != stored.etag) {
            return Ok(Outcome::Rejected(Rejection::Precondition));
        }
        state.objects.remove(key);
        Ok(Outcome::Applied(()))
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.check_key("s3:CreateMultipartUpload", key)?;
        let initiated = rules::whole_seconds(self.wall());
        let mut state = self.state();
        state.uploads_begun += 1;
        let id = format!("upload-{:08}", state.uploads_begun);
        let pending =
            Pending { key: key.to_owned(), initiated, attributes: attributes.clone(), parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), pending);
        Ok(Upload { key: key.to_owned(), id, initiated: Some(initiated) })
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        rules::check_part_number(|| self.place(&upload.key), number)?;
        let digest = Digest::of(&body);
        match self.state().uploads.get_mut(&upload.id).filter(|pending| pending.key == upload.key) {
            Some(pending) => pending.parts.insert(number, (digest, body)),
            None => return Err(rules::no_such_upload("s3:UploadPart", self.place(&upload.key), &upload.id)),
        };
        Ok(Part { number, etag: digest.etag(), checksum: Some(digest.checksum()) })
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        let modified = rules::whole_seconds(self.wall());
        let mut state = self.state();
        let Some(pending) = state.uploads.get(&upload.id).filter(|pending| pending.key == upload.key) else {
            return Ok(Outcome::Rejected(Rejection::NoSuchUpload));
        };
        let digests = rules::check_parts(
            || self.place(&upload.key),
            parts,
            self.inner.least_part_bytes,
            |number| pending.parts.get(&number).map(|(digest, _)| *digest),
        )?;
        if let Some(why) = rules::judge(condition, state.objects.get(&upload.key).map(|o| &o.etag)) {
            return Ok(Outcome::Rejected(why));
        }
        let mut body = BytesMut::new();
        for part in parts {
            if let Some((_, bytes)) = pending.parts.get(&part.number) {
                body.extend_from_slice(bytes);
            }
        }
        let (etag, crc32) = digest::of_parts(&digests);
        let stored = Stored {
            body: body.freeze(),
            etag: etag.clone(),
            checksum: digest::checksum(crc32),
            modified,
            metadata: rules::lower_case_names(&pending.attributes.metadata),
        };
        state.uploads.remove(&upload.id);
        state.objects.insert(upload.key.clone(), stored);
        Ok(Outcome::Applied(etag))
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.state().uploads.remove(&upload.id);
        Ok(())
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        let mut uploads: Vec<Upload> = self
            .state()
            .uploads
            .iter()
            .filter(|(_, pending)| pending.key.starts_with(prefix))
            .map(|(id, pending)| Upload {
                key: pending.key.clone(),
                id: id.clone(),
                initiated: Some(pending.initiated),
            })
            .collect();
        uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(uploads)
    }
}
