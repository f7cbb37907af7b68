//! The instance's lifetime, as far as the agent sees to it: it stops in time before systemd ends the machine.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;

use super::Wishes;
use crate::driver::Stop;

/// The agent begins to stop this long before the end, as long as that is not more than [`PART`] of the whole.
const MARGIN: Duration = Duration::from_secs(180);
/// Of a short lifetime a tenth.
const PART: u32 = 10;

/// How long before the end the agent begins to stop.
fn margin(lifetime: Duration) -> Duration {
    MARGIN.min(lifetime / PART)
}

/// Waits until the lifetime, which begins now, is nearly over, and wishes the agent to stop: running tasks get half of
/// what is left, giving back and uploads the other half.
pub async fn end_in_time(lifetime: Duration, clock: Arc<dyn Clock>, wishes: Wishes) {
    let born = clock.now().at;
    let margin = margin(lifetime);
    clock.sleep(lifetime.saturating_sub(margin)).await;
    let why = format!("the instance's lifetime of {} s is nearly over", lifetime.as_secs());
    tracing::warn!(why, "stopping in time");
    wishes.wish(Stop { why, deadline: born.after(lifetime.saturating_sub(margin / 2)) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_three_minutes_or_a_tenth() {
        assert_eq!(margin(Duration::from_secs(12 * 3600)), Duration::from_secs(180));
        assert_eq!(margin(Duration::from_secs(600)), Duration::from_secs(60));
    }
}
