//! The directory tree of objects: finding, placing and removing files, always from the bucket's own directory downwards
//! and never through a symbolic link, so nothing outside can be reached.
//!
//! An object and a folder may want one name (`a` and `a/b`). The file system itself decides, in one step, who has it:
//! a file does not move onto a directory, and a directory is not made over a file. Who comes second takes the
//! alternate place, which only its own kind can have. So two processes agree without a lock, and all that a reader
//! needs is to look at both places.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::failure::Failure;
use super::names::{self, Step};
use super::private::Temp;
use super::versions::Identity;

/// Directories are only passed through: opened without reading.
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK`, so that a FIFO in the directory does not stop a reader.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// As the process's umask narrows it.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// The objects' part of a bucket's directory.
pub(super) struct Tree {
    root: PathBuf,
}

/// A directory, with the names that lead to it from the bucket's.
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<String>,
}

/// An object's file, open, and where it stands.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) identity: Identity,
    dir: OwnedFd,
    name: String,
}

impl Tree {
    /// Of the bucket in `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The bucket's directory.
    pub(super) fn root(&self) -> Result<Directory, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &self.root, flags, Mode::empty()) {
            Ok(fd) => Ok(Directory { fd, path: Vec::new() }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Failure::NoBucket),
            Err(error) => Err(error.into()),
        }
    }

    /// The directories in which the names behind `steps` stand: one as a rule, none if there is no such folder.
    pub(super) fn folders(&self, steps: &[Step]) -> Result<Vec<Directory>, Failure> {
        let mut dirs = vec![self.root()?];
        for step in steps {
            dirs = below(&dirs, step)?;
        }
        Ok(dirs)
    }

    /// The directory at this path of names, if it still is one.
    pub(super) fn reopen(&self, path: &[String]) -> Result<Option<OwnedFd>, Failure> {
        Ok(pass(&self.root()?.fd, path)?)
    }

    /// The object's file.
    pub(super) fn find(&self, key: &str) -> Result<Option<Found>, Failure> {
        let (folders, object) = names::route(key);
        for dir in self.folders(&folders)? {
            for path in [&object.direct, &object.alternate] {
                let Some((name, pieces)) = path.split_last() else { continue };
                let inner = if pieces.is_empty() { None } else { pass(&dir.fd, pieces)? };
                if inner.is_none() && !pieces.is_empty() {
                    continue;
                }
                let Some(file) = open(inner.as_ref().unwrap_or(&dir.fd), name)? else { continue };
                let stat = rustix::fs::fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    let dir = inner.unwrap_or(dir.fd);
                    return Ok(Some(Found { file, identity: Identity::of(&stat), dir, name: name.clone() }));
                }
            }
        }
        Ok(None)
    }

    /// Moves the finished file to the object's place: over its present file, or to a new place.
    pub(super) fn place(&self, temp: &mut Temp, key: &str, present: Option<&Found>) -> Result<(), Failure> {
        if let Some(found) = present {
            match temp.move_to(&found.dir, &found.name) {
                // A person put a directory there, or removed the one it was in.
                Err(Errno::ISDIR | Errno::NOENT) => {}
                result => return Ok(result?),
            }
        }
        let (folders, object) = names::route(key);
        let parent = self.make_folders(&folders)?;
        let mut last = None;
        for path in [&object.direct, &object.alternate] {
            let Some((name, pieces)) = path.split_last() else { continue };
            let Some(dir) = make(&parent, pieces)? else { continue };
            match temp.move_to(&dir, name) {
                Err(Errno::ISDIR) => last = Some(Errno::ISDIR),
                result => return Ok(result?),
            }
        }
        Err(last.unwrap_or(Errno::EXIST).into())
    }

    /// Removes the object's file, and any that would show in its stead.
    pub(super) fn remove(&self, key: &str) -> Result<(), Failure> {
        while let Some(found) = self.find(key)? {
            rustix::fs::unlinkat(&found.dir, &found.name, AtFlags::empty())?;
        }
        Ok(())
    }

    fn make_folders(&self, steps: &[Step]) -> Result<OwnedFd, Failure> {
        let mut dirs = vec![self.root()?];
        for step in steps {
            let next = below(&dirs, step)?;
            if !next.is_empty() {
                dirs = next;
                continue;
            }
            let parent = &dirs[0].fd;
            let made = match make(parent, &step.direct)? {
                Some(fd) => fd,
                // A file has the name.
                None => make(parent, &step.alternate)?.ok_or(Errno::EXIST)?,
            };
            dirs = vec![Directory { fd: made, path: Vec::new() }];
        }
        Ok(dirs.swap_remove(0).fd)
    }
}

/// The directories in `dirs` where `step` leads to.
fn below(dirs: &[Directory], step: &Step) -> io::Result<Vec<Directory>> {
    let mut next = Vec::with_capacity(1);
    for dir in dirs {
        for names in [&step.direct, &step.alternate] {
            if let Some(fd) = pass(&dir.fd, names)? {
                next.push(Directory { fd, path: [&dir.path[..], names].concat() });
            }
        }
    }
    Ok(next)
}

/// The directory at `path`, if there is one.
fn pass(dir: &OwnedFd, path: &[String]) -> io::Result<Option<OwnedFd>> {
    let mut at = None;
    for name in path {
        match rustix::fs::openat(at.as_ref().unwrap_or(dir), name.as_str(), PASS, Mode::empty()) {
            Ok(fd) => at = Some(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    at.map_or_else(|| dir.try_clone(), Ok).map(Some)
}

/// The directory at `path`, made where it is missing. None if something else has a name on the way.
fn make(dir: &OwnedFd, path: &[String]) -> io::Result<Option<OwnedFd>> {
    let mut at = dir.try_clone()?;
    for name in path {
        at = loop {
            match rustix::fs::mkdirat(&at, name.as_str(), DIRECTORY_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::fs::openat(&at, name.as_str(), PASS, Mode::empty()) {
                Ok(fd) => break fd,
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                // What had the name is gone meanwhile: it is free.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        };
    }
    Ok(Some(at))
}

/// What stands there, open for reading; none if there is nothing, or what cannot be an object.
fn open(dir: impl AsFd, name: &str) -> io::Result<Option<File>> {
    match rustix::fs::openat(dir, name, READ, Mode::empty()) {
        Ok(fd) => Ok(Some(File::from(fd))),
        // LOOP: a symbolic link. NXIO: a socket.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
