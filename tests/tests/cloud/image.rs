//! `dayfly image publish`: a disk in a file becomes an image that launch finds, and what is cut off goes on.

mod prune;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dayfly_shared::launch::tags;
use dayfly_tests::aws::{Aws, Set, Snapshot, Trouble};
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::program::{Ended, Program};
use dayfly_tests::{Kind, World, run};
use serde_json::Value;

use crate::ground::{TYPES, on_ground};

const BLOCK: usize = 512 * 1024;
/// Who publishes.
const PUBLISHER: &str = "THEPUBLISHER";
/// Blocks of the disk that hold something: the first, some together, one far away, and the one that the file ends in.
const WRITTEN: [u64; 7] = [0, 1, 2, 9, 10, 40, 99];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A world, and a disk in a file.
struct Studio<'w> {
    world: &'w World,
    aws: Aws,
    disk: PathBuf,
}

/// What a block of the disk begins with; `edition` makes another disk of it.
fn content(block: u64, edition: &str) -> Vec<u8> {
    let mut bytes = format!("block {block} of {edition}").into_bytes();
    bytes.resize(700, u8::try_from(block).expect("a small number"));
    // The end of a boot sector, so that nobody is warned.
    bytes[510] = 0x55;
    bytes[511] = 0xaa;
    bytes
}

/// Runs a test on it; every call of the publisher has to be allowed by the policy that publish prints.
fn in_studio(body: impl AsyncFn(&Studio<'_>)) {
    run(Kind::Aws, async |world: &World| {
        let studio = Studio { world, aws: world.aws(), disk: world.folder().join("disk.raw") };
        studio.write_disk("the first disk");
        let policy = studio.policy().await;
        body(&studio).await;
        let judge = Judge::of(Principal::user("publisher")).identity("publish", &policy);
        assert_eq!(judge.refused(&studio.aws.calls_by(PUBLISHER)), Vec::<String>::new(), "calls of the publisher");
    });
}

impl Studio<'_> {
    /// A sparse file that ends in the midst of its last block.
    fn write_disk(&self, edition: &str) {
        let file = std::fs::File::create(&self.disk).expect("a file");
        for block in WRITTEN {
            file.write_all_at(&content(block, edition), block * BLOCK as u64).expect("a block");
        }
    }

    /// What publish prints for who publishes.
    async fn policy(&self) -> Value {
        let printed = self.image("publish --print-policy").await;
        printed.expect(0, &["ebs:StartSnapshot"]);
        serde_json::from_str(&printed.said).expect("a policy")
    }

    fn start(&self, line: &str) -> Program {
        let disk = self.disk.display().to_string();
        let words: Vec<&str> = line.split_whitespace().map(|word| if word == "DISK" { &disk } else { word }).collect();
        self.world.start_dayfly_with(&[&["image"], &words[..]].concat(), |command| {
            command.env("AWS_ACCESS_KEY_ID", PUBLISHER);
        })
    }

    async fn image(&self, line: &str) -> Ended {
        self.start(line).ended().await
    }

    /// Publishes; the image's id.
    async fn publish(&self, flags: &str) -> String {
        let ended = self.image(&format!("publish DISK {flags}")).await;
        ended.expect(0, &["ami-"]);
        ended.last_line().to_owned()
    }

    fn puts(&self) -> usize {
        self.aws.calls_of("ebs", "PutSnapshotBlock").into_iter().filter(|call| call.status == Some(201)).count()
    }

    fn snapshot(&self) -> Snapshot {
        let [snapshot] = &self.aws.snapshots()[..] else { panic!("one snapshot: {:#?}", self.aws.snapshots()) };
        snapshot.clone()
    }

    /// Reads every block back through the API: they are the disk.
    fn check(&self, snapshot: &Snapshot, edition: &str) {
        assert_eq!((snapshot.state.as_str(), &snapshot.blocks[..]), ("completed", &WRITTEN[..]));
        for block in WRITTEN {
            let path = format!("/snapshots/{}/blocks/{block}?blockToken=t", snapshot.id);
            let (status, bytes) = self.aws.ebs("GET", &path, &[], b"");
            let mut expected = content(block, edition);
            expected.resize(BLOCK, 0);
            assert!(status == 200 && bytes == expected, "block {block}: {status}");
        }
    }

    /// Starts a publish and kills it where the fault holds it.
    async fn cut_off(&self, flags: &str, held: Set) {
        let mut publish = self.start(&format!("publish DISK {flags}"));
        let begun = async || {
            assert!(publish.runs() || held.held() > 0, "it ended:\n{}", publish.said());
            held.held() > 0
        };
        self.world.until("the publish is held", begun).await;
        publish.kill();
        held.take_back();
    }
}

#[test]
fn a_disk_becomes_an_image() {
    in_studio(async |studio| {
        let dry = studio.image("publish DISK --dry-run").await;
        dry.expect(0, &["a volume of 1 GiB", "7 of 100 blocks", "a month", "nothing was changed"]);
        assert!(studio.aws.snapshots().is_empty() && studio.aws.disk_images().is_empty());

        let id = studio.publish("").await;
        let snapshot = studio.snapshot();
        studio.check(&snapshot, "the first disk");
        assert_eq!((snapshot.gib, snapshot.encrypted), (1, false));
        let [start] = &studio.aws.calls_of("ebs", "StartSnapshot")[..] else { panic!("one snapshot was begun") };
        assert!(start.token.is_some());
        assert_eq!(studio.puts(), WRITTEN.len(), "zeros are left out");

        let [image] = &studio.aws.disk_images()[..] else { panic!("one image") };
        assert_eq!(image.id, id);
        assert!(image.name.starts_with(&format!("dayfly-{VERSION}-minimal-20")), "{}", image.name);
        let said = (image.architecture.as_str(), image.imds.as_str(), image.boot_mode.as_str());
        assert_eq!(said, ("x86_64", "v2.0", "uefi-preferred"));
        assert_eq!((image.ena, image.sriov.as_str(), image.virtualization.as_str()), (true, "simple", "hvm"));
        let [(device, disk)] = &image.disks[..] else { panic!("one volume: {image:?}") };
        assert_eq!((device.as_str(), image.root_device.as_str()), ("/dev/xvda", "/dev/xvda"));
        assert_eq!(disk["SnapshotId"], snapshot.id);
        assert_eq!((&disk["VolumeType"], &disk["DeleteOnTermination"]), (&"gp3".into(), &true.into()));
        assert_eq!((image.tags[tags::AGENT].as_str(), image.tags[tags::IMAGE].as_str()), (VERSION, "minimal"));
        assert_eq!(image.tags[tags::SOURCE], snapshot.tags[tags::SOURCE]);

        let again = studio.image("publish DISK").await;
        again.expect(0, &["made from the same"]);
        assert_eq!(again.last_line(), id);
        let other = studio.publish("--name another --boot-mode uefi --root-device /dev/sda1 --encrypt --size 3").await;
        let images = studio.aws.disk_images();
        let other = images.iter().find(|image| image.id == other).expect("the other image");
        assert_eq!((other.name.as_str(), other.boot_mode.as_str()), ("another", "uefi"));
        assert_eq!((other.root_device.as_str(), &other.disks[0].1["VolumeSize"]), ("/dev/sda1", &3.into()));
        let encrypted = studio.aws.snapshots().into_iter().find(|snapshot| snapshot.encrypted).expect("encrypted");
        assert_eq!((encrypted.gib, &other.disks[0].1["SnapshotId"]), (3, &encrypted.id.as_str().into()));
    });
}

/// Launch finds what was published, by itself and by name.
#[test]
fn launch_finds_the_published_image() {
    on_ground(async |ground| {
        let studio = Studio { world: ground.world, aws: ground.world.aws(), disk: ground.world.folder().join("d.raw") };
        ground.court.admit(PUBLISHER, studio.policy().await);
        studio.write_disk("a disk");
        let id = studio.publish("--name mine").await;
        let launch = format!("-n 1 --instance-type {TYPES}");
        // The one that the ground has is older.
        ground.launch(&launch).await.expect(0, &["1 machine started"]);
        ground.launch(&format!("{launch} --ami mine")).await.expect(0, &["1 machine started"]);
        let images: Vec<String> = ground.up().into_iter().map(|machine| machine.image).collect();
        assert_eq!(images, [id.clone(), id]);
    });
}

/// A job gets an image that can run it, and whoever asks for a flavour that one.
#[test]
fn launch_chooses_by_flavour() {
    on_ground(async |ground| {
        let launch = format!("-n 1 --instance-type {TYPES}");
        let add = |name: &str, flavour: &str| {
            ground.aws.add_image(name, "x86_64", &[(tags::AGENT, VERSION), (tags::IMAGE, flavour)])
        };
        let images = || ground.up().into_iter().map(|machine| machine.image).collect::<Vec<_>>();
        let minimal = add("small", "minimal");
        let container = add("large", "container");
        ground.launch(&launch).await.expect(0, &["1 machine started"]);
        ground.launch(&format!("{launch} --flavour container")).await.expect(0, &["1 machine started"]);
        let mut up = images();
        up.sort();
        let mut wanted = [minimal, container];
        wanted.sort();
        assert_eq!(up, wanted);
        let nothing = "nothing was started";
        let none = ground.launch(&format!("{launch} --flavour gpu")).await;
        none.expect(
            1,
            &["of the flavour gpu", "container, minimal", "dayfly image publish FILE --flavour gpu", nothing],
        );
        let both = ground.launch(&format!("{launch} --flavour container --ami small")).await;
        both.expect(2, &["nothing to choose", nothing]);
        assert_eq!(images().len(), 2);
    });
}

/// Wherever it is cut off, the same command goes on: one snapshot, one image, and no more blocks than are missing.
#[test]
fn a_publish_that_is_cut_off_goes_on() {
    let puts = || Trouble::with("ebs", "PutSnapshotBlock");
    let points = [
        ("after it was begun", Trouble::with("ebs", "StartSnapshot").answer_held(), "going on"),
        ("at the first block", puts().held(), "going on"),
        ("among the blocks", puts().after(4).held(), "going on"),
        ("before it is sealed", Trouble::with("ebs", "CompleteSnapshot").held(), "going on"),
        ("after it is sealed", Trouble::with("ebs", "CompleteSnapshot").answer_held(), "snap-"),
        ("before it is registered", Trouble::with("ec2", "RegisterImage").held(), "complete and made from the same"),
        ("after it is registered", Trouble::with("ec2", "RegisterImage").answer_held(), "made from the same"),
    ];
    for (point, trouble, said) in points {
        in_studio(async |studio| {
            println!("cut off {point}");
            let held = studio.aws.set(trouble.clone());
            studio.cut_off("", held).await;
            assert!(studio.snapshot().tags.contains_key(tags::SOURCE), "it can be found");
            let listed = studio.image("list").await;
            listed.expect(0, &[]);
            assert!(
                listed.said.contains(&studio.snapshot().id) || !studio.aws.disk_images().is_empty(),
                "{}",
                listed.said
            );
            studio.image("publish DISK").await.expect(0, &[said, "ami-"]);
            studio.check(&studio.snapshot(), "the first disk");
            assert_eq!(studio.aws.disk_images().len(), 1);
        });
    }
}

/// What has certainly arrived is not sent again: the snapshot's tag says how much that is.
#[test]
fn a_failure_notes_how_far_it_came() {
    in_studio(async |studio| {
        let expired = Trouble::with("ebs", "PutSnapshotBlock").containing("/blocks/40");
        let expired = studio.aws.set(expired.refused("ExpiredTokenException", "The security token has expired"));
        let failed = studio.image("publish DISK").await;
        let snapshot = studio.snapshot();
        failed.expect(1, &["ExpiredTokenException", "log in again", "5 of 7 blocks are in", &snapshot.id, "go on"]);
        assert_eq!(snapshot.tags[tags::WRITTEN], "5");
        expired.take_back();
        let before = studio.puts();
        studio.image("publish DISK").await.expect(0, &["5 of 7 blocks are there"]);
        assert_eq!(studio.puts() - before, 2);
        studio.check(&studio.snapshot(), "the first disk");
    });
}

#[test]
fn throttling_and_a_snapshot_that_is_news_are_waited_for() {
    in_studio(async |studio| {
        let throttled = |code, times| Trouble::with("ebs", "PutSnapshotBlock").refused(code, "slow down").times(times);
        studio.aws.set(throttled("RequestThrottledException", 30));
        studio.aws.set(throttled("ConcurrentLimitExceededException", 5));
        studio.aws.set(throttled("ResourceNotFoundException", 5).status(404));
        studio.aws.set(Trouble::with("ebs", "StartSnapshot").refused("RequestThrottledException", "slow").times(6));
        studio
            .aws
            .set(Trouble::with("ebs", "CompleteSnapshot").refused("InternalServerException", "x").status(500).times(4));
        // An answer that is lost: the same token brings the same snapshot.
        studio.aws.set(Trouble::with("ebs", "StartSnapshot").lost().times(1));
        studio.publish("").await;
        studio.check(&studio.snapshot(), "the first disk");
        let tokens: Vec<_> = studio.aws.calls_of("ebs", "StartSnapshot").into_iter().map(|call| call.token).collect();
        assert!(tokens.len() > 6 && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    });
}

#[test]
fn an_answer_to_register_that_is_lost_makes_no_second_image() {
    in_studio(async |studio| {
        studio.aws.set(Trouble::with("ec2", "RegisterImage").lost().times(1));
        studio.publish("").await;
        assert_eq!(studio.aws.disk_images().len(), 1);
    });
}

#[test]
fn errors_name_the_thing_and_the_fix() {
    in_studio(async |studio| {
        let refused = |action, code: &str, words: &str| {
            let service = if action == "RegisterImage" { "ec2" } else { "ebs" };
            studio.aws.set(Trouble::with(service, action).refused(code, words).status(403))
        };
        for (action, code, said) in [
            (
                "StartSnapshot",
                "AccessDeniedException",
                &["ebs:StartSnapshot", "nothing was uploaded", "--print-policy"][..],
            ),
            ("StartSnapshot", "ServiceQuotaExceededException", &["Pending snapshots", "image prune"]),
            ("PutSnapshotBlock", "AccessDeniedException", &["ebs:PutSnapshotBlock block", "snap-", "--print-policy"]),
            ("RegisterImage", "UnauthorizedOperation", &["ec2:RegisterImage", "is complete", "--print-policy"]),
        ] {
            let fault = refused(action, code, "no");
            studio.image("publish DISK").await.expect(1, said);
            fault.take_back();
        }
        studio.publish("").await;
        studio.write_disk("another disk");
        let name = studio.aws.disk_images()[0].name.clone();
        let taken = studio.image(&format!("publish DISK --name {name}")).await;
        taken.expect(2, &["there is another image named", "nothing was uploaded", "--name"]);
        assert_eq!(studio.aws.snapshots().len(), 1);
        // Without a name, the day's second.
        let second = studio.publish("").await;
        let images = studio.aws.disk_images();
        let second = images.iter().find(|image| image.id == second).expect("the second");
        assert_eq!(second.name, format!("{name}-2"));

        std::fs::write(&studio.disk, b"\xfd7zXZ\0 packed").expect("a file");
        studio.image("publish DISK").await.expect(2, &["compressed by xz", "xz -d"]);
        std::fs::write(&studio.disk, [0; 4096]).expect("a file");
        studio.image("publish DISK").await.expect(2, &["nothing but zeros"]);
    });
}

/// A snapshot whose blocks do not add up is of no use to any later try.
#[test]
fn a_snapshot_that_is_not_the_disk_is_removed() {
    in_studio(async |studio| {
        let fault =
            Trouble::with("ebs", "CompleteSnapshot").refused("ValidationException", "the checksum does not match");
        let fault = studio.aws.set(fault);
        let failed = studio.image("publish DISK").await;
        failed.expect(1, &["ebs:CompleteSnapshot", "was removed", "begins anew"]);
        assert!(studio.aws.snapshots().is_empty());
        fault.take_back();
        studio.publish("").await;
        studio.check(&studio.snapshot(), "the first disk");
    });
}
