//! Copies inputs to the bucket: several at once, large ones in parts, and nothing twice.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::store::digest::{Digest, Hasher};
use dayfly_shared::store::{Attributes, Condition, Entry, Outcome, Rejection, Store};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use tokio::sync::Semaphore;

use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;
use crate::write::{self, Settled};

/// From this size on a file goes up in parts, so that a broken connection costs a part and not the file.
const IN_PARTS_BYTES: u64 = 64 << 20;
/// The least size of a part: large enough that its round trip does not show, small enough to send again.
const PART_BYTES: u64 = 16 << 20;
/// S3's limit on the number of parts (S3 user guide, "Multipart upload limits").
const PARTS_MAX: u64 = 10_000;
/// Files under way at once: enough to fill a line where each request waits some 50 ms.
const AT_ONCE: usize = 16;
/// Memory for bodies under way, in MiB.
const MEMORY_MIB: usize = 256;
/// Uploads of one file that were lost at completion, before it is given up.
const TRIES: u32 = 3;

/// Content on its way into the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Memory(Bytes),
    /// A file of this many bytes.
    File(PathBuf, u64),
}

impl Content {
    /// Its size.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    async fn digest(&self) -> Result<Digest> {
        match self {
            Self::Memory(bytes) => Ok(Digest::of(bytes)),
            Self::File(path, _) => {
                let path = path.clone();
                aside(move || digest_of(&path)).await
            }
        }
    }

    async fn read(&self) -> Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path, _) => {
                let path = path.clone();
                aside(move || std::fs::read(&path).map(Bytes::from).map_err(|e| Failure::io("reading", &path, &e)))
                    .await
            }
        }
    }
}

/// Runs what blocks where it may.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Failure::new(format!("a worker broke down: {e}")))?
}

/// The digests of a file.
///
/// # Errors
/// A file that cannot be read.
pub fn digest_of(path: &Path) -> Result<Digest> {
    use std::io::Read as _;
    let failed = |e| Failure::io("reading", path, &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}

/// One object to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: String,
    /// Its content.
    pub content: Content,
    /// What stands there, and has to be replaced.
    pub replaces: Option<Entry>,
}

/// Whether the object that stands is this content: by size and MD5, or, where its tag is no MD5 (parts, encryption with a
/// key of one's own), by size and the checksum that the store keeps.
///
/// # Errors
/// A file that cannot be read, a store that refuses.
pub async fn stands(store: &dyn Store, entry: &Entry, content: &Content) -> Result<bool> {
    if entry.size != content.size() {
        return Ok(false);
    }
    let digest = content.digest().await?;
    if digest.etag() == entry.etag {
        return Ok(true);
    }
    let meta = store.head(&entry.key).await?;
    Ok(meta.is_some_and(|meta| meta.size == digest.size && meta.checksum == Some(digest.checksum())))
}

/// Which of the items stand already, in their order.
///
/// # Errors
/// As [`stands`].
pub async fn standing(store: &Arc<dyn Store>, pairs: Vec<(Entry, Content)>, bar: &ProgressBar) -> Result<Vec<bool>> {
    stream::iter(pairs)
        .map(|(entry, content)| async move {
            let same = stands(&**store, &entry, &content).await?;
            bar.inc(content.size());
            Ok(same)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Sends them all.
///
/// # Errors
/// The first that cannot be read or stored; those under way are dropped, those sent stay.
pub async fn send(parts: &Parts, store: &Arc<dyn Store>, items: Vec<Item>, bar: &ProgressBar) -> Result<()> {
    let memory = Semaphore::new(MEMORY_MIB);
    let total = items.len();
    let mut sent: usize = 0;
    let sending = stream::iter(items).map(|item| send_one(parts, store, item, bar, &memory));
    let mut sending = std::pin::pin!(sending.buffer_unordered(AT_ONCE));
    while let Some(outcome) = sending.next().await {
        outcome.map_err(|failure: Failure| {
            let of = format!("{} of {total} objects were sent and stay", human::thousands(sent as u64));
            failure.left(of)
        })?;
        sent += 1;
    }
    Ok(())
}

/// Permits for so many bytes: a MiB each, and no more than there are.
fn permits(bytes: u64) -> u32 {
    u32::try_from((bytes >> 20).clamp(1, MEMORY_MIB as u64)).unwrap_or(1)
}

async fn send_one(
    parts: &Parts,
    store: &Arc<dyn Store>,
    item: Item,
    bar: &ProgressBar,
    memory: &Semaphore,
) -> Result<()> {
    let size = item.content.size();
    if let Content::File(path, _) = &item.content
        && size >= IN_PARTS_BYTES
    {
        return send_in_parts(store, &item, path, bar, memory).await;
    }
    let _permit = memory.acquire_many(permits(size)).await.map_err(|e| Failure::new(e.to_string()))?;
    let body = item.content.read().await?;
    let condition = item.replaces.as_ref().map_or(Condition::Create, |e| Condition::Update(e.etag.clone()));
    let read = body.len() as u64;
    let settled = write::put(parts, &**store, &item.key, body.clone(), &Attributes::default(), &condition).await?;
    bar.inc(read);
    match settled {
        Settled::Applied(_) => Ok(()),
        // Somebody else sent it at the same time.
        Settled::Rejected => check(store, &item.key, &Digest::of(&body)).await,
    }
}

/// That what stands is what was to be sent.
async fn check(store: &Arc<dyn Store>, key: &str, digest: &Digest) -> Result<()> {
    let meta = store.head(key).await?;
    let same = meta.is_some_and(|meta| {
        meta.size == digest.size && (meta.etag == digest.etag() || meta.checksum == Some(digest.checksum()))
    });
    if same {
        return Ok(());
    }
    Err(Failure::new(format!("{}: somebody else put another object there at the same time", store.place(key)))
        .fix("find out who, and run it again"))
}

async fn send_in_parts(
    store: &Arc<dyn Store>,
    item: &Item,
    path: &Path,
    bar: &ProgressBar,
    memory: &Semaphore,
) -> Result<()> {
    let size = item.content.size();
    let part_bytes = part_bytes(size);
    let condition = if item.replaces.is_some() { Condition::Overwrite } else { Condition::Create };
    let mut said = String::new();
    for _ in 0..TRIES {
        let upload = store.upload_begin(&item.key, &Attributes::default()).await?;
        let send_part = |number: u32| {
            let upload = &upload;
            async move {
                let from = u64::from(number - 1) * part_bytes;
                let length = part_bytes.min(size - from);
                let _permit = memory.acquire_many(permits(length)).await.map_err(|e| Failure::new(e.to_string()))?;
                let file = path.to_owned();
                let body = aside(move || read_at(&file, from, length)).await?;
                let part = store.upload_part(upload, number, body).await?;
                bar.inc(length);
                Ok::<_, Failure>(part)
            }
        };
        let count = u32::try_from(size.div_ceil(part_bytes)).unwrap_or(u32::MAX);
        let sent: Result<Vec<_>> = stream::iter(1..=count).map(send_part).buffered(AT_ONCE).try_collect().await;
        let outcome = match sent {
            Ok(sent) => store.upload_complete(&upload, &sent, &condition).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(Outcome::Applied(_)) => return Ok(()),
            Ok(Outcome::Rejected(Rejection::Conflict)) => said = "409, a conflicting write".to_owned(),
            Ok(Outcome::Rejected(_)) => {
                drop(store.upload_abort(&upload).await);
                return check(store, &item.key, &item.content.digest().await?).await;
            }
            Ok(Outcome::Unknown(text)) => {
                if check(store, &item.key, &item.content.digest().await?).await.is_ok() {
                    return Ok(());
                }
                said = text;
            }
            Err(failure) => {
                // Its parts would be billed for ever.
                drop(store.upload_abort(&upload).await);
                return Err(failure);
            }
        }
        drop(store.upload_abort(&upload).await);
        bar.dec(size);
    }
    Err(write::unclear(&**store, "s3:PutObject", &item.key, &said))
}

/// The size of the parts of a file: whole MiB, and few enough of them.
fn part_bytes(size: u64) -> u64 {
    PART_BYTES.max(size.div_ceil(PARTS_MAX).next_multiple_of(1 << 20))
}

fn read_at(path: &Path, from: u64, length: u64) -> Result<Bytes> {
    let failed = |e| Failure::io("reading", path, &e).fix("do not change inputs while they are sent; run it again");
    let mut body = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    File::open(path).map_err(failed)?.read_exact_at(&mut body, from).map_err(failed)?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough() {
        assert_eq!(part_bytes(IN_PARTS_BYTES), PART_BYTES);
        let five_tb = 5 << 40;
        assert!(five_tb / part_bytes(five_tb) < PARTS_MAX && part_bytes(five_tb).is_multiple_of(1 << 20));
    }
}
