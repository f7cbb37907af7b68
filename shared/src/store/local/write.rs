//! Writing: a finished temporary file becomes the object, if the condition holds, under the key's lock.

use std::io::{self, Write};

use super::failure::Failure;
use super::private::{Lock, Temp};
use super::tree::Found;
use super::versions::{self, Draft, Version};
use super::{Bucket, PIECE_BYTES};
use crate::store::digest::{Digest, Hasher, Known};
use crate::store::rules::judge;
use crate::store::{Attributes, Condition, ETag, Outcome, Rejection};

/// What a condition has to know of the object that stands there.
enum Current {
    Absent,
    /// The version is known where a sidecar tells it, or where the condition had to have it.
    Standing(Found, Option<Version>),
}

impl Bucket {
    /// Stores a body in memory, of whose digests one may know.
    pub(super) fn put(
        &self,
        key: &str,
        body: &[u8],
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>, Failure> {
        if let Some(why) = self.fails_already(key, condition)? {
            return Ok(Outcome::Rejected(why));
        }
        let mut temp = self.private.temp().map_err(|error| self.or_no_bucket(error))?;
        let digest = write_hashed(&mut temp, body, Known { md5: attributes.md5, crc32: attributes.crc32 })?;
        let lock = self.lock(key)?;
        self.commit(&lock, key, &mut temp, Draft::whole(&digest, attributes), condition)
    }

    /// Why the condition fails now, before any body is written: most losers of a race are told here. An answer of none
    /// says nothing yet.
    pub(super) fn fails_already(&self, key: &str, condition: &Condition) -> Result<Option<Rejection>, Failure> {
        match condition {
            Condition::Overwrite => Ok(None),
            Condition::Create => Ok(self.tree.find(key)?.map(|_| Rejection::Precondition)),
            Condition::Update(_) => {
                let etag = self.look(key)?.map(|(_, version)| version.etag());
                Ok(judge(condition, etag.as_ref()))
            }
        }
    }

    /// The key's lock.
    pub(super) fn lock(&self, key: &str) -> Result<Lock, Failure> {
        self.private.lock(key).map_err(|error| self.or_no_bucket(error))
    }

    /// Makes a finished file the object. Whoever calls shows that it holds the lock.
    pub(super) fn commit(
        &self,
        _lock: &Lock,
        key: &str,
        temp: &mut Temp,
        draft: Draft,
        condition: &Condition,
    ) -> Result<Outcome<ETag>, Failure> {
        let current = self.current(key, matches!(condition, Condition::Update(_)))?;
        if let Some(why) = current.judge(condition) {
            return Ok(Outcome::Rejected(why));
        }
        let etag = draft.etag.clone();
        let mut versions = vec![draft.in_file(self.private.stamp(&temp.file)?)];
        let found = match current {
            Current::Absent => None,
            Current::Standing(found, old) => {
                versions.extend(old);
                Some(found)
            }
        };
        versions::save(&self.private, &self.private.sidecar(key), key, versions)?;
        self.tree.place(temp, key, found.as_ref())?;
        Ok(Outcome::Applied(etag))
    }

    /// Deletes the object, if it is version `only`.
    pub(super) fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>, Failure> {
        let condition = only.map_or(Condition::Overwrite, |etag| Condition::Update(etag.clone()));
        // One that is not there needs no lock, which a directory that cannot be written would refuse.
        if self.tree.find(key)?.is_none() {
            return Ok(Outcome::Rejected(Rejection::Missing));
        }
        if let Some(why) = self.fails_already(key, &condition)? {
            return Ok(Outcome::Rejected(why));
        }
        let _lock = self.lock(key)?;
        let current = self.current(key, only.is_some())?;
        if let Some(why) = current.judge(&condition) {
            return Ok(Outcome::Rejected(why));
        }
        if matches!(current, Current::Absent) {
            return Ok(Outcome::Rejected(Rejection::Missing));
        }
        // The body first: a sidecar without one says nothing, but a body without its sidecar would lose its metadata.
        self.tree.remove(key)?;
        versions::remove(&self.private.sidecar(key))?;
        Ok(Outcome::Applied(()))
    }

    /// What stands there; under the lock.
    fn current(&self, key: &str, exactly: bool) -> Result<Current, Failure> {
        let Some(mut found) = self.tree.find(key)? else { return Ok(Current::Absent) };
        let mut version = versions::find(&self.private.sidecar(key), key, &found.identity)?;
        if version.is_none() && exactly {
            version = Some(self.hash(&mut found)?.0);
        }
        Ok(Current::Standing(found, version))
    }

    /// The private directory cannot be made where the bucket's own is gone.
    pub(super) fn or_no_bucket(&self, error: io::Error) -> Failure {
        match self.tree.root() {
            Err(Failure::NoBucket) => Failure::NoBucket,
            _ => error.into(),
        }
    }
}

impl Current {
    fn judge(&self, condition: &Condition) -> Option<Rejection> {
        match self {
            Self::Absent => judge(condition, None),
            Self::Standing(_, Some(version)) => judge(condition, Some(&version.etag())),
            // Only Create and Overwrite leave the version open, and for them any will do.
            Self::Standing(_, None) => judge(condition, Some(&ETag::new(""))),
        }
    }
}

/// Writes and hashes a body in one pass, while its pieces are in the processor's cache.
pub(super) fn write_hashed(temp: &mut Temp, body: &[u8], known: Known) -> io::Result<Digest> {
    let mut hasher = Hasher::knowing(known);
    for piece in body.chunks(PIECE_BYTES) {
        hasher.update(piece);
        temp.file.write_all(piece)?;
    }
    Ok(hasher.finish())
}
