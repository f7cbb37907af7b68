//! `dayfly pause`, `drain`, `resume`, `cancel`: what agents are told with their next heartbeat.

use std::fmt;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::{Location, SCHEMA};
use dayfly_shared::records::{Control, ControlState, to_json};
use dayfly_shared::store::{Attributes, Condition};
use serde::Serialize;

use crate::cli::ControlArgs;
use crate::failure::{Failure, Result};
use crate::host;
use crate::observe::{JobState, Observer};
use crate::parts::{Parts, Patience};
use crate::write::{self, Settled};

/// People who contradict each other so often are better off talking.
const TRIES: u32 = 10;

/// `dayfly pause`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn pause(parts: &Parts, args: &ControlArgs) -> Result<Exit> {
    command(parts, args, ControlState::Paused).await
}

/// `dayfly resume`.
///
/// # Errors
/// As [`pause`].
pub async fn resume(parts: &Parts, args: &ControlArgs) -> Result<Exit> {
    command(parts, args, ControlState::Running).await
}

/// `dayfly drain`.
///
/// # Errors
/// As [`pause`].
pub async fn drain(parts: &Parts, args: &ControlArgs) -> Result<Exit> {
    command(parts, args, ControlState::Draining).await
}

/// Lets agents finish what they have in hand, and end, for this reason.
///
/// # Errors
/// A store that refuses.
#[cfg(feature = "ec2")]
pub async fn drain_because(parts: &Parts, job: &JobBucket, why: &str) -> Result<()> {
    tell(parts, job, ControlState::Draining, Some(why)).await.map(|_| ())
}

/// `dayfly cancel`.
///
/// # Errors
/// As [`pause`].
pub async fn cancel(parts: &Parts, args: &ControlArgs) -> Result<Exit> {
    command(parts, args, ControlState::Cancelled).await
}

async fn command(parts: &Parts, args: &ControlArgs, state: ControlState) -> Result<Exit> {
    let location = parts.settings.job(args.job.job.as_ref())?;
    let job = parts.job(&location, Patience::Brief).await?;
    // A typing error in the job's name must not leave a control.json anywhere.
    let snapshot = Observer::new(job.clone()).look().await?;
    let mut report = tell(parts, &job, state, args.why.as_deref()).await?;
    report.live_agents = Some(snapshot.live_agents());
    parts.output().result(&report);
    if snapshot.state == JobState::Over {
        parts.output().note("the job is over: that holds for what is added to it");
    }
    Ok(Exit::Done)
}

/// Tells the agents of a job; the report says what changed.
///
/// # Errors
/// A store that refuses.
pub async fn tell(parts: &Parts, job: &JobBucket, state: ControlState, why: Option<&str>) -> Result<ControlReport> {
    let mut before = ControlState::default();
    let changed = change(parts, job, |stands| {
        before = stands.map(|control| control.state).unwrap_or_default();
        if before == state && why.is_none() {
            return None;
        }
        Some(Control {
            schema: SCHEMA,
            state,
            why: why.map(str::to_owned),
            by: Some(host::who()),
            at: Some(parts.clock.now().wall),
            // Whatever else people set of it stays.
            max_cost: stands.and_then(|control| control.max_cost.clone()),
        })
    });
    let changed = changed.await?;
    Ok(ControlReport { job: job.location.clone(), state, before, changed, live_agents: None })
}

/// Writes into a job's control what it may cost: whoever watches it drains it there.
///
/// # Errors
/// A store that refuses.
#[cfg(feature = "ec2")]
pub async fn cap_cost(parts: &Parts, job: &JobBucket, cap: &str) -> Result<()> {
    let capped = change(parts, job, |stands| {
        let max_cost = Some(cap.to_owned());
        match stands {
            Some(control) if control.max_cost == max_cost => None,
            Some(control) => Some(Control { max_cost, ..control.clone() }),
            None => Some(Control {
                schema: SCHEMA,
                state: ControlState::default(),
                why: None,
                by: Some(host::who()),
                at: Some(parts.clock.now().wall),
                max_cost,
            }),
        }
    });
    capped.await.map(drop)
}

/// Writes what `new` makes of what stands, over the version that it was made of; whether anything was to be changed.
async fn change(
    parts: &Parts,
    job: &JobBucket,
    mut new: impl FnMut(Option<&Control>) -> Option<Control>,
) -> Result<bool> {
    let key = job.keys.control();
    for _ in 0..TRIES {
        let stands = job.control().await?;
        let Some(control) = new(stands.as_ref().map(|(control, _)| control)) else { return Ok(false) };
        let condition = stands.map_or(Condition::Create, |(_, etag)| Condition::Update(etag));
        let body = to_json(&control).into();
        match write::put(parts, &**job.store(), &key, body, &Attributes::json(), &condition).await? {
            Settled::Applied(_) => return Ok(true),
            Settled::Rejected => tracing::debug!("control.json changed meanwhile; reading it again"),
        }
    }
    Err(Failure::new(format!("{} changed each time it was read", job.place(&key)))
        .left("nothing was changed")
        .fix("run it again"))
}

/// What agents are told now.
#[derive(Clone, Debug, Serialize)]
pub struct ControlReport {
    job: Location,
    state: ControlState,
    before: ControlState,
    changed: bool,
    /// Agents that see it, where somebody counted them.
    live_agents: Option<u64>,
}

impl fmt::Display for ControlReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match (self.state, self.changed) {
            (ControlState::Running, false) => "runs already",
            (ControlState::Running, true) => match self.before {
                ControlState::Draining => {
                    "may run again; agents that have ended stay so: dayfly launch starts new ones"
                }
                ControlState::Cancelled => "may run again; its agents have ended: dayfly launch starts new ones",
                _ if self.live_agents == Some(0) => {
                    "may run again; no agent waits for it any more (those of a suspended job wait for some minutes): dayfly \
                     launch starts new ones"
                }
                _ => "runs again: agents see it within a heartbeat, a third of a lease",
            },
            (ControlState::Paused | ControlState::Suspended, false) => "is paused already",
            (ControlState::Paused | ControlState::Suspended, true) => {
                "is paused: agents finish what they have in hand, and wait"
            }
            (ControlState::Draining, false) => "drains already",
            (ControlState::Draining, true) => {
                "drains: agents finish what they have in hand, and end; dayfly resume and dayfly launch take it up again"
            }
            (ControlState::Cancelled, false) => "is cancelled already",
            (ControlState::Cancelled, true) => {
                "is cancelled: agents stop and end; what is done stays, and dayfly resume takes it up again"
            }
        };
        write!(f, "{} {said}", self.job)
    }
}
