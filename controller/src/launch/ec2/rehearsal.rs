//! `--dry-run`: everything that can be known before a launch is looked up; nothing is started, nothing written.

use std::fmt;

use aws_sdk_ec2::types::{Filter, LaunchTemplateSpecification, ResourceType, TagSpecification};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use dayfly_shared::deployment::Deployment;
use dayfly_shared::job::Location;
use dayfly_shared::launch::{Market, Request};
use serde::Serialize;

use super::fleet;
use super::kinds::Kind;
use super::planned::{self, Planned};
use super::template::tag_list;
use crate::cli::AgentsArgs;
use crate::cloud::{Cloud, code, decoded, explain};
use crate::failure::Result;
use crate::human;
use crate::parts::Parts;

/// "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs (Service Quotas, EC2).
const ON_DEMAND_QUOTA: &str = "L-1216C47A";
/// "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", in vCPUs.
const SPOT_QUOTA: &str = "L-34B43A08";

/// What a launch would be, and whether it would go through.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsal {
    job: Location,
    account: String,
    caller: String,
    request: Request,
    checks: Vec<Check>,
    #[serde(skip)]
    plan: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    what: &'static str,
    /// None: it could not be found out.
    good: Option<bool>,
    said: String,
}

impl Rehearsal {
    /// Whether nothing stands against it.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.good != Some(false))
    }
}

/// Looks everything up.
///
/// # Errors
/// No credentials, and what a launch itself would say before it starts.
pub async fn rehearse(
    parts: &Parts,
    cloud: &Cloud,
    deployment: &Deployment,
    job: &Location,
    args: &AgentsArgs,
) -> Result<Rehearsal> {
    let caller = cloud.identity().await?;
    let planned = planned::prepare(parts, cloud, deployment, job, args).await?;
    let mut checks = vec![Check {
        what: "account",
        good: Some(caller.account == deployment.account),
        said: format!("{} ({}); the deployment is of {}", caller.account, caller.arn, deployment.account),
    }];
    checks.push(permissions(cloud, &planned).await);
    let count = planned.launch.request.count;
    let on_demand = match planned.launch.request.market {
        Market::OnDemand => count,
        Market::Spot => planned.launch.request.on_demand_base,
    };
    let running = running_vcpus(cloud).await;
    for (what, quota, machines, market) in [
        ("on-demand quota", ON_DEMAND_QUOTA, on_demand, Market::OnDemand),
        ("spot quota", SPOT_QUOTA, count - on_demand, Market::Spot),
    ] {
        if machines > 0 {
            let runs = running.as_ref().map(|(spot, other)| if market == Market::Spot { *spot } else { *other });
            checks.push(check_quota(cloud, what, quota, machines, &planned.kinds, runs).await);
        }
    }
    let expected = planned::expect(parts, cloud, &planned).await;
    checks.push(Check {
        what: "prices",
        good: expected.estimate.dollars_an_hour.map(|_| true),
        said: expected.to_string(),
    });
    Ok(Rehearsal {
        job: job.clone(),
        account: caller.account,
        caller: caller.arn,
        request: planned.launch.request.clone(),
        checks,
        plan: planned.to_string(),
    })
}

/// EC2's own rehearsal of the calls: `DryRunOperation` is its yes (EC2 API reference, CreateFleet and
/// CreateLaunchTemplateVersion, DryRun). What a fleet's machines need is checked with RunInstances.
async fn permissions(cloud: &Cloud, planned: &Planned) -> Check {
    let request = &planned.launch.request;
    let mut said = Vec::new();
    let mut good = Some(true);
    let mut launch = planned.launch.clone();
    // No version of this launch is there yet; the default one has the same role, network and image rights.
    launch.request.template.version = "$Default".to_owned();
    let fleet = fleet::call(cloud, &launch).dry_run(true).set_client_token(None).send().await.err();
    let fleet = fleet.map(|e| (code(&e).map(str::to_owned), message(e.as_service_error().and_then(|s| s.message()))));
    let template = cloud
        .ec2()
        .create_launch_template_version()
        .dry_run(true)
        .launch_template_id(&request.template.id)
        .launch_template_data(aws_sdk_ec2::types::RequestLaunchTemplateData::builder().build());
    let template = template.send().await.err();
    let template =
        template.map(|e| (code(&e).map(str::to_owned), message(e.as_service_error().and_then(|s| s.message()))));
    let carried = [ResourceType::Instance, ResourceType::Volume]
        .map(|kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tag_list(&planned.launch))).build());
    let run = cloud
        .ec2()
        .run_instances()
        .dry_run(true)
        .min_count(1)
        .max_count(1)
        .image_id(&request.template.image)
        .set_instance_type(planned.kinds.first().map(|kind| kind.name.as_str().into()))
        .set_subnet_id(request.subnets.first().cloned())
        .launch_template(
            LaunchTemplateSpecification::builder().launch_template_id(&request.template.id).version("$Default").build(),
        )
        .set_tag_specifications(Some(carried.to_vec()));
    let run = run.send().await.err();
    let run = run.map(|e| (code(&e).map(str::to_owned), message(e.as_service_error().and_then(|s| s.message()))));
    for (action, answer) in
        [("ec2:CreateFleet", fleet), ("ec2:CreateLaunchTemplateVersion", template), ("ec2:RunInstances", run)]
    {
        match answer {
            Some((Some(code), _)) if code == "DryRunOperation" => said.push(format!("{action} may go through")),
            Some((Some(code), text)) => {
                good = Some(false);
                let text = decoded(cloud, &text).await.unwrap_or(text);
                let fix = crate::cloud::fix(action, &code, &text).map(|fix| format!("; {fix}")).unwrap_or_default();
                said.push(format!("{action}: {code}: {text}{fix}"));
            }
            _ => {
                good = good.filter(|good| !good);
                said.push(format!("{action}: EC2 gave no answer to its dry run"));
            }
        }
    }
    Check { what: "permissions", good, said: said.join(", ") }
}

fn message(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// vCPUs that run in the account and region: spot, and the rest.
async fn running_vcpus(cloud: &Cloud) -> Option<(u64, u64)> {
    let states = Filter::builder().name("instance-state-name").values("pending").values("running").build();
    let mut pages = cloud.ec2().describe_instances().filters(states).into_paginator().send();
    let (mut spot, mut other) = (0, 0);
    while let Some(page) = pages.next().await {
        let page = page.ok()?;
        for instance in page.reservations().iter().flat_map(|r| r.instances()) {
            let cpu = instance.cpu_options();
            let cores =
                cpu.and_then(|c| c.core_count()).unwrap_or(1) * cpu.and_then(|c| c.threads_per_core()).unwrap_or(1);
            let cores = u64::try_from(cores).unwrap_or(1);
            match instance.instance_lifecycle() {
                Some(_) => spot += cores,
                None => other += cores,
            }
        }
    }
    Some((spot, other))
}

async fn check_quota(
    cloud: &Cloud,
    what: &'static str,
    quota: &str,
    machines: u32,
    kinds: &[Kind],
    running: Option<u64>,
) -> Check {
    let most = kinds.iter().map(|kind| kind.vcpus).max().unwrap_or(1);
    let wanted = u64::from(machines) * u64::from(most);
    let answer = cloud.quotas().get_service_quota().service_code("ec2").quota_code(quota).send().await;
    let limit = match &answer {
        Ok(answer) => answer.quota().and_then(|q| q.value()),
        Err(error) => {
            let why = explain("servicequotas:GetServiceQuota", quota, error);
            return Check {
                what,
                good: None,
                said: format!("up to {wanted} vCPUs wanted; the limit is unknown: {why}"),
            };
        }
    };
    let Some(limit) = limit else {
        return Check { what, good: None, said: format!("up to {wanted} vCPUs wanted; the limit is unknown") };
    };
    // Quotas are whole numbers of vCPUs, though the API gives them as decimals.
    let limit = limit.max(0.0) as u64;
    let runs = running.unwrap_or(0);
    let mut said = format!("up to {wanted} vCPUs wanted, {runs} running, {limit} allowed");
    let good = wanted + runs <= limit;
    if !good {
        said += &format!("; launch fewer or smaller machines, or ask for more (Service Quotas, {quota})");
    }
    Check { what, good: Some(good), said }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.job, self.plan)?;
        for check in &self.checks {
            let mark = match check.good {
                Some(true) => "ok",
                Some(false) => "NO",
                None => "?",
            };
            writeln!(f, "  {mark:2} {:16} {}", check.what, check.said)?;
        }
        let bad = self.checks.iter().filter(|check| check.good == Some(false)).count() as u64;
        match bad {
            0 => write!(f, "nothing was started; without --dry-run it would be"),
            _ => write!(f, "nothing was started; {} against it", human::count(bad, "thing")),
        }
    }
}
