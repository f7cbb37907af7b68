//! The agent's few calls besides S3's: the fleet's shut-off and CloudWatch Logs, against moto, and against a service that
//! shows what was sent.

use std::io::Write;
use std::process::{Command, Stdio};

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_tests::listener::Asked;
use dayfly_tests::server::sources;
use dayfly_tests::{Job, Kind, Layout, Machine, Metadata, World, on_endpoint, run};

use super::posts::Posts;
use super::{End, on};

const LAUNCH: &str = "0000000000000007";

/// Runs a few lines of Python, with boto3 at hand; what they print.
fn python(world: &World, script: &str, input: &str) -> String {
    let mut child = Command::new(sources().join(".venv/bin/python"))
        .args(["-c", script])
        .env("AWS_ENDPOINT_URL", world.server().url())
        .env("AWS_ACCESS_KEY_ID", &world.server().keys().access)
        .env("AWS_SECRET_ACCESS_KEY", &world.server().keys().secret)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("python reads");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{script} failed");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The record of a launch that made this fleet.
async fn put_launch(job: &Job<'_>, fleet: &str) {
    let at = SystemClock.now().wall;
    let record = format!(
        r#"{{"schema": 1, "id": "{LAUNCH}", "client_token": "t", "by": "a test", "at": "{at}",
            "request": {{"count": 1, "on_demand_base": 0, "market": "spot", "maintain": true,
                "template": {{"id": "lt-1", "version": "1", "image": "ami-1", "architecture": "x86_64"}},
                "instance_types": ["c7i.large"], "subnets": ["subnet-1"], "tags": {{}}}},
            "outcome": {{"at": "{at}", "fleet": "{fleet}"}}}}"#
    );
    job.put(&format!("launches/{LAUNCH}.json"), record).await;
}

fn user_data() -> String {
    format!(r#"{{"launch": "{LAUNCH}", "shut_off_fleet": true, "log_group": "a-group"}}"#)
}

/// The signature that botocore computes for a request, beside the one it bears.
fn signatures(world: &World, asked: &Asked) -> (String, String) {
    let signed = asked.headers["authorization"].split("SignedHeaders=").nth(1).expect("signed headers");
    let signed = signed.split(',').next().expect("signed headers");
    let headers: std::collections::BTreeMap<_, _> =
        signed.split(';').map(|name| (name, asked.headers[name].clone())).collect();
    let service = asked.headers["authorization"].split('/').nth(3).expect("a scope").to_owned();
    let input = serde_json::json!({"headers": headers, "body": asked.body, "service": service});
    let script = r#"
import datetime, json, sys
from unittest import mock
import botocore.auth, botocore.awsrequest, botocore.credentials, os
told = json.load(sys.stdin)
keys = botocore.credentials.Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
request = botocore.awsrequest.AWSRequest("POST", "http://" + told["headers"]["host"] + "/", told["headers"], told["body"])
auth = botocore.auth.SigV4Auth(keys, told["service"], "us-east-1")
request.context["timestamp"] = told["headers"]["x-amz-date"]
text = auth.string_to_sign(request, auth.canonical_request(request))
print(auth.signature(text, request))
"#;
    let theirs = python(world, script, &input.to_string());
    let ours = asked.headers["authorization"].rsplit("Signature=").next().expect("a signature").to_owned();
    (ours, theirs)
}

/// Against moto: the fleet is deleted and its instance lives on; the log is in the group, in order.
#[test]
fn a_fleet_is_shut_off_and_the_log_gets_to_cloudwatch() {
    run(Kind::Moto, async |world: &World| {
        let mut job = Layout::new(3).lay_out(world).await;
        let script = r#"
import boto3
boto3.client("logs").create_log_group(logGroupName="a-group")
ec2 = boto3.client("ec2")
image = ec2.describe_images()["Images"][0]["ImageId"]
ec2.create_launch_template(LaunchTemplateName="the-template", LaunchTemplateData={"ImageId": image, "InstanceType": "t2.micro"})
print(ec2.create_fleet(Type="maintain",
    LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"LaunchTemplateName": "the-template", "Version": "1"}}],
    TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"})["FleetId"])
"#;
        let fleet = python(world, script, "");
        put_launch(&job, &fleet).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        service.set("user-data", Some(&user_data()));
        for name in ["first", "second"] {
            end.of(on(&service, job.agent(name))).start().ended().await.expect(0, &["replaces nothing any more"]);
        }
        let script = r#"
import boto3, json
fleets = boto3.client("ec2").describe_fleets()["Fleets"]
states = [i["State"]["Name"] for r in boto3.client("ec2").describe_instances()["Reservations"] for i in r["Instances"]]
logs = boto3.client("logs")
streams = [s["logStreamName"] for s in logs.describe_log_streams(logGroupName="a-group")["logStreams"]]
events = logs.get_log_events(logGroupName="a-group", logStreamName=streams[0], startFromHead=True)["events"]
times = [e["timestamp"] for e in events]
print([f["FleetState"] for f in fleets], states, len(streams), times == sorted(times),
    [w in "".join(e["message"] for e in events) for w in ('"ready"', '"the agent ends"')])
"#;
        let seen = python(world, script, "");
        assert_eq!(seen, "['deleted_running'] ['running'] 2 True [True, True]");
        job.finish(&[]).await;
    });
}

on_endpoint! {
    /// What is sent is signed as botocore signs it; a refusal is tried again before the end, and ends nothing. (Moto checks
    /// no signature and refuses nothing.)
    async fn calls_are_signed_and_refusals_are_survived(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        put_launch(&job, "fleet-12345678").await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        let (ec2, logs) = (Posts::start(), Posts::start());
        service.set("user-data", Some(&user_data()));
        ec2.answer(503, "<Response><Errors><Error><Code>Unavailable</Code></Error></Errors></Response>");
        logs.answer(400, r#"{"__type": "ResourceAlreadyExistsException"}"#);
        let agent = on(&service, job.agent("first"))
            .env("AWS_ENDPOINT_URL_EC2", ec2.url())
            .env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs.url());
        end.of(agent).start().ended().await.expect(0, &["Unavailable", "replaces nothing any more"]);
        let deletions = ec2.posted();
        assert_eq!(deletions.len(), 2, "{deletions:?}");
        for asked in &deletions {
            let wanted = "Action=DeleteFleets&Version=2016-11-15&FleetId.1=fleet%2D12345678&TerminateInstances=false";
            assert_eq!(asked.body, wanted);
        }
        let puts = logs.posted();
        let targets: Vec<_> = puts.iter().map(|asked| asked.headers["x-amz-target"].as_str()).collect();
        assert_eq!(targets[..2], ["Logs_20140328.CreateLogStream", "Logs_20140328.PutLogEvents"], "{targets:?}");
        for asked in [&deletions[0], &puts[1]] {
            let (ours, theirs) = signatures(world, asked);
            assert_eq!(ours, theirs, "{asked:?}");
        }
        job.finish(&[]).await;
    }
}
