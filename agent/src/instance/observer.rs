//! The pause before the end, for somebody who watches.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use tokio::sync::watch;

use super::Console;
use crate::driver::Stop;

/// Between two remarks.
const REMARK: Duration = Duration::from_secs(60);

/// Waits for `pause`, with a remark now and then; a signal or a notice ends it. An agent that was told to stop does not
/// wait at all.
pub async fn observe(pause: Duration, clock: &Arc<dyn Clock>, console: &Console, stop: &watch::Receiver<Option<Stop>>) {
    let mut stop = stop.clone();
    let end = clock.now().at.after(pause);
    loop {
        let left = end.since(clock.now().at);
        if left.is_zero() || stop.borrow_and_update().is_some() {
            return;
        }
        let remark =
            format!("the agent has ended; its machine is kept for an observer for another {} s", left.as_secs());
        tracing::info!("{remark}");
        console.say(&remark);
        tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => {}
            () = clock.sleep(left.min(REMARK)) => {}
        }
    }
}
