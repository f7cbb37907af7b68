//! What an agent knows of the chunks, and which one it tries next.
//!
//! The chunks of all segments form a ring. A search starts somewhere on it, looks at a page of listings at a time, and
//! ends when it finds a chunk worth a claim or has been all the way round. Nobody walks the list from the top: at 10,000
//! agents that would be the end of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::ChunkId;
use crate::planted::Defect;
use crate::records::{LeaseState, Semaphore};
use crate::store::ETag;

use super::{Policy, Prior, TenureOver};

/// What is known of a semaphore that somebody else holds or held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// The version seen last; none where only a rejected claim told of it.
    pub etag: Option<ETag>,
    /// Since when, on this agent's clock, it has been this version.
    pub since: Moment,
    /// How old the version was then by the store's own clock (`Date` less `LastModified`, of one answer): the most that any
    /// look since then has shown. Both have whole seconds, so a single look tells up to a second too little or too much.
    pub age: Option<Duration>,
    /// How long such a lease lasts, slack included: from its body once read, else the job's.
    pub expiry: Duration,
    /// Whether the listing hints that it was released (see [`crate::claim::Board::released_hint`]).
    pub released: bool,
    /// The version whose body was read and found held.
    pub read_held: Option<ETag>,
}

/// What two listings, of results and of semaphores, showed of a stretch of the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Coverage {
    /// The first chunk of the stretch.
    pub from: Option<ChunkId>,
    /// The last chunk that both listings cover; none: the last one of the ring.
    pub to: Option<ChunkId>,
    /// Chunks whose result stands.
    pub results: Vec<ChunkId>,
    /// Semaphores: chunk, version, age by the store's clock, and the released hint.
    pub semaphores: Vec<(ChunkId, ETag, Option<Duration>, bool)>,
}

/// The next step of a search.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Candidate {
    /// Claim it by creating its semaphore.
    Open(ChunkId),
    /// Read its semaphore and tell [`Board::on_look`]: it may be released or expired.
    Look(ChunkId),
    /// Take it over.
    Take(ChunkId, Box<Prior>),
    /// List from this chunk on and tell [`Board::on_page`].
    List(ChunkId),
    /// The search has been all the way round.
    None(Verdict),
}

/// What a search found that went all the way round without a free chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Whether every chunk known is closed.
    pub all_closed: bool,
    /// When, at the earliest, a lease seen on the way may expire.
    pub look_again: Option<Moment>,
}

/// What an agent does after a search that found nothing free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idle {
    /// Another of its slots is at work: look again later.
    LookAgain,
    /// Every chunk known is closed: the job is over if a refresh finds nothing new.
    Finish,
    /// Others hold what is left: wait on a standby seat, or end if agents that are alive hold them all.
    StandBy,
}

impl Verdict {
    /// What comes of it for an agent that `works` on a chunk in another slot, or does not. No agent ends but through
    /// [`Idle::Finish`] or [`Idle::StandBy`] (or because it was told to).
    pub fn idle(self, works: bool) -> Idle {
        match (works, self.all_closed) {
            (true, _) => Idle::LookAgain,
            (false, true) => Idle::Finish,
            (false, false) => Idle::StandBy,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Search {
    /// Chunks left to cover before the ring is done; none: no search is under way.
    left: Option<u32>,
    /// Where the next page starts.
    next: u32,
    /// Free when last listed, in no order.
    free: Vec<u32>,
    /// To be read.
    looks: Vec<u32>,
    /// Found released or expired.
    take: Option<(u32, Box<Prior>)>,
    /// Claims lost in a row since the last listing.
    misses: u32,
}

/// What an agent knows of the chunks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Board {
    policy: Policy,
    /// Number of chunks of each segment.
    segments: Vec<u32>,
    /// A bit for each chunk, by its place on the ring.
    closed: Vec<u64>,
    closed_count: u32,
    seen: BTreeMap<ChunkId, Sighting>,
    mine: BTreeSet<ChunkId>,
    search: Search,
}

/// After so many lost claims in a row the listing they were chosen from is too old to go on with.
const MISSES: u32 = 2;

impl Board {
    /// An empty board.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            segments: Vec::new(),
            closed: Vec::new(),
            closed_count: 0,
            seen: BTreeMap::new(),
            mine: BTreeSet::new(),
            search: Search::default(),
        }
    }

    /// Whether a semaphore's size hints that it was released. Bodies are padded so that a held one has an even number of
    /// bytes and a released one an odd number: a listing shows sizes, so one page tells what would take a read a chunk.
    /// It is a hint only; nothing is taken over unread.
    pub fn released_hint(size: u64) -> bool {
        size % 2 == 1 && !Defect::EndWithReleasedLeft.is_planted()
    }

    /// The number of segments known.
    pub fn segments(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX)
    }

    /// The next segment has so many chunks.
    pub fn add_segment(&mut self, chunks: u32) {
        self.segments.push(chunks);
        self.closed.resize((self.total() as usize).div_ceil(64), 0);
        self.search = Search::default();
    }

    /// All chunks known.
    pub fn total(&self) -> u32 {
        self.segments.iter().sum()
    }

    /// Whether every chunk known is closed.
    pub fn all_closed(&self) -> bool {
        self.closed_count == self.total()
    }

    /// How many chunks are known to be closed.
    pub fn closed_count(&self) -> u32 {
        self.closed_count
    }

    fn place(&self, chunk: ChunkId) -> Option<u32> {
        let segment = chunk.segment.checked_sub(1)? as usize;
        let before: u32 = self.segments.get(..segment)?.iter().sum();
        let within = chunk.index.checked_sub(1)?;
        (within < *self.segments.get(segment)?).then_some(before + within)
    }

    fn at(&self, mut place: u32) -> Option<ChunkId> {
        for (segment, chunks) in (1..).zip(&self.segments) {
            if place < *chunks {
                return Some(ChunkId { segment, index: place + 1 });
            }
            place -= chunks;
        }
        None
    }

    /// Whether the chunk is known to be closed.
    pub fn is_closed(&self, chunk: ChunkId) -> bool {
        self.place(chunk).is_some_and(|p| self.bit(p))
    }

    fn bit(&self, place: u32) -> bool {
        self.closed.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// The chunk's result stands.
    pub fn close(&mut self, chunk: ChunkId) {
        let Some(place) = self.place(chunk) else { return };
        if !self.bit(place) {
            self.closed[place as usize / 64] |= 1 << (place % 64);
            self.closed_count += 1;
        }
        self.seen.remove(&chunk);
    }

    /// A slot of this agent begins a tenure of the chunk.
    pub fn begin(&mut self, chunk: ChunkId) {
        self.mine.insert(chunk);
    }

    /// That tenure ended without a close: somebody else has the chunk (`taken`), or it was given back.
    pub fn end(&mut self, chunk: ChunkId, taken: bool, now: Moment) {
        self.mine.remove(&chunk);
        if taken {
            self.search.misses += 1;
            let expiry = self.policy.expiry();
            let unknown = Sighting { etag: None, since: now, age: None, expiry, released: false, read_held: None };
            self.seen.insert(chunk, unknown);
        }
    }

    /// That tenure ended with the chunk closed.
    pub fn end_closed(&mut self, chunk: ChunkId) {
        self.mine.remove(&chunk);
        self.search.misses = 0;
        self.close(chunk);
    }

    /// A tenure of the chunk ended so.
    pub fn settle(&mut self, chunk: ChunkId, over: &TenureOver, now: Moment) {
        match over {
            TenureOver::NotOurs | TenureOver::Lost | TenureOver::Broken(_) => self.end(chunk, true, now),
            TenureOver::Released => self.end(chunk, false, now),
            TenureOver::AlreadyClosed | TenureOver::Closed(_) => self.end_closed(chunk),
        }
    }

    /// Where this agent makes its very first claim: at a place drawn from its id, without a look at the listing.
    pub fn first_choice(&self, draw: u64) -> Option<ChunkId> {
        let total = u64::from(self.total());
        let place = if total == 0 { return None } else { draw % total };
        let chunk = self.at(u32::try_from(place).ok()?)?;
        (!self.is_closed(chunk) && !self.mine.contains(&chunk)).then_some(chunk)
    }

    /// Drops what a search knew: the next one lists anew.
    pub fn forget_search(&mut self) {
        self.search = Search::default();
    }

    /// The next step towards a chunk to claim. `draw` is a random number.
    pub fn next(&mut self, draw: u64, now: Moment) -> Candidate {
        if let Some((place, prior)) = self.search.take.take()
            && let Some(chunk) = self.at(place).filter(|c| self.is_open(*c))
        {
            // Whatever was listed is old by the time this tenure ends: a verdict takes a new round.
            self.search.left = None;
            return Candidate::Take(chunk, prior);
        }
        if self.search.misses < MISSES {
            while !self.search.free.is_empty() {
                let pick = usize::try_from(draw % self.search.free.len() as u64).unwrap_or(0);
                let place = self.search.free.swap_remove(pick);
                if let Some(chunk) = self.at(place).filter(|c| self.is_open(*c) && !self.seen.contains_key(c)) {
                    self.search.left = None;
                    return Candidate::Open(chunk);
                }
            }
        } else {
            self.search = Search::default();
        }
        while let Some(place) = self.search.looks.pop() {
            if let Some(chunk) = self.at(place).filter(|c| self.is_open(*c)) {
                return Candidate::Look(chunk);
            }
        }
        let total = self.total();
        if self.all_closed() {
            self.search = Search::default();
            return Candidate::None(self.verdict(now));
        }
        match self.search.left {
            Some(0) => {
                self.search = Search::default();
                Candidate::None(self.verdict(now))
            }
            Some(_) => self.list_at(self.search.next),
            None => {
                self.search.left = Some(total);
                self.search.next = u32::try_from(draw % u64::from(total.max(1))).unwrap_or(0);
                self.list_at(self.search.next)
            }
        }
    }

    fn list_at(&self, place: u32) -> Candidate {
        match self.at(place) {
            Some(chunk) => Candidate::List(chunk),
            None => Candidate::None(Verdict { all_closed: true, look_again: None }),
        }
    }

    fn is_open(&self, chunk: ChunkId) -> bool {
        !self.is_closed(chunk) && !self.mine.contains(&chunk)
    }

    fn verdict(&self, now: Moment) -> Verdict {
        let expiry = |s: &Sighting| s.since.after(s.expiry.saturating_sub(s.age.unwrap_or_default())).max(now);
        Verdict { all_closed: self.all_closed(), look_again: self.seen.values().map(expiry).min() }
    }

    /// What listings from a chunk on showed.
    pub fn on_page(&mut self, page: &Coverage, now: Moment) {
        for chunk in &page.results {
            self.close(*chunk);
        }
        let Some(from) = page.from.and_then(|c| self.place(c)) else { return };
        let last = self.total().saturating_sub(1);
        let to = page.to.and_then(|c| self.place(c)).unwrap_or(last).clamp(from, last);
        let listed: BTreeMap<ChunkId, &(ChunkId, ETag, Option<Duration>, bool)> =
            page.semaphores.iter().map(|s| (s.0, s)).collect();
        for place in from..=to {
            let Some(chunk) = self.at(place).filter(|c| self.is_open(*c)) else { continue };
            let Some((_, etag, age, released)) = listed.get(&chunk) else {
                self.seen.remove(&chunk);
                self.search.free.push(place);
                continue;
            };
            let sighting = self.sight(chunk, etag.clone(), *age, now);
            sighting.released = *released;
            if worth_a_look(sighting, now) {
                self.search.looks.push(place);
            }
        }
        let total = self.total();
        let covered = to - from + 1;
        self.search.misses = 0;
        self.search.left = Some(self.search.left.unwrap_or(total).saturating_sub(covered));
        self.search.next = if to + 1 >= total { 0 } else { to + 1 };
    }

    fn sight(&mut self, chunk: ChunkId, etag: ETag, age: Option<Duration>, now: Moment) -> &mut Sighting {
        let fresh = Sighting {
            etag: Some(etag.clone()),
            since: now,
            age,
            expiry: self.policy.expiry(),
            released: false,
            read_held: None,
        };
        let sighting = self.seen.entry(chunk).or_insert_with(|| fresh.clone());
        if sighting.etag.as_ref() == Some(&etag) {
            let then = age.map(|age| age.saturating_sub(now.since(sighting.since)));
            sighting.age = sighting.age.max(then);
        } else {
            *sighting = fresh;
        }
        sighting
    }

    /// What a read of the chunk's semaphore showed: its body, its version, its age by the store's clock; or that there
    /// is none any more.
    pub fn on_look(&mut self, chunk: ChunkId, found: Option<(Semaphore, ETag, Option<Duration>)>, now: Moment) {
        let Some(place) = self.place(chunk) else { return };
        let Some((record, etag, age)) = found else {
            self.seen.remove(&chunk);
            if self.is_open(chunk) {
                self.search.free.push(place);
            }
            return;
        };
        let slack = self.policy.slack;
        let sighting = self.sight(chunk, etag.clone(), age, now);
        sighting.expiry = Duration::from_secs(record.ttl_seconds.into()) + slack;
        sighting.released = record.state == LeaseState::Released;
        sighting.read_held = (!sighting.released).then(|| etag.clone());
        if sighting.released || is_expired(sighting, now) {
            self.search.take = Some((place, Box::new(Prior { record, etag })));
        }
    }

    /// The sightings, for tests and for status.
    pub fn sightings(&self) -> &BTreeMap<ChunkId, Sighting> {
        &self.seen
    }
}

/// Expired: as old as it was when first seen, by the store's clock, and for as long as this agent has seen it since, by its
/// own.
fn is_expired(sighting: &Sighting, now: Moment) -> bool {
    if Defect::NoExpiry.is_planted() {
        return false;
    }
    now.since(sighting.since) + sighting.age.unwrap_or_default() > sighting.expiry
}

fn worth_a_look(sighting: &Sighting, now: Moment) -> bool {
    let known_held = sighting.read_held.is_some() && sighting.read_held == sighting.etag;
    (sighting.released && !known_held) || is_expired(sighting, now)
}
