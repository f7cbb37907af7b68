//! One request for machines: CreateFleet, built from a launch's record alone, and what its answer says.

use std::time::Duration;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::types::{
    AcceleratorCountRequest, AcceleratorType, CreateFleetError, DefaultTargetCapacityType,
    FleetExcessCapacityTerminationPolicy, FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest,
    FleetLaunchTemplateSpecificationRequest, FleetOnDemandAllocationStrategy, FleetType, InstanceGeneration,
    InstanceLifecycle, InstanceRequirementsRequest, InstanceType, LaunchTemplateAndOverridesResponse, MemoryMiBRequest,
    OnDemandOptionsRequest, ResourceType, SpotAllocationStrategy, SpotOptionsRequest, TagSpecification,
    TargetCapacitySpecificationRequest, VCpuCountRangeRequest,
};
use aws_smithy_types::DateTime;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::{Launch, LaunchError, Launched, Market, Needs, Outcome, Request};

use super::template::tag_list;
use crate::cloud::Cloud;

fn whole(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The call: the same launch gives the same parameters each time.
pub fn call(cloud: &Cloud, launch: &Launch) -> CreateFleetFluentBuilder {
    let request = &launch.request;
    let (kind, default) = match (request.maintain, request.market) {
        (true, market) => (FleetType::Maintain, market),
        (false, market) => (FleetType::Instant, market),
    };
    let on_demand = match request.market {
        Market::Spot => request.on_demand_base,
        Market::OnDemand => request.count,
    };
    let capacity = TargetCapacitySpecificationRequest::builder()
        .total_target_capacity(whole(request.count))
        .on_demand_target_capacity(whole(on_demand))
        .spot_target_capacity(whole(request.count.saturating_sub(on_demand)))
        .default_target_capacity_type(match default {
            Market::Spot => DefaultTargetCapacityType::Spot,
            Market::OnDemand => DefaultTargetCapacityType::OnDemand,
        });
    // Types are in order of preference; where EC2 chooses them there is no order but the price.
    let strategy = match request.needs {
        Some(_) => FleetOnDemandAllocationStrategy::LowestPrice,
        None => FleetOnDemandAllocationStrategy::Prioritized,
    };
    let template = FleetLaunchTemplateSpecificationRequest::builder()
        .launch_template_id(&request.template.id)
        .version(&request.template.version);
    let config = FleetLaunchTemplateConfigRequest::builder()
        .launch_template_specification(template.build())
        .set_overrides(Some(overrides(request)));
    // Machines and volumes have theirs from the template, as a fleet of type maintain takes none here.
    let tags = TagSpecification::builder().resource_type(ResourceType::Fleet).set_tags(Some(tag_list(launch)));
    let call = cloud
        .ec2()
        .create_fleet()
        .client_token(&launch.client_token)
        .r#type(kind)
        .target_capacity_specification(capacity.build())
        .spot_options(
            SpotOptionsRequest::builder().allocation_strategy(SpotAllocationStrategy::PriceCapacityOptimized).build(),
        )
        .on_demand_options(OnDemandOptionsRequest::builder().allocation_strategy(strategy).build())
        .launch_template_configs(config.build())
        .tag_specifications(tags.build());
    match request.maintain {
        false => call,
        // Machines end by themselves; a fleet that nobody shuts off replaces none after its machines' lifetime.
        true => call
            .excess_capacity_termination_policy(FleetExcessCapacityTerminationPolicy::NoTermination)
            .terminate_instances_with_expiration(false)
            .valid_until(until(launch)),
    }
}

/// Without the SDK's own repetitions.
pub fn one_try() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled())
}

fn until(launch: &Launch) -> DateTime {
    let end = Duration::from_millis(launch.at.unix_ms) + Duration::from_secs(launch.request.machine.lifetime_seconds);
    DateTime::from_secs(i64::try_from(end.as_secs()).unwrap_or(i64::MAX))
}

fn overrides(request: &Request) -> Vec<FleetLaunchTemplateOverridesRequest> {
    let mut all = Vec::new();
    let max_price = match request.market {
        Market::Spot => request.max_price.clone(),
        Market::OnDemand => None,
    };
    let one = |subnet: &String| {
        FleetLaunchTemplateOverridesRequest::builder().subnet_id(subnet).set_max_price(max_price.clone())
    };
    if let Some(needs) = &request.needs {
        all.extend(request.subnets.iter().map(|s| one(s).instance_requirements(requirements(needs)).build()));
    }
    for (order, name) in request.instance_types.iter().enumerate() {
        let order = u32::try_from(order).unwrap_or(u32::MAX);
        let kind = InstanceType::from(name.as_str());
        let pools = request.subnets.iter();
        all.extend(pools.map(|s| one(s).instance_type(kind.clone()).priority(f64::from(order)).build()));
    }
    all
}

/// Needs as EC2 takes them. (The architecture is the image's; EC2 leaves out types that it does not fit.)
pub fn requirements(needs: &Needs) -> InstanceRequirementsRequest {
    let requirements = InstanceRequirementsRequest::builder()
        .v_cpu_count(VCpuCountRangeRequest::builder().min(whole(needs.vcpus)).build())
        .memory_mib(MemoryMiBRequest::builder().min(whole(needs.memory_mib)).build())
        .instance_generations(InstanceGeneration::Current);
    match needs.gpus {
        // Types with accelerators are not left out by themselves, and cost many times as much.
        0 => requirements.accelerator_count(AcceleratorCountRequest::builder().max(0).build()).build(),
        gpus => requirements
            .accelerator_types(AcceleratorType::Gpu)
            .accelerator_count(AcceleratorCountRequest::builder().min(whole(gpus)).build())
            .build(),
    }
}

/// What an answer says, for the record.
pub fn outcome(answer: &CreateFleetOutput, at: Timestamp) -> Outcome {
    let mut instances = Vec::new();
    for group in answer.instances() {
        let overrides = group.launch_template_and_overrides().and_then(|l| l.overrides());
        let zone = group.availability_zone().or_else(|| overrides.and_then(|o| o.availability_zone()));
        for id in group.instance_ids() {
            instances.push(Launched {
                id: id.clone(),
                instance_type: group.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
                zone: zone.map(str::to_owned),
                market: match group.lifecycle() {
                    Some(InstanceLifecycle::Spot) => Market::Spot,
                    _ => Market::OnDemand,
                },
            });
        }
    }
    Outcome {
        at,
        fleet: answer.fleet_id().map(str::to_owned),
        instances,
        errors: grouped(answer.errors().iter().map(said)),
        ..Outcome::default()
    }
}

/// An error of the answer: its code, its words, and the pool.
fn said(error: &CreateFleetError) -> (String, String, String) {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let pool = error.launch_template_and_overrides().map(pool).unwrap_or_default();
    let market = error.lifecycle().map(|l| l.as_str().to_owned()).unwrap_or_default();
    (text(error.error_code()), text(error.error_message()), [pool, market].join(" ").trim().to_owned())
}

fn pool(where_: &LaunchTemplateAndOverridesResponse) -> String {
    let Some(overrides) = where_.overrides() else { return String::new() };
    let kind = overrides.instance_type().map(|t| t.as_str());
    let place = overrides.availability_zone().or_else(|| overrides.subnet_id());
    [kind, place].into_iter().flatten().collect::<Vec<_>>().join(" in ")
}

/// Errors of one code together, with the words of the first: EC2 says the same of every pool.
pub fn grouped(errors: impl IntoIterator<Item = (String, String, String)>) -> Vec<LaunchError> {
    let mut groups: Vec<LaunchError> = Vec::new();
    for (code, message, pool) in errors {
        let index = groups.iter().position(|group| group.code == code).unwrap_or_else(|| {
            groups.push(LaunchError { code, message, pools: Vec::new() });
            groups.len() - 1
        });
        if !pool.is_empty() && !groups[index].pools.contains(&pool) {
            groups[index].pools.push(pool);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_code_are_said_once_with_all_their_pools() {
        let error = |code: &str, pool: &str| (code.to_owned(), format!("{code} in {pool}"), pool.to_owned());
        let groups = grouped([
            error("InsufficientInstanceCapacity", "c7i.large in us-east-1a"),
            error("InsufficientInstanceCapacity", "c7i.large in us-east-1b"),
            error("VcpuLimitExceeded", ""),
            error("InsufficientInstanceCapacity", "c7i.large in us-east-1a"),
        ]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].pools, ["c7i.large in us-east-1a", "c7i.large in us-east-1b"]);
        assert_eq!((groups[1].code.as_str(), groups[1].pools.len()), ("VcpuLimitExceeded", 0));
    }
}
