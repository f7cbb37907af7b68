//! What a job may cost at most: whoever looks at it and sees that passed lets it drain.

use crate::cloud::{self, Cloud};
use crate::cost;
use crate::failure::Result;
use crate::observe::{JobState, Snapshot};
use crate::parts::{Parts, Patience};

/// Drains a job that has cost what `--max-cost` allows: its agents finish what they have in hand, and end.
///
/// # Errors
/// A store that refuses.
pub async fn keep(parts: &Parts, snapshot: &Snapshot) -> Result<()> {
    if matches!(snapshot.state, JobState::Over | JobState::Draining | JobState::Cancelled) {
        return Ok(());
    }
    let job = parts.job(&snapshot.job, Patience::Brief).await?;
    let Some(cap) = job.control().await?.and_then(|(control, _)| control.max_cost) else { return Ok(()) };
    let deployment = cloud::find(parts, &snapshot.job).await?;
    let cloud = Cloud::connect_in(parts, deployment.as_ref().map(|d| d.region.as_str())).await?;
    cost::hold_to(parts, &cloud, &job, &cap).await
}
