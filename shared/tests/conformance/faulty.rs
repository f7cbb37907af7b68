//! A store with one fault.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, MemoryStore, Object, ObjectMeta, Outcome, Part, Rejection,
    Result, Store, Upload,
};

/// What a store may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    IgnoresCreate,
    IgnoresUpdate,
    UpdateCreates,
    OverwriteIsCreate,
    IgnoresDeleteMatch,
    DeleteLeavesObject,
    FolderReadsAsObject,
    LosesAByte,
    IgnoresRange,
    RefusesRangePastEnd,
    KeepsOldMetadata,
    TellsNoTime,
    ListsByUtf16,
    SkipsFirstOfPage,
    IgnoresStartAfter,
    ListsWholeFolders,
    RepeatsFolders,
    ListsLate,
    DecodesPlus,
    NormalisesPaths,
    FolderHidesObject,
    UploadLosesMetadata,
    IgnoresCreateAtCompletion,
    RejectionDropsUpload,
    AbortDoesNothing,
    CompletesAgain,
    TakesLateParts,
    ListsAllUploads,
    TakesAnyParts,
    CreateIsNoSwap,
    UpdateIsNoSwap,
    DeleteIsNoSwap,
    CompletionIsNoSwap,
}

use Fault::*;

/// The faults, and the checks that have to find each.
pub const FAULTS: &[(Fault, &[&str])] = &[
    (IgnoresCreate, &["objects/create", "races/create"]),
    (IgnoresUpdate, &["objects/update", "races/update", "races/count", "races/delete"]),
    (UpdateCreates, &["objects/update", "objects/delete"]),
    (OverwriteIsCreate, &["objects/overwrite", "multipart/taken"]),
    (IgnoresDeleteMatch, &["objects/stale-delete", "races/delete"]),
    (DeleteLeavesObject, &["objects/delete"]),
    (FolderReadsAsObject, &["objects/absent"]),
    (LosesAByte, &["objects/content"]),
    (IgnoresRange, &["objects/ranges"]),
    (RefusesRangePastEnd, &["objects/ranges"]),
    (KeepsOldMetadata, &["objects/metadata"]),
    (TellsNoTime, &["objects/metadata"]),
    (ListsByUtf16, &["listing/order"]),
    (SkipsFirstOfPage, &["listing/pages"]),
    (IgnoresStartAfter, &["listing/pages", "listing/folders", "names/usual"]),
    (ListsWholeFolders, &["listing/prefix"]),
    (RepeatsFolders, &["listing/folders"]),
    (ListsLate, &["listing/fresh"]),
    (DecodesPlus, &["names/usual"]),
    (NormalisesPaths, &["names/odd"]),
    (FolderHidesObject, &["names/folders"]),
    (UploadLosesMetadata, &["multipart/create"]),
    (IgnoresCreateAtCompletion, &["multipart/taken", "races/multipart"]),
    (RejectionDropsUpload, &["multipart/taken"]),
    (AbortDoesNothing, &["multipart/abort", "multipart/late"]),
    (CompletesAgain, &["multipart/twice"]),
    (TakesLateParts, &["multipart/late"]),
    (ListsAllUploads, &["multipart/list"]),
    (TakesAnyParts, &["multipart/refused"]),
    (CreateIsNoSwap, &["races/create"]),
    (UpdateIsNoSwap, &["races/update", "races/count", "races/delete"]),
    (DeleteIsNoSwap, &["races/delete"]),
    (CompletionIsNoSwap, &["races/multipart"]),
];

/// A memory store with a fault.
pub struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    /// For [`ListsLate`]: what the same query gave the last time.
    late: Mutex<HashMap<String, ListPage>>,
}

impl Faulty {
    pub fn new(inner: MemoryStore, fault: Fault) -> Self {
        Self { inner, fault, late: Mutex::default() }
    }

    fn key(&self, key: &str) -> String {
        match self.fault {
            DecodesPlus => key.replace('+', " "),
            NormalisesPaths => key.replace("//", "/").replace("/./", "/"),
            _ => key.to_owned(),
        }
    }

    async fn etag(&self, key: &str) -> Result<Option<ETag>> {
        Ok(self.inner.head(key).await?.map(|meta| meta.etag))
    }

    /// Checks first and writes later, as a store without compare-and-swap does.
    async fn check_then<T>(
        &self,
        key: &str,
        condition: &Condition,
        write: impl Future<Output = Result<Outcome<T>>>,
    ) -> Result<Outcome<T>> {
        let current = self.etag(key).await?;
        let rejection = match (condition, current) {
            (Condition::Create, Some(_)) => Some(Rejection::Precondition),
            (Condition::Update(_), None) => Some(Rejection::Missing),
            (Condition::Update(expected), Some(etag)) if *expected != etag => Some(Rejection::Precondition),
            _ => None,
        };
        if let Some(why) = rejection {
            return Ok(Outcome::Rejected(why));
        }
        tokio::task::yield_now().await;
        write.await
    }
}

#[async_trait]
impl Store for Faulty {
    fn place(&self, key: &str) -> String {
        self.inner.place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        let key = self.key(key);
        let object = match (self.fault, range) {
            (IgnoresRange, _) => self.inner.get(&key, None).await?,
            (RefusesRangePastEnd, Some(range)) => {
                let size = self.inner.head(&key).await?.map_or(0, |meta| meta.size);
                if range.start > 0 && range.start >= size {
                    return Ok(None);
                }
                self.inner.get(&key, Some(range)).await?
            }
            (_, range) => self.inner.get(&key, range).await?,
        };
        if object.is_none() && self.fault == FolderReadsAsObject {
            let below = self.inner.list(&ListQuery::under(key)).await?.entries;
            return match below.first() {
                Some(entry) => self.inner.get(&entry.key, None).await,
                None => Ok(None),
            };
        }
        Ok(object)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let mut meta = self.inner.head(&self.key(key)).await?;
        if let Some(meta) = meta.as_mut().filter(|_| self.fault == TellsNoTime) {
            meta.modified = None;
        }
        Ok(meta)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        let mut query = query.clone();
        match self.fault {
            IgnoresStartAfter => query.start_after = None,
            ListsWholeFolders => query.prefix.truncate(query.prefix.rfind('/').map_or(0, |slash| slash + 1)),
            _ => {}
        }
        let mut page = self.inner.list(&query).await?;
        match self.fault {
            ListsByUtf16 => page.entries.sort_by_key(|entry| entry.key.encode_utf16().collect::<Vec<_>>()),
            SkipsFirstOfPage if query.start_after.is_some() && !page.entries.is_empty() => {
                page.entries.remove(0);
            }
            RepeatsFolders if page.folders.last() > page.entries.last().map(|entry| &entry.key) => {
                page.next = page.next.and(page.folders.last().cloned());
            }
            ListsLate => {
                let now = page.clone();
                if let Some(before) = self.late.lock().unwrap().insert(format!("{query:?}"), now) {
                    page = before;
                }
            }
            _ => {}
        }
        Ok(page)
    }

    async fn put(&self, key: &str, body: Bytes, attributes: &Attributes, cond: &Condition) -> Result<Outcome<ETag>> {
        let key = &self.key(key);
        let overwrite = self.inner.put(key, body.clone(), attributes, &Condition::Overwrite);
        match (self.fault, cond) {
            (IgnoresCreate, Condition::Create) => return overwrite.await,
            (IgnoresUpdate, Condition::Update(_)) if self.etag(key).await?.is_some() => return overwrite.await,
            (UpdateCreates, Condition::Update(_)) if self.etag(key).await?.is_none() => return overwrite.await,
            (CreateIsNoSwap, Condition::Create) | (UpdateIsNoSwap, Condition::Update(_)) => {
                return self.check_then(key, cond, overwrite).await;
            }
            _ => {}
        }
        let (mut body, mut attributes, mut cond) = (body, attributes.clone(), cond.clone());
        match self.fault {
            OverwriteIsCreate if cond == Condition::Overwrite => cond = Condition::Create,
            LosesAByte if body.len() > 65_536 => body.truncate(body.len() - 1),
            KeepsOldMetadata => {
                let old = self.inner.head(key).await?.map(|meta| meta.metadata).unwrap_or_default();
                attributes.metadata.extend(old);
            }
            FolderHidesObject => {
                let folders = key.match_indices('/').map(|(at, _)| &key[..at]);
                for folder in folders {
                    self.inner.delete(folder, None).await?;
                }
            }
            _ => {}
        }
        self.inner.put(key, body, &attributes, &cond).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        let key = &self.key(key);
        match (self.fault, only) {
            (IgnoresDeleteMatch, Some(_)) => self.inner.delete(key, None).await,
            (DeleteLeavesObject, _) => Ok(Outcome::Applied(())),
            (DeleteIsNoSwap, Some(only)) => {
                self.check_then(key, &Condition::Update(only.clone()), self.inner.delete(key, None)).await
            }
            _ => self.inner.delete(key, only).await,
        }
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        let none = Attributes::default();
        self.inner.upload_begin(key, if self.fault == UploadLosesMetadata { &none } else { attributes }).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        match self.inner.upload_part(upload, number, body).await {
            Err(_) if self.fault == TakesLateParts => Ok(Part { number, etag: ETag::new("late"), checksum: None }),
            part => part,
        }
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], cond: &Condition) -> Result<Outcome<ETag>> {
        let overwrite = self.inner.upload_complete(upload, parts, &Condition::Overwrite);
        match self.fault {
            IgnoresCreateAtCompletion => overwrite.await,
            CompletionIsNoSwap => self.check_then(&upload.key, cond, overwrite).await,
            OverwriteIsCreate => self.inner.upload_complete(upload, parts, &Condition::Create).await,
            CompletesAgain => match self.inner.upload_complete(upload, parts, cond).await? {
                Outcome::Rejected(Rejection::NoSuchUpload) => {
                    self.inner.put(&upload.key, "own".into(), &Attributes::default(), &Condition::Overwrite).await
                }
                outcome => Ok(outcome),
            },
            RejectionDropsUpload => {
                let outcome = self.inner.upload_complete(upload, parts, cond).await?;
                if matches!(outcome, Outcome::Rejected(_)) {
                    self.inner.upload_abort(upload).await?;
                }
                Ok(outcome)
            }
            TakesAnyParts => match self.inner.upload_complete(upload, parts, cond).await {
                Err(_) => self.inner.put(&upload.key, Bytes::new(), &Attributes::default(), cond).await,
                outcome => outcome,
            },
            _ => self.inner.upload_complete(upload, parts, cond).await,
        }
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        if self.fault == AbortDoesNothing { Ok(()) } else { self.inner.upload_abort(upload).await }
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.inner.uploads(if self.fault == ListsAllUploads { "" } else { prefix }).await
    }
}
