//! What a stopped attempt leaves for the next: one archive in the store, so that it is never half of one and half of
//! another.

use std::fs;

use super::Room;
use crate::processor::{Failure, TaskIo, archive};

/// Fills the checkpoint folder with what the attempt before left, if it left something.
///
/// # Errors
/// A store that refuses; an archive that cannot be unpacked is left alone and said.
pub async fn restore(task: &TaskIo, room: &Room) -> Result<(), Failure> {
    let packed = room.archive();
    if !task.fetch_checkpoint(&packed).await? {
        return Ok(());
    }
    let folder = room.checkpoint_dir();
    if let Err(error) = archive::unpack_each(&packed, &folder, |path| room.hand_over(path)) {
        tracing::warn!(task = %task.task.id, %error, "the checkpoint cannot be unpacked; the task begins anew");
    }
    let _ = fs::remove_file(&packed);
    Ok(())
}

/// Puts what the program left in its checkpoint folder, if it left something there.
///
/// # Errors
/// What stood in the way: the task begins anew then.
pub async fn save(task: &TaskIo, room: &Room) -> Result<bool, Failure> {
    let (packed, folder) = (room.archive(), room.checkpoint_dir());
    let broken = |e: std::io::Error| Failure::Interrupted(format!("the checkpoint cannot be packed: {e}"));
    if fs::read_dir(&folder).map_err(broken)?.next().is_none() {
        return Ok(false);
    }
    archive::pack(&folder, &packed).map_err(broken)?;
    task.put_checkpoint(&packed).await?;
    Ok(true)
}
