//! What a job may cost at most: whoever looks at it and sees that passed ends it.

use dayfly_shared::records::ControlState;

use crate::control;
use crate::cost;
use crate::failure::Result;
use crate::observe::{JobState, Snapshot};
use crate::parts::{Parts, Patience};

/// Ends a job that has cost what `--max-cost` allows: its agents give back what they hold, and end.
///
/// # Errors
/// A store that refuses.
pub async fn keep(parts: &Parts, snapshot: &Snapshot) -> Result<()> {
    if matches!(snapshot.state, JobState::Over | JobState::Cancelled) {
        return Ok(());
    }
    let job = parts.job(&snapshot.job, Patience::Brief).await?;
    let cap = job.control().await?.and_then(|(control, _)| control.max_cost);
    let Some((text, cap)) = cap.and_then(|text| text.parse::<f64>().ok().map(|cap| (text, cap))) else {
        return Ok(());
    };
    // What is unknown is no reason to end anything.
    let Some(spent) = cost::spent(parts, &snapshot.job).await else { return Ok(()) };
    if spent >= cap {
        let why = format!("it has cost ${spent:.2}, and may cost ${text}");
        parts.output().warn(format!("{} is ended: {why}", snapshot.job));
        control::tell(parts, &job, ControlState::Cancelled, Some(&why)).await?;
    }
    Ok(())
}
