//! A folder of a task's own.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::errand;

/// A folder of a task's own, removed when dropped: on a thread beside, as its files may be many. It bears its attempt's name,
/// which no other ever has, so that a late removal takes nobody else's.
pub struct Scratch {
    path: PathBuf,
    removal: Option<Removal>,
}

/// Removes a folder when dropped; so also where the agent's end comes before its turn.
struct Removal(PathBuf);

impl Drop for Removal {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a scratch folder could not be removed");
        }
    }
}

impl Scratch {
    /// What their names begin with.
    pub const PREFIX: &str = "scratch-";

    /// Makes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(path: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self { removal: Some(Removal(path.clone())), path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and comes back when it is gone: the next task is to find the disk empty.
    pub async fn remove(mut self) {
        let removal = self.removal.take();
        let gone = errand::run(move |_| {
            drop(removal);
            Ok(())
        });
        if let Err(error) = gone.await {
            tracing::debug!(folder = %self.path.display(), %error, "removing a scratch folder");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let (Some(removal), Ok(runtime)) = (self.removal.take(), Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(removal)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn filled(folder: &Path) -> Scratch {
        let scratch = Scratch::make(folder.join("scratch-1")).unwrap();
        std::fs::write(scratch.path().join("file"), "x").unwrap();
        scratch
    }

    #[tokio::test]
    async fn it_is_gone_when_it_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = filled(dir.path());
        scratch.remove().await;
        assert!(!dir.path().join("scratch-1").exists());
    }

    /// The only thread for such work is busy: who drops it does not wait, and the end of all, which comes before its turn,
    /// leaves nothing.
    #[test]
    fn who_drops_it_does_not_wait_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        runtime.block_on(async {
            let busy = tokio::task::spawn_blocking(move || wait.recv());
            drop(filled(dir.path()));
            assert!(dir.path().join("scratch-1/file").exists());
            drop(busy);
        });
        let end = std::thread::spawn(move || drop(runtime));
        go.send(()).unwrap();
        end.join().unwrap();
        assert!(!dir.path().join("scratch-1").exists());
        drop(filled(dir.path()));
        assert!(!dir.path().join("scratch-1").exists(), "also where there is no runtime");
    }
}
