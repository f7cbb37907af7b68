//! Commands without credentials, without a region, with credentials that have expired, with nobody at the endpoint: what is
//! said, and that it is said at once.

use std::process::Command;

use dayfly_tests::aws::{Account, Aws, Trouble};
use dayfly_tests::program::Ended;
use dayfly_tests::{Kind, Layout, World, run};

const ONE: &str = "i-0123456789abcdef0";
const PLACE: &str = "s3://test-bucket/jobs";

/// Every command that speaks to the account, on a job that is there.
fn commands(job: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["setup", PLACE],
        vec!["teardown", PLACE, "--yes"],
        vec!["launch", job, "--spot"],
        vec!["run", job, "--spot"],
        vec!["ps"],
        vec!["ps", job],
        vec!["stop", "--yes", "-i", ONE],
        vec!["start", "--yes", "-i", ONE],
        vec!["terminate", job, "--yes"],
        vec!["reap"],
        vec!["cost", job],
        vec!["exec", "-i", ONE, "--", "true"],
    ]
}

async fn each(world: &World, change: impl Fn(&mut Command), judge: impl Fn(&[&str], &Ended)) {
    let job = Layout::new(1).unwatched().lay_out(world).await.url();
    let lines = commands(&job);
    let mut running: Vec<_> = lines.iter().map(|line| (line, world.start_dayfly_with(line, &change))).collect();
    for (line, program) in &mut running {
        judge(line, &program.ended().await);
    }
}

/// The line with the error.
fn error(ended: &Ended) -> &str {
    ended.said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error:\n{}", ended.said))
}

#[test]
fn without_credentials_the_fix_is_said_at_once() {
    run(Kind::Aws, async |world: &World| {
        let without = |command: &mut Command| {
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        };
        each(world, without, |line, ended| {
            let said = error(ended);
            assert_eq!(ended.code, Some(1), "{line:?}: {said}");
            assert!(said.contains("AWS_PROFILE") && said.contains("AWS_ACCESS_KEY_ID"), "{line:?}: {said}");
            // Who speaks to the account first says nothing before the fix.
            if line.iter().all(|word| !word.starts_with("s3://test-bucket/job/")) {
                assert!(said.starts_with("error: there are no AWS credentials: log in"), "{line:?}: {said}");
            }
        })
        .await;
    });
}

#[test]
fn without_a_region_the_fix_is_said() {
    run(Kind::Aws, async |world: &World| {
        let without = |command: &mut Command| {
            command.env_remove("AWS_REGION");
        };
        let job = Layout::new(1).unwatched().lay_out(world).await.url();
        // The others find the region in the deployment's record, or need none.
        for line in
            [vec!["setup", PLACE], vec!["ps"], vec!["ps", &job], vec!["reap"], vec!["exec", "-i", ONE, "--", "true"]]
        {
            let ended = world.start_dayfly_with(&line, without).ended().await;
            ended.expect(2, &["error: no region is configured; pass --region, set AWS_REGION"]);
        }
    });
}

#[test]
fn expired_credentials_are_said() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        // Each service has words of its own for it.
        let expire = |service: &str, action: &str, code: &str| {
            aws.set(Trouble::with(service, action).signed_by("OLD").refused(code, "The security token has expired"))
        };
        expire("sts", "GetCallerIdentity", "ExpiredToken");
        expire("ssm", "SendCommand", "ExpiredTokenException");
        expire("ec2", "DescribeInstances", "RequestExpired");
        for action in ["GetObject", "HeadObject", "ListBucket"] {
            expire("s3", action, "ExpiredToken");
        }
        let old = |command: &mut Command| {
            command.env("AWS_ACCESS_KEY_ID", "OLD");
        };
        each(world, old, |line, ended| {
            assert_eq!(ended.code, Some(1), "{line:?}: {}", ended.said);
            assert!(error(ended).contains("log in again"), "{line:?}: {}", error(ended));
        })
        .await;
    });
}

#[test]
fn an_endpoint_that_nobody_answers_at_is_said() {
    run(Kind::Aws, async |world: &World| {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let nowhere = |command: &mut Command| {
            command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        };
        each(world, nowhere, |line, ended| {
            let said = error(ended);
            assert_eq!(ended.code, Some(1), "{line:?}: {said}");
            assert!(said.contains("check the network") || said.contains("check the endpoint"), "{line:?}: {said}");
        })
        .await;
    });
}

/// A command that was sent, and not answered, is not sent again: it would run twice.
#[test]
fn a_command_without_an_answer_is_not_sent_twice() {
    run(Kind::Aws, async |world: &World| {
        let aws: Aws = world.aws();
        let account = Account::make(&aws);
        assert_eq!(account.launch(&aws, &account.request("t", 1)).status, 200);
        let id = aws.machines().pop().expect("a machine").id;
        aws.register_with_ssm(&id);
        let lost = aws.set(Trouble::with("ssm", "SendCommand").lost());
        world.dayfly(&["exec", "-i", &id, "--", "true"]).await.expect(1, &["may be running", "list-commands"]);
        assert_eq!(lost.hits(), 1);
        assert_eq!(aws.calls_of("ssm", "SendCommand").len(), 1);
    });
}
