//! The folders of one task's program.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;

use crate::processor::{Failure, Scratch, on_disk};
use crate::supervisor::User;

/// So long the next task waits for the disk to be empty: a gigabyte is gone in a blink, tens of thousands of files on a disk
/// that discards each at once are not.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

/// The folders of one task's program, and beside them what is the agent's alone. Removed when the last who is at work in them
/// drops them.
#[derive(Clone)]
pub struct Room {
    scratch: Arc<Scratch>,
    user: Option<User>,
}

impl Room {
    /// Makes the folders.
    ///
    /// # Errors
    /// When they cannot be made: no task would fare better on this machine.
    pub fn make(scratch: Scratch, user: Option<User>) -> Result<Self, Failure> {
        let room = Self { scratch: Arc::new(scratch), user };
        let made = room.make_folders();
        made.map_err(|e| on_disk(&format!("{} cannot be made ready", room.scratch.path().display()), &e))?;
        Ok(room)
    }

    fn make_folders(&self) -> io::Result<()> {
        // Others may pass through, and see nothing of what is the agent's.
        fs::set_permissions(self.scratch.path(), fs::Permissions::from_mode(0o711))?;
        for folder in
            [self.input_dir(), self.output_dir(), self.work_dir(), self.temporary_dir(), self.checkpoint_dir()]
        {
            self.make_folder(&folder)?;
        }
        Ok(())
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        self.hand_over(folder)
    }

    /// Removes them, and comes back with what came of the task when they are gone, or before where that takes long. What is
    /// still at work in them takes them along later; and a chunk that is to be given back in time does not wait.
    pub async fn leave(self, done: Result<(), Failure>, clock: &dyn Clock) -> Result<(), Failure> {
        if let (Some(scratch), true) = (Arc::into_inner(self.scratch), done != Err(Failure::Stopped)) {
            tokio::select! {
                () = scratch.remove() => {}
                () = clock.sleep(REMOVAL_PATIENCE) => {}
            }
        }
        done
    }

    /// Makes the checkpoint folder anew, empty.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn empty_checkpoint(&self) -> io::Result<()> {
        // What is in it may not let itself be removed before the rest goes.
        let spoilt = self.at("spoilt");
        fs::rename(self.checkpoint_dir(), &spoilt)?;
        let _ = fs::remove_dir_all(&spoilt);
        self.make_folder(&self.checkpoint_dir())
    }

    /// Gives a file or folder to who runs the program.
    ///
    /// # Errors
    /// When the agent has not the right to.
    pub fn hand_over(&self, path: &Path) -> io::Result<()> {
        match self.user {
            Some(User { uid, gid }) => lchown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Holds the input's file and nothing else.
    pub fn input_dir(&self) -> PathBuf {
        self.at("in")
    }

    /// To be filled.
    pub fn output_dir(&self) -> PathBuf {
        self.at("out")
    }

    /// Where the program starts.
    pub fn work_dir(&self) -> PathBuf {
        self.at("work")
    }

    /// For temporary files.
    pub fn temporary_dir(&self) -> PathBuf {
        self.at("tmp")
    }

    /// What the next attempt is to find.
    pub fn checkpoint_dir(&self) -> PathBuf {
        self.at("checkpoint")
    }

    /// The agent's: what the program writes.
    pub fn log(&self) -> PathBuf {
        self.at("log")
    }

    /// The agent's: what became of the program.
    pub fn report(&self) -> PathBuf {
        self.at("report.json")
    }

    /// The agent's: what became of the container.
    pub fn closed(&self) -> PathBuf {
        self.at("container.json")
    }

    /// The agent's: a place for archives.
    pub fn archive(&self) -> PathBuf {
        self.at("archive")
    }

    /// The agent's: the program's standard output, where that is the task's output.
    pub fn stdout(&self) -> PathBuf {
        self.at("stdout")
    }

    /// What it holds, in bytes of the disk.
    pub fn size(&self) -> u64 {
        size_of(self.scratch.path())
    }

    /// The folders of all tasks of the agents that work in `work_dir`.
    pub fn all(work_dir: &Path) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(work_dir).into_iter().flatten().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(Scratch::PREFIX)).map(|e| e.path())
    }
}

/// What a folder holds, in bytes of the disk.
pub fn size_of(folder: &Path) -> u64 {
    /// The unit of `st_blocks` (stat(2)).
    const BLOCK: u64 = 512;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, meta)| if meta.is_dir() { size_of(&path) } else { meta.blocks() * BLOCK })
        .sum()
}

/// Lets everybody read what is below `folder`, whatever the agent's umask is; links stay as they are.
///
/// # Errors
/// The first that cannot be changed.
pub fn open_to_read(folder: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(folder)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let own = meta.permissions().mode();
    // Who may run it, as the owner may.
    let more = if own & 0o100 != 0 { 0o055 } else { 0o044 };
    fs::set_permissions(folder, fs::Permissions::from_mode(own | more))?;
    if meta.is_dir() {
        for entry in fs::read_dir(folder)? {
            open_to_read(&entry?.path())?;
        }
    }
    Ok(())
}
