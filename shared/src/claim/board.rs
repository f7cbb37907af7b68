//! What an agent knows of the chunks, and which one it tries next.
//!
//! The chunks of all segments stand in one row, the largest of a segment first. Where the job says for how many agents a
//! segment was cut, each agent goes along a *lane* of its own, a chunk of each round, and needs no listing for it. What
//! others leave behind is found by *glances* on the way, one page of the rounds before. Who has lost its lane, or come to its
//! end, searches: a small row all the way round, a large one by *samples*, a page of each stretch of one size. Nobody walks
//! the list from the top: at 10,000 agents that would be the end of it.

mod choice;
mod page;
mod ring;
mod search;
mod sighting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::ChunkId;
use crate::planted::Defect;
use crate::store::ETag;

use super::{Policy, Prior, TenureOver};
use ring::Ring;
use search::{Search, Way};

pub use sighting::Sighting;

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
    /// Nothing is free: the search has been all the way round, or (see [`Board::stand_by`]) has looked often enough.
    None(Verdict),
}

/// What a search found that ended without a free chunk.
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

/// What an agent knows of the chunks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Board {
    policy: Policy,
    ring: Ring,
    seen: BTreeMap<ChunkId, Sighting>,
    mine: BTreeSet<ChunkId>,
    /// What follows, in their lanes, the chunks that this agent closed.
    promised: BTreeSet<u32>,
    /// The stretch that the last claim was in: a search by samples starts there.
    stretch: usize,
    /// Whether this agent guards the end: then it always searches all the way round.
    standby: bool,
    search: Search,
}

impl Board {
    /// An empty board.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            ring: Ring::default(),
            seen: BTreeMap::new(),
            mine: BTreeSet::new(),
            promised: BTreeSet::new(),
            stretch: 0,
            standby: false,
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
        self.ring.segments()
    }

    /// The next segment has so many chunks, all of one size, cut for nobody knows how many agents.
    pub fn add_segment(&mut self, chunks: u32) {
        self.add_cut(std::iter::repeat_n(1, chunks as usize), 0);
    }

    /// The next segment has chunks of so many tasks each, cut for `agents` agents that run one task at a time (0 or 1: nobody
    /// said).
    pub fn add_cut(&mut self, sizes: impl IntoIterator<Item = u32>, agents: u32) {
        self.ring.add(sizes, if agents > 1 { agents } else { 0 });
        self.search = Search::default();
    }

    /// All chunks known.
    pub fn total(&self) -> u32 {
        self.ring.total()
    }

    /// The tasks of all chunks known.
    pub fn tasks(&self) -> u64 {
        self.ring.tasks()
    }

    /// Whether every chunk known is closed.
    pub fn all_closed(&self) -> bool {
        self.ring.closed_count() == self.ring.total()
    }

    /// How many chunks are known to be closed.
    pub fn closed_count(&self) -> u32 {
        self.ring.closed_count()
    }

    /// Whether the chunk is known to be closed.
    pub fn is_closed(&self, chunk: ChunkId) -> bool {
        self.ring.place(chunk).is_some_and(|place| self.ring.is_closed(place))
    }

    /// The chunk's result stands.
    pub fn close(&mut self, chunk: ChunkId) {
        let Some(place) = self.ring.place(chunk) else { return };
        self.ring.close(place);
        self.seen.remove(&chunk);
    }

    /// A slot of this agent begins a tenure of the chunk.
    pub fn begin(&mut self, chunk: ChunkId) {
        self.mine.insert(chunk);
        if let Some(place) = self.ring.place(chunk) {
            self.stretch = self.ring.stretch_of(place);
        }
    }

    /// That tenure ended without a close: somebody else has the chunk or had closed it (`taken`), or it was given back.
    pub fn end(&mut self, chunk: ChunkId, taken: bool, now: Moment) {
        self.mine.remove(&chunk);
        if !taken {
            return;
        }
        self.search.misses += 1;
        // Whoever has overtaken this agent here has most likely done so elsewhere.
        self.promised.clear();
        if !self.is_closed(chunk) {
            let expiry = self.policy.expiry();
            let unknown = Sighting { etag: None, since: now, age: None, expiry, released: false, read_held: None };
            self.seen.insert(chunk, unknown);
        }
    }

    /// That tenure ended with the chunk closed, by this agent: the lane goes on.
    pub fn end_closed(&mut self, chunk: ChunkId) {
        self.mine.remove(&chunk);
        self.search.misses = 0;
        self.close(chunk);
        self.lead_on(chunk);
    }

    /// Every task of the chunk was run, and its close is a matter of moments: the lane may go on.
    pub fn lead_on(&mut self, chunk: ChunkId) {
        self.promised.extend(self.ring.place(chunk).and_then(|place| self.ring.follower(place)));
    }

    /// A tenure of the chunk ended so.
    pub fn settle(&mut self, chunk: ChunkId, over: &TenureOver, now: Moment) {
        match over {
            TenureOver::NotOurs | TenureOver::Lost | TenureOver::Broken(_) => self.end(chunk, true, now),
            TenureOver::Released => self.end(chunk, false, now),
            TenureOver::AlreadyClosed => {
                // Another agent was here long ago: what this one knew is as old as after a lost claim.
                self.close(chunk);
                self.end(chunk, true, now);
            }
            TenureOver::Closed(_) => self.end_closed(chunk),
        }
    }

    /// Where an agent makes its very first claim, without a look at the listing: at the beginning of a lane drawn at random.
    pub fn first_choice(&self, draw: u64) -> Option<ChunkId> {
        let place = self.ring.lane(draw)?;
        self.ring.at(place).filter(|chunk| self.is_open(*chunk))
    }

    /// Drops what a search knew: the next one lists anew.
    pub fn forget_search(&mut self) {
        self.search = Search::default();
    }

    /// Whether this agent holds a standby seat. A large row is searched by samples, so that thousands of agents can end
    /// without going round it; who holds a seat always goes all the way round, so that nothing is missed.
    pub fn stand_by(&mut self, standby: bool) {
        if self.standby != standby {
            self.standby = standby;
            self.search.way = Way::Idle;
        }
    }

    fn is_open(&self, chunk: ChunkId) -> bool {
        !self.is_closed(chunk) && !self.mine.contains(&chunk)
    }

    /// The sightings, for tests and for status.
    pub fn sightings(&self) -> &BTreeMap<ChunkId, Sighting> {
        &self.seen
    }
}
