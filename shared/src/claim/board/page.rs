//! What listings and reads show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::ChunkId;
use crate::records::{LeaseState, Semaphore};
use crate::store::ETag;

use super::super::Prior;
use super::search::Way;
use super::sighting::{expires_at, is_expired, worth_a_look};
use super::{Board, Coverage, Sighting};

impl Board {
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
        let in_passing = age.is_some() && self.total() > self.policy.whole_row;
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
}
