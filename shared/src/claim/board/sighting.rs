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
    /// The version's age by the store's own clock when it was last looked at: `Date` less `LastModified`, of one answer.
    pub age: Option<Duration>,
    /// How long such a lease lasts, slack included: from its body once read, else the job's.
    pub expiry: Duration,
    /// Whether the listing hints that it was released (see [`crate::claim::Board::released_hint`]).
    pub released: bool,
    /// The version whose body was read and found held.
    pub read_held: Option<ETag>,
}

/// Expired: this agent saw the same version for the whole time on its own clock; or the store's clock says so.
pub(super) fn is_expired(sighting: &Sighting, now: Moment) -> bool {
    if Defect::NoExpiry.is_planted() {
        return false;
    }
    now.since(sighting.since) > sighting.expiry || sighting.age.is_some_and(|age| age > sighting.expiry)
}

/// When a sighting that is not expired will be, whichever clock says so first.
pub(super) fn expires_at(sighting: &Sighting, now: Moment) -> Moment {
    let by_own_clock = sighting.since.after(sighting.expiry);
    match sighting.age {
        Some(age) => by_own_clock.min(now.after(sighting.expiry.saturating_sub(age))),
        None => by_own_clock,
    }
}

pub(super) fn worth_a_look(sighting: &Sighting, now: Moment) -> bool {
    let known_held = sighting.read_held.is_some() && sighting.read_held == sighting.etag;
    (sighting.released && !known_held) || is_expired(sighting, now)
}
