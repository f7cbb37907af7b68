use clap::Parser as _;

use super::super::image::Agent;
use super::*;
use crate::cli::{Cli, Command};

fn deployment() -> Deployment {
    let json = serde_json::json!({
        "schema": 1, "name": "mine", "place": "s3://bucket/", "account": "123456789012", "region": "us-east-1",
        "by": "me", "version": "0.1.0", "at": "2026-01-01T00:00:00.000Z",
        "role": {"name": "r", "id": "arn:r", "made": true},
        "instance_profile": {"name": "p", "id": "arn:p", "made": true},
        "launch_template": {"name": "t", "id": "lt-1", "made": true},
        "vpc": "vpc-1", "made_bucket": false, "owner": "me", "project": "x",
        "security_groups": [{"name": "g", "id": "sg-1", "made": true}],
        "subnets": [
            {"id": "subnet-1", "zone": "us-east-1a", "public": true},
            {"id": "subnet-2", "zone": "us-east-1b", "public": true},
            {"id": "subnet-3", "zone": "us-east-1a", "public": false}
        ]
    });
    serde_json::from_value(json).unwrap()
}

fn agents(flags: &str) -> AgentsArgs {
    let words = format!("dayfly launch s3://bucket/job {flags}");
    match Cli::try_parse_from(words.split_whitespace()).unwrap().command {
        Command::Launch(args) => args.agents,
        other => panic!("{other:?}"),
    }
}

fn plan(flags: &str, id: u64) -> Result<Launch> {
    let (deployment, agents) = (deployment(), agents(flags));
    let image = Image {
        id: "ami-1".to_owned(),
        name: "mine".to_owned(),
        architecture: "x86_64".to_owned(),
        root_device: "/dev/xvda".to_owned(),
        disk_gib: Some(8),
        gpu: false,
        agent: Agent::Inside("0.1.0".to_owned()),
    };
    let job = "s3://bucket/job".parse().unwrap();
    let given = Given {
        job: &job,
        deployment: &deployment,
        agents: &agents,
        image: &image,
        subnets: &deployment.subnets,
        endpoint_url: None,
        by: "me",
    };
    launch(&given, Nonce(id), Timestamp::from_unix_ms(id))
}

#[test]
fn a_fleet_takes_one_subnet_of_each_zone() {
    assert_eq!(plan("-n 5", 1).unwrap().request.subnets, ["subnet-1", "subnet-2"]);
}

#[test]
fn flags_become_the_request() {
    let launch =
        plan("-n 50 --spot --on-demand-base 5 --instance-type c7i.large,m6i.large --disk 30 --max-price 0.1", 1);
    let launch = launch.unwrap();
    let request = &launch.request;
    assert_eq!((request.count, request.on_demand_base, request.market), (50, 5, Market::Spot));
    assert_eq!(request.instance_types, ["c7i.large", "m6i.large"]);
    assert_eq!((request.machine.disk_gib, request.max_price.as_deref()), (Some(30), Some("0.1")));
    let settings: InstanceSettings = serde_json::from_str(&request.machine.user_data).unwrap();
    assert_eq!((settings.launch, settings.max_lifetime_seconds), (Some(Nonce(1)), Some(12 * 3600)));
    for key in [tags::DEPLOYMENT, tags::JOB, tags::LAUNCH, tags::OWNER, tags::PROJECT, tags::NAME] {
        assert!(request.tags.contains_key(key), "{key}");
    }
    let request = plan("--vcpus 4 --memory 8", 1).unwrap().request;
    assert_eq!(request.needs, Some(Needs { vcpus: 4, memory_mib: 8192, gpus: 0 }));
    assert!(request.instance_types.is_empty());
}

#[test]
fn what_contradicts_itself_is_refused() {
    for flags in
        ["-n 2 --spot --on-demand-base 3", "--maintain --linger", "--max-lifetime 1m", "--disk 7", "--maintain"]
    {
        assert!(plan(flags, 1).is_err(), "{flags}");
    }
}

#[test]
fn the_same_flags_are_the_same_launch_and_others_are_not() {
    let mut open = plan("-n 5 --spot", 0x1234).unwrap();
    open.request.template.version = "7".to_owned();
    assert!(same(&open, &plan("-n 5 --spot", 0x9999).unwrap()));
    for other in ["-n 6 --spot", "-n 5", "-n 5 --spot --disk 9", "-n 5 --spot --slots 2", "-n 5 --spot --max-cost 3"] {
        assert!(!same(&open, &plan(other, 0x9999).unwrap()), "{other}");
    }
}

#[test]
fn every_further_request_has_a_token_of_its_own() {
    let first = plan("-n 5 --spot --on-demand-base 1", 1).unwrap();
    let second = further(&first, 3, Market::OnDemand, Timestamp::default());
    let third = further(&second, 2, Market::OnDemand, Timestamp::default());
    let tokens = [&first.client_token, &second.client_token, &third.client_token];
    assert_eq!(tokens, ["dayfly-0000000000000001-1", "dayfly-0000000000000001-2", "dayfly-0000000000000001-3"]);
    assert_eq!((second.id, second.request.count, second.request.on_demand_base), (first.id, 3, 0));
    assert_eq!(second.request.tags, first.request.tags);
}
