//! Multipart uploads: a directory each, under `.dayfly/uploads/`, with a file and a sidecar for each part.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Bucket;
use super::failure::Failure;
use super::private::{Private, Temp};
use super::versions::{self, Draft, Identity, Version};
use super::write::write_hashed;
use crate::clock::Timestamp;
use crate::store::digest::{self, Digest};
use crate::store::{Attributes, Condition, ETag, Outcome, Part, Rejection, Upload, rules};

/// What the upload will be: `upload.json` in its directory.
#[derive(Serialize, Deserialize)]
struct Plan {
    key: String,
    initiated: Timestamp,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

const PLAN: &str = "upload.json";

impl Bucket {
    /// Begins an upload: its directory appears in one step, with its plan in it.
    pub(super) fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload, Failure> {
        let initiated = rules::whole_seconds(self.private.wall());
        let plan = Plan {
            key: key.to_owned(),
            initiated,
            content_type: attributes.content_type.map(str::to_owned),
            metadata: rules::lower_case_names(&attributes.metadata),
        };
        let text = serde_json::to_vec(&plan).map_err(io::Error::from)?;
        let dir = self.private.temp_dir().map_err(|error| self.or_no_bucket(error))?;
        let made = fs::write(dir.join(PLAN), text).and_then(|()| {
            loop {
                // The time tells it from those of an earlier process with this one's id.
                let id = format!("{:x}-{}", self.private.wall().unix_ms, Private::unique());
                let place = self.private.uploads().join(&id);
                match self.private.with_parents(&place, || fs::rename(&dir, &place)) {
                    Ok(()) => break Ok(id),
                    // Another machine's process on a shared directory had the same idea.
                    Err(error)
                        if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {}
                    Err(error) => break Err(error),
                }
            }
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&dir);
        }
        Ok(Upload { key: key.to_owned(), id: made?, initiated: Some(initiated) })
    }

    /// Stores a part, over an earlier one of its number.
    pub(super) fn upload_part(&self, upload: &Upload, number: u32, body: &[u8]) -> Result<Part, Failure> {
        let gone = || rules::no_such_upload("s3:UploadPart", self.place(&upload.key), &upload.id);
        let (dir, _) = self.upload(upload)?.ok_or_else(gone)?;
        let mut temp = self.private.temp()?;
        let digest = write_hashed(&mut temp, body, digest::Known::default())?;
        let (name, path) = part_place(&dir, number);
        let lock_name = format!("{}/{name}", upload.id);
        let _lock = self.private.lock(&lock_name)?;
        let mut kept = vec![Draft::whole(&digest, &Attributes::default()).in_file(self.private.stamp(&temp.file)?)];
        if let Some((_, old)) = part(&dir, number, Hashing::No)? {
            kept.push(old);
        }
        // Once the upload is gone, nothing may make its directory again.
        let stored = versions::save_in_place(&self.private, &sidecar(&path), &name, kept)
            .and_then(|()| temp.move_to_path(&path));
        match stored {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(gone().into()),
            stored => {
                stored?;
                Ok(Part { number, etag: digest.etag(), checksum: Some(digest.checksum()) })
            }
        }
    }

    /// Makes the parts the object, if the condition holds.
    pub(super) fn upload_complete(
        &self,
        upload: &Upload,
        parts: &[Part],
        condition: &Condition,
    ) -> Result<Outcome<ETag>, Failure> {
        let no_such_upload = Ok(Outcome::Rejected(Rejection::NoSuchUpload));
        let Some((dir, plan)) = self.upload(upload)? else { return no_such_upload };
        let mut stored = BTreeMap::new();
        for wanted in parts {
            if let Some((file, version)) = part(&dir, wanted.number, Hashing::Yes)? {
                stored.insert(wanted.number, (file, version));
            }
        }
        let digest_of = |number| stored.get(&number).and_then(|(_, version): &(File, Version)| version.digest());
        let digests = match rules::check_parts(|| self.place(&upload.key), parts, rules::PART_MIN_BYTES, digest_of) {
            Ok(digests) => digests,
            // Parts may be missing because the upload was completed or aborted meanwhile.
            Err(_) if self.upload(upload)?.is_none() => return no_such_upload,
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = self.fails_already(&upload.key, condition)? {
            return Ok(Outcome::Rejected(why));
        }
        let files = parts.iter().filter_map(|part| stored.remove(&part.number)).map(|(file, _)| file).collect();
        let mut temp = self.assemble(&dir, parts, files, &digests)?;
        let (etag, crc32) = digest::of_parts(&digests);
        let Plan { content_type, metadata, .. } = plan;
        let draft = Draft { etag, crc32, content_type, metadata };
        // Under one lock with the abort: what was aborted before this is not completed, nor completed twice.
        let lock = self.lock(&upload.key)?;
        if !fs::exists(dir.join(PLAN))? {
            return no_such_upload;
        }
        let outcome = self.commit(&lock, &upload.key, &mut temp, draft, condition)?;
        if matches!(outcome, Outcome::Applied(_)) {
            let buried = self.bury(&dir);
            drop(lock);
            // The object stands: an upload that cannot be removed now is an abort's to remove.
            if let Err(error) = buried.and_then(fs::remove_dir_all) {
                tracing::debug!(upload = upload.id, %error, "a completed upload could not be removed");
            }
        }
        Ok(outcome)
    }

    /// Drops the upload.
    pub(super) fn upload_abort(&self, upload: &Upload) -> Result<(), Failure> {
        if self.upload(upload)?.is_none() {
            return Ok(());
        }
        let lock = self.lock(&upload.key)?;
        let Some((dir, _)) = self.upload(upload)? else { return Ok(()) };
        let grave = self.bury(&dir)?;
        drop(lock);
        Ok(fs::remove_dir_all(grave)?)
    }

    /// The uploads under way, in the order of their keys.
    pub(super) fn uploads(&self, prefix: &str) -> Result<Vec<Upload>, Failure> {
        self.tree.root()?;
        let entries = match fs::read_dir(self.private.uploads()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut uploads = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            let Some(plan) = read_plan(&entry.path())? else { continue };
            if plan.key.starts_with(prefix) {
                uploads.push(Upload { key: plan.key, id, initiated: Some(plan.initiated) });
            }
        }
        uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(uploads)
    }

    /// The upload's directory and plan, if it is under way.
    fn upload(&self, upload: &Upload) -> Result<Option<(PathBuf, Plan)>, Failure> {
        self.tree.root()?;
        // An id comes from outside: it must not lead out of the directory.
        let sound = !upload.id.is_empty() && upload.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !sound {
            return Ok(None);
        }
        let dir = self.private.uploads().join(&upload.id);
        Ok(read_plan(&dir)?.filter(|plan| plan.key == upload.key).map(|plan| (dir, plan)))
    }

    /// One file of all parts. A single part gets a second name instead of a copy, so that it stays part of the upload
    /// if the condition fails.
    fn assemble(&self, dir: &Path, parts: &[Part], files: Vec<File>, digests: &[Digest]) -> Result<Temp, Failure> {
        if let [only] = parts {
            let linked = self.private.temp_link(&part_place(dir, only.number).1);
            if let Ok(temp) = linked {
                // A part that was sent again since is another file, and not the one that was checked.
                if Identity::of(&rustix::fs::fstat(&temp.file)?) == Identity::of(&rustix::fs::fstat(&files[0])?) {
                    return Ok(temp);
                }
            }
        }
        let mut temp = self.private.temp()?;
        let mut copied = 0;
        for mut file in files {
            copied += io::copy(&mut file, &mut temp.file)?;
        }
        if copied != digests.iter().map(|digest| digest.size).sum::<u64>() {
            let cut_short = io::Error::new(io::ErrorKind::UnexpectedEof, "a part was changed by hand");
            return Err(cut_short.into());
        }
        Ok(temp)
    }

    /// The upload is gone in one step; its files are left to be removed.
    fn bury(&self, dir: &Path) -> io::Result<PathBuf> {
        let grave = self.private.temp_dir()?;
        match fs::rename(dir, &grave) {
            Ok(()) => Ok(grave),
            Err(error) => {
                let _ = fs::remove_dir(&grave);
                Err(error)
            }
        }
    }
}

fn read_plan(dir: &Path) -> io::Result<Option<Plan>> {
    match fs::read(dir.join(PLAN)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn part_place(dir: &Path, number: u32) -> (String, PathBuf) {
    let name = format!("{number:05}");
    let path = dir.join(&name);
    (name, path)
}

fn sidecar(part: &Path) -> PathBuf {
    part.with_extension("json")
}

/// Whether a part that no sidecar knows is to be hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashing {
    Yes,
    No,
}

/// The part's file, open, and its version.
fn part(dir: &Path, number: u32, hashing: Hashing) -> io::Result<Option<(File, Version)>> {
    let (name, path) = part_place(dir, number);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let identity = Identity::of(&rustix::fs::fstat(&file)?);
    if let Some(version) = versions::find(&sidecar(&path), &name, &identity)? {
        return Ok(Some((file, version)));
    }
    if hashing == Hashing::No {
        return Ok(None);
    }
    // Its time was changed when it became the object of a completion that then died: its content is what counts.
    let digest = versions::hash(&mut file)?;
    io::Seek::rewind(&mut file)?;
    Ok(Some((file, Draft::whole(&digest, &Attributes::default()).in_file(identity))))
}
