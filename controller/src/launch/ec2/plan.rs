//! From flags, deployment and image to the whole request: pure, so that the same flags give the same request.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::deployment::{Deployment, Subnet};
use dayfly_shared::ids::Nonce;
use dayfly_shared::instance::InstanceSettings;
use dayfly_shared::job::{Location, SCHEMA};
use dayfly_shared::launch::{Blueprint, Launch, Market, Needs, Request, Template, tags};

use super::image::Image;
use super::kinds::{USUAL_ARM, USUAL_X86};
use super::user_data::user_data;
use crate::cli::{AgentsArgs, MachinesArgs};
use crate::failure::{Failure, Result};

/// Half a day: longer than most jobs, and what is forgotten costs no more than that.
const LIFETIME: Duration = Duration::from_hours(12);
/// Below it a machine would end before it has done anything: its boot alone takes a minute or two.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(10);
/// The longest Name that EC2 takes (EC2 user guide, "Tag restrictions").
const NAME_MAX: usize = 256;

/// What a plan is made of.
pub struct Given<'a> {
    /// For which job.
    pub job: &'a Location,
    /// The deployment.
    pub deployment: &'a Deployment,
    /// How many agents, and how.
    pub agents: &'a AgentsArgs,
    /// The image.
    pub image: &'a Image,
    /// Where to.
    pub subnets: &'a [Subnet],
    /// The endpoint of all services, where it is not AWS's own.
    pub endpoint_url: Option<&'a str>,
    /// Who launches.
    pub by: &'a str,
}

/// The instance types that are asked for: those named, or the usual ones; none where needs stand instead.
pub fn instance_types(args: &MachinesArgs, architecture: &str) -> Vec<String> {
    if needs(args).is_some() {
        return Vec::new();
    }
    if !args.instance_type.is_empty() {
        return args.instance_type.clone();
    }
    let usual = if architecture == "arm64" { USUAL_ARM } else { USUAL_X86 };
    usual.iter().map(|&name| name.to_owned()).collect()
}

/// What a machine has to have, if that is how it was asked.
pub fn needs(args: &MachinesArgs) -> Option<Needs> {
    let asked = args.vcpus.is_some() || args.memory.is_some() || args.gpus.is_some();
    // One core and half a GiB are the least there is.
    asked.then(|| Needs {
        vcpus: args.vcpus.unwrap_or(1),
        memory_mib: args.memory.map_or(512, |gib| gib * 1024),
        gpus: args.gpus.unwrap_or(0),
    })
}

/// One subnet of each zone: a fleet takes no two of one (EC2 API reference, CreateFleet: a pool is a type in a zone).
pub fn one_a_zone(subnets: &[Subnet]) -> Vec<Subnet> {
    let mut zones = BTreeMap::new();
    for subnet in subnets {
        zones.entry(&subnet.zone).or_insert(subnet);
    }
    zones.into_values().cloned().collect()
}

/// The launch, complete but for the number of its template's version.
///
/// # Errors
/// Numbers that contradict each other, user data that is too long.
pub fn launch(given: &Given<'_>, id: Nonce, at: Timestamp) -> Result<Launch> {
    let (deployment, machines) = (given.deployment, &given.agents.machines);
    let count = given.agents.count;
    let base = machines.on_demand_base.unwrap_or(0);
    if base > count {
        return Err(Failure::usage(format!("--on-demand-base {base} is more than -n {count}")));
    }
    if machines.maintain && given.agents.linger {
        return Err(Failure::usage("--maintain ends when nothing is left to do, and --linger waits for more")
            .fix("leave out one of them"));
    }
    if machines.maintain && !deployment.fleet_shut_off {
        return Err(Failure::usage(format!(
            "--maintain makes a fleet that only agents end, and those of the deployment {} may not",
            deployment.name
        ))
        .left("nothing was started")
        .fix(format!("dayfly setup {} --fleet-shut-off; or leave out --maintain", deployment.place)));
    }
    let lifetime = machines.max_lifetime.unwrap_or(LIFETIME);
    if lifetime < SHORTEST_LIFETIME {
        return Err(Failure::usage(format!("--max-lifetime of {} s is too short for a machine", lifetime.as_secs()))
            .fix("give it ten minutes or more: it is for what hangs, and an agent that is done ends by itself"));
    }
    if given.subnets.is_empty() {
        return Err(Failure::new(format!("the deployment {} has no subnet to launch into", deployment.name))
            .left("nothing was started")
            .fix(format!("name one with --subnet, or run dayfly setup {} --subnet …", deployment.place)));
    }
    if let (Some(asked), Some(least)) = (machines.disk, given.image.disk_gib)
        && asked < least
    {
        return Err(Failure::usage(format!(
            "--disk {asked} is less than the {least} GiB of the image {}",
            given.image.id
        ))
        .left("nothing was started")
        .fix("give it as much, or leave it out"));
    }
    let settings = settings(given, id, lifetime);
    let name = format!("dayfly {}", given.job);
    let all_tags = [
        (tags::DEPLOYMENT, deployment.name.clone()),
        (tags::JOB, given.job.to_string()),
        (tags::LAUNCH, id.to_string()),
        (tags::OWNER, deployment.owner.clone()),
        (tags::PROJECT, deployment.project.clone()),
        (tags::NAME, name.chars().take(NAME_MAX).collect()),
    ];
    let request = Request {
        count,
        on_demand_base: base,
        market: if machines.spot { Market::Spot } else { Market::OnDemand },
        maintain: machines.maintain,
        template: Template {
            id: deployment.launch_template.id.clone(),
            version: String::new(),
            image: given.image.id.clone(),
            architecture: given.image.architecture.clone(),
        },
        instance_types: instance_types(machines, &given.image.architecture),
        machine: Blueprint {
            user_data: user_data(&settings, given.image, deployment.place.bucket(), &deployment.region)?,
            root_device: given.image.root_device.clone(),
            disk_gib: machines.disk.or(given.image.disk_gib),
            instance_profile: deployment.instance_profile.name.clone(),
            security_groups: deployment.security_groups.iter().map(|group| group.id.clone()).collect(),
            lifetime_seconds: lifetime.as_secs(),
        },
        needs: needs(machines),
        subnets: one_a_zone(given.subnets).into_iter().map(|subnet| subnet.id).collect(),
        max_price: machines.max_price.clone(),
        public_addresses: public_addresses(given.subnets),
        tags: all_tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    };
    Ok(Launch {
        schema: SCHEMA,
        id,
        client_token: format!("dayfly-{id}-1"),
        by: given.by.to_owned(),
        at,
        request,
        max_cost: machines.max_cost.clone(),
        outcome: None,
    })
}

/// Whether machines get a public address each, where all subnets agree.
fn public_addresses(subnets: &[Subnet]) -> Option<bool> {
    let first = subnets.first()?.public;
    subnets.iter().all(|subnet| subnet.public == first).then_some(first)
}

fn settings(given: &Given<'_>, id: Nonce, lifetime: Duration) -> InstanceSettings {
    let machines = &given.agents.machines;
    InstanceSettings {
        job: Some(given.job.clone()),
        slots: given.agents.slots,
        linger: given.agents.linger,
        endpoint_url: given.endpoint_url.map(str::to_owned),
        region: Some(given.deployment.region.clone()),
        launch: Some(id),
        shut_off_fleet: machines.maintain,
        max_lifetime_seconds: Some(lifetime.as_secs()),
        observe_seconds: machines.observe.map(|time| time.as_secs()),
        log_group: given.deployment.log_group.clone(),
        notify_topic: given.deployment.notify_topic.clone(),
        controller_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..InstanceSettings::default()
    }
}

/// The request after one that gave too little: for what is missing, under a token of its own.
pub fn further(after: &Launch, count: u32, market: Market, at: Timestamp) -> Launch {
    let (front, number) = after.client_token.rsplit_once('-').unwrap_or((&after.client_token, "1"));
    let number = number.parse::<u32>().unwrap_or(1).saturating_add(1);
    let base = match market {
        Market::Spot => after.request.on_demand_base.min(count),
        Market::OnDemand => 0,
    };
    Launch {
        client_token: format!("{front}-{number}"),
        at,
        request: Request { count, market, on_demand_base: base, ..after.request.clone() },
        outcome: None,
        ..after.clone()
    }
}

/// Whether a launch that was cut off asked for the same as this one: the ids differ, and with them tags and user data.
pub fn same(open: &Launch, now: &Launch) -> bool {
    let mut as_open = now.request.clone();
    as_open.template.version.clone_from(&open.request.template.version);
    as_open.tags.insert(tags::LAUNCH.to_owned(), open.id.to_string());
    as_open.machine.user_data = as_open.machine.user_data.replace(&now.id.to_string(), &open.id.to_string());
    as_open == open.request && open.max_cost == now.max_cost
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod plan_test;
