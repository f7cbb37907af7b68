//! Randomness as a port: nonces, jitter and the order in which chunks are tried. Seeded in the simulator, the
//! operating system's everywhere else.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::ids::Nonce;

/// Where random numbers come from.
pub trait Dice: Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;

    /// A number below `bound`; 0 if `bound` is 0. (The bias of a plain remainder does not matter at these sizes.)
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A nonce: unique for all practical purposes.
    fn nonce(&self) -> Nonce {
        Nonce(self.next_u64())
    }

    /// A duration drawn evenly from zero to `most`.
    fn up_to(&self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX).saturating_add(1)))
    }
}

/// A generator behind a lock: from the operating system's entropy, or from a seed.
pub struct StdDice(Mutex<StdRng>);

impl StdDice {
    /// Seeded by the kernel, by getrandom(2) itself: an image, or a container, need not have a `/dev/urandom`.
    ///
    /// # Panics
    /// On a kernel without that call (Linux before 3.17).
    pub fn from_os() -> Self {
        let mut seed = [0; 32];
        let mut filled = 0;
        while filled < seed.len() {
            match rustix::rand::getrandom(&mut seed[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(more) => filled += more,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the kernel gives no random numbers: {error}"),
            }
        }
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// The sequence that belongs to `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Dice for StdDice {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next_u64()
    }
}
