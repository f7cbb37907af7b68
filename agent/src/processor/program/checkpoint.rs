//! What a stopped attempt leaves for the next: one archive in the store, so that it is never half of one and half of
//! another.

use std::fs::{self, File};
use std::path::Path;

use super::Room;
use crate::processor::{Failure, TaskIo};

/// Fills the checkpoint folder with what the attempt before left, if it left something.
///
/// # Errors
/// A store that refuses; an archive that cannot be unpacked is left alone and said.
pub async fn restore(task: &TaskIo, room: &Room) -> Result<(), Failure> {
    let archive = room.archive();
    if !task.fetch_checkpoint(&archive).await? {
        return Ok(());
    }
    let folder = room.checkpoint_dir();
    if let Err(error) = unpack(&archive, &folder, room) {
        tracing::warn!(task = %task.task.id, %error, "the checkpoint cannot be unpacked; the task begins anew");
    }
    let _ = fs::remove_file(&archive);
    Ok(())
}

/// Puts what the program left in its checkpoint folder, if it left something there.
///
/// # Errors
/// What stood in the way: the task begins anew then.
pub async fn save(task: &TaskIo, room: &Room) -> Result<bool, Failure> {
    let (archive, folder) = (room.archive(), room.checkpoint_dir());
    let broken = |e: std::io::Error| Failure::Interrupted(format!("the checkpoint cannot be packed: {e}"));
    if fs::read_dir(&folder).map_err(broken)?.next().is_none() {
        return Ok(false);
    }
    pack(&folder, &archive).map_err(broken)?;
    task.put_checkpoint(&archive).await?;
    Ok(true)
}

fn pack(folder: &Path, archive: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(File::create(archive)?);
    // What a link leads to may not be the task's to give away.
    tar.follow_symlinks(false);
    tar.append_dir_all(".", folder)?;
    tar.into_inner()?.sync_all()
}

fn unpack(archive: &Path, folder: &Path, room: &Room) -> std::io::Result<()> {
    // The library keeps every entry below the folder.
    let mut tar = tar::Archive::new(File::open(archive)?);
    tar.set_preserve_ownerships(false);
    for entry in tar.entries()? {
        let mut entry = entry?;
        entry.unpack_in(folder)?;
        room.hand_over(&folder.join(entry.path()?))?;
    }
    Ok(())
}
