//! Sidecars: what a body file does not say of itself, in one small JSON file for each key.
//!
//! A sidecar is written before its body moves into place and holds the old version with the new one. Each names the
//! file it belongs to, so whichever file stands there finds its own entry, at whatever point a writer died.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::private::{Private, Temp};
use crate::clock::Timestamp;
use crate::store::digest::{self, Digest};
use crate::store::{Attributes, ETag, ObjectMeta, rules};

/// Which file, and which state of it. Moving a file keeps it; writing to it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    inode: u64,
    mtime_ns: i64,
    pub(super) size: u64,
}

impl Identity {
    /// From what the file system says.
    pub(super) fn of(stat: &Stat) -> Self {
        let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        Self {
            inode: stat.st_ino,
            mtime_ns: i64::try_from(mtime_ns).unwrap_or(i64::MAX),
            size: u64::try_from(stat.st_size).unwrap_or(0),
        }
    }

    /// When the file was last changed.
    pub(super) fn modified(&self) -> Timestamp {
        Timestamp::from_unix_ms(u64::try_from(self.mtime_ns / 1_000_000).unwrap_or(0))
    }
}

/// One version of an object (or of a part of an upload).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) file: Identity,
    etag: String,
    crc32: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// What a new version is to be, before it is known which file holds it.
pub(super) struct Draft {
    pub(super) etag: ETag,
    pub(super) crc32: u32,
    pub(super) content_type: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Draft {
    /// Of a body that was written in one piece.
    pub(super) fn whole(digest: &Digest, attributes: &Attributes) -> Self {
        Self {
            etag: digest.etag(),
            crc32: digest.crc32,
            content_type: attributes.content_type.map(str::to_owned),
            metadata: rules::lower_case_names(&attributes.metadata),
        }
    }

    /// Held by this file.
    pub(super) fn in_file(self, file: Identity) -> Version {
        let Self { etag, crc32, content_type, metadata } = self;
        Version { file, etag: etag.as_str().to_owned(), crc32, content_type, metadata }
    }
}

impl Version {
    pub(super) fn etag(&self) -> ETag {
        ETag::new(&self.etag)
    }

    /// As a part of an upload; none if it is no single body.
    pub(super) fn digest(&self) -> Option<Digest> {
        Some(Digest { md5: digest::unhex(&self.etag)?, crc32: self.crc32, size: self.file.size })
    }

    /// As the store tells it.
    pub(super) fn meta(&self, served: Timestamp) -> ObjectMeta {
        ObjectMeta {
            etag: self.etag(),
            size: self.file.size,
            modified: Some(rules::whole_seconds(self.file.modified())),
            served: Some(served),
            metadata: self.metadata.clone(),
            checksum: Some(digest::checksum(self.crc32)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Sidecar {
    /// Whose it is, for people, and against a hash that two keys share.
    key: String,
    versions: Vec<Version>,
}

/// The version that `file` holds, as the sidecar at `path` tells; none if a person put that file there.
pub(super) fn find(path: &Path, key: &str, file: &Identity) -> io::Result<Option<Version>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // One that cannot be read (after a power failure, say) is none: the body is hashed again.
    let Ok(sidecar) = serde_json::from_slice::<Sidecar>(&text) else { return Ok(None) };
    if sidecar.key != key {
        return Ok(None);
    }
    Ok(sidecar.versions.into_iter().find(|version| version.file == *file))
}

/// Writes an object's sidecar at `path`, in one step.
pub(super) fn save(private: &Private, path: &Path, key: &str, versions: Vec<Version>) -> io::Result<()> {
    let mut temp = written(private, key, versions)?;
    private.with_parents(path, || temp.move_to_path(path))
}

/// The same in a directory that is not made if it is missing: `NotFound`.
pub(super) fn save_in_place(private: &Private, path: &Path, key: &str, versions: Vec<Version>) -> io::Result<()> {
    written(private, key, versions)?.move_to_path(path)
}

fn written(private: &Private, key: &str, versions: Vec<Version>) -> io::Result<Temp> {
    let text = serde_json::to_vec(&Sidecar { key: key.to_owned(), versions })?;
    let mut temp = private.temp()?;
    temp.file.write_all(&text)?;
    Ok(temp)
}

/// Removes the sidecar at `path`, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Hashes all of `file` from where it stands.
pub(super) fn hash(file: &mut File) -> io::Result<Digest> {
    let mut hasher = digest::Hasher::default();
    let mut piece = vec![0; super::PIECE_BYTES];
    loop {
        match io::Read::read(file, &mut piece) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
