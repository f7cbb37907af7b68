//! What an agent knows of the chunks, and which one it tries next.
//!
//! The chunks of all segments stand in one row, the largest of a segment first. Where the job says for how many agents a
//! segment was cut, each agent goes along a *lane* of its own, a chunk of each round, and needs no listing for it. What
//! others leave behind is found by *glances* on the way, one page of the rounds before. Who has lost its lane, or come to its
//! end, searches: a small row all the way round, a large one by *samples*, a page of each stretch of one size. Nobody walks
//! the list from the top: at 10,000 agents that would be the end of it.

mod ring;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::ChunkId;
use crate::planted::Defect;
use crate::records::{LeaseState, Semaphore};
use crate::store::ETag;

use super::{Policy, Prior};
use ring::Ring;
use search::{Search, Way};

/// What is known of a semaphore that somebody else holds or held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// The version seen last; none where only a rejected claim told of it.
    pub etag: Option<ETag>,
    /// Since when, on this agent's clock, it has been this version.
    pub since: Moment,
    /// The version's age by the store's own clock when it was last looked at: `Date` less `LastModified`, of one answer.
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

/// After so many lost claims in a row the listing they were chosen from is too old to go on with.
const MISSES: u32 = 2;

/// Keys in a page of S3's listings.
const PAGE: u32 = 1000;

/// Up to so many chunks, three pages of S3's listings, every search goes all the way round: six requests at most.
const SMALL_RING: u32 = 3 * PAGE;

/// On the way along its lane an agent glances once in so many tasks that it claims: 0.007 listings a task at most. Rarer
/// glances leave large chunks for the end (`scripts/bench scale`).
const GLANCE_TASKS: u64 = 300;

/// A search by samples takes this many pages of the first stretch before it goes on to the next.
const FIRST_TRIES: u32 = 3;

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
        self.promised.extend(self.ring.place(chunk).and_then(|place| self.ring.follower(place)));
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

    fn goes_round(&self) -> bool {
        self.standby || self.total() <= SMALL_RING
    }

    /// The next step towards a chunk to claim. `draw` is a random number.
    pub fn next(&mut self, draw: u64, now: Moment) -> Candidate {
        if let Some((place, prior)) = self.search.take.take()
            && let Some(chunk) = self.ring.at(place).filter(|c| self.is_open(*c))
        {
            return self.claim(Candidate::Take(chunk, prior));
        }
        if self.is_stale(now) {
            self.search = Search::default();
        }
        let promised = self.promise();
        if let Some(place) = promised
            && self.search.way == Way::Idle
            && let Some(glance) = self.glance(place, draw)
        {
            self.search.way = Way::Glance;
            return self.list_at(glance);
        }
        if let Some(found) = self.found(promised, draw) {
            return found;
        }
        if self.all_closed() {
            return self.nothing(now);
        }
        if self.goes_round() { self.go_round(draw, now) } else { self.sample(draw, now) }
    }

    /// Whether what was listed is too old to choose from. Where others go along lanes they have been everywhere within a
    /// heartbeat; where they choose at random, a lost claim tells.
    fn is_stale(&self, now: Moment) -> bool {
        let misses = self.search.misses;
        let old = now.since(self.search.listed) > self.policy.heartbeat();
        misses >= MISSES || (old && (misses > 0 || self.ring.has_lanes()))
    }

    /// The next chunk of this agent's own lanes, if nobody is known to have it.
    fn promise(&mut self) -> Option<u32> {
        while let Some(place) = self.promised.first().copied() {
            if self.is_free(place) {
                return Some(place);
            }
            self.promised.pop_first();
        }
        None
    }

    /// Where to glance before the claim of a promised place: somewhere in the rounds before it. A chunk of one task is not
    /// worth it.
    fn glance(&self, promised: u32, draw: u64) -> Option<u32> {
        let (before, _) = self.ring.round(promised);
        if before == 0 || (draw >> 32) % GLANCE_TASKS >= u64::from(self.ring.size_at(promised)) {
            return None;
        }
        self.somewhere_open(0, before, draw).filter(|place| self.ring.size_at(*place) > 1)
    }

    /// Where a page of `from..to` begins: at a place drawn at random, or the next one after it that is not known to be
    /// closed. The first place is drawn as often as a whole page before it would be, so that none is seen less than others.
    fn somewhere_open(&self, from: u32, to: u32, draw: u64) -> Option<u32> {
        if to - from <= PAGE {
            return self.ring.open_in(from, to);
        }
        let drawn = u32::try_from(draw % u64::from(to - from + PAGE)).unwrap_or(0);
        let drawn = from + drawn.saturating_sub(PAGE);
        self.ring.open_in(drawn, to).or_else(|| self.ring.open_in(from, drawn))
    }

    /// The best of what was promised and listed: by rounds, the largest first; of one round what is promised, as nobody else
    /// goes there, then what is free, then what has to be read.
    fn found(&mut self, promised: Option<u32>, draw: u64) -> Option<Candidate> {
        let (first_free, first_look) = (self.first_free(), self.first_look());
        let of = |place: Option<u32>| place.map_or(u32::MAX, |p| self.ring.round(p).0);
        let (promise, free, look) = (of(promised), of(first_free), of(first_look));
        let best = promise.min(free).min(look);
        if best == u32::MAX {
            return None;
        }
        if best == promise {
            let place = self.promised.pop_first()?;
            // What was listed is old by the time this tenure ends.
            self.search = Search { misses: self.search.misses, ..Search::default() };
            return self.ring.at(place).map(Candidate::Open);
        }
        if best == free {
            // Rounds fill up in their order; but whoever else sees the same page should not take the same, and more agents
            // may be at work than the cut was made for.
            let first = first_free?;
            let (_, to) = self.ring.stretch(self.ring.stretch_of(first));
            let round_end = self.ring.round(first).1.min(to);
            let free = self.search.free.range(first..to).copied().filter(|p| self.is_free(*p));
            let crowd = self.search.held > self.ring.lanes_at(first);
            let among = if crowd { self.search.held as usize } else { 0 };
            let known: Vec<u32> =
                free.enumerate().filter(|(n, p)| *p < round_end || *n < among).map(|(_, p)| p).collect();
            let place = known[usize::try_from(draw % known.len() as u64).unwrap_or(0)];
            self.search.free.remove(&place);
            let chunk = self.ring.at(place)?;
            return Some(self.claim(Candidate::Open(chunk)));
        }
        self.search.looks.pop_first().and_then(|place| self.ring.at(place)).map(Candidate::Look)
    }

    /// A verdict takes new pages after any claim.
    fn claim(&mut self, candidate: Candidate) -> Candidate {
        self.search.way = Way::Idle;
        self.search.look_again = None;
        candidate
    }

    fn first_free(&mut self) -> Option<u32> {
        while let Some(place) = self.search.free.first().copied() {
            if self.is_free(place) {
                return Some(place);
            }
            self.search.free.pop_first();
        }
        None
    }

    /// Nothing that was learnt since it was listed, or promised, says that it is somebody's.
    fn is_free(&self, place: u32) -> bool {
        self.ring.at(place).is_some_and(|c| self.is_open(c) && !self.seen.contains_key(&c))
    }

    fn first_look(&mut self) -> Option<u32> {
        while let Some(place) = self.search.looks.first().copied() {
            if self.ring.at(place).is_some_and(|c| self.is_open(c)) {
                return Some(place);
            }
            self.search.looks.pop_first();
        }
        None
    }

    /// The next page on the way round, past what is known to be closed.
    fn go_round(&mut self, draw: u64, now: Moment) -> Candidate {
        let total = self.total();
        let (mut left, mut next) = match self.search.way {
            Way::Round { left, next } => (left, next),
            // Where it had got to, so that larger chunks come before smaller ones; guards begin anywhere.
            _ if !self.standby && self.ring.last_stretch() > 0 => (total, self.ring.stretch(self.stretch).0),
            _ => (total, u32::try_from(draw % u64::from(total.max(1))).unwrap_or(0)),
        };
        while left > 0 {
            // As far as the row's end, or as the search has to go.
            let end = total.min(next.saturating_add(left));
            if let Some(open) = self.ring.open_in(next, end) {
                left -= open - next;
                self.search.way = Way::Round { left, next: open };
                return self.list_at(open);
            }
            left -= end - next;
            next = 0;
        }
        self.nothing(now)
    }

    /// The next page of a search by samples: of the stretch where the lane was lost, then of those after it. Thousands of
    /// agents come to the row's end: there it is one page of the last stretch, and for some of them one from elsewhere first.
    fn sample(&mut self, draw: u64, now: Moment) -> Candidate {
        let last = self.ring.last_stretch();
        let (mut stretch, tries) = match self.search.way {
            Way::Sample { stretch, tries } => (stretch, tries),
            _ if self.stretch + 1 < last => (self.stretch, 0),
            _ => match (draw >> 32) % 4 {
                0 => {
                    self.search.way = Way::Sample { stretch: last, tries: 0 };
                    return match self.somewhere_open(0, self.total(), draw) {
                        Some(place) => self.list_at(place),
                        None => self.nothing(now),
                    };
                }
                1 => (last.saturating_sub(1), 0),
                _ => (last, 0),
            },
        };
        while stretch <= last {
            let (from, to) = self.ring.stretch(stretch);
            if let Some(place) = self.somewhere_open(from, to, draw) {
                self.search.way = Way::Sample { stretch, tries };
                return self.list_at(place);
            }
            stretch += 1;
        }
        self.nothing(now)
    }

    /// How a search by samples that meant `stretch` goes on after a page of `from..=to`.
    fn sample_after(&self, stretch: usize, tries: u32, from: u32, to: u32) -> Way {
        let (began, reached) = (self.ring.stretch_of(from), self.ring.stretch_of(to));
        // Nobody comes back to the first round for a long time: what is free there is worth more than one page.
        if (stretch, reached) == (0, 0) && tries + 1 < FIRST_TRIES {
            return Way::Sample { stretch, tries: tries + 1 };
        }
        // One from elsewhere does not count.
        let next = if began < stretch { stretch.max(reached) } else { reached + 1 };
        Way::Sample { stretch: next, tries: 0 }
    }

    fn nothing(&mut self, now: Moment) -> Candidate {
        let all_closed = self.all_closed();
        let search = std::mem::take(&mut self.search);
        let look_again = search.look_again.filter(|_| !all_closed).map(|at| at.max(now));
        Candidate::None(Verdict { all_closed, look_again })
    }

    fn list_at(&self, place: u32) -> Candidate {
        match self.ring.at(place) {
            Some(chunk) => Candidate::List(chunk),
            None => Candidate::None(Verdict { all_closed: true, look_again: None }),
        }
    }

    fn is_open(&self, chunk: ChunkId) -> bool {
        !self.is_closed(chunk) && !self.mine.contains(&chunk)
    }

    /// What listings from a chunk on showed.
    pub fn on_page(&mut self, page: &Coverage, now: Moment) {
        for chunk in &page.results {
            self.close(*chunk);
        }
        let Some(from) = page.from.and_then(|c| self.ring.place(c)) else { return };
        let last = self.total().saturating_sub(1);
        let to = page.to.and_then(|c| self.ring.place(c)).unwrap_or(last).clamp(from, last);
        let mut listed: BTreeMap<u32, &(ChunkId, ETag, Option<Duration>, bool)> =
            page.semaphores.iter().filter_map(|s| Some((self.ring.place(s.0)?, s))).collect();
        self.search.held = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        let mut place = from;
        while let Some(open) = self.ring.open_in(place, to + 1) {
            place = open + 1;
            let Some(chunk) = self.ring.at(open).filter(|c| !self.mine.contains(c)) else { continue };
            match listed.remove(&open) {
                Some((_, etag, age, released)) => self.on_listed(chunk, open, etag, *age, *released, now),
                None => {
                    self.seen.remove(&chunk);
                    self.search.free.insert(open);
                }
            }
        }
        self.search.misses = 0;
        self.search.listed = now;
        self.search.way = self.way_after(to, from);
    }

    /// How the search goes on after a page of `from..=to`.
    fn way_after(&self, to: u32, from: u32) -> Way {
        let total = self.total();
        match self.search.way {
            Way::Glance => Way::Glance,
            Way::Sample { stretch, tries } => self.sample_after(stretch, tries, from, to),
            Way::Round { left, .. } => {
                Way::Round { left: left.saturating_sub(to - from + 1), next: if to + 1 >= total { 0 } else { to + 1 } }
            }
            // A page that no search asked for.
            Way::Idle => Way::Idle,
        }
    }

    /// A semaphore stands in a listing.
    fn on_listed(
        &mut self,
        chunk: ChunkId,
        place: u32,
        etag: &ETag,
        age: Option<Duration>,
        released: bool,
        now: Moment,
    ) {
        // Where the store tells the age, a listing says it all: thousands of sightings need no memory.
        let in_passing = age.is_some() && self.total() > SMALL_RING;
        let sighting = self.sight(chunk, etag.clone(), age, now);
        sighting.released = released;
        let (look, expiry) = (worth_a_look(sighting, now), expires_at(sighting, now));
        let read = sighting.read_held.is_some();
        if in_passing && !read {
            self.seen.remove(&chunk);
        }
        if look {
            self.search.looks.insert(place);
        } else {
            self.search.expect(expiry);
        }
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
            sighting.age = age;
        } else {
            *sighting = fresh;
        }
        sighting
    }

    /// What a read of the chunk's semaphore showed: its body, its version, its age by the store's clock; or that there
    /// is none any more.
    pub fn on_look(&mut self, chunk: ChunkId, found: Option<(Semaphore, ETag, Option<Duration>)>, now: Moment) {
        let Some(place) = self.ring.place(chunk) else { return };
        let Some((record, etag, age)) = found else {
            self.seen.remove(&chunk);
            if self.is_open(chunk) {
                self.search.free.insert(place);
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
        } else {
            let expiry = expires_at(sighting, now);
            self.search.expect(expiry);
        }
    }

    /// The sightings, for tests and for status.
    pub fn sightings(&self) -> &BTreeMap<ChunkId, Sighting> {
        &self.seen
    }
}

/// Expired: this agent saw the same version for the whole time on its own clock; or the store's clock says so.
fn is_expired(sighting: &Sighting, now: Moment) -> bool {
    if Defect::NoExpiry.is_planted() {
        return false;
    }
    now.since(sighting.since) > sighting.expiry || sighting.age.is_some_and(|age| age > sighting.expiry)
}

/// When a sighting that is not expired will be, whichever clock says so first.
fn expires_at(sighting: &Sighting, now: Moment) -> Moment {
    let by_own_clock = sighting.since.after(sighting.expiry);
    match sighting.age {
        Some(age) => by_own_clock.min(now.after(sighting.expiry.saturating_sub(age))),
        None => by_own_clock,
    }
}

fn worth_a_look(sighting: &Sighting, now: Moment) -> bool {
    let known_held = sighting.read_held.is_some() && sighting.read_held == sighting.etag;
    (sighting.released && !known_held) || is_expired(sighting, now)
}
