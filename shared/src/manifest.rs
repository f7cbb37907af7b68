//! The manifest of a folder of outputs: the object that commits it.

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, TaskId};

/// `out/<name>/manifest.json`: which files of which attempt are the task's output. It is put create-only, after every file
/// that it names, so a folder is never a mix of two attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub schema: u32,
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The attempt whose files these are; they lie below `out/<name>/<attempt>/`.
    pub attempt: Attempt,
    /// The files, by path.
    pub files: Vec<ManifestFile>,
}

/// A file of a folder of outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path below the folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// CRC-32 (IEEE) of its content, as `crc32:<base64>` of the four bytes, the first the highest.
    pub checksum: String,
}

impl Manifest {
    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
