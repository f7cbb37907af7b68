//! Work on the disk that takes its time, done on a thread of its own: the task that waits for it is the one that renews its
//! lease.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether somebody still waits for the work.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    gone: Arc<AtomicBool>,
}

impl Wanted {
    /// # Errors
    /// That nobody waits any more.
    pub fn check(&self) -> io::Result<()> {
        match self.gone.load(Relaxed) {
            true => Err(io::Error::other("nobody waits for it any more")),
            false => Ok(()),
        }
    }
}

/// Whoever waits; says so when dropped.
struct Waiter(Wanted);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.gone.store(true, Relaxed);
    }
}

/// Does the work, while all else goes on. Dropped, it asks the work to end, which may take until it looks at [`Wanted`]: what
/// the work is on has to be its own until then.
///
/// # Errors
/// The work's own; that it panicked, or that the agent ends.
pub async fn run<T: Send + 'static>(work: impl FnOnce(&Wanted) -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let wanted = Wanted::default();
    let _waiter = Waiter(wanted.clone());
    tokio::task::spawn_blocking(move || work(&wanted)).await.map_err(io::Error::other)?
}

/// Bytes that go their way as long as somebody waits for them.
pub struct Watched<T> {
    inner: T,
    wanted: Wanted,
}

impl<T> Watched<T> {
    /// These bytes.
    pub fn new(inner: T, wanted: &Wanted) -> Self {
        Self { inner, wanted: wanted.clone() }
    }

    /// What is watched.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.wanted.check()?;
        self.inner.read(to)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.wanted.check()?;
        self.inner.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;

    /// In one thread, the work could not wait for what comes after it.
    #[tokio::test]
    async fn all_else_goes_on() {
        let (go, wait) = mpsc::channel();
        let work = run(move |_| wait.recv().map_err(io::Error::other));
        let (done, ()) = futures::join!(work, async { go.send(7).unwrap() });
        assert_eq!(done.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends() {
        let (done, ended) = mpsc::channel();
        let work = run(move |wanted| {
            let copied = io::copy(&mut Watched::new(io::repeat(0), wanted), &mut io::sink());
            done.send(copied.is_err()).map_err(io::Error::other)
        });
        assert!(work.now_or_never().is_none(), "it would not end by itself");
        assert!(tokio::task::spawn_blocking(move || ended.recv().unwrap()).await.unwrap());
    }
}
