//! A state of the model.

use dayfly_shared::claim::{Board, Reply, Tenure, Verdict};
use dayfly_shared::ids::{ChunkId, Nonce};

use super::super::pooled::Shared;
use super::bucket::{Bucket, Request};

/// At most so many agents at once.
pub const AGENTS: usize = 3;

/// What the adversary may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Agents that vanish.
    pub crashes: u8,
    /// Agents told to drain, or to pause.
    pub drains: u8,
    /// Requests that get lost, or their answers.
    pub lost: u8,
    /// Writes whose client gives up on them before they are applied, if ever.
    pub late: u8,
    /// Answers of 409, and multipart uploads that are gone.
    pub conflicts: u8,
    /// Leases of agents that live which others judge expired. (Those of agents that are gone may always expire.)
    pub expiries: u8,
    /// Heartbeats.
    pub heartbeats: u8,
    /// Errors of the processor.
    pub failures: u8,
    /// Answers that come when the lease is too old to begin anything.
    pub stalls: u8,
    /// Agents launched while others live. (One may always be launched when none does.)
    pub launches: u8,
    /// Agents that stand still for a time.
    pub pauses: u8,
}

/// What happened that must not, as flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken(u16);

impl Broken {
    /// An output was put over another.
    pub const OUTPUT_REPLACED: u16 = 1;
    /// A semaphore was deleted in another version than the one judged, or before its result stood.
    pub const SEMAPHORE_DELETED: u16 = 2;
    /// A result was put before every task was decided.
    pub const RESULT_EARLY: u16 = 4;
    /// A tenure ended as not held, or lost, while its own write stood.
    pub const OWN_NOT_KNOWN: u16 = 8;
    /// A tenure took another's write for its own.
    pub const OTHERS_ADOPTED: u16 = 16;
    /// An attempt's name was used twice.
    pub const ATTEMPT_AGAIN: u16 = 32;
    /// A search came to nothing although a chunk that it looked at was free.
    pub const FREE_OVERLOOKED: u16 = 64;
    /// A lease was taken from a holder that had renewed it in time.
    pub const TAKEN_IN_TIME: u16 = 128;
    /// Two requests of one kind were under way for one tenure.
    pub const TWO_AT_ONCE: u16 = 256;
    /// An agent took a chunk for closed before every task was decided.
    pub const CLOSED_EARLY: u16 = 512;

    /// It happened.
    pub fn set(&mut self, flag: u16) {
        self.0 |= flag;
    }

    /// Whether it happened.
    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

/// A request of an agent, as far as it got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// There is none.
    #[default]
    Free,
    /// On its way to the store.
    Sent(Request),
    /// The store has done with it; the answer is on its way.
    Answered(Reply),
}

/// What an agent is at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not there; one may be launched.
    Away,
    /// About to look for a chunk.
    Choosing {
        /// For the very first time.
        first: bool,
    },
    /// Results are listed, semaphores not yet.
    Listing {
        /// From this chunk on.
        from: ChunkId,
        /// The results.
        results: Vec<ChunkId>,
    },
    /// Holding a chunk, or about to.
    Tenure(Box<Tenure>),
    /// Nothing to claim.
    Idle(Verdict),
    /// Deleting what is left of closed chunks.
    Sweeping(Verdict),
}

/// An agent with one slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// What it is at.
    pub mode: Mode,
    /// What it knows of the chunks.
    pub board: Shared<Board>,
    /// Its request about the lease.
    pub lease: Lane,
    /// Its other request.
    pub work: Lane,
    /// Its name, given with its first claim: agents that never wrote anything are alike.
    pub name: Option<u8>,
    /// How many of its tenures left a trace in the bucket, or may yet.
    pub serial: u8,
    /// Whether the present one did.
    pub traced: bool,
    /// The highest attempt that the present one began.
    pub attempt: u32,
    /// Whether the processor runs.
    pub running: bool,
    /// Whether it waits to be alone.
    pub isolating: bool,
    /// Whether it was told to end.
    pub draining: bool,
    /// Whether it stands still.
    pub paused: bool,
    /// Places of chunks that were free when the present search looked at them.
    pub open: u8,
}

impl Agent {
    /// One that is not there.
    pub fn away(board: Shared<Board>) -> Self {
        Self {
            mode: Mode::Away,
            board,
            lease: Lane::Free,
            work: Lane::Free,
            name: None,
            serial: 0,
            traced: false,
            attempt: 0,
            running: false,
            isolating: false,
            draining: false,
            paused: false,
            open: 0,
        }
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.mode != Mode::Away
    }

    /// The nonce of its present tenure, or its next.
    pub fn nonce(&self) -> Nonce {
        Nonce(u64::from(self.name.unwrap_or(0) + 1) * 100 + u64::from(self.serial) + 1)
    }

    /// The present tenure.
    pub fn tenure(&self) -> Option<&Tenure> {
        match &self.mode {
            Mode::Tenure(tenure) => Some(tenure),
            _ => None,
        }
    }
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The agents, in an order that their contents decide: who is who shows in names only.
    pub agents: [Shared<Agent>; AGENTS],
    /// The bucket.
    pub bucket: Shared<Bucket>,
    /// Writes whose clients gave them up, and which may yet be applied.
    pub ghosts: Shared<Vec<Request>>,
    /// What the adversary may still do.
    pub left: Bounds,
    /// How many names were given.
    pub names: u8,
    /// What happened that must not.
    pub broken: Broken,
    /// The store's clock and every agent's, in half-seconds, where time is modelled.
    pub time: u16,
}
