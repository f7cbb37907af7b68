//! What the stand-in does where moto does otherwise or nothing: the rules that the other tests lean on.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_tests::aws::{Account, Aws, End, Machine, TEST, Trouble};
use dayfly_tests::world::{PATIENCE, POLL};
use dayfly_tests::{Kind, World, run};
use serde_json::json;

pub(crate) fn with_account(body: impl AsyncFn(&World, &Aws, &Account)) {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        body(world, &aws, &account).await;
    });
}

pub(crate) fn alive(aws: &Aws) -> Vec<Machine> {
    aws.machines().into_iter().filter(Machine::runs).collect()
}

#[test]
fn a_token_used_twice_launches_once() {
    with_account(async |_, aws, account| {
        let request = account.request("t", 2);
        let first = account.launch(aws, &request);
        let again = account.launch(aws, &request);
        assert_eq!((first.status, &first.body), (200, &again.body));
        assert_eq!(aws.machines().len(), 2);
        let other = account.launch(aws, &account.request("t", 3));
        assert_eq!((other.status, other.field("Code")), (400, Some("IdempotentParameterMismatch")));
        assert_eq!(aws.machines().len(), 2);
        assert_eq!(account.launch(aws, &account.request("u", 1)).status, 200);
        assert_eq!(aws.machines().len(), 3);
    });
}

#[test]
fn a_token_that_was_refused_is_free() {
    with_account(async |_, aws, account| {
        let throttle = Trouble::with("ec2", "CreateFleet").refused("RequestLimitExceeded", "too many").status(503);
        aws.set(throttle.times(1));
        let refused = account.launch(aws, &account.request("t", 1));
        assert_eq!((refused.status, refused.field("Code")), (503, Some("RequestLimitExceeded")));
        assert_eq!(account.launch(aws, &account.request("t", 2)).status, 200);
        assert_eq!(aws.machines().len(), 2);
    });
}

#[test]
fn templates_take_tokens_too() {
    with_account(async |_, aws, account| {
        let version = |token: &str, kind: &str| {
            let parameters = [
                ("LaunchTemplateId", account.template.as_str()),
                ("ClientToken", token),
                ("LaunchTemplateData.InstanceType", kind),
            ];
            aws.query("ec2", "CreateLaunchTemplateVersion", &parameters)
        };
        assert_eq!(version("t", "m5.large").field("versionNumber"), Some("2"));
        assert_eq!(version("t", "m5.large").field("versionNumber"), Some("2"));
        assert_eq!(version("t", "c5.large").field("Code"), Some("IdempotentParameterMismatch"));
        assert_eq!(version("u", "c5.large").field("versionNumber"), Some("3"));
    });
}

#[test]
fn credentials_can_expire() {
    with_account(async |_, aws, account| {
        aws.set(
            Trouble::with("ec2", "DescribeInstances")
                .signed_by("OLD")
                .refused("RequestExpired", "Request has expired."),
        );
        let of = |key: &str| aws.query_as(key, "ec2", "DescribeInstances", &[]).status;
        assert_eq!((of("OLD"), of("NEW")), (400, 200));
        assert_eq!(account.launch(aws, &account.request("t", 1)).status, 200);
    });
}

#[test]
fn a_bucket_of_another_region_names_that_region() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        aws.make_bucket("far-away", Some("eu-west-1"));
        aws.make_bucket("near-by", None);
        let get = |bucket: &str| aws.s3("GET", &format!("/{bucket}/key"), "");
        assert_eq!((get("near-by").status, get("far-away").status), (404, 301));
        assert_eq!(get("far-away").field("Code"), Some("PermanentRedirect"));
        assert!(aws.s3("GET", "/far-away?location", "").body.contains("eu-west-1"));
    });
}

#[test]
fn a_new_profile_is_not_seen_at_once() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        aws.hide_new_profiles(2);
        let account = Account::make(&aws);
        for token in ["a", "b"] {
            let reply = account.launch(&aws, &account.request(token, 2));
            assert!(reply.body.contains("Invalid IAM Instance Profile name"), "{}", reply.body);
        }
        account.launch(&aws, &account.request("c", 2));
        assert_eq!(alive(&aws).len(), 2);
    });
}

#[test]
fn a_denial_is_encoded_and_can_be_decoded() {
    with_account(async |_, aws, account| {
        let why = json!({"allowed": false, "context": {"action": "ec2:CreateFleet"}});
        aws.set(Trouble::with("ec2", "CreateFleet").denied(&why));
        let reply = account.launch(aws, &account.request("t", 1));
        assert_eq!((reply.status, reply.field("Code")), (403, Some("UnauthorizedOperation")));
        let encoded = reply.field("Message").and_then(|m| m.rsplit(' ').next()).expect("a message").to_owned();
        let decoded = aws.query("sts", "DecodeAuthorizationMessage", &[("EncodedMessage", &encoded)]);
        let decoded = decoded.field("DecodedMessage").expect("a message").replace("&quot;", "\"");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&decoded).expect("JSON"), why);
    });
}

#[test]
fn a_machine_that_powers_off_ends_as_its_shutdown_behaviour_says() {
    with_account(async |_, aws, account| {
        account.launch(aws, &account.request("t", 1));
        let id = alive(aws)[0].id.clone();
        aws.end(&id, End::PowerOff);
        let ended = aws.machine(&id);
        assert_eq!((ended.state.as_str(), ended.reason.as_str()), ("terminated", "Client.InstanceInitiatedShutdown"));
        let parameters = [("ImageId", account.image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
        aws.query("ec2", "RunInstances", &[&parameters[..], &[("InstanceType", "m5.large")]].concat());
        let id = alive(aws)[0].id.clone();
        aws.end(&id, End::PowerOff);
        assert_eq!(aws.machine(&id).state, "stopped");
    });
}

#[test]
fn calls_are_recorded_with_all_that_iam_evaluates() {
    with_account(async |_, aws, account| {
        let parameters = [
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId", account.template.as_str()),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "1"),
            ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
            ("Type", "instant"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "dayfly:launch"),
            ("TagSpecification.1.Tag.1.Value", "x"),
        ];
        assert_eq!(aws.query_as("SOMEBODY", "ec2", "CreateFleet", &parameters).status, 200);
        let calls = aws.calls_by("SOMEBODY");
        let [call] = &calls[..] else { panic!("one call: {calls:#?}") };
        let find = |action: &str, resource: &str| {
            let found = call.checks.iter().find(|c| c.action == action && c.resource.contains(resource));
            found.unwrap_or_else(|| panic!("{action} on {resource}: {:#?}", call.checks))
        };
        assert_eq!(find("iam:PassRole", ":role/dayfly-test").context["iam:PassedToService"], ["ec2.amazonaws.com"]);
        assert_eq!(find("ec2:RunInstances", ":instance/*").context["aws:RequestTag/dayfly:launch"], ["x"]);
        assert_eq!(find("ec2:CreateTags", ":instance/*").context["ec2:CreateAction"], ["RunInstances"]);
        for resource in
            ["::image/ami-", ":volume/*", ":network-interface/*", ":security-group/sg-", ":launch-template/"]
        {
            find("ec2:RunInstances", resource);
        }
        find("ec2:CreateFleet", ":fleet/*");
        assert!(aws.calls().iter().all(|call| call.key.as_deref() != Some(TEST)));
    });
}

#[test]
fn a_call_whose_caller_went_away_while_it_was_held_was_never_made() {
    with_account(async |world, aws, account| {
        let set = aws.set(Trouble::with("ec2", "CreateFleet").held());
        let body = format!(
            "Action=CreateFleet&Version=2016-11-15&Type=instant&TargetCapacitySpecification.TotalTargetCapacity=1\
             &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={}",
            account.template
        );
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=GONE/20260101/us-east-1/ec2/aws4_request, Signature=0\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(aws.url().trim_start_matches("http://")).expect("the double listens");
        stream.write_all(request.as_bytes()).expect("a request is taken");
        world.until("the call is held", async || set.held() == 1).await;
        drop(stream);
        set.take_back();
        // The same request from somebody who stays is carried out, after the other was let go.
        assert_eq!(account.launch(aws, &account.request("t", 1)).status, 200);
        assert_eq!((aws.calls_by("GONE").len(), aws.machines().len()), (0, 1));
    });
}

#[test]
fn a_lost_answer_is_an_answer_not_given() {
    with_account(async |_, aws, account| {
        let set = aws.set(Trouble::with("ec2", "CreateFleet").lost().times(1));
        let request = account.request("t", 2);
        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| account.launch(aws, &request)));
        assert!(lost.is_err(), "an answer came: {lost:?}");
        assert_eq!((set.hits(), aws.machines().len()), (1, 2));
        assert_eq!(account.launch(aws, &request).status, 200);
        assert_eq!(aws.machines().len(), 2);
    });
}

#[test]
fn commands_run_once_the_machine_has_registered() {
    with_account(async |_, aws, account| {
        account.launch(aws, &account.request("t", 1));
        let id = alive(aws)[0].id.clone();
        let send = || {
            let command = json!({"InstanceIds": [id], "DocumentName": "AWS-RunShellScript",
                                 "Parameters": {"commands": ["echo out", "echo err >&2", "exit 7"]}});
            aws.ask("ssm", "AmazonSSM.SendCommand", &command)
        };
        assert_eq!(send().json()["__type"], "InvalidInstanceId");
        aws.register_with_ssm(&id);
        let command = send().json()["Command"]["CommandId"].as_str().expect("a command's id").to_owned();
        let begun = SystemClock.now().at;
        loop {
            let asked = json!({"CommandId": command, "InstanceId": id});
            let found = aws.ask("ssm", "AmazonSSM.GetCommandInvocation", &asked).json();
            if found["Status"] == "Failed" {
                assert_eq!(found["ResponseCode"], 7);
                assert_eq!(
                    (&found["StandardOutputContent"], &found["StandardErrorContent"]),
                    (&json!("out\n"), &json!("err\n"))
                );
                return;
            }
            assert!(SystemClock.now().at.since(begun) < PATIENCE, "{found}");
            SystemClock.sleep(POLL).await;
        }
    });
}

#[test]
fn prices_and_quotas_are_told_and_unknown_ones_are_not() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let spot = |kind: &str| {
            let parameters = [("InstanceType.1", kind), ("ProductDescription.1", "Linux/UNIX")];
            aws.query("ec2", "DescribeSpotPriceHistory", &parameters).fields("spotPrice").len()
        };
        // Three days in six zones.
        assert_eq!((spot("m5.large"), spot("x1.32xlarge")), (18, 0));
        let price = |kind: &str| {
            let filter = json!({"Type": "TERM_MATCH", "Field": "instanceType", "Value": kind});
            let asked = json!({"ServiceCode": "AmazonEC2", "Filters": [filter]});
            aws.ask("pricing", "AWSPriceListService.GetProducts", &asked).json()["PriceList"].as_array().map(Vec::len)
        };
        assert_eq!((price("m5.large"), price("x1.32xlarge")), (Some(1), Some(0)));
        aws.set_quota("L-34B43A08", 4.0);
        let asked = json!({"ServiceCode": "ec2", "QuotaCode": "L-34B43A08"});
        let quota = aws.ask("servicequotas", "ServiceQuotasV20190624.GetServiceQuota", &asked).json();
        assert_eq!(quota["Quota"]["Value"], 4.0);
        let by_need = [
            ("ArchitectureType.1", "x86_64"),
            ("VirtualizationType.1", "hvm"),
            ("InstanceRequirements.VCpuCount.Min", "2"),
            ("InstanceRequirements.VCpuCount.Max", "2"),
            ("InstanceRequirements.MemoryMiB.Min", "8192"),
        ];
        let found = aws.query("ec2", "GetInstanceTypesFromInstanceRequirements", &by_need);
        let found = found.fields("instanceType");
        assert!(found.contains(&"m5.large"), "{found:?}");
        assert!(
            !found.contains(&"c5.large") && !found.contains(&"t3.large") && !found.contains(&"m6g.large"),
            "{found:?}"
        );
    });
}

#[test]
fn ages_make_machines_old() {
    with_account(async |_, aws, account| {
        account.launch(aws, &account.request("t", 1));
        let launched = |aws: &Aws| {
            let text = aws.query("ec2", "DescribeInstances", &[]);
            text.field("launchTime").expect("a time").parse::<dayfly_shared::clock::Timestamp>().expect("a time")
        };
        let before = launched(aws);
        aws.age(&alive(aws)[0].id, 3600);
        assert_eq!(before.since(launched(aws)), Duration::from_secs(3600));
    });
}
