//! What can happen next.

/// Which of an agent's two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// About its lease.
    Lease,
    /// The other one.
    Work,
}

/// One step. Agents go by their place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An agent is launched.
    Launch(u8),
    /// It goes on looking for a chunk: what it drew.
    Choose(u8, u8),
    /// It gets the semaphores' listing: whether leases look expired in it, and what it draws.
    Page(u8, bool, u8),
    /// It ends, as there is nothing to claim.
    End(u8),
    /// All is closed: it deletes a semaphore that is left, or ends.
    Sweep(u8),
    /// The store carries out its request.
    Apply(u8, Which),
    /// It hears the answer (to a read: which is carried out now).
    Deliver(u8, Which),
    /// It hears the answer when its lease is too old to begin anything.
    DeliverLate(u8, Which),
    /// The request gets lost, or its answer.
    Lose(u8, Which),
    /// The store carries out its request, and the answer gets lost: in one, where a clock runs.
    LoseAnswer(u8, Which),
    /// It gives up on the request, which may yet be applied.
    GiveUp(u8, Which),
    /// The store answers 409.
    Conflict(u8, Which),
    /// The multipart upload is gone.
    Restage(u8),
    /// A request that was given up is applied.
    Ghost(u8),
    /// The processor is done.
    Staged(u8),
    /// The processor fails.
    Fail(u8),
    /// A timer of its tenure is due.
    Tick(u8),
    /// Nothing else runs on it.
    Alone(u8),
    /// It is told to end when its task is done.
    Drain(u8),
    /// It is told to end now.
    Halt(u8),
    /// It is told to give its chunk back, and then to go on.
    Yield(u8),
    /// It vanishes.
    Crash(u8),
    /// It stands still.
    Pause(u8),
    /// It goes on.
    Resume(u8),
    /// Half a second passes.
    Advance,
}
