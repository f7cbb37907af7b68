//! Pieces of states, shared between the millions of states that hold equal ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Mixes what is hashed by multiplication to 128 bits, folded. The same in every run, so that figures can be compared.
#[derive(Clone)]
pub struct Mixer(u64);

/// Fractional bits of the square roots of 2 and 3, made odd: no pattern of their own.
const FACTORS: (u64, u64) = (0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b);

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

impl Default for Mixer {
    fn default() -> Self {
        Self(FACTORS.1)
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            self.write_u64(word.iter().fold(0, |w, b| w << 8 | u64::from(*b)));
        }
        let rest = words.remainder();
        self.write_u64(rest.iter().fold(rest.len() as u64, |w, b| w << 8 | u64::from(*b)));
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = fold(self.0.rotate_left(23) ^ n, FACTORS.0).wrapping_add(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        fold(self.0 ^ FACTORS.1, FACTORS.0)
    }
}

/// For tables whose keys are fingerprints already.
#[derive(Clone, Copy, Default)]
pub struct AsIs;

/// Hands a fingerprint through.
#[derive(Clone, Copy, Default)]
pub struct HandThrough(u64);

impl Hasher for HandThrough {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for AsIs {
    type Hasher = HandThrough;
    fn build_hasher(&self) -> HandThrough {
        HandThrough::default()
    }
}

/// The fingerprint of a value: two values that share one are taken for the same. Among 50 million states the chance that
/// any two do is below 1 in 10,000.
pub fn fingerprint<T: Hash>(value: &T) -> u64 {
    let mut mixer = Mixer::default();
    value.hash(&mut mixer);
    mixer.finish()
}

/// A value with its fingerprint, shared.
#[derive(Debug)]
pub struct Shared<T>(Arc<(u64, T)>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Hash> Shared<T> {
    /// Outside any pool.
    pub fn new(value: T) -> Self {
        Self(Arc::new((fingerprint(&value), value)))
    }
}

impl<T> Shared<T> {
    /// The value's fingerprint.
    pub fn print(&self) -> u64 {
        self.0.0
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.print() == other.print()
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.print());
    }
}

/// So many locks that two threads seldom meet at one.
const SHELVES: usize = 64;

type Shelf<T> = Mutex<HashMap<u64, Shared<T>, AsIs>>;

/// Keeps one of each value.
#[derive(Debug)]
pub struct Pool<T>(Vec<Shelf<T>>);

impl std::fmt::Debug for AsIs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsIs")
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self((0..SHELVES).map(|_| Mutex::default()).collect())
    }
}

impl<T: Hash> Pool<T> {
    /// The one that is equal to `value`.
    pub fn keep(&self, value: T) -> Shared<T> {
        let print = fingerprint(&value);
        let shelf = &self.0[usize::try_from(print % SHELVES as u64).unwrap_or(0)];
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.entry(print).or_insert_with(|| Shared(Arc::new((print, value)))).clone()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|shelf| shelf.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}
