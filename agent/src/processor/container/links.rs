//! What a container finds beside its output: in `/data` every file has a link to where it really is, read-only. A link and
//! no mount, as its name may be anything; and taken away before anybody looks at what was left there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::processor::program::Room;
use crate::processor::{Failure, on_disk_by_name};

/// The links in a task's output folder: where they are, and where they lead in the container.
#[derive(Default)]
pub struct Links(Vec<(PathBuf, PathBuf)>);

impl Links {
    /// Makes one, unless something else has its name, or that of a folder above it: an input that is called so was first.
    ///
    /// # Errors
    /// When it cannot be made: no task would fare better on this machine.
    pub fn make(&mut self, room: &Room, name: &str, inside: &str) -> Result<(), Failure> {
        let path = room.output_dir().join(name);
        let above = || path.ancestors().take_while(|above| *above != room.output_dir());
        if above().any(|above| fs::symlink_metadata(above).is_ok_and(|meta| !meta.is_dir())) {
            return Ok(());
        }
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(inside, &path));
        let handed = made.and_then(|()| above().try_for_each(|path| room.hand_over(path)));
        handed.map_err(|e| on_disk_by_name(&format!("{} cannot be made", path.display()), &e))?;
        self.0.push((path, PathBuf::from(inside)));
        Ok(())
    }

    /// Removes those that still are what they were: what the program put in their place is its output.
    pub fn remove(&self, room: &Room) {
        for (path, inside) in &self.0 {
            if fs::read_link(path).is_ok_and(|to| to == *inside) {
                let _ = fs::remove_file(path);
            }
            // Folders that were made for them; one that holds anything stays.
            let above = path.ancestors().skip(1).take_while(|above| *above != room.output_dir());
            above.for_each(|above: &Path| drop(fs::remove_dir(above)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Scratch;

    /// The name of an input may be that of a folder of shared files: that is no reason to stop.
    #[tokio::test]
    async fn an_input_goes_before_a_folder_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::make(Scratch::make(dir.path().join("scratch-1")).unwrap(), None).unwrap();
        let mut links = Links::default();
        for (name, inside) in
            [("x", "/dayfly/in/x"), ("x/y", "/dayfly/files/x/y"), ("x", "/dayfly/files/x"), ("a/b", "/c")]
        {
            links.make(&room, name, inside).unwrap();
        }
        let read = |name: &str| fs::read_link(room.output_dir().join(name)).unwrap();
        assert_eq!((read("x"), read("a/b")), ("/dayfly/in/x".into(), "/c".into()));
        links.remove(&room);
        assert_eq!(fs::read_dir(room.output_dir()).unwrap().count(), 0);
    }
}
