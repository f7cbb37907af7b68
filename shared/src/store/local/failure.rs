//! What the operating system's errors mean to a caller of the store.

use std::io;

use rustix::io::Errno;

use crate::store::{StoreError, StoreErrorKind};

/// Why a call on the directory failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operating system says so.
    Io(io::Error),
    /// The directory is not there.
    NoBucket,
    /// A rule of the store says so.
    Refused(StoreError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// Whether a call writes: a refused permission means another thing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Failure {
    /// For the caller: the action, the place, and the fix where one is known.
    pub(super) fn into_error(self, action: &'static str, place: String, access: Access) -> StoreError {
        let error = match self {
            Self::Refused(error) => return error,
            Self::NoBucket => {
                let detail = "the bucket's directory is not there; create it, or correct its path".to_owned();
                return StoreError { kind: StoreErrorKind::NoSuchBucket, action, place, detail };
            }
            Self::Io(error) => error,
        };
        let (kind, fix) = match Errno::from_io_error(&error) {
            Some(Errno::NOSPC) => (StoreErrorKind::Full, "; free some space on its file system"),
            Some(Errno::DQUOT) => (StoreErrorKind::Full, "; free some space, or have the quota raised"),
            Some(Errno::ROFS) => (StoreErrorKind::ReadOnly, "; remount the file system, or use another directory"),
            Some(Errno::ACCESS | Errno::PERM) if access == Access::Write => {
                (StoreErrorKind::ReadOnly, "; let this user write to the directory and all under it")
            }
            Some(Errno::ACCESS | Errno::PERM) => {
                (StoreErrorKind::Denied, "; let this user read the directory and all under it")
            }
            Some(Errno::NAMETOOLONG) => (StoreErrorKind::Unsupported, "; shorten the key or the directory's path"),
            Some(Errno::XDEV) => {
                (StoreErrorKind::Unsupported, "; the directory must lie within one file system, without mounts inside")
            }
            _ => (StoreErrorKind::Transient, ""),
        };
        StoreError { kind, action, place, detail: format!("{error}{fix}") }
    }
}

/// Whether nothing can be written there, for whatever reason: then reads do without what they would have kept.
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::NOSPC | Errno::DQUOT))
}
