//! A launch that could be carried out: what there is to choose from is looked up, and the plan made of it.

use std::fmt;

use aws_sdk_ec2::types::{ArchitectureType, VirtualizationType};
use dayfly_shared::deployment::{Deployment, Subnet};
use dayfly_shared::job::Location;
use dayfly_shared::launch::Launch;

use super::fleet;
use super::image::{self, Flavour, Image};
use super::kinds::{self, Kind};
use super::plan::{self, Given};
use crate::cli::{AgentsArgs, MachinesArgs};
use crate::cloud::{Cloud, explain};
use crate::cost::{self, Expected};
use crate::failure::{Failure, Result};
use crate::host;
use crate::parts::{Parts, Patience};

/// A launch that could be carried out, and what it is made of.
pub struct Planned {
    /// The launch.
    pub launch: Launch,
    /// The image.
    pub image: Image,
    /// The instance types that EC2 may choose from.
    pub kinds: Vec<Kind>,
    /// Where to.
    pub subnets: Vec<Subnet>,
}

/// Makes the plan, of what the account has.
///
/// # Errors
/// No image, types that do not fit, no subnet.
pub async fn prepare(
    parts: &Parts,
    cloud: &Cloud,
    deployment: &Deployment,
    job: &Location,
    args: &AgentsArgs,
) -> Result<Planned> {
    let asked = &args.machines;
    let named = match asked.instance_type.is_empty() {
        true => Vec::new(),
        false => kinds::describe(cloud, &asked.instance_type).await?,
    };
    let architecture = match (asked.arch, named.is_empty()) {
        (Some(architecture), _) => architecture.name(),
        (None, false) => kinds::architecture(&named)?,
        (None, true) => "x86_64",
    };
    let flavour = flavour(parts, job, asked).await?;
    let image = image::find(cloud, deployment, asked.image.as_deref(), &flavour, architecture).await?;
    if asked.arch.is_some_and(|arch| arch.name() != image.architecture) {
        return Err(Failure::usage(format!(
            "the image {} is for {}, not {architecture}",
            image.id, image.architecture
        ))
        .left("nothing was started")
        .fix("leave out --arch, or name another --ami"));
    }
    let kinds = match (plan::needs(asked), named.is_empty()) {
        (Some(needs), _) => fitting(cloud, &needs, &image.architecture).await?,
        (None, false) => named,
        (None, true) => kinds::describe(cloud, &plan::instance_types(asked, &image.architecture)).await?,
    };
    // Types that EC2 chooses fit the image's architecture by themselves.
    let checked = if plan::needs(asked).is_some() { &[][..] } else { &kinds[..] };
    kinds::check(checked, asked.gpus.is_some(), &image, asked.image.is_some())?;
    let subnets = match asked.subnet.is_empty() {
        true => deployment.subnets.clone(),
        false => subnets(cloud, &asked.subnet).await?,
    };
    let given = Given {
        job,
        deployment,
        agents: args,
        image: &image,
        subnets: &subnets,
        endpoint_url: cloud.endpoint_url(),
        by: &host::who(),
    };
    let launch = plan::launch(&given, parts.dice.nonce(), parts.clock.now().wall)?;
    Ok(Planned { launch, image, kinds, subnets })
}

/// Which images will do: of the flavour asked for, or what the job needs.
async fn flavour(parts: &Parts, job: &Location, asked: &MachinesArgs) -> Result<Flavour> {
    match (&asked.flavour, &asked.image) {
        (Some(flavour), None) => Ok(Flavour::Named(flavour.clone())),
        (Some(_), Some(image)) => {
            Err(Failure::usage(format!("the image is {image}, so --flavour has nothing to choose"))
                .left("nothing was started")
                .fix("leave out one of the two"))
        }
        (None, Some(_)) => Ok(Flavour::Plain),
        (None, None) => {
            let settings = parts.job(job, Patience::Long).await?.job_settings().await?;
            Ok(Flavour::of(&settings.unwrap_or_default().processor))
        }
    }
}

/// The types that have what is needed, by name only: EC2 chooses among them.
async fn fitting(cloud: &Cloud, needs: &dayfly_shared::launch::Needs, architecture: &str) -> Result<Vec<Kind>> {
    let mut pages = cloud
        .ec2()
        .get_instance_types_from_instance_requirements()
        .architecture_types(ArchitectureType::from(architecture))
        .virtualization_types(VirtualizationType::Hvm)
        .instance_requirements(fleet::requirements(needs))
        .into_paginator()
        .send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            explain("ec2:GetInstanceTypesFromInstanceRequirements", "what is needed", &e).left("nothing was started")
        })?;
        all.extend(page.instance_types().iter().filter_map(|info| info.instance_type()).map(|name| Kind {
            name: name.to_owned(),
            architectures: vec![architecture.to_owned()],
            vcpus: needs.vcpus,
            gpus: needs.gpus,
        }));
    }
    if all.is_empty() {
        return Err(Failure::usage(format!(
            "{} has no instance type with all that is needed for {architecture}",
            cloud.region()
        ))
        .left("nothing was started")
        .fix("ask for less: --vcpus, --memory, --gpus; or another --arch"));
    }
    Ok(all)
}

async fn subnets(cloud: &Cloud, ids: &[String]) -> Result<Vec<Subnet>> {
    let answer = cloud.ec2().describe_subnets().set_subnet_ids(Some(ids.to_vec())).send().await;
    let answer = answer.map_err(|e| explain("ec2:DescribeSubnets", &ids.join(", "), &e).left("nothing was started"))?;
    let subnet = |s: &aws_sdk_ec2::types::Subnet| Subnet {
        id: s.subnet_id().unwrap_or_default().to_owned(),
        zone: s.availability_zone().unwrap_or_default().to_owned(),
        public: s.map_public_ip_on_launch().unwrap_or(false),
    };
    Ok(answer.subnets().iter().map(subnet).collect())
}

/// What a planned launch may cost.
pub async fn expect(parts: &Parts, cloud: &Cloud, planned: &Planned) -> Expected {
    // Where EC2 chooses among hundreds, a few tell enough.
    const PRICED: usize = 12;
    let types: Vec<String> = planned.kinds.iter().take(PRICED).map(|kind| kind.name.clone()).collect();
    let zones: Vec<String> = planned.subnets.iter().map(|subnet| subnet.zone.clone()).collect();
    cost::expect(parts, cloud, &planned.launch, &types, &zones).await
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.launch.request;
        let spot = match request.market {
            dayfly_shared::launch::Market::Spot => request.count - request.on_demand_base,
            dayfly_shared::launch::Market::OnDemand => 0,
        };
        let kind = if request.maintain { ", replaced when spot takes them back" } else { "" };
        writeln!(f, "{} machines: {spot} spot, {} on demand{kind}", request.count, request.count - spot)?;
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name.as_str()).collect();
        writeln!(f, "  types    {}", crate::human::some(&names))?;
        let agent = match &self.image.agent {
            image::Agent::Inside(version) => format!("agent {version} in it"),
            image::Agent::Fetched(program) => format!("agent {} from the bucket", program.version),
        };
        writeln!(f, "  image    {} ({}), {}, {agent}", self.image.id, self.image.name, self.image.architecture)?;
        let zones: Vec<String> = request
            .subnets
            .iter()
            .map(|id| match self.subnets.iter().find(|subnet| subnet.id == *id) {
                Some(subnet) => format!("{id} in {}", subnet.zone),
                None => id.clone(),
            })
            .collect();
        writeln!(f, "  subnets  {}", crate::human::some(&zones))?;
        let disk = request.machine.disk_gib.map_or("the image's size".to_owned(), |gib| format!("{gib} GiB"));
        let lifetime = crate::human::duration(std::time::Duration::from_secs(request.machine.lifetime_seconds));
        write!(f, "  disk     {disk}, encrypted gp3; each machine ends after {lifetime} at the latest")
    }
}
