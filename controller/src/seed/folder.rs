//! The files of a folder, as inputs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// A file below the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Relative to the folder, with `/` between the parts.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its files, by name.
    pub files: Vec<Found>,
    /// Hidden files and folders that were passed over.
    pub hidden: u64,
    /// Links that lead nowhere or in a circle, sockets, devices: passed over.
    pub odd: Vec<String>,
    /// Names that are not UTF-8, as well as they can be shown.
    pub unreadable: Vec<String>,
}

/// Reads a folder and all folders in it. Links are followed, but for those that lead back to a folder they lie in.
///
/// # Errors
/// A folder that is not there or cannot be read.
pub fn read(dir: &Path, hidden: bool) -> Result<Folder> {
    let meta = fs::metadata(dir).map_err(|e| Failure::io("reading the inputs' folder", dir, &e))?;
    if !meta.is_dir() {
        return Err(Failure::new(format!("{} is a file, and --inputs takes a folder", dir.display()))
            .fix("pass the folder it lies in, with --glob for the files that are meant"));
    }
    let mut folder = Folder::default();
    walk(dir, "", hidden, &mut vec![(meta.dev(), meta.ino())], &mut folder)?;
    folder.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(folder)
}

fn walk(dir: &Path, prefix: &str, hidden: bool, above: &mut Vec<(u64, u64)>, folder: &mut Folder) -> Result<()> {
    let failed = |e| Failure::io("reading the folder", dir, &e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let os_name = entry.file_name();
        let Some(part) = os_name.to_str() else {
            folder.unreadable.push(format!("{prefix}{}", os_name.to_string_lossy()));
            continue;
        };
        if part.starts_with('.') && !hidden {
            folder.hidden += 1;
            continue;
        }
        let name = format!("{prefix}{part}");
        // Of what a link leads to; a link to nowhere has none.
        let Ok(meta) = fs::metadata(&path) else {
            folder.odd.push(name);
            continue;
        };
        let identity = (meta.dev(), meta.ino());
        if meta.is_file() {
            folder.files.push(Found { name, path, bytes: meta.len() });
        } else if meta.is_dir() && !above.contains(&identity) {
            above.push(identity);
            walk(&path, &format!("{name}/"), hidden, above, folder)?;
            above.pop();
        } else {
            folder.odd.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_by_their_relative_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for name in ["in0.dat", "a/b/x y.dat", ".hidden", "a/.h"] {
            fs::write(at(name), name).unwrap();
        }
        symlink(dir.path(), at("a/round")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        symlink(at("in0.dat"), at("alias")).unwrap();
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "").unwrap();
        let mut folder = read(dir.path(), false).unwrap();
        folder.odd.sort();
        let names: Vec<&str> = folder.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a/b/x y.dat", "alias", "in0.dat"]);
        assert_eq!((folder.hidden, folder.files[2].bytes), (2, 7));
        assert_eq!(folder.odd, ["a/round", "dangling"]);
        assert_eq!(folder.unreadable, ["bad\u{fffd}"]);
        assert_eq!(read(dir.path(), true).unwrap().hidden, 0);
    }

    #[test]
    fn what_is_no_folder_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let missing = format!("{:#}", read(&dir.path().join("none"), false).unwrap_err());
        assert!(missing.contains("none") && missing.contains("check the path"), "{missing}");
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(read(&dir.path().join("file"), false).unwrap_err().to_string().contains("takes a folder"));
    }
}
