//! Agents with all that setup's options give them: a key of KMS, CloudWatch Logs, a topic to tell, a fleet to shut off; and
//! uploads in parts.

use std::sync::{Arc, Mutex, PoisonError};

use dayfly_shared::job::JobSettings;
use dayfly_tests::aws::Trouble;
use dayfly_tests::listener::{Said, listen};
use dayfly_tests::{Instances, Layout, content, short_lease};
use serde_json::json;

use crate::court::in_court;
use crate::forbidden;
use crate::ground::TYPES;
use crate::ledger::{Page, Whom};

const BUCKET: &str = "made-by-setup";
const GROUP: &str = "/dayfly/agents";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:jobs";

/// A deployment at this place works off the job `jobs/one`.
fn with_all_options(page: Page, whom: Whom, place: &str, isolate: &[&str], others: &[&str]) {
    in_court(async |court| {
        court.shows(page);
        let (world, aws) = (court.world, &court.aws);
        let key = aws.ask("kms", "TrentService.CreateKey", &json!({})).json();
        let key = key["KeyMetadata"]["KeyId"].as_str().expect("a key").to_owned();
        let made = aws.ask("logs", "Logs_20140328.CreateLogGroup", &json!({"logGroupName": GROUP}));
        assert_eq!(made.status, 200, "{}", made.body);
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let made = aws.query("sns", "CreateTopic", &[("Name", "jobs")]);
        assert_eq!(made.field("TopicArn"), Some(TOPIC), "{}", made.body);
        // Two webhooks whose URLs are secrets, in each of the two services.
        let hook = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&hook);
        let url = listen(move |asked| {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(asked.path.clone());
            Said::new(200, "ok")
        });
        let parameter = json!({ "Name": "/dayfly/hook", "Value": format!("{url}/one\n"), "Type": "SecureString" });
        let secret =
            json!({ "Name": "dayfly/hooks", "SecretString": json!({ "other": format!("{url}/other") }).to_string() });
        for (service, target, asked) in
            [("ssm", "AmazonSSM.PutParameter", parameter), ("secretsmanager", "secretsmanager.CreateSecret", secret)]
        {
            let made = aws.ask(service, target, &asked);
            assert_eq!(made.status, 200, "{}", made.body);
        }
        let notify = ["ssm:/dayfly/hook", "secretsmanager:dayfly/hooks#other"];
        let notify = notify.map(|text| text.parse().expect("an address")).into();
        let all = ["--kms-key", &key, "--fleet-shut-off", "--cloudwatch", GROUP, "--notify", TOPIC];
        let secrets = ["--secrets", "ssm:/dayfly/*", "--secrets", "secretsmanager:dayfly/hooks"];
        let options = [&all[..], &secrets, isolate].concat();
        let crew = court.crew(place, &options).await;
        crew.sets(&[&["setup", place][..], &options].concat()).await.expect(0, &["made      role"]);
        // The record is read with the key that it was written with.
        crew.sets(&["setup", place]).await.expect(0, &["nothing was changed"]);

        // One output of three parts, of which the second is refused once: what went up is dropped, and begun anew.
        let inputs = [("in0.dat", 17 << 20), ("in1.dat", 100), ("in2.dat", 5000)];
        let inputs = inputs.map(|(name, bytes)| (name.to_owned(), content::of(name, bytes)));
        let settings = JobSettings { notify, ..short_lease() };
        let mut job =
            Layout::of(inputs).settings(Some(settings)).bucket(BUCKET).prefix("jobs/one").lay_out(world).await;
        let part = Trouble::with("s3", "PutObject").containing("partNumber=2").times(1);
        let part = aws.set(part.refused("InvalidRequest", "not this part, by the test"));
        let url = job.url();
        let launch = ["launch", &url, "-n", "2", "--spot", "--maintain", "--slots", "1", "--instance-type", TYPES];
        crew.runs(&launch).await.expect(0, &["keeps 2 machines"]);
        let mut machines = Instances::new(aws, job.location(), world.folder());
        machines.until("every task is done", async |_| job.bucket.summary().await.is_ok_and(|s| s.is_some())).await;
        machines.gone().await;
        assert!(part.hits() > 0, "no output went up in parts");
        assert_eq!(aws.query("ec2", "DescribeFleets", &[]).fields("fleetState"), ["deleted_running"]);
        let streams = aws.ask("logs", "Logs_20140328.DescribeLogStreams", &json!({"logGroupName": GROUP})).json();
        assert!(streams["logStreams"].as_array().is_some_and(|all| all.len() >= 2), "{streams:#}");
        job.finish(&[]).await;
        assert!(aws.calls_of("sns", "Publish").iter().any(|call| call.status == Some(200)), "the topic was not told");
        let mut told = hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.sort();
        assert_eq!(told, ["/one", "/other"]);
        forbidden::to_agents(&crew, whom, BUCKET, "jobs/one/", others);
        forbidden::to_people(&crew, BUCKET);
    });
}

#[test]
fn agents_use_what_options_give_them() {
    with_all_options(Page::Options, Whom::Role, "s3://made-by-setup/jobs", &[], &["elsewhere/", ""]);
}

/// Another job of the same bucket, beside it, above it and below it, is out of reach.
#[test]
fn agents_of_an_isolated_job_use_the_same_and_reach_no_other_job() {
    let others = ["jobs/two/", "jobs/", "jobs/one-more/", "elsewhere/", ""];
    let page = Page::IsolatedOptions;
    with_all_options(page, Whom::IsolatedRole, "s3://made-by-setup/jobs/one", &["--isolate"], &others);
}
