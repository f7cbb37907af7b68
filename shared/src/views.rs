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

/// Between two refreshes of a large job's fleet passes a second for every so many tasks: a refresh lists every result, so
/// its price grows with the job. At 1,000,000 tasks it is one in 50 s.
const TASKS_A_SECOND: u64 = 20_000;

/// Smaller ones wait longer than that, a second for every so many tasks, but at most [`LONG_ENOUGH`]: a refresh costs as
/// much as the coordination of two or three tasks, and at one a second the views would cost more than all of it.
const FEW_TASKS_A_SECOND: u64 = 2000;

/// Nobody who watches should wait longer for a sign of life, as far as price allows.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// The least time between two refreshes of one agent in a job of `tasks` tasks on `agents` agents whose views have
/// `view_bytes` bytes in all. One object takes some 15 conditional updates a second at best, from the whole fleet
/// together: a small job's fleet keeps to those 15, a larger one's to fewer the larger it is, and an agent spends no more
/// than a tenth of its time on moving the text (at 20 MB/s).
pub fn refresh_interval(tasks: u64, agents: u32, view_bytes: u64) -> Duration {
    if tasks <= SMALL_JOB {
        return Duration::from_millis(
            u64::from(agents.saturating_sub(UPDATES_A_SECOND)) * 1000 / u64::from(UPDATES_A_SECOND),
        );
    }
    let seconds_at = |rate: u64| Duration::from_millis(tasks.saturating_mul(1000) / rate);
    let period = seconds_at(FEW_TASKS_A_SECOND).min(LONG_ENOUGH).max(seconds_at(TASKS_A_SECOND));
    let fleet = period.saturating_mul(agents);
    let transfer = Duration::from_millis(view_bytes / 2_000);
    fleet.max(transfer).max(Duration::from_secs(1))
}
