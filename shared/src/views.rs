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

/// Conditional updates of one object that S3 takes in a second, at some 65 ms each.
const UPDATES_A_SECOND: u32 = 15;

/// A large job's fleet lets so many tasks' worth of seconds pass between two refreshes: a refresh lists every result, so
/// its price grows with the job. At 1,000,000 tasks it is one in 50 s.
const TASKS_A_SECOND: u64 = 20_000;

/// The least time between two refreshes of one agent in a job of `tasks` tasks on `agents` agents whose views have
/// `view_bytes` bytes in all. One object takes some 15 conditional updates a second at best, from the whole fleet
/// together: a large job's fleet keeps to one a second, or fewer the larger it is, a small job's to those 15, and an agent spends no more than a tenth of its time on moving the text
/// (at 20 MB/s).
pub fn refresh_interval(tasks: u64, agents: u32, view_bytes: u64) -> Duration {
    if tasks <= SMALL_JOB {
        return Duration::from_millis(
            u64::from(agents.saturating_sub(UPDATES_A_SECOND)) * 1000 / u64::from(UPDATES_A_SECOND),
        );
    }
    let period = (tasks / TASKS_A_SECOND).max(1);
    let fleet = Duration::from_secs(period.saturating_mul(agents.into()));
    let transfer = Duration::from_millis(view_bytes / 2_000);
    fleet.max(transfer).max(Duration::from_secs(1))
}
