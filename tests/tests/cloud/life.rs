//! The whole of it, as a person does it: setup, seed, launch; a notice, a death; the end, the cost, teardown. Every call is
//! held against the policies that setup made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dayfly_tests::aws::{ACCOUNT, Aws, Call, Check, Machine, Trouble};
use dayfly_tests::metadata::key_of;
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::program::Ended;
use dayfly_tests::{Instances, Job, Kind, World, run};
use serde_json::Value;

/// The deployment's place, in a bucket that is not there yet, and a job below it.
const PLACE: &str = "s3://made-by-setup/jobs";
const JOB: &str = "s3://made-by-setup/jobs/one/";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";
/// The access key of who sets up, and of who runs jobs.
const SETTER: &str = "THEADMINISTRATOR";
const RUNNER: &str = "THEOPERATOR";
const TASKS: usize = 14;
/// How long before its end a spot machine is told here; EC2 says two minutes. Its agent keeps 40 s for its uploads.
const NOTICE: Duration = Duration::from_secs(48);

/// What run's policy grants for what a job like this does not need: refusals and their decoding, stock images, choice by
/// need, fleets that are maintained, `stop`, `start`, `terminate`, `exec`, and what `reap` finds to do.
const NOT_RUN_HERE: [&str; 20] = [
    "Caller: sts:DecodeAuthorizationMessage",
    "Caller: sts:GetCallerIdentity",
    "Images: ssm:GetParameter",
    "Images: ssm:GetParameters",
    "LaunchInto: ec2:CreateFleet",
    "Look: ec2:DescribeFleetHistory",
    "Look: ec2:DescribeFleetInstances",
    "Look: ec2:DescribeLaunchTemplateVersions",
    "Look: ec2:DescribeSubnets",
    "Look: ec2:GetInstanceTypesFromInstanceRequirements",
    "Look: ssm:DescribeInstanceInformation",
    "Manage: ec2:DeleteFleets",
    "Manage: ec2:GetConsoleOutput",
    "Manage: ec2:ModifyFleet",
    "Manage: ec2:StartInstances",
    "Manage: ec2:StopInstances",
    "Manage: ec2:TerminateInstances",
    "Mark: ec2:CreateTags",
    "Mark: ec2:DeleteTags",
    "Uploads: s3:GetBucketLocation",
];
/// What setup's policy grants for what this setup did not need: buckets that are removed or have versions, private networks,
/// `--ssm`, and what is brought up to date.
const NOT_SET_UP_HERE: [&str; 17] = [
    "Bucket: s3:DeleteBucket",
    "Bucket: s3:GetBucketLocation",
    "Bucket: s3:ListBucketMultipartUploads",
    "Bucket: s3:ListBucketVersions",
    "Caller: sts:GetCallerIdentity",
    "Change: ec2:CreateLaunchTemplateVersion",
    "Change: ec2:ModifyLaunchTemplate",
    "Look: ec2:DescribeLaunchTemplateVersions",
    "Look: ec2:DescribeRouteTables",
    "Look: ec2:DescribeVpcEndpoints",
    "Objects: s3:AbortMultipartUpload",
    "Objects: s3:DeleteObjectVersion",
    "Role: iam:AttachRolePolicy",
    "Role: iam:ListAttachedRolePolicies",
    "Role: iam:TagInstanceProfile",
    "Role: iam:TagRole",
    "Role: iam:UpdateAssumeRolePolicy",
];

async fn dayfly(world: &World, key: &str, line: &str) -> Ended {
    let words: Vec<&str> = line.split(' ').collect();
    let mut program = world.start_dayfly_with(&words, |command| {
        command.env("AWS_ACCESS_KEY_ID", key);
    });
    program.ended().await
}

fn inputs(world: &World) -> PathBuf {
    let folder = world.folder().join("inputs");
    std::fs::create_dir(&folder).expect("a folder");
    for n in 0..TASKS {
        let bytes: Vec<u8> = (0..5000 + n).map(|at| (at * 31 + n) as u8).collect();
        std::fs::write(folder.join(format!("in{n}.dat")), bytes).expect("an input");
    }
    std::fs::write(world.folder().join("kernel.dat"), [7, 11, 13, 17, 19, 23, 29]).expect("a kernel");
    folder
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Holds every such call that the machine's agent makes: its task is in hand for as long as that.
fn hold(aws: &Aws, machine: &Machine, action: &str, key: &str) -> dayfly_tests::aws::Set {
    aws.set(Trouble::with("s3", action).signed_by(&key_of(&machine.id)).containing(key).held())
}

#[test]
fn a_fleet_comes_works_is_struck_and_leaves_nothing() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        dayfly(world, SETTER, &format!("setup {PLACE}")).await.expect(0, &["made      bucket"]);
        let folder = inputs(world);
        let kernel = shown(&world.folder().join("kernel.dat"));
        let seed = format!("seed {JOB} --inputs {} --kernel {kernel} --agents 5 --lease-ttl 6s", shown(&folder));
        dayfly(world, RUNNER, &seed).await.expect(0, &[]);
        let mut job = Job::seeded(world, world.job_bucket("made-by-setup", "jobs/one").await).await;
        let launch = format!("launch {JOB} -n 5 --slots 1 --spot --on-demand-base 1 --instance-type m5.large,c5.large");
        // Two of three zones have no spot machines of one type: others come in their place.
        aws.set(Trouble::with_launches().of_type("m5.large").on_market("spot").no_capacity());
        let dry = dayfly(world, RUNNER, &format!("{launch} --dry-run")).await;
        dry.expect(0, &["5 machines: 4 spot, 1 on demand"]);
        assert_eq!(aws.machines().len(), 0, "a rehearsal starts nothing");
        dayfly(world, RUNNER, &launch).await.expect(0, &["5 machines started", "expected: $"]);

        let all = aws.machines_of(job.location());
        let spot: Vec<&Machine> = all.iter().filter(|machine| machine.market == "spot").collect();
        assert_eq!((all.len(), spot.len()), (5, 4), "{all:#?}");
        let (struck, told) = (spot[0], spot[1]);
        let hold_struck = hold(&aws, struck, "PutObject", "/out");
        let hold_told = hold(&aws, told, "GetObject", "/in");
        let mut machines = Instances::new(&aws, job.location(), world.folder());
        machines.until("both have a task in hand", async |_| hold_struck.held() > 0 && hold_told.held() > 0).await;
        machines.kill(&struck.id);
        machines.get(&told.id).metadata.notice("terminate", NOTICE);
        let ended = machines.get(&told.id).agent.ended().await;
        ended.expect(4, &[]);
        let reasons = machines.get(&told.id).power_offs();
        assert!(matches!(&reasons[..], [reason] if reason.contains("spot")), "{reasons:?}");
        drop((hold_struck, hold_told));

        machines.until("every task is done", async |_| job.bucket.summary().await.is_ok_and(|s| s.is_some())).await;
        machines.gone().await;
        for machine in aws.machines_of(job.location()) {
            let power_offs = machines.get(&machine.id).power_offs().len();
            assert_eq!(power_offs, usize::from(machine.id != struck.id), "{} powered off", machine.id);
        }
        let results = job.bucket.results().await.expect("results");
        let ends: Vec<String> =
            results.iter().flat_map(|r| &r.tenures).map(|tenure| format!("{:?}", tenure.end)).collect();
        assert!(ends.iter().any(|end| end == "Released"), "the told one gave its task back: {ends:?}");
        assert!(ends.iter().any(|end| end == "Expired"), "the struck one's lease expired: {ends:?}");
        job.finish(&[]).await;

        let cost = dayfly(world, RUNNER, &format!("cost {JOB} --json")).await;
        cost.expect(0, &[]);
        let bill: Value = serde_json::from_str(cost.said.trim()).unwrap_or_else(|e| panic!("{e}: {}", cost.said));
        let lines = bill["machines"].as_array().expect("machines");
        assert_eq!(lines.len(), 5, "{bill:#}");
        assert!(lines.iter().all(|line| line["dollars"].as_f64().is_some_and(|d| d > 0.0)), "{bill:#}");
        let summary = job.bucket.summary().await.expect("a read").expect("a summary");
        let noted = summary.cost.expect("its cost");
        assert!(noted.dollars > 0.0 && noted.machine_count == 5, "{noted:?}");
        for command in ["ps", "reap"] {
            dayfly(world, RUNNER, &format!("{command} {JOB}")).await.expect(0, &[]);
        }

        let printed = dayfly(world, SETTER, &format!("setup {PLACE} --print")).await;
        let policies = serde_json::from_str::<Value>(&printed.said).expect("JSON")["policies"].clone();
        let bucket_policy = aws.bucket_policy("made-by-setup").expect("a bucket policy");
        dayfly(world, SETTER, &format!("teardown {PLACE} --yes")).await.expect(0, &["kept", "bucket"]);
        assert_eq!(aws.query("iam", "GetRole", &[("RoleName", ROLE)]).status, 404);
        assert_eq!(job.output("in3.dat").await.map(|output| output.len()), Some(5003), "the bucket stays");

        judge(&aws, &policies, &bucket_policy, &all);
    });
}

/// Holds every call against the policies, and what must not be done too.
fn judge(aws: &Aws, policies: &Value, bucket_policy: &Value, machines: &[Machine]) {
    let role = Judge::of(Principal::role(ROLE)).identity("role", &policies["role"]).resource("bucket", bucket_policy);
    let agents: Vec<Call> = machines.iter().flat_map(|machine| aws.calls_by(&key_of(&machine.id))).collect();
    assert!(agents.len() > 100, "{} calls", agents.len());
    assert_eq!(role.refused(&agents), Vec::<String>::new(), "calls of agents that their role does not allow");
    let operator = |name: &str, policy: &str| Judge::of(Principal::user(name)).identity(policy, &policies[policy]);
    let runner = operator("runner", "operator_run").resource("bucket", bucket_policy);
    assert_eq!(runner.refused(&aws.calls_by(RUNNER)), Vec::<String>::new(), "calls of the operator");
    let setter = operator("setter", "operator_setup");
    assert_eq!(setter.refused(&aws.calls_by(SETTER)), Vec::<String>::new(), "calls of setup");
    // Every other permission was used.
    assert_eq!(role.unused(&agents), ["role/Write: s3:AbortMultipartUpload"], "for outputs that go up in parts");
    let unused = |judge: &Judge, key: &str, elsewhere: &[&str]| {
        let unused = judge.unused(&aws.calls_by(key));
        let unused: Vec<&str> =
            unused.iter().map(|one| one.split_once('/').map_or(one.as_str(), |(_, of)| of)).collect();
        assert_eq!(unused, elsewhere, "granted to {key}, and neither used here nor known to be used elsewhere");
    };
    unused(&runner, RUNNER, &NOT_RUN_HERE);
    unused(&setter, SETTER, &NOT_SET_UP_HERE);

    let object = |key: &str| format!("arn:aws:s3:::made-by-setup/{key}");
    // A part of an upload makes no object yet; everything else does (S3 user guide, "Enforce conditional writes").
    let put = |key: &str| Check::new("s3:PutObject", &object(key)).with("s3:ObjectCreationOperation", "true");
    role.expect_allowed(&[put("jobs/one/out3.dat").with("s3:if-none-match", "*")]);
    let instance = format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0");
    role.expect_denied(&[
        // Unconditional, an output might replace another.
        put("jobs/one/out3.dat"),
        put("jobs/one/out3.dat").with("s3:if-match", "\"etag\""),
        put("jobs/one/results/0001-0000001.json"),
        put("jobs/one/semaphores/0001-0000001.json"),
        Check::new("s3:DeleteObject", &object("jobs/one/results/0001-0000001.json")).with("s3:if-match", "\"etag\""),
        Check::new("s3:DeleteObject", &object("jobs/one/semaphores/0001-0000001.json")),
        Check::new("s3:DeleteObject", &object("jobs/one/out3.dat")).with("s3:if-match", "\"etag\""),
        Check::new("s3:GetObject", &object("elsewhere/in0.dat")),
        Check::new("s3:PutObject", &object("elsewhere/out0.dat")).with("s3:if-none-match", "*"),
        Check::new("s3:ListBucket", "arn:aws:s3:::made-by-setup").with("s3:prefix", "elsewhere/"),
        Check::new("s3:PutBucketPolicy", "arn:aws:s3:::made-by-setup"),
        Check::new("ec2:TerminateInstances", &instance),
        Check::new("ec2:RunInstances", &instance),
        Check::new("iam:PassRole", &format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}")),
    ]);
    runner.expect_denied(&[
        Check::new("iam:CreateRole", &format!("arn:aws:iam::{ACCOUNT}:role/other")),
        Check::new("iam:PutRolePolicy", &format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}")),
        Check::new("iam:PassRole", &format!("arn:aws:iam::{ACCOUNT}:role/other"))
            .with("iam:PassedToService", "ec2.amazonaws.com"),
        Check::new("ec2:TerminateInstances", &instance).with("aws:ResourceTag/dayfly:deployment", "another"),
        Check::new("ec2:TerminateInstances", &instance),
    ]);
}
