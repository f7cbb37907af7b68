//! Real agents on machines of the stand-in.

use std::process::Command;

use dayfly_tests::aws::{Account, Check, End, FleetRequest, OPERATOR};
use dayfly_tests::instances::power_off_program;
use dayfly_tests::metadata::key_of;
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::{Instances, Kind, Layout, World, run};
use serde_json::json;

#[test]
fn agents_find_their_job_and_their_credentials_through_metadata_alone() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        let mut job = Layout::new(6).lay_out(world).await;
        let place = job.location().to_string();
        let settings = json!({"job": place, "slots": 1});
        let version = account.version(&aws, &settings, &[("dayfly:job", &place)]);
        account.launch(&aws, &FleetRequest { version, ..account.request("t", 3) });
        let mut machines = Instances::new(&aws, job.location(), world.folder());
        let started = machines.catch_up();
        assert_eq!(started.len(), 3);
        machines.kill(&started[0]);
        assert_eq!(aws.machine(&started[0]).state, "terminated");
        machines.until("the other agents have ended", async |all| all.running().is_empty()).await;
        for id in &started[1..] {
            let mine = machines.get(id);
            let ended = mine.agent.ended().await;
            ended.expect(0, &[]);
            let asked = mine.metadata.asked();
            assert!(asked.iter().any(|a| a.contains("iam/security-credentials/dayfly-test 200")), "{asked:?}");
            let calls = aws.calls_by(&key_of(id));
            let output = calls.iter().find(|call| call.action == "PutObject" && call.request.contains("/out"));
            let [check] = &output.expect("an output").checks[..] else { panic!("one check: {output:#?}") };
            assert!(check.resource.starts_with("arn:aws:s3:::test-bucket/job/out"), "{check:?}");
            assert_eq!(check.context["s3:if-none-match"], ["*"]);
            assert_eq!(check.context["s3:ObjectCreationOperation"], ["true"]);
        }
        assert_eq!(aws.calls_by(OPERATOR).iter().filter(|call| call.service != "s3").count(), 0);
        job.finish(&[]).await;
    });
}

#[test]
fn a_machine_that_powers_off_is_terminated_and_its_reason_kept() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        account.launch(&aws, &account.request("t", 2));
        let [one, other] = &aws.machines()[..] else { panic!("two machines") };
        let program = power_off_program(world.folder(), &aws, &one.id);
        let status = Command::new(&program).arg("the job is done").env_clear().status().expect("it runs");
        assert!(status.success());
        assert_eq!(aws.machine(&one.id).reason, "Client.InstanceInitiatedShutdown");
        assert_eq!((aws.machine(&one.id).state, aws.machine(&other.id).state), ("terminated".into(), "running".into()));
        let noted = std::fs::read_to_string(world.folder().join("powered-off")).expect("the reasons");
        assert_eq!(noted, "the job is done\n");
        aws.end(&other.id, End::Kill);
    });
}

/// What setup writes is fetched from the account and judged against what was recorded: here with policies of the test's.
#[test]
fn policies_of_the_account_are_judged_against_recorded_calls() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        let mut job = Layout::new(2).lay_out(world).await;
        let place = job.location().to_string();
        let version = account.version(&aws, &json!({"job": place, "slots": 1}), &[("dayfly:job", &place)]);
        account.launch(&aws, &FleetRequest { version, ..account.request("t", 1) });
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::test-bucket",
             "Condition": {"StringLike": {"s3:prefix": "job/*"}}},
            {"Sid": "Uploads", "Effect": "Allow", "Action": "s3:ListBucketMultipartUploads",
             "Resource": "arn:aws:s3:::test-bucket"},
            {"Sid": "Objects", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject",
             "s3:AbortMultipartUpload", "s3:PutObjectAcl"],
             "Resource": "arn:aws:s3:::test-bucket/job/*"}]});
        let document = policy.to_string();
        let parameters = [("RoleName", account.role.as_str()), ("PolicyName", "agents"), ("PolicyDocument", &document)];
        assert_eq!(aws.query("iam", "PutRolePolicy", &parameters).status, 200);
        let mut machines = Instances::new(&aws, job.location(), world.folder());
        let started = machines.catch_up();
        machines.get(&started[0]).agent.ended().await.expect(0, &[]);
        job.finish(&[]).await;
        let mut agents = Judge::of(Principal::role(&account.role));
        for (name, policy) in aws.role_policies(&account.role) {
            agents = agents.identity(&name, &policy);
        }
        let calls = aws.calls_by(&key_of(&started[0]));
        assert_eq!(agents.refused(&calls), Vec::<String>::new());
        assert_eq!(agents.unused(&calls), ["agents/Objects: s3:PutObjectAcl"]);
        agents.expect_denied(&[
            Check::new("s3:PutObject", "arn:aws:s3:::test-bucket/other/out0.dat"),
            Check::new("s3:ListBucket", "arn:aws:s3:::test-bucket").with("s3:prefix", "other/"),
            Check::new(
                "ec2:TerminateInstances",
                &format!("arn:aws:ec2:us-east-1:123456789012:instance/{}", started[0]),
            ),
        ]);
    });
}
