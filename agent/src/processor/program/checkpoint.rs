//! What a stopped attempt leaves for the next: one archive in the store, so that it is never half of one and half of
//! another.

use std::fs;
use std::io;

use super::Room;
use crate::processor::errand::{self, Wanted};
use crate::processor::{Failure, TaskIo, archive, is_full, on_disk};

/// Fills the checkpoint folder with what the attempt before left, if it left something.
///
/// # Errors
/// A store that refuses, a disk that is full. An archive that cannot be unpacked is said, and the folder is empty.
pub async fn restore(task: &TaskIo, room: &Room) -> Result<(), Failure> {
    if !task.fetch_checkpoint(&room.archive()).await? {
        return Ok(());
    }
    // It keeps the folders as long as it is at work in them.
    let (room, id) = (room.clone(), task.task.id);
    errand::run(move |wanted| {
        let unpacked = unpack(wanted, &room)?;
        if let Err(error) = unpacked {
            tracing::warn!(task = %id, %error, "the checkpoint cannot be unpacked; the task begins anew");
        }
        Ok(())
    })
    .await
    .map_err(|e| on_disk("the checkpoint cannot be unpacked", &e))
}

/// Unpacks all of it, or else nothing, and gives the reason.
fn unpack(wanted: &Wanted, room: &Room) -> io::Result<io::Result<()>> {
    let packed = room.archive();
    let unpacked = archive::unpack_while(wanted, &packed, &room.checkpoint_dir(), |path| room.hand_over(path));
    let _ = fs::remove_file(&packed);
    match unpacked {
        // The next attempt may find room for it.
        Err(error) if is_full(&error) => Err(error),
        Err(error) => {
            wanted.check()?;
            room.empty_checkpoint()?;
            Ok(Err(error))
        }
        Ok(()) => Ok(Ok(())),
    }
}

/// Puts what the program left in its checkpoint folder, if it left something there.
///
/// # Errors
/// What stood in the way: the task begins anew then.
pub async fn save(task: &TaskIo, room: &Room) -> Result<bool, Failure> {
    let theirs = room.clone();
    let packed = errand::run(move |wanted| {
        let folder = theirs.checkpoint_dir();
        if fs::read_dir(&folder)?.next().is_none() {
            return Ok(false);
        }
        archive::pack_while(wanted, &folder, &theirs.archive())?;
        Ok(true)
    });
    let packed = packed.await.map_err(|e| Failure::Interrupted(format!("the checkpoint cannot be packed: {e}")))?;
    if packed {
        task.put_checkpoint(&room.archive()).await?;
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::processor::Scratch;

    #[test]
    fn half_a_checkpoint_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::make(Scratch::make(dir.path().join("scratch-1")).unwrap(), None).unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        for name in ["a", "b"] {
            fs::write(from.join(name), [b'x'; 4096]).unwrap();
        }
        let left = || fs::read_dir(room.checkpoint_dir()).unwrap().count();
        for (bytes, whole) in [(None, true), (Some(7000), false)] {
            archive::pack(&from, &room.archive()).unwrap();
            if let Some(bytes) = bytes {
                fs::OpenOptions::new().write(true).open(room.archive()).unwrap().set_len(bytes).unwrap();
            }
            assert_eq!(unpack(&Wanted::default(), &room).unwrap().is_ok(), whole);
            assert_eq!(left(), if whole { 2 } else { 0 });
            assert!(!room.archive().exists(), "it takes no more room");
        }
        let mode = fs::metadata(room.checkpoint_dir()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
