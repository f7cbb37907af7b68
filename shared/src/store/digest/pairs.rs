//! Large bodies are hashed two by two, whichever two are there: on one core that takes little longer than one of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dayfly_digest::{Md5, update_both};
use tokio::sync::oneshot;

/// After so many bytes of each, who has room looks for another body: some 100 µs.
const STEP_BYTES: usize = 64 << 10;

/// Bodies at once on one thread: as many as `update_both` takes.
const LANES: usize = 2;

/// A body, how much of it has been hashed, and who waits for the digest.
struct Body {
    bytes: Bytes,
    md5: Md5,
    waits: oneshot::Sender<[u8; 16]>,
}

/// The bodies of this process that nobody hashes yet.
struct Queue {
    bodies: VecDeque<Body>,
    /// Bodies in the queue or being hashed.
    begun: usize,
    /// How many those at work can hash.
    room: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { bodies: VecDeque::new(), begun: 0, room: 0 });

/// The MD5 of a body, computed on a thread where one may block, beside another's body if there is one.
///
/// # Errors
/// When the runtime is shutting down.
pub async fn md5(bytes: Bytes) -> io::Result<[u8; 16]> {
    let (waits, digest) = oneshot::channel();
    if let Some(hasher) = queue(Body { bytes, md5: Md5::default(), waits }) {
        tokio::task::spawn_blocking(move || hasher.work());
    }
    digest.await.map_err(io::Error::other)
}

/// Puts a body into the queue; gives back who is to be set to work on it, if all others have their hands full.
fn queue(body: Body) -> Option<Hasher> {
    let mut queue = lock();
    queue.bodies.push_back(body);
    queue.begun += 1;
    (queue.begun > queue.room).then(|| {
        queue.room += LANES;
        Hasher { lanes: [None, None], hired: true }
    })
}

/// Who hashes, on a thread of its own.
struct Hasher {
    lanes: [Option<Body>; LANES],
    /// Its lanes are counted as room.
    hired: bool,
}

impl Hasher {
    /// Hashes what there is, and ends when there is nothing.
    fn work(mut self) {
        while self.refill() {
            match &mut self.lanes {
                [Some(one), Some(two)] => {
                    let now = STEP_BYTES.min(one.bytes.len()).min(two.bytes.len());
                    let pieces = [one.bytes.split_to(now), two.bytes.split_to(now)];
                    update_both([&mut one.md5, &mut two.md5], [&pieces[0], &pieces[1]]);
                }
                [Some(body), None] | [None, Some(body)] => {
                    let now = STEP_BYTES.min(body.bytes.len());
                    body.md5.update(&body.bytes.split_to(now));
                }
                [None, None] => {}
            }
            for lane in &mut self.lanes {
                if let Some(body) = lane.take_if(|body| body.bytes.is_empty()) {
                    // Whoever waited may have gone.
                    let _ = body.waits.send(body.md5.finish());
                    lock().begun -= 1;
                }
            }
        }
    }

    /// Fills free lanes from the queue. False if nothing is left to do: then, under the same lock, the room is given up, so that
    /// who comes next finds another.
    fn refill(&mut self) -> bool {
        if self.lanes.iter().all(Option::is_some) {
            return true;
        }
        let mut queue = lock();
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_none()) {
            *lane = queue.bodies.pop_front();
        }
        if self.lanes.iter().any(Option::is_some) {
            return true;
        }
        queue.room -= LANES;
        self.hired = false;
        false
    }
}

impl Drop for Hasher {
    /// Never set to work, as the runtime was shutting down: what it was hired for is the next one's.
    fn drop(&mut self) {
        if self.hired {
            let mut queue = lock();
            queue.room -= LANES;
            queue.begun -= self.lanes.iter().flatten().count();
        }
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hasher_that_never_worked_leaves_its_body_to_the_next() {
        let body = Bytes::from_static(b"left behind");
        let (waits, mut digest) = oneshot::channel();
        drop(queue(Body { bytes: body.clone(), md5: Md5::default(), waits }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let other = Bytes::from_static(b"another");
        assert_eq!(runtime.block_on(md5(other.clone())).unwrap(), Md5::of(&other));
        drop(runtime);
        assert_eq!(digest.try_recv().unwrap(), Md5::of(&body));
    }

    #[tokio::test]
    async fn bodies_of_every_length_that_come_together_keep_their_own_digests() {
        let bodies: Vec<Bytes> = (0..40).map(|n: u8| Bytes::from(vec![n; usize::from(n) * 7_919])).collect();
        let digests = futures::future::join_all(bodies.iter().cloned().map(md5)).await;
        for (body, digest) in bodies.iter().zip(digests) {
            assert_eq!(digest.unwrap(), Md5::of(body), "{} bytes", body.len());
        }
    }
}
