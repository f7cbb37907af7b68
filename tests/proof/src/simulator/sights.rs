//! What each agent has seen of the job: it may end on that, and on nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dayfly_shared::ids::ChunkId;
use dayfly_shared::keys::Keys;
use dayfly_shared::store::{ListPage, ListQuery};

/// What each agent has seen.
#[derive(Default)]
pub struct Sights {
    /// When an agent last saw a chunk's place in a listing of semaphores, and in one of results: it judges a chunk where both
    /// cover it.
    looked: [BTreeMap<(usize, ChunkId), Duration>; 2],
    /// Segments that an agent saw, read or listed.
    segments: BTreeSet<(usize, u32)>,
    /// When an agent last saw that somebody has a standby seat: on that it decides to end.
    seats: BTreeMap<usize, Duration>,
}

impl Sights {
    /// An agent saw an object.
    pub fn on_read(&mut self, agent: usize, keys: &Keys, key: &str, now: Duration) {
        if let Some((segment, true)) = keys.parse_segment(key) {
            self.segments.insert((agent, segment));
        }
        if key.starts_with(&keys.seats()) {
            self.seats.insert(agent, now);
        }
    }

    /// An agent saw a page of a listing, of a job of these chunks.
    pub fn on_list<'a>(
        &mut self,
        agent: usize,
        keys: &Keys,
        (query, page): (&ListQuery, &ListPage),
        chunks: impl Iterator<Item = &'a ChunkId>,
        now: Duration,
    ) {
        if query.prefix == keys.plan() {
            for entry in &page.entries {
                self.on_read(agent, keys, &entry.key, now);
            }
        }
        let folders = [keys.semaphores(), keys.results()];
        let Some(which) = folders.iter().position(|folder| *folder == query.prefix) else { return };
        let from = query.start_after.clone().unwrap_or_default();
        for chunk in chunks {
            // With the slug that may follow, a key sorts behind the bare one and before the next chunk's.
            let key = Keys::before_chunk(&folders[which], *chunk);
            let within = key >= from && page.next.as_ref().is_none_or(|next| key < *next);
            if within {
                self.looked[which].insert((agent, *chunk), now);
            }
        }
    }

    /// When the agent last saw a seat taken.
    pub fn saw_a_seat(&self, agent: usize) -> Option<Duration> {
        self.seats.get(&agent).copied()
    }

    /// Whether the agent knows of a chunk that has been free `since` then, and never looked at it or last looked later: it
    /// could have seen that it is free.
    pub fn could_see_free(&self, agent: usize, chunk: ChunkId, since: Duration) -> bool {
        let looked = self.looked.each_ref().map(|looks| looks.get(&(agent, chunk)));
        self.segments.contains(&(agent, chunk.segment))
            && looked.iter().min().copied().flatten().is_none_or(|looked| *looked > since)
    }
}
