//! The state of one search.

use std::collections::BTreeSet;

use crate::clock::Moment;

use super::super::Prior;

/// How a search goes about its pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Nothing was listed yet.
    #[default]
    Idle,
    /// One page of what came before one's own next chunk: what is left there goes first.
    Glance,
    /// All the way round: how many places are left to cover, and where the next page starts.
    Round { left: u32, next: u32 },
    /// A page of this stretch, of which so many were listed already, and of some that follow.
    Sample { stretch: usize, tries: u32 },
}

/// What a search has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Search {
    pub(super) way: Way,
    /// Places that were free when last listed.
    pub(super) free: BTreeSet<u32>,
    /// How many semaphores stood on the last page.
    pub(super) held: u32,
    /// When that was.
    pub(super) listed: Moment,
    /// Places to be read.
    pub(super) looks: BTreeSet<u32>,
    /// Found released or expired.
    pub(super) take: Option<(u32, Box<Prior>)>,
    /// Claims lost in a row since the last listing.
    pub(super) misses: u32,
    /// When, at the earliest, a lease that was listed may expire.
    pub(super) look_again: Option<Moment>,
}

impl Search {
    /// A lease was listed that may expire then.
    pub(super) fn expect(&mut self, expiry: Moment) {
        self.look_again = Some(self.look_again.map_or(expiry, |before| before.min(expiry)));
    }
}
