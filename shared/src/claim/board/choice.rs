//! The next step towards a chunk: what was promised, what was listed, and where to list next.

use crate::clock::Moment;

use super::search::{Search, Way};
use super::{Board, Candidate, Verdict};

/// After so many lost claims in a row the listing they were chosen from is too old to go on with.
const MISSES: u32 = 2;

/// Keys in a page of S3's listings.
const PAGE: u32 = 1000;

/// On the way along its lane an agent glances once in so many tasks that it claims: 0.007 listings a task at most. Rarer
/// glances leave large chunks for the end (`scripts/bench scale`).
const GLANCE_TASKS: u64 = 300;

/// A search by samples takes this many pages of the first stretch before it goes on to the next.
const FIRST_TRIES: u32 = 3;

impl Board {
    fn goes_round(&self) -> bool {
        self.standby || self.total() <= self.policy.whole_row
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

    /// Whether there is a chunk to claim without a search: one that was promised, or was free when last listed.
    pub fn is_next_at_hand(&mut self, now: Moment) -> bool {
        self.promise().is_some() || (!self.is_stale(now) && self.first_free().is_some())
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
    pub(super) fn sample_after(&self, stretch: usize, tries: u32, from: u32, to: u32) -> Way {
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
}
