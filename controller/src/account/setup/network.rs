//! Where instances run: subnets, and a security group with no way in.

use aws_sdk_ec2::types::{Filter, ResourceType, RouteTable, SecurityGroup, TagSpecification};
use dayfly_shared::deployment::{Deployment, Resource, Subnet};
use dayfly_shared::launch::tags;

use super::role::{ec2_tags, not_own};
use super::work::Work;
use crate::cli::SetupArgs;
use crate::cloud::explain;
use crate::failure::{Failure, Result};
use crate::human;

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Finds the network and its subnets: those asked for, those of before, or those of the default network.
///
/// # Errors
/// No default network; subnets of two networks.
pub async fn find(work: &mut Work<'_>, deployment: &mut Deployment, args: &SetupArgs, stands: bool) -> Result<()> {
    let ec2 = work.cloud.ec2();
    let ids: Vec<String> = match args.subnet.as_slice() {
        [] if stands => deployment.subnets.iter().map(|subnet| subnet.id.clone()).collect(),
        asked => asked.to_vec(),
    };
    let request = if ids.is_empty() {
        ec2.describe_subnets().filters(filter("vpc-id", &default_network(work).await?))
    } else {
        ec2.describe_subnets().set_subnet_ids(Some(ids.clone()))
    };
    let found = request.send().await.map_err(|e| {
        explain("ec2:DescribeSubnets", &human::some(&ids), &e).fix("pass --subnet with subnets that are there")
    })?;
    let mut all: Vec<_> = found.subnets().iter().collect();
    // The default network may hold subnets that people added: they may be anything.
    if ids.is_empty() && all.iter().any(|subnet| subnet.default_for_az() == Some(true)) {
        all.retain(|subnet| subnet.default_for_az() == Some(true));
    }
    let Some(vpc) = all.first().and_then(|subnet| subnet.vpc_id()) else {
        return Err(Failure::new("the default network has no subnet")
            .fix("make some (aws ec2 create-default-subnet --availability-zone …), or pass --subnet"));
    };
    if let Some(stray) = all.iter().find(|subnet| subnet.vpc_id() != Some(vpc)) {
        let id = stray.subnet_id().unwrap_or_default();
        return Err(
            Failure::usage(format!("{id} is not in {vpc} as the subnets before it")).fix("pass subnets of one network")
        );
    }
    let mut subnets: Vec<Subnet> = all
        .iter()
        .map(|subnet| Subnet {
            id: subnet.subnet_id().unwrap_or_default().to_owned(),
            zone: subnet.availability_zone().unwrap_or_default().to_owned(),
            public: subnet.map_public_ip_on_launch() == Some(true),
        })
        .collect();
    subnets.sort_by(|a, b| (&a.zone, &a.id).cmp(&(&b.zone, &b.id)));
    vpc.clone_into(&mut deployment.vpc);
    for subnet in &subnets {
        work.there("subnet", &format!("{} in {}", subnet.id, subnet.zone));
    }
    deployment.subnets = subnets;
    private(work, deployment).await
}

async fn default_network(work: &Work<'_>) -> Result<String> {
    let found = work.cloud.ec2().describe_vpcs().filters(filter("is-default", "true")).send().await;
    let found = found.map_err(|e| explain("ec2:DescribeVpcs", work.cloud.region(), &e))?;
    found.vpcs().first().and_then(|vpc| vpc.vpc_id()).map(str::to_owned).ok_or_else(|| {
        Failure::new(format!("the account has no default network (VPC) in {}", work.cloud.region()))
            .fix("make one (aws ec2 create-default-vpc), or pass --subnet with subnets of your own")
    })
}

/// Says which subnets give no public address and have no other way to S3.
async fn private(work: &mut Work<'_>, deployment: &Deployment) -> Result<()> {
    let private: Vec<&Subnet> = deployment.subnets.iter().filter(|subnet| !subnet.public).collect();
    if private.is_empty() {
        return Ok(());
    }
    let ec2 = work.cloud.ec2();
    let tables = ec2.describe_route_tables().filters(filter("vpc-id", &deployment.vpc)).send().await;
    let tables = tables.map_err(|e| explain("ec2:DescribeRouteTables", &deployment.vpc, &e))?;
    let service = format!("com.amazonaws.{}.s3", deployment.region);
    let endpoints = ec2
        .describe_vpc_endpoints()
        .filters(filter("vpc-id", &deployment.vpc))
        .filters(filter("service-name", &service))
        .send()
        .await
        .map_err(|e| explain("ec2:DescribeVpcEndpoints", &deployment.vpc, &e))?;
    let gateways: Vec<&str> =
        endpoints.vpc_endpoints().iter().flat_map(|one| one.route_table_ids()).map(String::as_str).collect();
    let by_interface = endpoints.vpc_endpoints().iter().any(|one| !one.network_interface_ids().is_empty());
    let cut_off: Vec<&str> = private
        .iter()
        .filter(|subnet| {
            let table = table_of(tables.route_tables(), &subnet.id);
            let gateway = table.and_then(RouteTable::route_table_id).is_some_and(|id| gateways.contains(&id));
            !(by_interface || gateway || table.is_some_and(leads_out))
        })
        .map(|subnet| subnet.id.as_str())
        .collect();
    if !cut_off.is_empty() {
        work.warn(format!(
            "{} give no public address and have no way to S3: agents there could not reach the bucket; add a gateway \
             endpoint for {service} to their route tables (it costs nothing), or let them give public addresses",
            human::some(&cut_off)
        ));
    } else if deployment.ssm || deployment.log_group.is_some() || deployment.ecr_repository.is_some() {
        work.warn(
            "some subnets give no public address: Systems Manager, CloudWatch Logs and ECR need a NAT gateway or interface \
             endpoints there, which cost by the hour"
                .to_owned(),
        );
    }
    Ok(())
}

/// The route table of a subnet: its own, or the network's main one.
fn table_of<'a>(tables: &'a [RouteTable], subnet: &str) -> Option<&'a RouteTable> {
    let own = tables.iter().find(|table| table.associations().iter().any(|a| a.subnet_id() == Some(subnet)));
    own.or_else(|| tables.iter().find(|table| table.associations().iter().any(|a| a.main() == Some(true))))
}

/// Whether a table has a default route that serves machines without a public address: anything but an internet gateway.
fn leads_out(table: &RouteTable) -> bool {
    table.routes().iter().any(|route| {
        route.destination_cidr_block() == Some("0.0.0.0/0")
            && (route.nat_gateway_id().is_some()
                || route.transit_gateway_id().is_some()
                || route.instance_id().is_some()
                || route.network_interface_id().is_some())
    })
}

/// The security group: the ones asked for, or one's own.
///
/// # Errors
/// Groups of another network; a group of that name that is somebody else's.
pub async fn security_group(work: &mut Work<'_>, deployment: &mut Deployment, args: &SetupArgs) -> Result<()> {
    let asked: Vec<String> = match args.security_group.as_slice() {
        [] => deployment.security_groups.iter().filter(|group| !group.made).map(|group| group.id.clone()).collect(),
        asked => asked.to_vec(),
    };
    if !asked.is_empty() {
        return theirs(work, deployment, &asked).await;
    }
    let (ec2, name) = (work.cloud.ec2(), format!("dayfly-{}", deployment.name));
    let found = ec2
        .describe_security_groups()
        .filters(filter("vpc-id", &deployment.vpc))
        .filters(filter("group-name", &name))
        .send()
        .await
        .map_err(|e| explain("ec2:DescribeSecurityGroups", &name, &e))?;
    let id = if let Some(group) = found.security_groups().first() {
        let own = |tag: &aws_sdk_ec2::types::Tag| {
            tag.key() == Some(tags::DEPLOYMENT) && tag.value() == Some(deployment.name.as_str())
        };
        if !group.tags().iter().any(own) {
            return Err(not_own("security group", &name, deployment));
        }
        if !group.ip_permissions().is_empty() {
            work.warn(format!(
                "the security group {name} lets connections in; dayfly needs none, and did not ask for it"
            ));
        }
        work.there("security group", &name);
        group.group_id().unwrap_or_default().to_owned()
    } else {
        let carried = TagSpecification::builder()
            .resource_type(ResourceType::SecurityGroup)
            .set_tags(Some(ec2_tags(deployment, &name)))
            .build();
        let made = ec2
            .create_security_group()
            .group_name(&name)
            .description("dayfly's agents: no way in, every way out")
            .vpc_id(&deployment.vpc)
            .tag_specifications(carried)
            .send()
            .await
            .map_err(|e| explain("ec2:CreateSecurityGroup", &name, &e))?;
        work.made("security group", &name);
        made.group_id().unwrap_or_default().to_owned()
    };
    deployment.security_groups = vec![Resource { name, id, made: true }];
    Ok(())
}

async fn theirs(work: &mut Work<'_>, deployment: &mut Deployment, ids: &[String]) -> Result<()> {
    let found = work.cloud.ec2().describe_security_groups().set_group_ids(Some(ids.to_vec())).send().await;
    let found = found.map_err(|e| {
        explain("ec2:DescribeSecurityGroups", &human::some(ids), &e)
            .fix("pass --security-group with groups that are there")
    })?;
    let stray = |group: &&SecurityGroup| group.vpc_id() != Some(deployment.vpc.as_str());
    if let Some(stray) = found.security_groups().iter().find(stray) {
        let (id, at) = (stray.group_id().unwrap_or_default(), stray.vpc_id().unwrap_or_default());
        return Err(Failure::usage(format!(
            "the security group {id} is in {at}, and the subnets are in {}",
            deployment.vpc
        ))
        .fix("pass groups and subnets of one network"));
    }
    deployment.security_groups = found
        .security_groups()
        .iter()
        .map(|group| Resource {
            name: group.group_name().unwrap_or_default().to_owned(),
            id: group.group_id().unwrap_or_default().to_owned(),
            made: false,
        })
        .collect();
    for group in &deployment.security_groups {
        work.there("security group", &group.name);
    }
    Ok(())
}
