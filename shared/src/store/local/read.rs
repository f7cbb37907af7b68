//! Reading: an object's file with the version that it holds, and its bytes in pieces.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::failure::{Access, Failure};
use super::tree::Found;
use super::versions::{self, Draft, Version};
use super::{Bucket, blocking};
use crate::store::{Attributes, StoreError, StoreErrorKind};

/// A file that was changed this recently may change again without its time showing it: file systems' clocks tick
/// (4 ms on Linux, 2 s at the coarsest). Its hash is used, and not kept.
const SETTLED: Duration = Duration::from_secs(2);
/// A file that changes under the reader so often is being written by hand; it is shown as it was read last.
const TRIES: usize = 3;
/// A body is read in pieces of this size: waking a thread for one costs about as much as reading 100 kB.
const READ_BYTES: usize = 1 << 20;

impl Bucket {
    /// The object's file and the version it holds. Absent: none.
    ///
    /// Without a lock as a rule: the file is opened once, and its identity says which entry of the sidecar is its own.
    pub(super) fn look(&self, key: &str) -> Result<Option<(Found, Version)>, Failure> {
        let sidecar = self.private.sidecar(key);
        for _ in 0..2 {
            let Some(found) = self.tree.find(key)? else { return Ok(None) };
            if let Some(version) = versions::find(&sidecar, key, &found.identity)? {
                return Ok(Some((found, version)));
            }
            // Put by hand, or replaced twice between the two looks.
        }
        for last in (0..TRIES).rev() {
            let lock = self.private.lock_to_read(key)?;
            let Some(mut found) = self.tree.find(key)? else { return Ok(None) };
            if let Some(version) = versions::find(&sidecar, key, &found.identity)? {
                return Ok(Some((found, version)));
            }
            // Under the lock no writer is at work, so a person put it there. Hashing may take long: not under the lock.
            drop(lock);
            let (version, steady) = self.hash(&mut found)?;
            if steady || last == 0 {
                if steady {
                    self.keep(key, &version);
                }
                return Ok(Some((found, version)));
            }
        }
        Ok(None)
    }

    /// The version that a file put by hand holds, and whether it may be kept for the next reader.
    pub(super) fn hash(&self, found: &mut Found) -> io::Result<(Version, bool)> {
        let age = self.private.wall().unix_ms.abs_diff(found.identity.modified().unix_ms);
        let digest = versions::hash(&mut found.file)?;
        let after = versions::Identity::of(&rustix::fs::fstat(&found.file)?);
        let unchanged = after == found.identity && digest.size == after.size;
        found.identity = after;
        let version = Draft::whole(&digest, &Attributes::default()).in_file(after);
        Ok((version, unchanged && Duration::from_millis(age) > SETTLED))
    }

    /// Keeps a hash for the next reader, if that is possible and the file is still there.
    fn keep(&self, key: &str, version: &Version) {
        let kept = self.private.lock(key).map_err(Failure::from).and_then(|_lock| {
            match self.tree.find(key)? {
                Some(found) if found.identity == version.file => {
                    versions::save(&self.private, &self.private.sidecar(key), key, vec![version.clone()])?;
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = kept {
            tracing::debug!(key, ?error, "the hash of a file put by hand is not kept");
        }
    }
}

/// The bytes of `file` in `range`, which lies within it. The first piece is read at once.
pub(super) fn body(
    file: File,
    range: Range<u64>,
    place: String,
) -> io::Result<BoxStream<'static, Result<Bytes, StoreError>>> {
    let first = range.start..range.end.min(range.start + READ_BYTES as u64);
    let rest = first.end..range.end;
    let first = whole(read_at(&file, &first)?, &first, &place);
    let (range, broken) = (rest, first.is_err());
    let first = stream::iter([first]);
    if broken || range.start == range.end {
        return Ok(first.boxed());
    }
    let pieces = stream::unfold(Some((file, range, place)), |state| async move {
        let (file, range, place) = state?;
        if range.start == range.end {
            return None;
        }
        let piece = range.start..range.end.min(range.start + READ_BYTES as u64);
        let next = piece.end;
        let read = blocking(move || (read_at(&file, &piece), file, piece)).await;
        match read {
            Ok((Ok(bytes), file, piece)) => match whole(bytes, &piece, &place) {
                Ok(bytes) => Some((Ok(bytes), Some((file, next..range.end, place)))),
                Err(error) => Some((Err(error), None)),
            },
            Ok((Err(error), ..)) => {
                let error = Failure::from(error).into_error("s3:GetObject", place, Access::Read);
                Some((Err(error), None))
            }
            Err(error) => Some((Err(Failure::from(error).into_error("s3:GetObject", place, Access::Read)), None)),
        }
    });
    Ok(first.chain(pieces).boxed())
}

/// What there is of `range`.
fn read_at(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
    while piece.len() < piece.capacity() {
        let at = range.start + piece.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut piece), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // More may have been set aside than was asked for, and read.
    piece.truncate(usize::try_from(range.end - range.start).unwrap_or(0));
    Ok(piece.into())
}

/// The piece, unless the file was cut short since its size was told.
fn whole(piece: Bytes, range: &Range<u64>, place: &str) -> Result<Bytes, StoreError> {
    if piece.len() as u64 == range.end - range.start {
        return Ok(piece);
    }
    Err(StoreError {
        kind: StoreErrorKind::Corrupt,
        action: "s3:GetObject",
        place: place.to_owned(),
        detail: format!(
            "the file ends at byte {}: it was cut short while it was read",
            range.start + piece.len() as u64
        ),
    })
}
