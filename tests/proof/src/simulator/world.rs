//! What all of a simulation shares: time, the bucket, who is alive, what has gone wrong, and the trace.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::MemoryStore;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::bystander::Bystander;
use super::clock::{Origin, TrueClock, sleep};
use super::faults::{Call, Fault, FaultCounts, Profile};

/// One agent, as the world sees it.
#[derive(Default)]
pub struct Being {
    /// Stops its process; none before it runs.
    pub process: Option<AbortHandle>,
    /// When it was launched.
    pub born_at: Duration,
    /// When it was killed, or ended by itself.
    pub gone_at: Option<Duration>,
    /// Whether it was killed.
    pub killed: bool,
    /// Stopped until then.
    pub stopped_until: Duration,
    /// How wrong its wall clock is.
    pub wall_skew_ms: i64,
}

impl Being {
    /// Whether it was alive at that time, or within a `moment` before.
    pub fn was_there(&self, at: Duration, moment: Duration) -> bool {
        self.born_at <= at && self.gone_at.is_none_or(|gone| at.saturating_sub(gone) < moment)
    }
}

/// What changes.
pub struct State {
    /// Who is there.
    pub beings: Vec<Being>,
    /// Sees every write.
    pub bystander: Bystander,
    /// How requests fare.
    pub profile: Profile,
    /// Everybody is told 503 until then.
    pub burst_until: Duration,
    /// What went wrong.
    pub faults: FaultCounts,
    /// Requests sent.
    pub requests: u64,
    /// The guarantee that did not hold.
    pub violation: Option<String>,
    trace: Option<String>,
}

/// What all of a simulation shares.
pub struct World {
    origin: Origin,
    /// The bucket.
    pub store: MemoryStore,
    /// The world's own dice: fates and delays.
    pub dice: StdDice,
    /// Something came to an end: an agent, or the simulation.
    pub news: Notify,
    state: Mutex<State>,
}

/// One event, for the trace; built only where there is one.
macro_rules! trace {
    ($world:expr, $($text:tt)*) => {
        $world.trace(|| format!($($text)*))
    };
}
pub(super) use trace;

impl World {
    /// A world at its beginning, inside a runtime whose clock is paused.
    pub fn new(dice: StdDice, bystander: Bystander, profile: Profile, traced: bool) -> Arc<Self> {
        let origin = Origin::now();
        let state = State {
            beings: Vec::new(),
            bystander,
            profile,
            burst_until: Duration::ZERO,
            faults: FaultCounts::default(),
            requests: 0,
            violation: None,
            trace: traced.then(String::new),
        };
        let store = MemoryStore::with_least_part("bucket", Arc::new(TrueClock(origin)), 1);
        Arc::new(Self { origin, store, dice, news: Notify::new(), state: Mutex::new(state) })
    }

    /// What changes; never held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// How wrong the agent's wall clock is.
    pub fn wall_skew_ms(&self, agent: usize) -> i64 {
        self.state().beings[agent].wall_skew_ms
    }

    /// Adds a line to the trace, if one is kept.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        let now = self.elapsed();
        if let Some(trace) = &mut self.state().trace {
            let _ = writeln!(trace, "{:>10.3} {}", now.as_secs_f64(), text());
        }
    }

    /// The trace so far.
    pub fn take_trace(&self) -> Option<String> {
        self.state().trace.take()
    }

    /// A guarantee does not hold: the first to be noticed is kept, and the simulation ends.
    pub fn violated(&self, what: String) {
        trace!(self, "VIOLATION {what}");
        self.state().violation.get_or_insert(what);
        self.news.notify_one();
    }

    /// Whether one was violated.
    pub fn is_violated(&self) -> bool {
        self.state().violation.is_some()
    }

    /// Counts a fault.
    pub fn note(&self, fault: Fault) {
        self.state().faults.note(fault);
    }

    /// The agent is killed: nothing of it goes on.
    pub fn kill(&self, agent: usize) {
        let now = self.elapsed();
        let mut state = self.state();
        let being = &mut state.beings[agent];
        if being.gone_at.is_some() {
            return;
        }
        being.gone_at = Some(now);
        being.killed = true;
        if let Some(process) = being.process.take() {
            process.abort();
        }
        drop(state);
        trace!(self, "agent {agent} killed");
        self.news.notify_one();
    }

    /// Holds up whatever belongs to an agent that is stopped, and for good what belongs to a dead one.
    pub async fn gate(&self, agent: usize) {
        loop {
            let (gone, until) = {
                let state = self.state();
                (state.beings[agent].killed, state.beings[agent].stopped_until)
            };
            if gone || self.is_violated() {
                return std::future::pending().await;
            }
            let now = self.elapsed();
            if now >= until {
                return;
            }
            sleep(until - now).await;
        }
    }

    /// What becomes of a request.
    pub fn fate(&self, call: Call) -> Option<Fault> {
        let now = self.elapsed();
        let mut state = self.state();
        state.requests += 1;
        if now < state.burst_until {
            return Some(Fault::Unavailable);
        }
        let fate = state.profile.fate(&self.dice, call);
        if let Some(fault) = fate {
            state.faults.note(fault);
        }
        fate
    }

    /// One way of a request.
    pub async fn travel(&self) {
        let time = {
            let state = self.state();
            state.profile.travel(&self.dice)
        };
        sleep(time).await;
    }

    /// The client's patience for one answer.
    pub async fn time_out(&self) {
        let time = self.state().profile.timeout;
        sleep(time).await;
    }

    /// How late a late request is.
    pub fn lateness(&self) -> Duration {
        let late = self.state().profile.late;
        self.dice.up_to(late)
    }
}
