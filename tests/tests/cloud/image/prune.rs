//! `dayfly image prune`: what is old goes, with its snapshots, and nothing that is in use; and the policy for all of it.

use dayfly_shared::launch::tags;
use dayfly_tests::aws::{Check, End, Trouble};
use dayfly_tests::policy::{Judge, Principal};

use super::{PUBLISHER, Studio, VERSION, in_studio};
use crate::ground::{TYPES, on_ground};

/// The newest of each flavour stay, and what is in use; the rest goes with its snapshots, and what was left half done.
#[test]
fn prune_keeps_what_is_new_or_in_use() {
    in_studio(async |studio| {
        let mut made = Vec::new();
        for (nth, flavour) in ["minimal", "minimal", "minimal", "minimal", "minimal", "container"].iter().enumerate() {
            studio.write_disk(&format!("edition {nth}"));
            let id = studio.publish(&format!("--flavour {flavour}")).await;
            studio.aws.age(&id, 1000 - 100 * nth as u64);
            made.push(id);
        }
        let ec2 = |action, parameters: &[(&str, &str)]| {
            let reply = studio.aws.query("ec2", action, parameters);
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply
        };
        let one = [("ImageId", made[0].as_str()), ("MinCount", "1"), ("MaxCount", "1"), ("InstanceType", "m5.large")];
        let machine = ec2("RunInstances", &one).field("instanceId").expect("an instance").to_owned();
        ec2("StopInstances", &[("InstanceId.1", &machine)]);
        // Both templates name an image in their second version of three, which is neither default nor newest. Every
        // version of somebody else's counts; of a deployment's only what is the default, the newest, or a fleet's.
        let plain = ("LaunchTemplateData.InstanceType", "m5.large");
        let of_dayfly = [
            ("TagSpecification.1.ResourceType", "launch-template"),
            ("TagSpecification.1.Tag.1.Key", tags::DEPLOYMENT),
            ("TagSpecification.1.Tag.1.Value", "d"),
        ];
        for (name, tags, image) in [("theirs", &[][..], &made[1]), ("ours", &of_dayfly, &made[2])] {
            let name = ("LaunchTemplateName", name);
            ec2("CreateLaunchTemplate", &[&[name, plain], tags].concat());
            ec2("CreateLaunchTemplateVersion", &[name, ("LaunchTemplateData.ImageId", image)]);
            ec2("CreateLaunchTemplateVersion", &[name, plain]);
        }
        // Two uploads that were cut off, one of them long ago.
        let mut unfinished = Vec::new();
        for edition in ["old upload", "young upload"] {
            studio.write_disk(edition);
            let held = studio.aws.set(Trouble::with("ebs", "CompleteSnapshot").held());
            studio.cut_off("", held).await;
            unfinished.push(studio.aws.snapshots().pop().expect("the one that was begun last").id);
        }
        studio.aws.age(&unfinished[0], 25 * 3600);
        let tagged = studio.aws.add_image("of-somebody", "x86_64", &[(tags::AGENT, VERSION)]);

        let listed = studio.image("list").await;
        listed.expect(0, &[&format!("used by {machine}"), "launch template theirs", "cut off, 7 blocks had arrived"]);
        let dry = studio.image("prune --keep 1 --dry-run").await;
        dry.expect(0, &[&format!("would go  {}", made[2]), &format!("would go  {}", unfinished[0])]);
        studio.image("prune --keep 1").await.expect(2, &["Nobody is there to answer", "pass --yes"]);
        assert_eq!((studio.aws.disk_images().len(), studio.aws.snapshots().len()), (7, 8));

        let pruned = studio.image("prune --keep 1 --yes").await;
        pruned.expect(
            0,
            &[
                &made[0],
                &format!("used by {machine}"),
                "used by version 2 of the launch template theirs",
                "one of the 1 newest",
                "it has no flavour",
            ],
        );
        let mut left: Vec<String> = studio.aws.disk_images().into_iter().map(|image| image.id).collect();
        let mut expected = vec![made[0].clone(), made[1].clone(), made[4].clone(), made[5].clone(), tagged];
        left.sort();
        expected.sort();
        assert_eq!(left, expected, "{}", pruned.said);
        let snapshots: Vec<String> = studio.aws.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        assert!(snapshots.len() == 5 && snapshots.contains(&unfinished[1]), "{snapshots:?}");

        // Once nothing uses it, it goes.
        ec2("TerminateInstances", &[("InstanceId.1", &machine)]);
        studio.image("prune --keep 1 --yes --flavour minimal").await.expect(0, &[&format!("removed   {}", made[0])]);
        studio.image("prune --keep 0 --yes --flavour container").await.expect(0, &[&format!("removed   {}", made[5])]);
    });
}

/// The version that a fleet replaces its machines by is in use, however old.
#[test]
fn prune_keeps_what_a_fleet_launches_from() {
    on_ground(async |ground| {
        let studio = Studio { world: ground.world, aws: ground.world.aws(), disk: ground.world.folder().join("d.raw") };
        ground.court.admit(PUBLISHER, studio.policy().await);
        let mut made = Vec::new();
        let launch = format!("-n 1 --spot --instance-type {TYPES}");
        for (nth, flags) in ["--maintain", "", ""].iter().enumerate() {
            studio.write_disk(&format!("edition {nth}"));
            let id = studio.publish("").await;
            studio.aws.age(&id, 1000 - 100 * nth as u64);
            ground.launch(&format!("{launch} --ami {id} {flags}")).await.expect(0, &["1 machine"]);
            made.push(id);
        }
        // No machine of it is left for now; it will take one when there is room.
        studio.aws.set(Trouble::with_launches().no_capacity());
        for machine in ground.up() {
            studio.aws.end(&machine.id, End::Reclaim);
        }
        let pruned = studio.image("prune --keep 0 --yes").await;
        pruned.expect(0, &[&format!("removed   {}", made[1]), "(fleet-"]);
        let left: Vec<String> = studio.aws.disk_images().into_iter().map(|image| image.id).collect();
        assert!(left.contains(&made[0]) && left.contains(&made[2]) && !left.contains(&made[1]), "{}", pruned.said);
    });
}

/// All that the policy grants is used by a life like this: it is no wider than it has to be.
#[test]
fn the_policy_for_images_is_no_wider_than_its_use() {
    in_studio(async |studio| {
        studio.image("publish DISK --dry-run").await.expect(0, &["a month"]);
        let fault =
            Trouble::with("ebs", "PutSnapshotBlock").containing("/blocks/40").refused("ExpiredTokenException", "x");
        let fault = studio.aws.set(fault);
        studio.image("publish DISK").await.expect(1, &[]);
        fault.take_back();
        let first = studio.publish("").await;
        studio.aws.age(&first, 100);
        studio.write_disk("another");
        studio.publish("").await;
        studio.aws.query(
            "ec2",
            "CreateLaunchTemplate",
            &[("LaunchTemplateName", "t"), ("LaunchTemplateData.InstanceType", "m5.large")],
        );
        studio.image("prune --keep 1 --yes").await.expect(0, &[&first]);
        let policy = studio.policy().await;
        let judge = Judge::of(Principal::user("publisher")).identity("publish", &policy);
        assert_eq!(judge.unused(&studio.aws.calls_by(PUBLISHER)), ["publish/Refusals: sts:DecodeAuthorizationMessage"]);
        let other = "arn:aws:ec2:us-east-1::snapshot/snap-of-somebody";
        judge.expect_denied(
            &["ec2:DeleteSnapshot", "ebs:PutSnapshotBlock", "ec2:CreateTags"]
                .map(|action| Check::new(action, other).with("aws:ResourceTag/Owner", "somebody")),
        );
    });
}
