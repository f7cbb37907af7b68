//! One object to one file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use dayfly_shared::store::digest::Digest;
use dayfly_shared::store::{Entry, ObjectMeta, Store, StoreErrorKind};
use futures::StreamExt as _;
use indicatif::ProgressBar;

use crate::failure::{Failure, Result};
use crate::seed::digest_of;

/// A connection that breaks in the middle is taken up again where it broke, so many times.
const TRIES: u32 = 5;

/// How a file came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was fetched.
    Now,
    /// It was there, with the right size and checksum.
    Before,
}

/// Fetches an object to `path`, unless it is there. `wanted` is the checksum that its content is to have, if that is known.
///
/// # Errors
/// A file that cannot be written, an object that did not arrive whole.
pub async fn fetch(
    store: &dyn Store,
    entry: &Entry,
    wanted: Option<&str>,
    path: &Path,
    bar: &ProgressBar,
) -> Result<Fetched> {
    let matches = |meta: &ObjectMeta, digest: &Digest| {
        matches(meta, digest) && wanted.is_none_or(|wanted| wanted == digest.checksum())
    };
    if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == entry.size) {
        let meta = store.head(&entry.key).await?.ok_or_else(|| Failure::new("it is gone"))?;
        if matches(&meta, &digest(path).await?) {
            bar.inc(entry.size);
            return Ok(Fetched::Before);
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| Failure::io("making the folder", parent, &e))?;
    }
    let partial = partial(path, entry);
    let mut last = None;
    for _ in 0..TRIES {
        match receive(store, entry, &partial, bar).await {
            Ok(meta) => {
                let digest = digest(&partial).await?;
                if matches(&meta, &digest) {
                    fs::rename(&partial, path).map_err(|e| Failure::io("making", path, &e))?;
                    return Ok(Fetched::Now);
                }
                // Begun in another version, or spoilt on the way: from the beginning.
                fs::remove_file(&partial).map_err(|e| Failure::io("removing", &partial, &e))?;
                bar.dec(digest.size);
                last = Some(Failure::new("what arrived has not the checksum of what was stored"));
            }
            Err(Interrupted::Broken(failure)) => last = Some(failure),
            Err(Interrupted::Failed(failure)) => return Err(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::new("it did not arrive")))
}

/// Why receiving ended.
enum Interrupted {
    /// The connection broke; what came is kept.
    Broken(Failure),
    /// For good.
    Failed(Failure),
}

/// Appends to `partial` what it lacks.
async fn receive(
    store: &dyn Store,
    entry: &Entry,
    partial: &Path,
    bar: &ProgressBar,
) -> Result<ObjectMeta, Interrupted> {
    let failed = |e| Interrupted::Failed(Failure::io("writing", partial, &e));
    let mut file = OpenOptions::new().create(true).append(true).open(partial).map_err(failed)?;
    let have = file.metadata().map_err(failed)?.len();
    if have > entry.size {
        file.set_len(0).map_err(failed)?;
    }
    let have = if have > entry.size { 0 } else { have };
    let range = (have > 0).then_some(have..entry.size);
    let object = store.get(&entry.key, range).await.map_err(|e| Interrupted::Failed(e.into()))?;
    let object = object.ok_or_else(|| Interrupted::Failed(Failure::new("it is gone")))?;
    bar.inc(have);
    let (meta, mut body) = (object.meta, object.body);
    let mut came = have;
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) if matches!(error.kind, StoreErrorKind::Transient | StoreErrorKind::Corrupt) => {
                bar.dec(came);
                return Err(Interrupted::Broken(error.into()));
            }
            Err(error) => return Err(Interrupted::Failed(error.into())),
        };
        file.write_all(&piece).map_err(failed)?;
        came += piece.len() as u64;
        bar.inc(piece.len() as u64);
    }
    Ok(meta)
}

/// Beside the file, hidden, and named for the version: a rest of another version is never taken up.
fn partial(path: &Path, entry: &Entry) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // The whole name need not fit with what is added (255 bytes, most file systems); the checksum tells names apart.
    let sum = crc32fast::hash(format!("{name} {}", entry.etag).as_bytes());
    path.with_file_name(format!(".dayfly-{sum:08x}.part"))
}

async fn digest(path: &Path) -> Result<Digest> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || digest_of(&path))
        .await
        .map_err(|e| Failure::new(format!("a worker broke down: {e}")))?
}

/// By size, and by the checksum that the store keeps or else its tag. A tag that is no MD5 of the whole (an object of
/// parts, of which the store tells no checksum) says nothing, and the size has to do.
fn matches(meta: &ObjectMeta, digest: &Digest) -> bool {
    let by_sum = match meta.checksum.as_deref() {
        Some(sum) if sum.starts_with("crc32:") => sum == digest.checksum(),
        _ => meta.etag.as_str().contains('-') || meta.etag == digest.etag(),
    };
    meta.size == digest.size && by_sum
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use dayfly_shared::clock::SystemClock;
    use dayfly_shared::store::{Attributes, Condition, MemoryStore, StoreExt as _};

    use super::*;

    async fn store(body: &'static [u8]) -> (MemoryStore, Entry) {
        let store = MemoryStore::new("b", Arc::new(SystemClock));
        store.put("k", Bytes::from_static(body), &Attributes::default(), &Condition::Create).await.unwrap();
        let entry = store.list_all("").await.unwrap().remove(0);
        (store, entry)
    }

    #[tokio::test]
    async fn what_is_there_and_right_is_left_alone_and_what_is_wrong_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (store, entry) = store(b"right").await;
        let (path, bar) = (dir.path().join("sub/k"), ProgressBar::hidden());
        assert_eq!(fetch(&store, &entry, None, &path, &bar).await.unwrap(), Fetched::Now);
        assert_eq!(fetch(&store, &entry, None, &path, &bar).await.unwrap(), Fetched::Before);
        fs::write(&path, "wrong").unwrap();
        assert_eq!(fetch(&store, &entry, None, &path, &bar).await.unwrap(), Fetched::Now);
        assert_eq!(fs::read(&path).unwrap(), b"right");
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 1, "nothing else is left");
    }

    #[tokio::test]
    async fn a_rest_is_taken_up_and_a_spoilt_one_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let (store, entry) = store(b"0123456789").await;
        let (path, bar) = (dir.path().join("k"), ProgressBar::hidden());
        for rest in ["0123", "0123456789", "xxxx", "01234567890123"] {
            let _ = fs::remove_file(&path);
            fs::write(partial(&path, &entry), rest).unwrap();
            assert_eq!(fetch(&store, &entry, None, &path, &bar).await.unwrap(), Fetched::Now, "{rest}");
            assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        }
    }
}
