//! A folder of outputs: each file goes up as an object of the attempt's own; the manifest, which names them all, is what is
//! committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dayfly_shared::manifest::ManifestFile;
use dayfly_shared::work::is_plain_path;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::processor::{Failure, TaskIo};

/// Files under way at once: hides the round trips of many small ones.
const AT_ONCE: usize = 8;

fn spoilt(error: String) -> Failure {
    Failure::Processor { error, permanent: false }
}

/// A file that a program left.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// Its path below the folder.
    pub path: String,
    /// Where it is.
    pub file: PathBuf,
}

/// The files below `folder`, sorted, but for `not`.
///
/// # Errors
/// What cannot be an output: a link, a socket, a name that is no UTF-8.
pub fn find(folder: &Path, not: &BTreeSet<String>) -> Result<Vec<Left>, Failure> {
    let mut found = Vec::new();
    walk(folder, "", &mut found)?;
    found.retain(|left| !not.contains(&left.path));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Left>) -> Result<(), Failure> {
    let broken = |e: std::io::Error| spoilt(format!("the output folder {} cannot be read: {e}", folder.display()));
    for entry in fs::read_dir(folder).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.file_name();
        let path = format!("{prefix}{}", name.to_string_lossy());
        if name.to_str().is_none() || !is_plain_path(&path) {
            return Err(spoilt(format!("the output {path:?} cannot be an object: its name is not plain UTF-8")));
        }
        let kind = entry.file_type().map_err(broken)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file() {
            found.push(Left { path, file: entry.path() });
        } else {
            // A link may lead to what is not the task's to give away.
            return Err(spoilt(format!("the output {path} is a link or no file; leave a copy instead")));
        }
    }
    Ok(())
}

/// Which of the expected files are missing.
///
/// # Errors
/// With their names, and those of what is there.
pub fn expect(found: &[Left], expected: &[String]) -> Result<(), Failure> {
    let have: BTreeSet<&str> = found.iter().map(|left| left.path.as_str()).collect();
    let missing: Vec<&str> = expected.iter().map(String::as_str).filter(|path| !have.contains(path)).collect();
    match (missing.is_empty(), have.is_empty()) {
        (true, false) => Ok(()),
        (true, true) => Err(spoilt("the program ended well, and left no output".to_owned())),
        (false, _) => Err(spoilt(format!(
            "the program ended well, and did not leave {}; it left {}",
            missing.join(", "),
            if have.is_empty() {
                "nothing".to_owned()
            } else {
                have.into_iter().take(10).collect::<Vec<_>>().join(", ")
            }
        ))),
    }
}

/// Puts the files and stages the manifest that names them.
///
/// # Errors
/// A file that cannot be read, a store that refuses.
pub async fn stage(task: &mut TaskIo, found: Vec<Left>) -> Result<(), Failure> {
    let io = &*task;
    let files: Vec<ManifestFile> = stream::iter(found)
        .map(|left| async move {
            let (bytes, checksum) = io.put_file(&left.path, &left.file).await?;
            Ok::<_, Failure>(ManifestFile { path: left.path, bytes, checksum })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    task.stage_manifest(files).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_outputs() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["b.csv", "sub/a b.png", "run.sh"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let found = find(dir.path(), &["run.sh".to_owned()].into()).unwrap();
        let paths: Vec<&str> = found.iter().map(|left| left.path.as_str()).collect();
        assert_eq!(paths, ["b.csv", "sub/a b.png"]);
        assert_eq!(expect(&found, &["b.csv".to_owned()]), Ok(()));
        let missing = expect(&found, &["c.csv".to_owned()]).unwrap_err().to_string();
        assert!(missing.contains("c.csv") && missing.contains("b.csv"), "{missing}");
        assert!(expect(&[], &[]).unwrap_err().to_string().contains("no output"));
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(find(dir.path(), &BTreeSet::new()).unwrap_err().to_string().contains("link"));
    }
}
