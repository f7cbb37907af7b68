//! The part of the bucket that the claim protocol lives on, with S3's conditions: semaphores, results, outputs and seats.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfly_shared::claim::{Board, Coverage, Reply};
use dayfly_shared::ids::ChunkId;
use dayfly_shared::records::{LeaseState, Semaphore};
use dayfly_shared::store::{Condition, ETag};

use super::Micros;

/// Keys in one page of a listing.
const PAGE: usize = 1000;

/// A semaphore that stands.
struct Held {
    record: Box<Semaphore>,
    version: u64,
    modified: Micros,
}

/// A standby seat that is taken.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    pub version: u64,
    pub modified: Micros,
}

/// What stands.
pub struct Bucket {
    semaphores: BTreeMap<u32, Held>,
    /// A bit for each chunk, from chunk 1.
    results: Vec<u64>,
    closed: u32,
    chunks: u32,
    /// A bit for each task, from line 1.
    outputs: Vec<u64>,
    pub seats: Vec<Option<Seat>>,
    versions: u64,
}

fn bit(bits: &[u64], n: u32) -> bool {
    bits[n as usize / 64] >> (n % 64) & 1 == 1
}

fn tag(version: u64) -> ETag {
    ETag::new(&format!("{version:x}"))
}

/// `Date` less `LastModified`, of whole seconds both.
fn age(now: Micros, modified: Micros) -> Duration {
    Duration::from_secs(now / 1_000_000 - modified / 1_000_000)
}

impl Bucket {
    pub fn new(chunks: u32, tasks: u32) -> Self {
        Self {
            semaphores: BTreeMap::new(),
            results: vec![0; chunks as usize / 64 + 1],
            closed: 0,
            chunks,
            outputs: vec![0; tasks as usize / 64 + 1],
            seats: Vec::new(),
            versions: 0,
        }
    }

    pub fn version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    pub fn all_closed(&self) -> bool {
        self.closed == self.chunks
    }

    pub fn closed(&self) -> u32 {
        self.closed
    }

    pub fn held(&self) -> usize {
        self.semaphores.len()
    }

    pub fn put_semaphore(&mut self, index: u32, record: Box<Semaphore>, condition: &Condition, now: Micros) -> Reply {
        match (condition, self.semaphores.get(&index)) {
            (Condition::Create, Some(_)) => return Reply::Rejected,
            (Condition::Update(_), None) => return Reply::Missing,
            (Condition::Update(etag), Some(held)) if *etag != tag(held.version) => return Reply::Rejected,
            _ => {}
        }
        let version = self.version();
        self.semaphores.insert(index, Held { record, version, modified: now });
        Reply::Applied(tag(version))
    }

    pub fn delete_semaphore(&mut self, index: u32, etag: &ETag) -> Reply {
        match self.semaphores.get(&index) {
            None => Reply::Missing,
            Some(held) if *etag != tag(held.version) => Reply::Rejected,
            Some(_) => {
                self.semaphores.remove(&index);
                Reply::Applied(etag.clone())
            }
        }
    }

    pub fn semaphore(&self, index: u32, now: Micros) -> Option<(Semaphore, ETag, Option<Duration>)> {
        let held = self.semaphores.get(&index)?;
        Some(((*held.record).clone(), tag(held.version), Some(age(now, held.modified))))
    }

    pub fn has_result(&self, index: u32) -> bool {
        bit(&self.results, index - 1)
    }

    /// Whether it was new.
    pub fn put_result(&mut self, index: u32) -> bool {
        let new = !self.has_result(index);
        if new {
            self.results[(index - 1) as usize / 64] |= 1 << ((index - 1) % 64);
            self.closed += 1;
        }
        new
    }

    /// Deletes the semaphores whose result stands; how many.
    pub fn sweep(&mut self) -> usize {
        let before = self.semaphores.len();
        let results = &self.results;
        self.semaphores.retain(|index, _| !bit(results, index - 1));
        before - self.semaphores.len()
    }

    pub fn has_output(&self, line: u32) -> bool {
        bit(&self.outputs, line - 1)
    }

    /// Whether it was new.
    pub fn put_output(&mut self, line: u32) -> bool {
        let new = !self.has_output(line);
        self.outputs[(line - 1) as usize / 64] |= 1 << ((line - 1) % 64);
        new
    }

    /// The pair of pages of `dayfly_shared::bucket::JobBucket::coverage`.
    pub fn coverage(&self, from: ChunkId, now: Micros) -> Coverage {
        let chunk = |index| ChunkId { segment: 1, index };
        let mut results: Vec<ChunkId> = self.closed_from(from.index).take(PAGE + 1).map(chunk).collect();
        let mut semaphores: Vec<_> = self
            .semaphores
            .range(from.index..)
            .take(PAGE + 1)
            .map(|(index, held)| {
                // The size of the body says so in a listing: odd once released.
                let released = Board::released_hint(u64::from(held.record.state == LeaseState::Released));
                (chunk(*index), tag(held.version), Some(age(now, held.modified)), released)
            })
            .collect();
        let more = (results.len() > PAGE, semaphores.len() > PAGE);
        results.truncate(PAGE);
        semaphores.truncate(PAGE);
        let ends = [results.last().copied().filter(|_| more.0), semaphores.last().map(|s| s.0).filter(|_| more.1)];
        Coverage { from: Some(from), to: ends.into_iter().flatten().min(), results, semaphores }
    }

    /// The chunks from `index` on whose result stands.
    fn closed_from(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        let mut word = (index - 1) as usize / 64;
        let mut bits = self.results[word] & (u64::MAX << ((index - 1) % 64));
        std::iter::from_fn(move || {
            while bits == 0 {
                word += 1;
                bits = *self.results.get(word)?;
            }
            let place = bits.trailing_zeros();
            bits &= bits - 1;
            Some(u32::try_from(word).unwrap_or(u32::MAX) * 64 + place + 1)
        })
    }
}
