//! `dayfly launch` on EC2: what is asked, what is said, and what becomes of a launch that is cut off.

use std::collections::BTreeSet;

use dayfly_shared::deployment::AgentProgram;
use dayfly_shared::launch::tags;
use dayfly_shared::store::StoreExt;
use dayfly_tests::aws::{Aws, Trouble};
use serde_json::json;

use crate::ground::{TYPES, on_ground, on_ground_with};
use crate::ledger::Page;

/// Faults that hold a launch, at each point of its way.
pub fn points() -> Vec<(&'static str, Trouble)> {
    let record = || Trouble::with("s3", "PutObject").containing("launches/");
    vec![
        ("before its record", record().held()),
        ("after its record", record().answer_held()),
        ("before the template's version", Trouble::with("ec2", "CreateLaunchTemplateVersion").held()),
        ("after the template's version", Trouble::with("ec2", "CreateLaunchTemplateVersion").answer_held()),
        ("before the version is recorded", record().after(1).held()),
        ("after the version is recorded", record().after(1).answer_held()),
        ("before the fleet", Trouble::with("ec2", "CreateFleet").held()),
        ("after the fleet", Trouble::with("ec2", "CreateFleet").answer_held()),
        ("before the outcome is recorded", record().after(2).held()),
    ]
}

#[test]
fn a_launch_is_spread_and_all_of_it_is_tagged() {
    on_ground(async |ground| {
        let ended = ground.launch(&format!("-n 5 --spot --on-demand-base 1 --instance-type {TYPES} --disk 30")).await;
        ended.expect(0, &["5 machines started for s3://test-bucket/job/", "4 spot", "1 on-demand", "dayfly watch"]);
        let machines = ground.up();
        let zones: BTreeSet<_> = machines.iter().map(|m| m.zone.clone()).collect();
        assert!(machines.len() == 5 && zones.len() > 2, "{machines:#?}");
        let [launch] = &ground.launches().await[..] else { panic!("one launch") };
        assert!(!launch.is_open());
        for machine in &machines {
            let [volume] = &machine.volumes[..] else { panic!("one volume: {machine:?}") };
            for has in [&machine.tags, &volume.tags] {
                assert_eq!(has.get(tags::LAUNCH), Some(&launch.id.to_string()));
                assert_eq!(has.get(tags::JOB).map(String::as_str), Some("s3://test-bucket/job/"));
                for key in [tags::DEPLOYMENT, tags::OWNER, tags::PROJECT, tags::NAME] {
                    assert!(has.contains_key(key), "{key}: {has:?}");
                }
            }
            assert_eq!((volume.encrypted, volume.kind.as_str(), volume.size), (true, "gp3", 30));
            assert_eq!((machine.http_tokens.as_str(), machine.hop_limit, machine.metadata_tags), ("required", 1, true));
            assert_eq!((machine.shutdown.as_str(), machine.key_name.as_deref()), ("terminate", None));
            assert_eq!(machine.role.as_ref(), Some(&ground.deployment().await.role.name));
            let told: serde_json::Value =
                serde_json::from_str(machine.user_data.as_deref().expect("user data")).expect("JSON");
            assert_eq!(told["job"], "s3://test-bucket/job/");
            assert_eq!(told["launch"], launch.id.to_string());
            assert_eq!(told["max_lifetime_seconds"], 12 * 3600);
        }
        ground.launch(&format!("-n 1 --instance-type {TYPES}")).await.expect(0, &["1 machine started"]);
        assert_eq!((ground.up().len(), ground.tokens().len()), (6, 2), "more can join, under another token");
    });
}

#[test]
fn a_zone_without_capacity_is_passed_over() {
    on_ground(async |ground| {
        let zone = &ground.deployment().await.subnets[0].zone;
        ground.aws.set(Trouble::with_launches().in_zone(zone).no_capacity());
        let ended = ground.launch(&format!("-n 4 --spot --instance-type {TYPES}")).await;
        ended.expect(0, &["4 machines started", "InsufficientInstanceCapacity"]);
        assert!(
            ground.up().len() == 4
                && ground.up().iter().all(|machine| machine.zone != *zone && machine.market == "spot")
        );
    });
}

#[test]
fn what_spot_lacks_in_all_zones_comes_on_demand() {
    on_ground(async |ground| {
        ground.aws.set(Trouble::with_launches().on_market("spot").no_capacity());
        let ended = ground.launch(&format!("-n 3 --spot --instance-type {TYPES}")).await;
        ended.expect(0, &["3 machines started", "3 on-demand", "InsufficientInstanceCapacity"]);
        assert_eq!(ground.up().len(), 3);
        let tokens = ground.tokens();
        assert!(tokens.len() == 2 && tokens[0].ends_with("-1") && tokens[1].ends_with("-2"), "{tokens:?}");
        let [launch] = &ground.launches().await[..] else { panic!("one launch") };
        assert_eq!(launch.requests().len(), 2);
    });
}

#[test]
fn a_price_that_may_not_be_passed_is_not_passed_on_demand() {
    on_ground(async |ground| {
        let ended = ground.launch(&format!("-n 2 --spot --max-price 0.001 --instance-type {TYPES}")).await;
        ended.expect(1, &["none of 2 machines came", "SpotMaxPriceTooLow", "leave out --max-price", "nothing runs"]);
        assert_eq!((ground.up().len(), ground.tokens().len()), (0, 1));
    });
}

#[test]
fn some_of_many_is_said_with_the_reasons() {
    on_ground(async |ground| {
        let limit = "You have requested more vCPU capacity than your current vCPU limit of 8 allows";
        ground.aws.set(Trouble::with_launches().after(4).refused("VcpuLimitExceeded", limit));
        let ended = ground.launch(&format!("-n 6 --instance-type {TYPES}")).await;
        ended.expect(0, &["warning: 4 of 6 machines came", "VcpuLimitExceeded", limit, "Service Quotas"]);
        assert_eq!(ended.said.matches("vCPU limit of 8").count(), 1, "said once: {}", ended.said);
    });
}

#[test]
fn none_of_any_is_a_failure() {
    on_ground(async |ground| {
        ground.aws.set(Trouble::with_launches().no_capacity());
        let ended = ground.launch(&format!("-n 2 --spot --instance-type {TYPES}")).await;
        ended.expect(
            1,
            &[
                "error: none of 2 machines came",
                "InsufficientInstanceCapacity",
                "more instance types",
                "the job is as it was",
            ],
        );
        let [launch] = &ground.launches().await[..] else { panic!("one launch") };
        assert!(!launch.is_open());
    });
}

#[test]
fn a_launch_cut_off_anywhere_and_run_again_starts_one_fleet() {
    on_ground(async |ground| {
        ground.court.shows(Page::CutOff);
        let flags = format!("-n 2 --instance-type {TYPES}");
        for (nth, (point, trouble)) in points().into_iter().enumerate() {
            let before = (ground.up().len(), ground.tokens().len());
            ground.cut_off(&flags, ground.aws.set(trouble)).await;
            ground.launch(&flags).await.expect(0, &["2 machines started"]);
            let after = (ground.up().len(), ground.tokens().len());
            assert_eq!(after, (before.0 + 2, before.1 + 1), "cut off {point}: two machines and one token more");
            let launches = ground.launches().await;
            assert!(
                launches.len() == nth + 1 && launches.iter().all(|l| !l.is_open()),
                "cut off {point}: {launches:#?}"
            );
        }
    });
}

#[test]
fn a_fallback_cut_off_goes_on_under_its_own_token() {
    on_ground(async |ground| {
        ground.aws.set(Trouble::with_launches().on_market("spot").no_capacity());
        let flags = format!("-n 2 --spot --instance-type {TYPES}");
        for trouble in [
            Trouble::with("ec2", "CreateFleet").after(1).held(),
            Trouble::with("ec2", "CreateFleet").after(1).answer_held(),
        ] {
            let before = (ground.up().len(), ground.tokens().len());
            ground.cut_off(&flags, ground.aws.set(trouble)).await;
            ground.launch(&flags).await.expect(0, &["was cut off; it goes on", "2 machines started"]);
            assert_eq!((ground.up().len(), ground.tokens().len()), (before.0 + 2, before.1 + 2));
        }
    });
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_with_the_same_token() {
    on_ground(async |ground| {
        ground.aws.set(Trouble::with("ec2", "CreateFleet").times(1).lost());
        ground.launch(&format!("-n 2 --instance-type {TYPES}")).await.expect(0, &["2 machines started"]);
        assert_eq!((ground.up().len(), ground.tokens().len()), (2, 1));
        assert!(ground.aws.calls_of("ec2", "CreateFleet").len() >= 2, "it was sent again");
    });
}

#[test]
fn an_open_launch_with_other_parameters_is_named() {
    on_ground(async |ground| {
        let held = ground.aws.set(Trouble::with("ec2", "CreateFleet").answer_held());
        ground.cut_off(&format!("-n 2 --instance-type {TYPES}"), held).await;
        let id = ground.launches().await[0].id.to_string();
        let ended = ground.launch(&format!("-n 3 --instance-type {TYPES}")).await;
        ended.expect(1, &[&id, "asked for something else", "dayfly reap s3://test-bucket/job/ --grace 0s"]);
        assert_eq!(ground.up().len(), 2);
        ground.dayfly("reap", "--grace 0s").await.expect(0, &[&id, "it had started 2 machines"]);
        ground.launch(&format!("-n 3 --instance-type {TYPES}")).await.expect(0, &["3 machines started"]);
        assert_eq!(ground.up().len(), 5);
    });
}

#[test]
fn throttling_is_waited_out() {
    on_ground(async |ground| {
        let slow =
            |action: &str| Trouble::with("ec2", action).refused("RequestLimitExceeded", "Request limit exceeded.");
        ground.aws.set(slow("CreateFleet").status(503).times(5));
        ground.aws.set(slow("CreateLaunchTemplateVersion").status(503).times(4));
        ground.launch(&format!("-n 1 --instance-type {TYPES}")).await.expect(0, &["1 machine started"]);
        assert_eq!((ground.up().len(), ground.tokens().len()), (1, 1));
    });
}

#[test]
fn a_profile_that_is_not_visible_yet_is_waited_for() {
    let hide = |aws: &Aws| aws.hide_new_profiles(2);
    on_ground_with(hide, async |ground| {
        ground.launch(&format!("-n 2 --instance-type {TYPES}")).await.expect(0, &["2 machines started"]);
        assert_eq!(ground.up().len(), 2);
        let calls = ground.aws.calls_of("ec2", "CreateFleet");
        assert!(calls.len() > 2, "{calls:#?}");
    });
}

#[test]
fn a_stock_image_gets_the_boot_script() {
    on_ground(async |ground| {
        ground.court.shows(Page::StockImage);
        let image = ground.aws.add_image("al2023-ami", "x86_64", &[]);
        ground.aws.set_parameter("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", &image);
        let ended = ground.launch(&format!("--ami al2023 --instance-type {TYPES}")).await;
        ended.expect(1, &["no agent program for x86_64", "dayfly setup s3://test-bucket/ --agent FILE"]);
        let mut deployment = ground.deployment().await;
        deployment.agents.push(AgentProgram {
            architecture: "x86_64".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: "dayfly/agents/0.1.0/x86_64/dayfly-agent".to_owned(),
            sha256: "00ff".to_owned(),
            bytes: 1,
        });
        ground.deploy(&deployment).await;
        ground.launch(&format!("--ami al2023 --instance-type {TYPES}")).await.expect(0, &["1 machine started"]);
        let machine = &ground.up()[0];
        assert_eq!(machine.image, image);
        let script = machine.user_data.as_deref().expect("user data");
        assert!(script.starts_with("#!/bin/sh"), "{script}");
        assert!(script.contains("/test-bucket/dayfly/agents/0.1.0/x86_64/dayfly-agent") && script.contains("00ff"));
    });
}

#[test]
fn by_need_ec2_chooses_the_types() {
    on_ground(async |ground| {
        ground.court.shows(Page::Needs);
        ground.launch("-n 2 --vcpus 4 --memory 16").await.expect(0, &["2 machines started"]);
        assert_eq!(ground.up().len(), 2);
        assert_eq!(
            ground.launches().await[0].request.needs.as_ref().map(|n| (n.vcpus, n.memory_mib)),
            Some((4, 16_384))
        );
        ground.launch("--vcpus 100000").await.expect(2, &["no instance type", "ask for less"]);
    });
}

#[test]
fn subnets_of_the_command_line_are_taken() {
    on_ground(async |ground| {
        ground.court.shows(Page::Subnets);
        let subnet = ground.deployment().await.subnets[1].clone();
        let ended = ground.launch(&format!("-n 3 --spot --instance-type {TYPES} --subnet {}", subnet.id)).await;
        ended.expect(0, &["3 machines started"]);
        assert!(ground.up().iter().all(|machine| machine.subnet == subnet.id), "{:#?}", ground.up());
        let ended = ground.launch("--subnet subnet-00000000000000000").await;
        ended.expect(1, &["subnet-00000000000000000", "nothing was started"]);
        assert_eq!((ground.up().len(), ground.launches().await.len()), (3, 1));
    });
}

#[test]
fn a_rehearsal_starts_and_writes_nothing() {
    on_ground(async |ground| {
        let store = ground.job.bucket.store().clone();
        let before = store.list_all("").await.expect("a listing");
        let flags = format!("-n 4 --spot --on-demand-base 1 --instance-type {TYPES} --dry-run");
        let ended = ground.launch(&flags).await;
        ended.expect(0, &["3 spot, 1 on demand", "ec2:CreateFleet may go through", "quota", "nothing was started"]);
        ground.aws.set_quota("L-34B43A08", 2.0);
        ground.launch(&flags).await.expect(1, &["NO spot quota", "6 vCPUs wanted", "2 allowed"]);
        let why = json!({"allowed": false, "context": {"action": "ec2:CreateFleet", "resource": "*"}});
        ground.aws.set(Trouble::with("ec2", "CreateFleet").denied(&why));
        ground.launch(&flags).await.expect(1, &["NO permissions", "may not do ec2:CreateFleet"]);
        assert_eq!(ground.aws.machines().len(), 0);
        assert_eq!(store.list_all("").await.expect("a listing"), before);
    });
}
