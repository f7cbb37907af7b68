//! Simulated time. The runtime's own clock stands still until nothing can run, then jumps to the next timer.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, Now, Timestamp};
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::world::World;

/// The wall clock when a simulation begins: some day.
const FIRST_MS: u64 = 1_800_000_000_000;

/// The origin of simulated time.
#[derive(Clone, Copy)]
pub struct Origin(Instant);

impl Origin {
    /// Time begins now; inside a runtime whose clock is paused.
    pub fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the runtime's clock is the simulated one")]
        Self(Instant::now())
    }

    /// The time since.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits in simulated time.
pub async fn sleep(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the runtime's clock is the simulated one")]
    tokio::time::sleep(wait).await;
}

/// The store's clock: the truth.
pub struct TrueClock(pub Origin);

impl Clock for TrueClock {
    fn now(&self) -> Now {
        let elapsed = self.0.elapsed();
        Now { at: Moment(elapsed), wall: wall(elapsed, 0) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(wait))
    }
}

fn wall(elapsed: Duration, skew_ms: i64) -> Timestamp {
    let ms = FIRST_MS + u64::try_from(elapsed.as_millis()).unwrap_or(0);
    Timestamp::from_unix_ms(ms.saturating_add_signed(skew_ms))
}

/// An agent's clock: its monotonic reading has an origin and a drift of its own, its wall clock is wrong and steps; and
/// while the agent is stopped, nothing of it goes on.
pub struct AgentClock {
    /// Where time comes from.
    pub world: Arc<World>,
    /// Whose clock it is.
    pub agent: usize,
    /// What its monotonic reading was when time began.
    pub origin: Duration,
    /// How much too fast it runs, in millionths.
    pub drift_ppm: i32,
}

impl AgentClock {
    fn rate(&self) -> f64 {
        1.0 + f64::from(self.drift_ppm) / 1e6
    }
}

impl Clock for AgentClock {
    fn now(&self) -> Now {
        let elapsed = self.world.elapsed();
        let at = Moment(self.origin + elapsed.mul_f64(self.rate()));
        Now { at, wall: wall(elapsed, self.world.wall_skew_ms(self.agent)) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let real = wait.div_f64(self.rate());
        let (world, agent) = (Arc::clone(&self.world), self.agent);
        Box::pin(async move {
            sleep(real).await;
            world.gate(agent).await;
        })
    }
}
