//! `dayfly stop`, `start`, `terminate`: what a person does with machines, after a question.

use std::fmt;

use aws_sdk_ec2::types::InstanceStateChange;
use dayfly_shared::exit::Exit;
use dayfly_shared::launch::Market;
use serde::Serialize;

use super::fleets::{self, MaintainedFleet};
use super::machine::{self, Machine, Scope};
use super::reach;
use crate::ask::confirm;
use crate::cli::ManageArgs;
use crate::cloud::{Cloud, explain};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;

/// EC2's advice for calls that name instances: more in one call are throttled and time out (EC2 API reference,
/// TerminateInstances: up to 1,000).
const AT_ONCE: usize = 500;

/// What is done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Stop,
    Start,
    Terminate,
}

impl Deed {
    fn verb(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Terminate => "terminate",
        }
    }

    /// Why it cannot be done to this machine; none: it can. (EC2 user guide, "Stop and start Amazon EC2 instances": a spot
    /// instance of a one-time request cannot be stopped; a fleet of type maintain replaces what is stopped.)
    fn refusal(self, machine: &Machine, maintained: bool) -> Option<String> {
        let state = machine.state.as_str();
        match self {
            _ if !machine.is_there() => Some(format!("it is {state}")),
            Self::Terminate => None,
            _ if machine.market == Market::Spot => Some(
                "it is a spot machine, and those cannot be stopped and started; dayfly terminate ends it".to_owned(),
            ),
            _ if maintained => {
                Some("its fleet replaces what is stopped; dayfly terminate ends machine and fleet".to_owned())
            }
            Self::Stop if state != "running" => Some(format!("it is {state}")),
            Self::Start if state != "stopped" => Some(format!("it is {state}")),
            Self::Stop | Self::Start => None,
        }
    }
}

/// `dayfly stop`.
///
/// # Errors
/// Nothing that can be stopped, EC2 refuses, nobody to ask.
pub async fn stop(parts: &Parts, args: &ManageArgs) -> Result<Exit> {
    command(parts, args, Deed::Stop).await
}

/// `dayfly start`.
///
/// # Errors
/// As [`stop`].
pub async fn start(parts: &Parts, args: &ManageArgs) -> Result<Exit> {
    command(parts, args, Deed::Start).await
}

/// `dayfly terminate`.
///
/// # Errors
/// As [`stop`].
pub async fn terminate(parts: &Parts, args: &ManageArgs) -> Result<Exit> {
    command(parts, args, Deed::Terminate).await
}

async fn command(parts: &Parts, args: &ManageArgs, deed: Deed) -> Result<Exit> {
    let verb = deed.verb();
    if args.job.job.is_none() && args.instance.is_empty() {
        return Err(Failure::usage(format!("{verb} what? neither a job nor an instance is named"))
            .fix("pass s3://BUCKET/PREFIX, or -i ID; dayfly ps lists them"));
    }
    let (cloud, scope) = reach(parts, args.job.job.as_ref()).await?;
    let all = machine::list(&cloud, &scope).await?;
    let unknown: Vec<&String> = args.instance.iter().filter(|id| !all.iter().any(|m| m.id == **id)).collect();
    if !unknown.is_empty() {
        return Err(Failure::usage(format!("{} is no machine of {scope}", human::some(&unknown)))
            .left("nothing was changed")
            .fix("dayfly ps lists them; what is not dayfly's it does not touch"));
    }
    let named = |machine: &&Machine| match args.instance.is_empty() {
        true => machine.is_there(),
        false => args.instance.contains(&machine.id),
    };
    let chosen: Vec<&Machine> = all.iter().filter(named).collect();
    let maintained = fleets::list(&cloud, &scope).await?;
    let is_maintained = |m: &Machine| maintained.iter().any(|fleet| m.fleet.as_ref() == Some(&fleet.id));
    let (mut targets, mut refused) = (Vec::new(), Vec::new());
    for machine in chosen {
        match deed.refusal(machine, is_maintained(machine)) {
            None => targets.push(machine.id.clone()),
            Some(why) => refused.push(Refused { id: machine.id.clone(), why }),
        }
    }
    // One machine of many is ended, and its fleet would only replace it: all of them, and the fleet goes too.
    let doomed: Vec<&MaintainedFleet> = match (deed, args.instance.is_empty()) {
        (Deed::Terminate, true) => maintained.iter().collect(),
        _ => Vec::new(),
    };
    if targets.is_empty() && doomed.is_empty() {
        return match refused.first() {
            None => {
                parts.output().result(&ManageReport {
                    deed: verb,
                    scope: scope.to_string(),
                    done: targets,
                    refused,
                    fleets: Vec::new(),
                });
                Ok(Exit::Done)
            }
            Some(first) => {
                Err(Failure::new(format!("cannot {verb} {}: {}", first.id, first.why)).left(match refused.len() {
                    1 => "nothing was changed".to_owned(),
                    n => format!("nothing was changed; the same goes for {} more", n - 1),
                }))
            }
        };
    }
    let mut what = human::count(targets.len() as u64, "machine");
    if !doomed.is_empty() {
        what += &format!(" and {}", human::count(doomed.len() as u64, "fleet"));
    }
    let loss = match deed {
        Deed::Start => "",
        _ => " What they have in hand is begun again elsewhere when its lease expires.",
    };
    if !confirm(&parts.settings, &format!("{verb} {what} of {scope}?{loss}"))? {
        return Err(Failure::new("not confirmed").left("nothing was changed"));
    }
    // The fleets first, or they replace what is ended.
    let fleets: Vec<String> = doomed.iter().map(|fleet| fleet.id.clone()).collect();
    fleets::delete(&cloud, &fleets).await?;
    let done = act(&cloud, deed, &targets).await?;
    if !args.instance.is_empty() && deed == Deed::Terminate {
        for fleet in
            maintained.iter().filter(|f| all.iter().any(|m| targets.contains(&m.id) && m.fleet.as_ref() == Some(&f.id)))
        {
            parts.output().note(format!("{} replaces it; dayfly terminate without -i ends the fleet too", fleet.id));
        }
    }
    parts.output().result(&ManageReport { deed: verb, scope: scope.to_string(), done, refused, fleets });
    Ok(Exit::Done)
}

/// Does it; what each came to.
async fn act(cloud: &Cloud, deed: Deed, ids: &[String]) -> Result<Vec<String>> {
    let mut done: Vec<String> = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let (ec2, some, about) = (cloud.ec2(), Some(ids.to_vec()), human::some(ids));
        let left = |failure: Failure| match done.len() {
            0 => failure.left("nothing was changed"),
            n => failure.left(format!("done for {n} before")),
        };
        let changed: Vec<InstanceStateChange> = match deed {
            Deed::Stop => {
                let answer = ec2.stop_instances().set_instance_ids(some).send().await;
                let answer = answer.map_err(|e| left(explain("ec2:StopInstances", &about, &e)))?;
                answer.stopping_instances.unwrap_or_default()
            }
            Deed::Start => {
                let answer = ec2.start_instances().set_instance_ids(some).send().await;
                let answer = answer.map_err(|e| left(explain("ec2:StartInstances", &about, &e)))?;
                answer.starting_instances.unwrap_or_default()
            }
            Deed::Terminate => {
                let answer = ec2.terminate_instances().set_instance_ids(some).send().await;
                let answer = answer.map_err(|e| left(explain("ec2:TerminateInstances", &about, &e)))?;
                answer.terminating_instances.unwrap_or_default()
            }
        };
        done.extend(changed.iter().filter_map(|change| change.instance_id().map(str::to_owned)));
    }
    Ok(done)
}

/// Ends instances, for whoever has judged them.
///
/// # Errors
/// EC2 refuses.
pub(super) async fn end(cloud: &Cloud, ids: &[String]) -> Result<Vec<String>> {
    act(cloud, Deed::Terminate, ids).await
}

/// The instances of a launch that are not on their way out.
///
/// # Errors
/// EC2 refuses.
pub async fn there(cloud: &Cloud, scope: &Scope) -> Result<Vec<Machine>> {
    Ok(machine::list(cloud, scope).await?.into_iter().filter(Machine::is_there).collect())
}

#[derive(Clone, Debug, Serialize)]
struct Refused {
    id: String,
    why: String,
}

#[derive(Clone, Debug, Serialize)]
struct ManageReport {
    #[serde(rename = "action")]
    deed: &'static str,
    scope: String,
    done: Vec<String>,
    refused: Vec<Refused>,
    fleets: Vec<String>,
}

impl fmt::Display for ManageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.done.is_empty() {
            true => writeln!(f, "{}: no machines of {}", self.deed, self.scope)?,
            false => writeln!(f, "{}: {}", self.deed, human::some(&self.done))?,
        }
        for fleet in &self.fleets {
            writeln!(f, "{fleet} is deleted, and replaces nothing more")?;
        }
        for refused in &self.refused {
            writeln!(f, "not {}: {}", refused.id, refused.why)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(state: &str, market: Market) -> Machine {
        Machine {
            id: "i-1".to_owned(),
            instance_type: "c7i.large".to_owned(),
            zone: String::new(),
            market,
            state: state.to_owned(),
            launched: None,
            job: None,
            launch: None,
            deployment: None,
            fleet: None,
            condemned: None,
        }
    }

    #[test]
    fn only_machines_on_demand_outside_fleets_stop_and_start() {
        let (running, stopped) = (machine("running", Market::OnDemand), machine("stopped", Market::OnDemand));
        assert_eq!(Deed::Stop.refusal(&running, false), None);
        assert_eq!(Deed::Start.refusal(&stopped, false), None);
        assert!(Deed::Stop.refusal(&stopped, false).unwrap().contains("stopped"));
        assert!(Deed::Start.refusal(&running, false).unwrap().contains("running"));
        assert!(Deed::Stop.refusal(&running, true).unwrap().contains("fleet"));
        let spot = machine("running", Market::Spot);
        assert!(Deed::Stop.refusal(&spot, false).unwrap().contains("spot"));
        assert_eq!(Deed::Terminate.refusal(&spot, true), None);
        assert!(Deed::Terminate.refusal(&machine("terminated", Market::Spot), false).is_some());
    }
}
