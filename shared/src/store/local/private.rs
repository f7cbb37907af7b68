//! What stands under `.dayfly/`: temporary files, locks, and the places of sidecars and uploads.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::fs::{CWD, Timespec, Timestamps, UTIME_OMIT};
use rustix::process::Pid;

use super::failure::is_unwritable;
use super::names::PRIVATE;
use super::versions::Identity;
use crate::clock::{Clock, Timestamp};
use crate::store::digest::{Digest, hex};

/// A temporary file this old was left by a process that died: no write of one file takes a day.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Numbers this process's temporary files and stamps, whichever store they belong to.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The private part of a bucket's directory. Made when the first write needs it.
pub(super) struct Private {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
}

/// The lock of a key (and of those that share its stripe), held until dropped.
pub(super) struct Lock {
    _file: File,
}

/// A temporary file, removed when dropped unless it was moved to its place.
pub(super) struct Temp {
    pub(super) file: File,
    path: PathBuf,
    moved: bool,
}

impl Private {
    /// Under the bucket's directory `root`.
    pub(super) fn new(root: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { dir: root.join(PRIVATE), clock }
    }

    /// The wall clock.
    pub(super) fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Where the sidecar of `key` stands. Named by a hash, as a key may be no name; the key is inside.
    pub(super) fn sidecar(&self, key: &str) -> PathBuf {
        let name = hex(&Digest::of(key.as_bytes()).md5);
        self.dir.join("meta").join(&name[..2]).join(format!("{name}.json"))
    }

    /// Where uploads stand.
    pub(super) fn uploads(&self) -> PathBuf {
        self.dir.join("uploads")
    }

    /// A name that no other living process of this machine has, and that this one never uses again.
    pub(super) fn unique() -> String {
        format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Relaxed))
    }

    /// Takes the lock that guards `key`, waiting for it.
    pub(super) fn lock(&self, key: &str) -> io::Result<Lock> {
        let path = self.lock_path(key);
        let file = self.with_parents(&path, || {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)
        })?;
        Self::take(file)
    }

    /// The same where nothing can be written: none if no writer ever made the lock.
    pub(super) fn lock_to_read(&self, key: &str) -> io::Result<Option<Lock>> {
        match self.lock(key) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if is_unwritable(&error) => match File::open(self.lock_path(key)) {
                Ok(file) => Self::take(file).map(Some),
                Err(_) => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// One of 256 lock files: few enough to keep, many enough that strangers seldom wait for each other.
    fn lock_path(&self, key: &str) -> PathBuf {
        self.dir.join("locks").join(hex(&Digest::of(key.as_bytes()).md5[..1]))
    }

    fn take(file: File) -> io::Result<Lock> {
        loop {
            match fs2::FileExt::lock_exclusive(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(|()| Lock { _file: file }),
            }
        }
    }

    /// An empty temporary file, open for writing.
    pub(super) fn temp(&self) -> io::Result<Temp> {
        loop {
            let path = self.dir.join("tmp").join(Self::unique());
            let open = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
            match self.with_parents(&path, open) {
                Ok(file) => return Ok(Temp { file, path, moved: false }),
                // Left by a dead process that had this process's id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Another name for the file at `path`, as a temporary one.
    pub(super) fn temp_link(&self, path: &Path) -> io::Result<Temp> {
        loop {
            let link = self.dir.join("tmp").join(Self::unique());
            match self.with_parents(&link, || fs::hard_link(path, &link)) {
                Ok(()) => {
                    return match File::open(&link) {
                        Ok(file) => Ok(Temp { file, path: link, moved: false }),
                        Err(error) => {
                            let _ = fs::remove_file(&link);
                            Err(error)
                        }
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// An empty temporary directory; removing it is the caller's.
    pub(super) fn temp_dir(&self) -> io::Result<PathBuf> {
        loop {
            let path = self.dir.join("tmp").join(Self::unique());
            match self.with_parents(&path, || fs::create_dir(&path)) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a finished file the clock's time, with a last part that tells it from all files of the same millisecond:
    /// the kernel's own times are only as fine as its tick.
    pub(super) fn stamp(&self, file: &File) -> io::Result<Identity> {
        let wall = self.wall().unix_ms;
        let tail = COUNTER.fetch_add(1, Relaxed).wrapping_mul(7919).wrapping_add(u64::from(std::process::id()));
        let nanos = wall % 1000 * 1_000_000 + tail % 1_000_000;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: i64::try_from(wall / 1000).unwrap_or(i64::MAX),
                tv_nsec: nanos.try_into().unwrap_or(0),
            },
        };
        // A file system that keeps its own times is fine: what it says in the end is what counts.
        let _ = rustix::fs::futimens(file, &times);
        Ok(Identity::of(&rustix::fs::fstat(file)?))
    }

    /// Runs `action` on `path`, once more if the directories above it had yet to be made. The bucket's own directory is
    /// never made here.
    pub(super) fn with_parents<T>(&self, path: &Path, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let mut missing: Vec<&Path> = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.dir)).collect();
        missing.reverse();
        for dir in missing {
            match DirBuilder::new().create(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        action()
    }

    /// Removes temporary files that dead processes left. What cannot be removed stays.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.dir.join("tmp")) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.split_once('-')).and_then(|(pid, _)| pid.parse().ok());
            let alive = owner
                .and_then(Pid::from_raw)
                .is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)));
            let Ok(stat) = rustix::fs::lstat(entry.path()) else { continue };
            if alive || self.wall().since(Identity::of(&stat).modified()) < LEFT_BEHIND {
                continue;
            }
            let _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
        }
    }
}

impl Temp {
    /// Moves the file to its place in one step, over whatever file stands there.
    pub(super) fn move_to(&mut self, dir: impl AsFd, name: &str) -> rustix::io::Result<()> {
        rustix::fs::renameat(CWD, &self.path, dir, name)?;
        self.moved = true;
        Ok(())
    }

    /// The same, to a path in a directory that is there.
    pub(super) fn move_to_path(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.moved {
            let _ = fs::remove_file(&self.path);
        }
    }
}
