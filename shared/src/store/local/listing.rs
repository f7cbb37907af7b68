//! Listing in the order of keys, which is not the order of directories: `a.b` comes before `a/b`, and `a0` after it.
//!
//! Within one folder, an object's component and a folder's component with its `/` sort as their keys do, so the walk
//! goes from folder to folder in key order and leaves a folder as soon as the page, or the prefix, is done with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Bucket;
use super::failure::Failure;
use super::names::{self, Kind, Reading};
use super::versions::{self, Identity};
use crate::store::rules::{self, Offered, Pager};
use crate::store::{Entry, ListPage, ListQuery};

/// A component found in a folder. Sorts as its keys do; of two with one key, first the one that a reader finds first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Child {
    /// The component, a folder's with its `/`.
    sort: String,
    /// Counts the directories of its folder.
    dir: usize,
    alternate: bool,
    kind: Kind,
    name: String,
    parent: Rc<Vec<String>>,
}

/// A folder on the walk: one or more directories, and what is yet to come of them.
struct Level {
    /// Empty, or ending in `/`.
    prefix: String,
    children: BinaryHeap<Reverse<Child>>,
}

/// The directory whose entries were asked for last: most are asked for in a row.
type LastDir = Option<(Rc<Vec<String>>, OwnedFd)>;

impl Bucket {
    /// One page.
    pub(super) fn list(&self, query: &ListQuery) -> Result<ListPage, Failure> {
        let mut pager = Pager::new(query);
        let base = query.prefix.rfind('/').map_or("", |slash| &query.prefix[..=slash]);
        let dirs = self.tree.folders(&names::folder_route(base))?.into_iter().map(|dir| dir.path).collect();
        let mut levels = vec![self.scan(query, base.to_owned(), dirs)?];
        let mut last_dir = None;
        while let Some(level) = levels.last_mut() {
            let Some(Reverse(child)) = level.children.pop() else {
                levels.pop();
                continue;
            };
            let mut dirs = vec![child.path()];
            // Other places of the same key: a folder's are walked together, an object's are not its own.
            while level.children.peek().is_some_and(|Reverse(next)| next.sort == child.sort) {
                dirs.extend(level.children.pop().map(|Reverse(next)| next.path()));
            }
            let key = format!("{}{}", level.prefix, child.sort);
            if child.kind == Kind::Folder {
                let next = self.scan(query, key, dirs)?;
                levels.push(next);
                continue;
            }
            match pager.offer(&key) {
                Offered::Outside => {}
                Offered::Full => break,
                Offered::Folded => {
                    let folder = pager.last_folder().len();
                    while levels.last().is_some_and(|level| level.prefix.len() >= folder) {
                        levels.pop();
                    }
                }
                Offered::Wanted => {
                    if let Some(entry) = self.entry(key, &child, &mut last_dir)? {
                        pager.push(entry);
                    }
                }
            }
        }
        Ok(pager.finish(self.private.wall()))
    }

    fn scan(&self, query: &ListQuery, prefix: String, dirs: Vec<Vec<String>>) -> Result<Level, Failure> {
        let mut children = Vec::new();
        for (dir, path) in dirs.into_iter().enumerate() {
            // Directories of pieces (of names over 255 bytes) are read as part of the folder they stand in.
            let depth = path.len();
            let mut open = vec![path];
            while let Some(path) = open.pop() {
                let Some(fd) = self.tree.reopen(&path)? else { continue };
                let first = prefix.is_empty();
                let parent = Rc::new(path);
                let mut add = |name: &str, kind: Kind| match names::read(&parent[depth..], name, kind, first) {
                    Reading::Piece => open.push([&parent[..], &[name.to_owned()]].concat()),
                    Reading::Component(mut sort, alternate) => {
                        if kind == Kind::Folder {
                            sort.push('/');
                        }
                        if may_match(query, &prefix, &sort, kind) {
                            let (name, parent) = (name.to_owned(), parent.clone());
                            children.push(Reverse(Child { sort, dir, alternate, kind, name, parent }));
                        }
                    }
                    Reading::Nothing => {}
                };
                each_name(&fd, &mut add)?;
            }
        }
        Ok(Level { prefix, children: children.into() })
    }

    /// The object's line; none if it is gone meanwhile.
    fn entry(&self, key: String, child: &Child, last_dir: &mut LastDir) -> Result<Option<Entry>, Failure> {
        if last_dir.as_ref().is_none_or(|(path, _)| *path != child.parent) {
            *last_dir = self.tree.reopen(&child.parent)?.map(|fd| (child.parent.clone(), fd));
        }
        let Some((_, dir)) = last_dir else { return Ok(None) };
        let identity = match rustix::fs::statat(&*dir, child.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Identity::of(&stat),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let version = match versions::find(&self.private.sidecar(&key), &key, &identity)? {
            Some(version) => version,
            None => match self.look(&key)? {
                Some((_, version)) => version,
                None => return Ok(None),
            },
        };
        let modified = Some(rules::whole_seconds(version.file.modified()));
        Ok(Some(Entry { key, etag: version.etag(), size: version.file.size, modified }))
    }
}

impl Child {
    fn path(&self) -> Vec<String> {
        [&self.parent[..], std::slice::from_ref(&self.name)].concat()
    }
}

/// Whether the query may want the key (of a folder: any key in it) `prefix` + `sort`.
fn may_match(query: &ListQuery, prefix: &str, sort: &str, kind: Kind) -> bool {
    let wanted = query.prefix.strip_prefix(prefix).unwrap_or("");
    if !(sort.starts_with(wanted) || (kind == Kind::Folder && wanted.starts_with(sort))) {
        return false;
    }
    let Some(after) = &query.start_after else { return true };
    match after.strip_prefix(prefix) {
        // Keys of a folder that `after` lies in, or that sorts behind it.
        Some(after) => sort > after || (kind == Kind::Folder && after.starts_with(sort)),
        None => prefix > after.as_str(),
    }
}

/// Calls `add` for each directory and file in `dir`. All else (links, sockets) is no object.
fn each_name(dir: &OwnedFd, add: &mut dyn FnMut(&str, Kind)) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::new(rustix::fs::openat(dir, ".", flags, Mode::empty())?)? {
        let entry = entry?;
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            match rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => kind = FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        // A name that is not UTF-8 is no key.
        let Ok(name) = entry.file_name().to_str() else { continue };
        match kind {
            FileType::RegularFile => add(name, Kind::Object),
            FileType::Directory if !matches!(name, "." | "..") => add(name, Kind::Folder),
            _ => {}
        }
    }
    Ok(())
}
