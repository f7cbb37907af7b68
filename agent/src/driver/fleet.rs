//! Shuts off a fleet that replaces what it loses: once nothing is free to be claimed, another instance would only cost.

use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::store::StoreExt;
use serde_json::Value;

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
    let launch: Value = serde_json::from_slice(&body).map_err(|e| format!("{place}: {e}"))?;
    let fleets = fleets(&launch).ok_or_else(|| format!("{place} does not name the fleet yet"))?;
    for fleet in &fleets {
        switch.shut_off(fleet).await?;
    }
    Ok(fleets)
}

/// The fleets of a launch (`dayfly_shared::launch::Launch`, of which two fields matter here) that replace what they lose;
/// none while its outcome is not known.
fn fleets(launch: &Value) -> Option<Vec<String>> {
    let outcome = launch.get("outcome").filter(|outcome| !outcome.is_null())?;
    let mut fleets = Vec::new();
    if launch["request"]["maintain"] == Value::Bool(true) {
        fleets.extend(outcome["fleet"].as_str().map(str::to_owned));
    }
    if let Some(fallback) = outcome.get("fallback").filter(|fallback| !fallback.is_null()) {
        fleets.extend(self::fleets(fallback)?);
    }
    Some(fleets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayfly_shared::clock::Timestamp;
    use dayfly_shared::ids::Nonce;
    use dayfly_shared::launch::{Launch, Market, Outcome, Request, Template};

    fn launch(maintain: bool, outcome: Option<Outcome>) -> Launch {
        let text = String::new;
        let template = Template { id: text(), version: text(), image: text(), architecture: text() };
        let request = Request {
            machine: Default::default(),
            public_addresses: None,
            count: 1,
            on_demand_base: 0,
            market: Market::Spot,
            maintain,
            template,
            instance_types: Vec::new(),
            needs: None,
            subnets: Vec::new(),
            max_price: None,
            tags: Default::default(),
        };
        let at = Timestamp::default();
        Launch { schema: 1, id: Nonce(7), client_token: text(), by: text(), at, request, max_cost: None, outcome }
    }

    fn read(launch: &Launch) -> Option<Vec<String>> {
        fleets(&serde_json::to_value(launch).unwrap())
    }

    /// Holds the two fields against the record itself.
    #[test]
    fn the_fleets_that_replace_are_named() {
        let of = |fleet: &str| Outcome { fleet: Some(fleet.to_owned()), ..Outcome::default() };
        assert_eq!(read(&launch(true, None)), None, "not known yet");
        assert_eq!(read(&launch(true, Some(of("one")))), Some(vec!["one".to_owned()]));
        assert_eq!(read(&launch(false, Some(of("one")))), Some(Vec::new()), "an instant fleet replaces nothing");
        let fallback = Some(Box::new(launch(true, Some(of("two")))));
        let both = launch(true, Some(Outcome { fallback, ..of("one") }));
        assert_eq!(read(&both), Some(vec!["one".to_owned(), "two".to_owned()]));
    }
}
