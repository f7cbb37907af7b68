//! `dayfly setup`: what it makes, and that it makes it once.

use std::rc::Rc;

use dayfly_tests::aws::{Aws, Call, Trouble};
use dayfly_tests::policy::{Judge, Principal};
use dayfly_tests::world::BUCKET;
use serde_json::{Value, json};

use crate::court::{Court, Crew, in_court};
use crate::ledger::Page;

/// A place in a bucket that is not there.
const NEW: &str = "s3://made-by-setup/jobs";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";
const TEMPLATE: &str = "dayfly-made-by-setup-jobs";

/// With who sets up at [`NEW`] with these options.
fn with_crew(options: &[&str], body: impl AsyncFn(&Court<'_>, &Aws, Rc<Crew<'_>>)) {
    in_court(async |court| {
        let crew = court.crew(NEW, options).await;
        body(court, &court.aws, crew).await;
    });
}

/// The calls of who sets up that changed something.
fn writes(calls: &[Call], crew: &Crew<'_>) -> Vec<String> {
    let reads = ["Get", "List", "Describe", "Head"];
    let of = calls.iter().filter(|call| call.key.as_deref() == Some(crew.setter()));
    let writes = of.filter(|call| !reads.iter().any(|read| call.action.starts_with(read)));
    writes.map(|call| format!("{}:{} {}", call.service, call.action, call.request)).collect()
}

fn sids(policy: &Value) -> Vec<String> {
    let all = policy["Statement"].as_array().expect("statements");
    all.iter().map(|one| one["Sid"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Everything is made; a second time nothing is.
#[test]
fn twice_is_as_good_as_once() {
    let options = ["--ssm", "--fleet-shut-off", "--ecr", "images", "--keep-logs", "30", "--isolate"];
    with_crew(&options, async |court, aws, crew| {
        court.shows(Page::SetupTwice);
        let line: Vec<&str> = ["setup", NEW].iter().chain(&options).copied().collect();
        crew.sets(&line).await.expect(0, &["made      bucket", "made      role", "made      launch template"]);
        let policy = aws.bucket_policy("made-by-setup").expect("a policy");
        assert_eq!(sids(&policy).len(), 7, "{policy}");
        let (name, role) = aws.role_policies(ROLE).pop().expect("a policy");
        assert_eq!((name.as_str(), sids(&role).contains(&"FleetShutOff".to_owned())), ("dayfly", true));
        assert_eq!(aws.attached_policies(ROLE), ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]);
        let template = aws.query("ec2", "DescribeLaunchTemplateVersions", &[("LaunchTemplateName", TEMPLATE)]);
        for (name, value) in [
            ("httpTokens", "required"),
            ("httpPutResponseHopLimit", "1"),
            ("instanceInitiatedShutdownBehavior", "terminate"),
            ("encrypted", "true"),
            ("volumeType", "gp3"),
        ] {
            assert_eq!(template.field(name), Some(value), "{}", template.body);
        }
        let group = aws.query("ec2", "DescribeSecurityGroups", &[("GroupName.1", "dayfly-made-by-setup-jobs")]);
        assert_eq!(group.fields("ipPermissions").concat(), "", "no way in: {}", group.body);
        let rules = aws.s3("GET", "/made-by-setup?lifecycle", "").body;
        assert!(rules.contains("DaysAfterInitiation") && rules.contains("jobs/logs/"), "{rules}");
        let before = aws.calls().len();
        crew.sets(&line).await.expect(0, &["nothing was changed"]);
        assert_eq!(writes(&aws.calls()[before..], &crew), Vec::<String>::new());
        let printed = crew.sets(&["setup", NEW, "--print"]).await;
        let printed: Value = serde_json::from_str(&printed.said).unwrap_or_else(|e| panic!("{e}: {}", printed.said));
        assert_eq!(printed["policies"], crew.policies, "what stands is printed without naming its options again");
        // What was asked for once stays: it is in the record.
        crew.sets(&["setup", NEW]).await.expect(0, &["nothing was changed"]);
    });
}

/// What others changed of it is as it was after another setup.
#[test]
fn what_others_changed_is_put_right() {
    with_crew(&[], async |court, aws, crew| {
        court.shows(Page::PutRight);
        crew.sets(&["setup", NEW]).await.expect(0, &["made"]);
        let expect = |service: &str, action: &str, parameters: &[(&str, &str)]| {
            let reply = aws.query(service, action, parameters);
            assert_eq!(reply.status, 200, "{service}:{action}: {}", reply.body);
            reply
        };
        let anybody = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]});
        expect("iam", "UpdateAssumeRolePolicy", &[("RoleName", ROLE), ("PolicyDocument", &anybody.to_string())]);
        let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let all = all.to_string();
        expect("iam", "PutRolePolicy", &[("RoleName", ROLE), ("PolicyName", "dayfly"), ("PolicyDocument", &all)]);
        let template = ("LaunchTemplateName", TEMPLATE);
        let open = ("LaunchTemplateData.MetadataOptions.HttpTokens", "optional");
        expect("ec2", "CreateLaunchTemplateVersion", &[template, open]);
        expect("ec2", "ModifyLaunchTemplate", &[template, ("SetDefaultVersion", "2")]);
        let said = ["changed   role", "who may be it", "what agents may do", "changed   launch template"];
        crew.sets(&["setup", NEW]).await.expect(0, &said);
        assert_eq!(aws.role_policies(ROLE), [("dayfly".to_owned(), crew.policies["role"].clone())]);
        let base =
            expect("ec2", "DescribeLaunchTemplateVersions", &[template, ("LaunchTemplateVersion.1", "$Default")]);
        assert_eq!((base.field("versionNumber"), base.field("httpTokens")), (Some("3"), Some("required")));
        crew.sets(&["setup", NEW]).await.expect(0, &["nothing was changed"]);
    });
}

/// A setup that is refused anywhere on its way says what, and is completed by the next.
#[test]
fn a_half_done_setup_is_completed() {
    in_court(async |court| {
        let aws = &court.aws;
        let points = [
            ("s3", "CreateBucket"),
            ("s3", "PutBucketTagging"),
            ("s3", "PutBucketPublicAccessBlock"),
            ("s3", "PutEncryptionConfiguration"),
            ("ec2", "CreateSecurityGroup"),
            ("iam", "CreateRole"),
            ("iam", "PutRolePolicy"),
            ("iam", "CreateInstanceProfile"),
            ("iam", "AddRoleToInstanceProfile"),
            ("s3", "PutBucketPolicy"),
            ("s3", "PutLifecycleConfiguration"),
            ("ec2", "CreateLaunchTemplate"),
            ("s3", "PutObject"),
        ];
        for (nth, (service, action)) in points.into_iter().enumerate() {
            let place = format!("s3://half-done-{nth}/jobs");
            let crew = court.crew(&place, &[]).await;
            let set = aws.set(Trouble::with(service, action).refused("AccessDenied", "not you").status(403));
            let refused = crew.sets(&["setup", &place]).await;
            assert!(set.hits() > 0, "setup never called {service}:{action}; it said:\n{}", refused.said);
            refused.expect(1, &["error:", action]);
            set.take_back();
            crew.sets(&["setup", &place]).await.expect(0, &["made,"]);
            crew.sets(&["setup", &place]).await.expect(0, &["nothing was changed"]);
        }
    });
}

/// IAM shows what was made some time later; setup waits for it.
#[test]
fn what_iam_does_not_show_yet_is_waited_for() {
    with_crew(&[], async |_, aws, crew| {
        let late = |action: &str| {
            aws.set(Trouble::with("iam", action).refused("NoSuchEntity", "not yet").status(404).times(2))
        };
        let set = ["PutRolePolicy", "AddRoleToInstanceProfile"].map(late);
        crew.sets(&["setup", NEW]).await.expect(0, &["made      instance profile"]);
        assert!(set.iter().all(|set| set.hits() >= 2));
    });
}

/// A bucket that was there keeps what its people put there.
#[test]
fn a_bucket_of_others_is_merged_into() {
    in_court(async |court| {
        let aws = &court.aws;
        let theirs = json!({ "Version": "2012-10-17", "Statement": [{
            "Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{BUCKET}/secret/*"),
        }] });
        let rule = "<LifecycleConfiguration><Rule><ID>theirs</ID><Status>Enabled</Status><Filter><Prefix>old/</Prefix></Filter>\
            <Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>";
        let versioned = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        for (what, body) in [("policy", theirs.to_string().as_str()), ("lifecycle", rule), ("versioning", versioned)] {
            let put = aws.s3("PUT", &format!("/{BUCKET}?{what}"), body);
            assert!(put.status < 300, "{}", put.body);
        }
        let place = format!("s3://{BUCKET}/jobs");
        let crew = court.crew(&place, &[]).await;
        crew.sets(&["setup", &place]).await.expect(0, &["all others stand as they were", "keeps every version"]);
        let policy = aws.bucket_policy(BUCKET).expect("a policy");
        assert_eq!(policy["Statement"][0], theirs["Statement"][0]);
        assert!(sids(&policy)[1..].iter().all(|sid| sid.starts_with("DayflytestXbucketXjobsZ")), "{policy}");
        let rules = aws.s3("GET", &format!("/{BUCKET}?lifecycle"), "").body;
        assert!(rules.contains("<ID>theirs</ID>") && rules.contains("<Days>9</Days>"), "{rules}");
        assert!(rules.contains("dayfly-test-bucket-jobs:uploads"), "{rules}");
        // Printed with a look at the account, the policy of who sets up is for the place alone, and was enough.
        let printed = crew.sets(&["setup", &place, "--print"]).await;
        let printed: Value = serde_json::from_str(&printed.said).unwrap_or_else(|e| panic!("{e}: {}", printed.said));
        let own = &printed["policies"]["operator_setup"];
        assert!(!own.to_string().contains(&format!("{BUCKET}/*")), "{own:#}");
        let judge = Judge::of(Principal::user("somebody")).identity("setup", own);
        assert_eq!(judge.refused(&aws.calls_by(crew.setter())), Vec::<String>::new());
        // What is the whole bucket's is left alone.
        let (block, tags) = ("PutBucketPublicAccessBlock", "PutBucketTagging");
        assert!(aws.calls_of("s3", block).is_empty() && aws.calls_of("s3", tags).is_empty());
        crew.sets(&["setup", &place]).await.expect(0, &["nothing was changed"]);
        crew.sets(&["teardown", &place, "--bucket", "--yes"]).await.expect(0, &["kept", "dayfly did not make it"]);
        assert_eq!(aws.bucket_policy(BUCKET), Some(theirs));
        let rules = aws.s3("GET", &format!("/{BUCKET}?lifecycle"), "").body;
        assert!(rules.contains("<ID>theirs</ID>") && !rules.contains("dayfly"), "{rules}");
    });
}

#[test]
fn a_bucket_of_another_region_is_named() {
    in_court(async |court| {
        let aws = &court.aws;
        let there =
            "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
        assert_eq!(aws.s3("PUT", "/far-away", there).status, 200);
        let crew = court.crew("s3://far-away/jobs", &[]).await;
        crew.sets(&["setup", "s3://far-away/jobs"])
            .await
            .expect(1, &["far-away is in eu-west-1", "--region eu-west-1"]);
        assert_eq!(writes(&aws.calls(), &crew), Vec::<String>::new());
    });
}

/// Without a default network it says what to make; with subnets of one's own it says whether they lead to S3.
#[test]
fn networks_of_ones_own() {
    with_crew(&[], async |court, aws, crew| {
        court.shows(Page::Networks);
        let default = aws.query("ec2", "DescribeVpcs", &[]);
        let default = default.field("vpcId").expect("a VPC");
        let theirs = aws.query("ec2", "DescribeSubnets", &[]);
        // Made before the default one goes: moto would take it for the default else.
        let made = aws.query("ec2", "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]);
        let vpc = made.field("vpcId").expect("a VPC");
        let made = aws.query("ec2", "CreateSubnet", &[("VpcId", vpc), ("CidrBlock", "10.0.1.0/24")]);
        let subnet = made.field("subnetId").expect("a subnet");
        for subnet in theirs.fields("subnetId") {
            assert_eq!(aws.query("ec2", "DeleteSubnet", &[("SubnetId", subnet)]).status, 200);
        }
        assert_eq!(aws.query("ec2", "DeleteVpc", &[("VpcId", default)]).status, 200);
        crew.sets(&["setup", NEW]).await.expect(1, &["no default network", "create-default-vpc", "--subnet"]);
        let line = ["setup", NEW, "--subnet", subnet];
        crew.sets(&line).await.expect(0, &["have no way to S3", "gateway endpoint", subnet]);
        let tables = aws.query("ec2", "DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)]);
        let table = tables.field("routeTableId").expect("a route table");
        let endpoint = [
            ("VpcId", vpc),
            ("ServiceName", "com.amazonaws.us-east-1.s3"),
            ("VpcEndpointType", "Gateway"),
            ("RouteTableId.1", table),
        ];
        assert_eq!(aws.query("ec2", "CreateVpcEndpoint", &endpoint).status, 200);
        let ended = crew.sets(&line).await;
        ended.expect(0, &["nothing was changed"]);
        assert!(!ended.said.contains("no way to S3"), "{}", ended.said);
        crew.sets(&["setup", NEW, "--subnet", "subnet-0123456789"]).await.expect(1, &["subnet-0123456789"]);
    });
}

/// What has dayfly's names and not its tag is somebody else's.
#[test]
fn things_of_the_same_name_are_not_taken() {
    with_crew(&[], async |court, aws, crew| {
        let role = [("RoleName", ROLE), ("AssumeRolePolicyDocument", "{}")];
        assert_eq!(aws.query("iam", "CreateRole", &role).status, 200);
        crew.sets(&["setup", NEW]).await.expect(1, &[ROLE, "without the tag", "--name"]);
        crew.sets(&["teardown", NEW, "--yes"]).await.expect(1, &[ROLE, "it was not touched"]);
        assert_eq!(aws.query("iam", "GetRole", &[("RoleName", ROLE)]).status, 200);
        let mine = court.crew(NEW, &["--name", "mine"]).await;
        mine.sets(&["setup", NEW, "--name", "mine"]).await.expect(0, &["made      role dayfly-mine-us-east-1"]);
    });
}

/// The agent's program says its version, and lies where instances fetch it.
#[test]
fn agent_programs_are_put_into_the_bucket() {
    with_crew(&[], async |court, _, crew| {
        let agent = dayfly_tests::server::program("dayfly-agent").display().to_string();
        let line = ["setup", NEW, "--agent", &agent];
        crew.sets(&line).await.expect(0, &["made      agent program", "dayfly/programs/", "/dayfly-agent"]);
        crew.sets(&line).await.expect(0, &["nothing was changed"]);
        let script = court.world.folder().join("script");
        std::fs::write(&script, "#!/bin/sh\necho dayfly-agent 0.1.0\n").expect("a script");
        let script = script.display().to_string();
        crew.sets(&["setup", NEW, "--agent", &script]).await.expect(2, &["no Linux program"]);
        let line = ["setup", NEW, "--agent", &agent, "--agent-version", "9.1.0"];
        crew.sets(&line).await.expect(2, &["is version 9.1.0", "nothing was changed"]);
    });
}
