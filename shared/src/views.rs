//! The text files for people, and the ledger that they are derived from.

mod ledger;
mod refresh;

pub use ledger::{Fate, Ledger, PlannedSegment, Totals};
pub use refresh::{Refresh, RefreshAsk, RefreshOver, RefreshReply, Survey, ViewRead, ViewsRead, unknown_lines};

use std::time::Duration;

/// User metadata that marks a view as written by dayfly: every line of it was checked. A person's own upload lacks it.
pub const MARK: &str = "dayfly-view";

/// Up to so many tasks every finished chunk refreshes the views at once, as a person who watches expects.
pub const SMALL_JOB: u64 = 1000;

/// The least time between two refreshes of one agent in a job of `tasks` tasks on `agents` agents whose views have
/// `view_bytes` bytes in all. One object takes some 15 conditional updates a second at best, from the whole fleet
/// together: the fleet keeps to one a second, and spends no more than a tenth of an agent's time on moving the text
/// (at 20 MB/s).
pub fn refresh_interval(tasks: u64, agents: u32, view_bytes: u64) -> Duration {
    if tasks <= SMALL_JOB {
        return Duration::ZERO;
    }
    let fleet = Duration::from_secs(agents.into());
    let transfer = Duration::from_millis(view_bytes / 2_000);
    fleet.max(transfer).max(Duration::from_secs(1))
}
