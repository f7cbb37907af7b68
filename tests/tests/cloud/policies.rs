//! The policies that setup prints and puts: shown without a network, enough for what they are for, and no more.

use dayfly_tests::aws::{ACCOUNT, Aws, Check};
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::{Kind, World, run};
use serde_json::Value;

use crate::court::printed;

const NEW: &str = "s3://made-by-setup/jobs";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";

fn on_aws(body: impl AsyncFn(&World, &Aws)) {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        body(world, &aws).await;
    });
}

/// Everything is shown without an account at hand, and nothing is asked.
#[test]
fn print_needs_no_network() {
    on_aws(async |world, aws| {
        let before = aws.calls().len();
        let line = ["setup", NEW, "--print", "--account", ACCOUNT, "--ssm", "--cloudwatch", "/g"];
        let mut printing = world.start_dayfly_with(&line, |command| {
            command.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        });
        let ended = printing.ended().await;
        ended.expect(0, &[]);
        let printed: Value = serde_json::from_str(&ended.said).expect("JSON");
        assert_eq!(printed["resources"]["role"], ROLE);
        for policy in ["role_trust", "role", "bucket", "operator_setup", "operator_run"] {
            assert!(printed["policies"][policy]["Statement"].is_array(), "{policy}");
        }
        assert_eq!(aws.calls().len(), before);
    });
}

/// What agents may do, and what S3 holds them to.
#[test]
fn agents_are_held_to_the_protocol() {
    on_aws(async |world, _| {
        for options in [&["--isolate"][..], &[]] {
            let policies = printed(world, NEW, options).await["policies"].take();
            let judge = Judge::of(Principal::role(ROLE))
                .identity("role", &policies["role"])
                .resource("bucket", &policies["bucket"]);
            let below = if options.is_empty() { "jobs/2026/one/" } else { "jobs/" };
            let on = |action: &str, key: &str| {
                Check::new(action, &format!("arn:aws:s3:::made-by-setup/{key}")).with("aws:SecureTransport", "true")
            };
            let put =
                |name: &str| on("s3:PutObject", &format!("{below}{name}")).with("s3:ObjectCreationOperation", "true");
            let delete = |name: &str| on("s3:DeleteObject", &format!("{below}{name}"));
            let new = |check: Check| check.with("s3:if-none-match", "*");
            let same = |check: Check| check.with("s3:if-match", "etag");
            let part = on("s3:PutObject", &format!("{below}out3.dat")).with("s3:ObjectCreationOperation", "false");
            let listing = Check::new("s3:ListBucket", "arn:aws:s3:::made-by-setup").with("aws:SecureTransport", "true");
            judge.expect_allowed(&[
                new(put("out3.dat")),
                new(put("out/a/b.bin")),
                part,
                new(put("plan/0001.json")),
                new(put("results/0001-0000001.json")),
                new(put("failed/0001-0000001.json")),
                new(put("store.json")),
                new(put("semaphores/0001-0000001.json")),
                same(put("semaphores/0001-0000001.json")),
                same(put("control.json")),
                same(put("tasklist.txt")),
                put("agents/i-1.json"),
                put("logs/agents/i-1.jsonl"),
                same(delete("semaphores/0001-0000001.json")),
                same(delete("scratch/1/put")),
                on("s3:GetObject", &format!("{below}in3.dat")),
                listing.clone().with("s3:prefix", &format!("{below}semaphores/")),
            ]);
            judge.expect_denied(&[
                put("out3.dat"),
                same(put("out3.dat")),
                put("results/0001-0000001.json"),
                put("semaphores/0001-0000001.json"),
                put("control.json"),
                new(put("in3.dat")),
                new(put("kernel.dat")),
                new(put("job.json")),
                new(put("launches/1.json")),
                delete("semaphores/0001-0000001.json"),
                same(delete("results/0001-0000001.json")),
                same(delete("out3.dat")),
                same(delete("plan/0001.json")),
                on("s3:GetObject", "other/in3.dat"),
                new(on("s3:PutObject", "other/out3.dat").with("s3:ObjectCreationOperation", "true")),
                listing.clone().with("s3:prefix", "other/"),
                listing,
                Check::new("ec2:TerminateInstances", &format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1")),
                Check::new("iam:PassRole", &format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}")),
            ]);
        }
    });
}
