//! The policies that setup prints, shown without a network. That they are enough and no more: court.rs, ledger.rs, forbidden.rs.

use dayfly_tests::aws::{ACCOUNT, Aws};
use dayfly_tests::{Kind, World, run};
use serde_json::Value;

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
