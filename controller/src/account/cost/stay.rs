//! How long each machine was there, as far as anybody tells: EC2 while it remembers, the agents' records, the launches'.

use std::collections::BTreeMap;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::{Launch, Market};
use dayfly_shared::records::{AgentRecord, AgentState};
use serde::Serialize;

/// A machine's time in a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stay {
    /// `i-…`.
    pub instance: String,
    /// Its type.
    pub instance_type: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Its market.
    pub market: Option<Market>,
    /// When it was launched.
    pub from: Option<Timestamp>,
    /// When it ended; none while it runs, or where nobody knows.
    pub to: Option<Timestamp>,
    /// Whether it still runs.
    pub running: bool,
    /// Whether it has a public IPv4 address, where that is known.
    pub public_address: Option<bool>,
    /// Its volumes' size in GiB, where that is known.
    pub disk_gib: Option<u64>,
}

/// What EC2 says of a machine.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// As [`Stay`], but for the end.
    pub stay: Stay,
    /// When it ended, from the reason of its last transition.
    pub ended: Option<Timestamp>,
}

/// Puts together what is known of each machine, by id.
pub fn stays(described: Vec<Described>, agents: &[AgentRecord], launches: &[Launch]) -> Vec<Stay> {
    let mut all: BTreeMap<String, Stay> = BTreeMap::new();
    for launch in launches.iter().flat_map(Launch::requests) {
        for machine in launch.outcome.iter().flat_map(|outcome| &outcome.instances) {
            let stay = all.entry(machine.id.clone()).or_default();
            stay.instance_type = Some(machine.instance_type.clone());
            stay.zone.clone_from(&machine.zone);
            stay.market = Some(machine.market);
            stay.disk_gib = launch.request.machine.disk_gib.map(u64::from);
            stay.public_address = launch.request.public_addresses;
            stay.from = Some(launch.at);
        }
    }
    for agent in agents {
        let Some(id) = &agent.machine.instance_id else { continue };
        let stay = all.entry(id.clone()).or_default();
        let machine = &agent.machine;
        stay.instance_type = machine.instance_type.clone().or(stay.instance_type.take());
        stay.zone = machine.zone.clone().or(stay.zone.take());
        stay.market = machine.market.as_deref().map(market).or(stay.market);
        stay.from = Some(stay.from.map_or(agent.born, |from| from.min(agent.born)));
        // An agent that came again on the same machine: the last word counts.
        stay.to = stay.to.max(Some(agent.last_seen));
        stay.running |= agent.state != AgentState::Ended;
    }
    for told in described {
        let stay = all.entry(told.stay.instance.clone()).or_default();
        let seen = stay.to.filter(|_| !told.stay.running);
        let from = told.stay.from.or(stay.from);
        let (disk_gib, address) = (stay.disk_gib, stay.public_address);
        // An ended machine has no address any more.
        let public_address = told.stay.public_address.filter(|_| told.stay.running).or(address);
        *stay = Stay { from, to: told.ended.or(seen), disk_gib, public_address, ..told.stay };
    }
    for (id, stay) in &mut all {
        stay.instance.clone_from(id);
        if stay.running {
            stay.to = None;
        }
    }
    all.into_values().collect()
}

/// `spot`, as the metadata service says it; anything else is on demand.
pub fn market(text: &str) -> Market {
    if text == "spot" { Market::Spot } else { Market::OnDemand }
}

/// The moment in EC2's reason of a transition, such as `User initiated (2026-01-31 12:00:00 GMT)`.
pub fn moment_in(reason: &str) -> Option<Timestamp> {
    let (_, rest) = reason.split_once('(')?;
    let (moment, _) = rest.split_once(" GMT)")?;
    let (date, time) = moment.split_once(' ')?;
    format!("{date}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_transition_tells_when() {
        let at = moment_in("User initiated (2026-01-31 12:00:05 GMT)").unwrap();
        assert_eq!(at.to_string(), "2026-01-31T12:00:05.000Z");
        assert_eq!(moment_in("Server.SpotInstanceTermination: reclaimed"), None);
    }

    #[test]
    fn what_ec2_says_outranks_the_rest_and_agents_tell_what_it_forgot() {
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        let launch = Launch {
            schema: 1,
            id: dayfly_shared::ids::Nonce(1),
            client_token: String::new(),
            by: String::new(),
            at: Timestamp::from_unix_ms(1000),
            request: request(),
            max_cost: None,
            outcome: Some(dayfly_shared::launch::Outcome {
                instances: ["i-1", "i-2"].map(launched).to_vec(),
                ..Default::default()
            }),
        };
        let told = Described {
            stay: Stay { instance: "i-1".to_owned(), from: at(1500), running: true, ..Stay::default() },
            ended: None,
        };
        let all = stays(vec![told], &[], &[launch]);
        assert_eq!((all[0].from, all[0].running, all[0].to), (at(1500), true, None));
        assert_eq!((all[1].from, all[1].to, all[1].market), (at(1000), None, Some(Market::Spot)));
    }

    /// A profile that was not visible, then too little spot, then on demand: machines of all three requests count.
    #[test]
    fn machines_of_every_further_request_are_counted() {
        let mut launch: Option<Launch> = None;
        for id in ["i-3", "i-2", "i-1"] {
            let fallback = launch.take().map(Box::new);
            launch = Some(Launch {
                schema: 1,
                id: dayfly_shared::ids::Nonce(1),
                client_token: String::new(),
                by: String::new(),
                at: Timestamp::default(),
                request: request(),
                max_cost: None,
                outcome: Some(dayfly_shared::launch::Outcome {
                    instances: vec![launched(id)],
                    fallback,
                    ..Default::default()
                }),
            });
        }
        let all = stays(Vec::new(), &[], &launch.into_iter().collect::<Vec<_>>());
        assert_eq!(all.iter().map(|stay| stay.instance.as_str()).collect::<Vec<_>>(), ["i-1", "i-2", "i-3"]);
    }

    fn launched(id: &str) -> dayfly_shared::launch::Launched {
        dayfly_shared::launch::Launched {
            id: id.to_owned(),
            instance_type: "c7i.large".to_owned(),
            zone: None,
            market: Market::Spot,
        }
    }

    fn request() -> dayfly_shared::launch::Request {
        serde_json::from_value(serde_json::json!({
            "count": 2, "on_demand_base": 0, "market": "spot", "maintain": false, "instance_types": ["c7i.large"],
            "template": {"id": "lt-1", "version": "1", "image": "ami-1", "architecture": "x86_64"},
            "machine": {"user_data": "", "root_device": "", "instance_profile": "", "security_groups": [],
                "lifetime_seconds": 600},
            "subnets": [], "tags": {}
        }))
        .unwrap()
    }
}
