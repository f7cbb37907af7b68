//! What is known of somebody else's semaphore.

use std::time::Duration;

use crate::clock::Moment;
use crate::planted::Defect;
use crate::store::ETag;

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

/// Expired: as old as it was when first seen, by the store's clock, and for as long as this agent has seen it since, by its
/// own.
pub(super) fn is_expired(sighting: &Sighting, now: Moment) -> bool {
    if Defect::NoExpiry.is_planted() {
        return false;
    }
    now.since(sighting.since) + sighting.age.unwrap_or_default() > sighting.expiry
}

/// When a sighting that is not expired will be.
pub(super) fn expires_at(sighting: &Sighting, now: Moment) -> Moment {
    sighting.since.after(sighting.expiry.saturating_sub(sighting.age.unwrap_or_default())).max(now)
}

pub(super) fn worth_a_look(sighting: &Sighting, now: Moment) -> bool {
    let known_held = sighting.read_held.is_some() && sighting.read_held == sighting.etag;
    (sighting.released && !known_held) || is_expired(sighting, now)
}
