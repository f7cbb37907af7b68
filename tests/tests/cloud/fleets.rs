//! Fleets of the stand-in, and what it refuses to launch.

use dayfly_tests::aws::{End, Trouble, base64};
use serde_json::json;

use crate::double::{alive, with_account};

#[test]
fn a_fleet_is_spread_and_takes_all_from_its_template() {
    with_account(async |_, aws, account| {
        let version = account.version(aws, &json!({"job": "s3://b/j/"}), &[("dayfly:job", "s3://b/j/")]);
        let mut request = account.request("t", 5);
        request.on_demand = 1;
        request.version = version;
        let reply = account.launch(aws, &request);
        assert_eq!(reply.fields("errorCode"), Vec::<&str>::new());
        let machines = aws.machines_tagged("dayfly:job", "s3://b/j/");
        assert_eq!(machines.len(), 5);
        let zones: std::collections::BTreeSet<_> = machines.iter().map(|m| m.zone.clone()).collect();
        let types: std::collections::BTreeSet<_> = machines.iter().map(|m| m.instance_type.clone()).collect();
        assert_eq!((zones.len(), types.len()), (3, 2), "{machines:#?}");
        assert_eq!(machines.iter().filter(|m| m.market == "on-demand").count(), 1);
        for machine in &machines {
            assert!(reply.body.contains(&machine.id));
            assert_eq!(machine.role.as_ref(), Some(&account.role));
            assert_eq!(machine.user_data.as_deref(), Some(r#"{"job":"s3://b/j/"}"#));
            assert_eq!((machine.http_tokens.as_str(), machine.hop_limit, machine.metadata_tags), ("required", 1, true));
            assert_eq!((machine.shutdown.as_str(), &machine.groups), ("terminate", &vec![account.group.clone()]));
            let [volume] = &machine.volumes[..] else { panic!("one volume: {machine:?}") };
            assert_eq!((volume.encrypted, volume.kind.as_str(), volume.size), (true, "gp3", 20));
            assert_eq!(volume.tags.get("dayfly:job").map(String::as_str), Some("s3://b/j/"));
        }
    });
}

#[test]
fn a_zone_without_capacity_is_passed_over_and_named() {
    with_account(async |_, aws, account| {
        let (subnet, zone) = &account.subnets[0];
        let set = aws.set(Trouble::with_launches().in_zone(zone).no_capacity());
        let reply = account.launch(aws, &account.request("t", 4));
        assert_eq!(alive(aws).len(), 4);
        assert!(alive(aws).iter().all(|machine| machine.zone != *zone));
        let errors = reply.field("errorSet").expect("errors").to_owned();
        assert!(errors.contains("InsufficientInstanceCapacity") && errors.contains(subnet), "{errors}");
        set.take_back();
        assert_eq!(account.launch(aws, &account.request("u", 1)).fields("errorCode").len(), 0);
    });
}

#[test]
fn no_capacity_anywhere_is_a_fleet_of_none() {
    with_account(async |_, aws, account| {
        aws.set(Trouble::with_launches().on_market("spot").no_capacity());
        let reply = account.launch(aws, &account.request("t", 4));
        assert_eq!((reply.status, reply.fields("errorCode").len(), aws.machines().len()), (200, 6, 0));
        let mut on_demand = account.request("u", 2);
        on_demand.market = "on-demand".to_owned();
        account.launch(aws, &on_demand);
        assert_eq!(alive(aws).len(), 2);
    });
}

#[test]
fn some_machines_come_and_the_rest_is_refused() {
    with_account(async |_, aws, account| {
        let limit = "You have requested more vCPU capacity than your current vCPU limit of 8 allows.";
        aws.set(Trouble::with_launches().after(4).refused("VcpuLimitExceeded", limit));
        let reply = account.launch(aws, &account.request("t", 6));
        assert_eq!(alive(aws).len(), 4);
        assert!(reply.fields("errorCode").iter().all(|code| *code == "VcpuLimitExceeded"), "{}", reply.body);
    });
}

#[test]
fn a_price_too_low_gets_nothing() {
    with_account(async |_, aws, account| {
        let mut request = account.request("t", 1);
        request.max_price = Some("0.001".to_owned());
        let reply = account.launch(aws, &request);
        assert_eq!((reply.fields("errorCode")[0], aws.machines().len()), ("SpotMaxPriceTooLow", 0));
        (request.token, request.max_price) = ("u".to_owned(), Some("1.00".to_owned()));
        account.launch(aws, &request);
        assert_eq!(alive(aws).len(), 1);
    });
}

#[test]
fn a_fleet_that_maintains_replaces_what_it_loses_until_it_is_deleted() {
    with_account(async |_, aws, account| {
        let mut request = account.request("t", 2);
        request.kind = "maintain".to_owned();
        let reply = account.launch(aws, &request);
        let fleet = reply.field("fleetId").expect("a fleet").to_owned();
        let first = alive(aws);
        assert_eq!(first.len(), 2);
        aws.end(&first[0].id, End::Reclaim);
        let second = alive(aws);
        assert_eq!((second.len(), aws.machines().len()), (2, 3));
        assert_eq!(aws.machine(&first[0].id).reason, "Server.SpotInstanceTermination");
        let delete = || aws.query("ec2", "DeleteFleets", &[("FleetId.1", &fleet), ("TerminateInstances", "false")]);
        assert_eq!(delete().field("currentFleetState"), Some("deleted_running"));
        assert_eq!(delete().field("code"), Some("fleetNotInDeletableState"));
        aws.end(&second[0].id, End::Reclaim);
        assert_eq!(alive(aws).len(), 1);
    });
}

#[test]
fn a_spot_request_that_is_never_filled_says_why() {
    with_account(async |_, aws, account| {
        let set = aws.set(Trouble::with_launches().on_market("spot").no_capacity());
        let mut request = account.request("t", 1);
        request.kind = "maintain".to_owned();
        let fleet = account.launch(aws, &request).field("fleetId").expect("a fleet").to_owned();
        let asked = [("FleetId.1", fleet.as_str())];
        let status = || aws.query("ec2", "DescribeFleets", &asked).field("activityStatus").map(str::to_owned);
        assert_eq!((status().as_deref(), aws.machines().len()), (Some("error"), 0));
        let told =
            aws.query("ec2", "DescribeFleetHistory", &[("FleetId", &fleet), ("StartTime", "2026-01-01T00:00:00Z")]);
        assert!(told.field("eventDescription").is_some_and(|why| why.contains("InsufficientInstanceCapacity")));
        set.take_back();
        assert_eq!((status().as_deref(), alive(aws).len()), (Some("fulfilled"), 1));
    });
}

#[test]
fn what_ec2_refuses_is_refused() {
    with_account(async |_, aws, account| {
        let run = |parameters: &[(&str, &str)]| {
            let parameters = [&[("MinCount", "1"), ("MaxCount", "1")], parameters].concat();
            aws.query("ec2", "RunInstances", &parameters).field("Code").unwrap_or("none").to_owned()
        };
        let image = account.image.as_str();
        assert_eq!(run(&[("ImageId", "ami-1")]), "InvalidAMIID.Malformed");
        assert_eq!(run(&[("ImageId", "ami-00000000000000000")]), "InvalidAMIID.NotFound");
        assert_eq!(run(&[("ImageId", image), ("InstanceType", "m5.tiny")]), "InvalidParameterValue");
        assert_eq!(run(&[("ImageId", image), ("InstanceType", "m6g.large")]), "InvalidParameterValue");
        let long = base64(&vec![b'x'; 16 * 1024 + 1]);
        assert_eq!(
            run(&[("ImageId", image), ("InstanceType", "m5.large"), ("UserData", &long)]),
            "InvalidParameterValue"
        );
        let nobody = [("ImageId", image), ("InstanceType", "m5.large"), ("IamInstanceProfile.Name", "nobody")];
        assert_eq!(run(&nobody), "InvalidParameterValue");
        assert_eq!(run(&[("ImageId", image), ("InstanceType", "m5.large"), ("DryRun", "true")]), "DryRunOperation");
        assert_eq!(aws.machines().len(), 0);
        assert_eq!(run(&[("ImageId", image), ("InstanceType", "m5.large")]), "none");
        assert_eq!(aws.machines().len(), 1);
    });
}
