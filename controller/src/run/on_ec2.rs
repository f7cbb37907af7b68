//! `dayfly run` on EC2: stays until the job is over, and sees its machines off. The machines need nobody to stay.

use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::launch::Launch;

use crate::cap;
use crate::cloud::Cloud;
use crate::failure::{Failure, Result};
use crate::human;
use crate::instances::{Machine, Scope, manage::there};
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::Parts;
use crate::stop::Stop;
use crate::watch::{self, Display};

/// Between two looks at the job, as `dayfly watch` has it.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the machines: EC2's list costs nothing, and is throttled per account.
const ROUND: Duration = Duration::from_secs(20);
/// How long agents of a suspended job wait, unless their image says otherwise: the agent's own default.
const SUSPENDED_WAIT: Duration = Duration::from_mins(10);
/// How long machines may take to be gone after the job's end: a power-off and EC2's own minute, twice over.
const GOODBYE: Duration = Duration::from_mins(5);

/// Stays until the job is over; a signal leaves the machines at work and says how to follow and end them.
///
/// # Errors
/// Machines that all ended before the job was over, a store that refuses.
pub async fn stay(parts: &Parts, cloud: &Cloud, launch: &Launch, observer: &mut Observer) -> Result<(Snapshot, Exit)> {
    let mut stop = Stop::listen()?;
    let mut display = Display::new(parts, SUSPENDED_WAIT);
    let mut next_round = parts.clock.now().at.after(ROUND);
    loop {
        let snapshot = observer.look().await.map_err(|failure| {
            display.clear();
            failure.left("the machines go on by themselves")
        })?;
        let starting = snapshot.agents.is_empty().then(|| "machines are starting".to_owned());
        display.show(parts, &snapshot, starting);
        let drained = snapshot.state == JobState::Draining && snapshot.live_agents() == 0;
        if drained || matches!(snapshot.state, JobState::Over | JobState::Cancelled) {
            display.clear();
            return Ok((snapshot.clone(), watch::exit(&snapshot)));
        }
        if parts.clock.now().at >= next_round {
            next_round = parts.clock.now().at.after(ROUND);
            if let Some(failure) = round(parts, cloud, launch, &snapshot).await? {
                display.clear();
                return Err(failure);
            }
        }
        tokio::select! {
            () = parts.clock.sleep(TICK) => {}
            () = stop.asked() => {
                display.clear();
                let follow = parts.settings.command("watch", &snapshot.job);
                let end = parts.settings.command("terminate", &snapshot.job);
                parts.output().note(format!("the machines go on by themselves; to follow them: {follow}; to end them: {end}"));
                return Ok((snapshot, Exit::Drained));
            }
        }
    }
}

/// A look at the machines and the money; a failure if nobody works any more.
async fn round(parts: &Parts, cloud: &Cloud, launch: &Launch, snapshot: &Snapshot) -> Result<Option<Failure>> {
    cap::keep(parts, snapshot).await?;
    // Machines of other launches may work on it too; a fleet may yet bring some.
    let up = match there(cloud, &Scope::Job(snapshot.job.clone())).await {
        Ok(machines) => machines.iter().any(Machine::is_up),
        Err(failure) => {
            // The job's bucket says how it goes; EC2's silence must not end the watching.
            parts.output().warn(failure);
            true
        }
    };
    if !up && snapshot.state == JobState::Draining {
        return Ok(None);
    }
    if up || launch.request.maintain || snapshot.live_agents() > 0 {
        return Ok(None);
    }
    let left = format!("{} to do", human::count(snapshot.left(), "task"));
    Ok(Some(Failure::new("all machines ended before the job was over").left(left).fix(format!(
        "{} says what is left, logs/ in the job's place why agents ended; {} goes on",
        parts.settings.command("status", &snapshot.job),
        parts.settings.command("launch", &snapshot.job)
    ))))
}

/// Waits until no machine of the launch is left, for a time.
pub async fn see_off(
    parts: &Parts,
    cloud: &Cloud,
    job: &Location,
    launch: &Launch,
    observe: Option<Duration>,
    stop: &mut Stop,
) {
    let patience = GOODBYE + observe.unwrap_or_default();
    let until: Moment = parts.clock.now().at.after(patience);
    let mut said = false;
    loop {
        let left = match there(cloud, &Scope::Launch(launch.id)).await {
            Ok(left) => left,
            Err(failure) => {
                // The job is over, whatever EC2 says of its machines.
                let reap = parts.settings.command("reap", job);
                parts.output().warn(format!("{failure:#}; to find and end what should not run: {reap}"));
                return;
            }
        };
        if left.is_empty() {
            parts.output().note("all machines of the launch are gone");
            return;
        }
        let count = human::count(left.len() as u64, "machine");
        if !said {
            said = true;
            parts.output().note(format!("{count} about to power off; waiting up to {}", human::duration(patience)));
        }
        let mut asked = false;
        tokio::select! {
            () = parts.clock.sleep(TICK * 5) => {}
            () = stop.asked() => asked = true,
        }
        if asked || parts.clock.now().at >= until {
            let ids: Vec<&str> = left.iter().map(|machine| machine.id.as_str()).collect();
            let reap = parts.settings.command("reap", job);
            parts.output().warn(format!(
                "{count} not gone yet: {}; to find and end what should not run: {reap}",
                human::some(&ids)
            ));
            return;
        }
    }
}
