//! The files that came with the job: fetched once an agent, checked, read-only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::store::StoreErrorKind;
use dayfly_shared::work::{ContentHash, SharedFile};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::processor::Failure;

/// A transfer that breaks off is begun again, so often.
const TRIES: u32 = 5;

/// The folder of a job's shared files on this machine.
#[derive(Clone, Debug)]
pub struct SharedFiles {
    folder: PathBuf,
    names: Vec<String>,
}

impl SharedFiles {
    /// Fetches them below `work_dir`.
    ///
    /// # Errors
    /// A file that is not there, or is another than the one the job was seeded with.
    pub async fn fetch(job: &JobBucket, files: &[SharedFile], work_dir: &Path) -> Result<Self, Failure> {
        let folder = work_dir.join("files");
        let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be written: {e}", folder.display()));
        fs::create_dir_all(&folder).map_err(broken)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(broken)?;
        for file in files {
            let path = folder.join(&file.name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(broken)?;
            }
            for parent in path.ancestors().skip(1).take_while(|parent| *parent != folder) {
                fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).map_err(broken)?;
            }
            fetch(job, file, &path).await?;
            let mode = if file.executable { 0o555 } else { 0o444 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(broken)?;
        }
        Ok(Self { folder, names: files.iter().map(|file| file.name.clone()).collect() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

async fn fetch(job: &JobBucket, file: &SharedFile, path: &Path) -> Result<(), Failure> {
    let key = job.keys.shared_file(&file.name);
    let mut tries = 1;
    loop {
        match receive(job, &key, path).await {
            Ok((bytes, sha256)) if (bytes, &sha256) == (file.bytes, &file.sha256) => return Ok(()),
            Ok((bytes, _)) => {
                return Err(Failure::Refused(format!(
                    "{} is not the file that the job was seeded with ({} bytes, and was {}); seed another job under a new \
                     prefix for another file",
                    job.place(&key),
                    bytes,
                    file.bytes
                )));
            }
            Err(Failure::Interrupted(_)) if tries < TRIES => tries += 1,
            Err(failure) => return Err(failure),
        }
    }
}

async fn receive(job: &JobBucket, key: &str, path: &Path) -> Result<(u64, String), Failure> {
    let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be written: {e}", path.display()));
    let Some(mut object) = job.store().get(key, None).await? else {
        return Err(Failure::Refused(format!("the job's file {} is not there; seed the job again", job.place(key))));
    };
    // One from an earlier try is read-only.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(broken(error)),
        _ => {}
    }
    let mut out = tokio::fs::File::create(path).await.map_err(broken)?;
    let (mut hash, mut bytes) = (ContentHash::default(), 0);
    while let Some(piece) = object.body.next().await {
        let piece = piece.map_err(|error| match error.kind {
            StoreErrorKind::Transient | StoreErrorKind::Corrupt => Failure::Interrupted(error.to_string()),
            _ => Failure::Refused(error.to_string()),
        })?;
        hash.update(&piece);
        bytes += piece.len() as u64;
        out.write_all(&piece).await.map_err(broken)?;
    }
    out.flush().await.map_err(broken)?;
    Ok((bytes, hash.finish()))
}
