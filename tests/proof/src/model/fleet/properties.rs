//! What must hold in every state.

use stateright::Property;

use super::{Broken, Fleet, World};

/// All of them.
pub fn all() -> Vec<Property<Fleet>> {
    vec![
        Property::always("a committed output is never replaced", outputs_stay),
        Property::always("a semaphore is deleted as judged, after its result", deletes_are_right),
        Property::always("a result comes after every decision", results_come_last),
        Property::always("a chunk is taken for closed after every decision", closes_come_last),
        Property::always("one's own write is known for one's own", own_writes_are_known),
        Property::always("nobody else's write is taken for one's own", adoptions_are_right),
        Property::always("no attempt's name is used twice", attempts_are_new),
        Property::always("no free chunk is overlooked", free_chunks_are_seen),
        Property::always("no lease is taken from who renews in time", leases_are_kept),
        Property::always("one request of a kind at a time", requests_are_single),
    ]
}

/// Guarantee 1.
pub fn outputs_stay(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::OUTPUT_REPLACED)
}

/// Guarantee 4.
pub fn deletes_are_right(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::SEMAPHORE_DELETED)
}

/// A result is put only when the output or the dead letter of every task of the chunk stands.
pub fn results_come_last(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::RESULT_EARLY)
}

/// … and nobody takes a chunk for closed before.
pub fn closes_come_last(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::CLOSED_EARLY)
}

/// An agent never takes an open chunk for another's while the semaphore that stands is what it wrote.
pub fn own_writes_are_known(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::OWN_NOT_KNOWN)
}

/// … nor a semaphore for its own that another tenure wrote.
pub fn adoptions_are_right(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::OTHERS_ADOPTED)
}

/// Attempts of a tenure are numbered upwards; the nonces of tenures differ.
pub fn attempts_are_new(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::ATTEMPT_AGAIN)
}

/// Guarantee 6, second half: a search that comes to nothing (the only way for an agent to end by itself) had seen no
/// chunk that was free when it looked.
pub fn free_chunks_are_seen(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::FREE_OVERLOOKED)
}

/// Guarantee 6, first half. Only the timed configurations can break it.
pub fn leases_are_kept(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::TAKEN_IN_TIME)
}

/// What the driver counts on: it has room for one request about the lease and one other.
pub fn requests_are_single(_: &Fleet, world: &World) -> bool {
    !world.broken.has(Broken::TWO_AT_ONCE)
}
