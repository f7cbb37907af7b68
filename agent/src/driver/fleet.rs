//! Shuts off a fleet that replaces what it loses: once nothing is free to be claimed, another instance would only cost.

use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::launch::Launch;
use dayfly_shared::records::from_json;
use dayfly_shared::store::StoreExt;

use super::FleetSwitch;
use super::agent::Agent;

/// Between two tries. A fleet that stands some seconds longer costs nothing unless it loses an instance meanwhile.
const AGAIN: Duration = Duration::from_secs(20);

/// How long one try may take: the agent's end waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far shutting the fleet off has got.
#[derive(Default)]
pub struct ShutOff {
    done: bool,
    next: Moment,
}

/// Shuts the fleet off, if there is one, it still stands as far as this agent knows, and the last try is a while ago.
pub async fn shut_off(agent: &Agent) {
    // Who waits for more lines may need more machines.
    if agent.settings.linger {
        return;
    }
    if let Some(switch) = &agent.parts.fleet {
        try_to(agent, &**switch, false).await;
    }
}

/// The last try, before the agent ends.
pub async fn shut_off_at_last(agent: &Agent) {
    if let Some(switch) = &agent.parts.fleet {
        try_to(agent, &**switch, true).await;
    }
}

async fn try_to(agent: &Agent, switch: &dyn FleetSwitch, last: bool) {
    let mut state = agent.fleet.lock().await;
    if state.done || (!last && agent.now().at < state.next) {
        return;
    }
    state.next = agent.now().at.after(AGAIN);
    let outcome = tokio::select! {
        biased;
        outcome = one_try(agent, switch) => outcome,
        () = agent.parts.clock.sleep(PATIENCE) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    match outcome {
        Ok(fleets) => {
            state.done = true;
            if !fleets.is_empty() {
                tracing::info!(fleets = fleets.join(", "), "no chunk is free: the fleet replaces nothing any more");
            }
        }
        Err(error) => {
            tracing::warn!(error, launch = %switch.launch(), "the fleet could not be shut off; dayfly reap finds it");
        }
    }
}

async fn one_try(agent: &Agent, switch: &dyn FleetSwitch) -> Result<Vec<String>, String> {
    let key = agent.bucket.keys.launch(switch.launch());
    let place = agent.bucket.place(&key);
    let read = agent.bucket.store().read(&key).await.map_err(|e| e.to_string())?;
    let Some((_, body)) = read else { return Err(format!("{place} is not there")) };
    let launch: Launch = from_json(&body).map_err(|e| format!("{place}: {e}"))?;
    let fleets = fleets(&launch).ok_or_else(|| format!("{place} does not name the fleet yet"))?;
    for fleet in &fleets {
        switch.shut_off(fleet).await?;
    }
    Ok(fleets)
}

/// The fleets of a launch that replace what they lose; none while its outcome is not known.
fn fleets(launch: &Launch) -> Option<Vec<String>> {
    let outcome = launch.outcome.as_ref()?;
    let mut fleets: Vec<String> = outcome.fleet.iter().filter(|_| launch.request.maintain).cloned().collect();
    if let Some(fallback) = &outcome.fallback {
        fleets.extend(self::fleets(fallback)?);
    }
    Some(fleets)
}
