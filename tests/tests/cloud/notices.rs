//! Where else agents write to: a log group of CloudWatch Logs, and a topic of SNS when a job is over.

use dayfly_tests::aws::{Aws, Trouble};
use dayfly_tests::{Kind, Layout, World, run};
use serde_json::{Value, json};

use crate::court::in_court;
use crate::ledger::Page;

const PLACE: &str = "s3://made-by-setup/jobs";
const ROLE: &str = "dayfly-made-by-setup-jobs-us-east-1";
const GROUP: &str = "/dayfly/jobs";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:jobs";

fn logs(aws: &Aws, action: &str, asked: &Value) -> Value {
    let reply = aws.ask("logs", &format!("Logs_20140328.{action}"), asked);
    assert_eq!(reply.status, 200, "{}", reply.body);
    // Some answer with nothing.
    serde_json::from_str(&reply.body).unwrap_or_default()
}

fn groups(aws: &Aws) -> Vec<Value> {
    logs(aws, "DescribeLogGroups", &json!({}))["logGroups"].as_array().cloned().unwrap_or_default()
}

/// It is made with a retention and the deployment's tag, stays as people change it, and goes with the deployment.
#[test]
fn the_log_group_is_made_once_and_goes_with_the_deployment() {
    in_court(async |court| {
        court.shows(Page::LogGroup);
        let (aws, options) = (&court.aws, ["--cloudwatch", GROUP, "--notify", TOPIC]);
        let crew = court.crew(PLACE, &options).await;
        let line = [&["setup", PLACE][..], &options].concat();
        crew.sets(&line).await.expect(0, &["made      log group /dayfly/jobs"]);
        let [group] = &groups(aws)[..] else { panic!("one group") };
        assert_eq!((&group["logGroupName"], &group["retentionInDays"]), (&json!(GROUP), &json!(30)));
        crew.sets(&line).await.expect(0, &["is there  log group", "nothing was changed"]);
        let (_, role) = aws.role_policies(ROLE).pop().expect("a policy");
        let statements = role["Statement"].as_array().expect("statements");
        let of = |sid: &str| statements.iter().find(|one| one["Sid"] == sid).expect("a statement");
        assert_eq!((&of("Notify")["Action"], &of("Notify")["Resource"]), (&json!("sns:Publish"), &json!(TOPIC)));
        assert!(of("Logs")["Resource"].to_string().contains("log-group:/dayfly/jobs:log-stream:*"));
        // A setup that died before it said how long is completed; what people chose stays.
        logs(aws, "DeleteRetentionPolicy", &json!({ "logGroupName": GROUP }));
        crew.sets(&line).await.expect(0, &["changed   log group"]);
        logs(aws, "PutRetentionPolicy", &json!({ "logGroupName": GROUP, "retentionInDays": 7 }));
        crew.sets(&line).await.expect(0, &["nothing was changed"]);
        crew.sets(&["teardown", PLACE, "--yes", "--keep", "log-group"]).await.expect(0, &["kept      log group"]);
        assert_eq!(groups(aws).len(), 1);
        crew.sets(&line).await.expect(0, &["is there  log group"]);
        crew.sets(&["teardown", PLACE, "--yes"]).await.expect(0, &["removed   log group /dayfly/jobs"]);
        assert_eq!(groups(aws), Vec::<Value>::new());
    });
}

#[test]
fn a_log_group_of_others_is_used_and_never_removed() {
    in_court(async |court| {
        let aws = &court.aws;
        let theirs = court.crew(PLACE, &["--cloudwatch", "/theirs"]).await;
        let new = court.crew(PLACE, &["--cloudwatch", "/new"]).await;
        logs(aws, "CreateLogGroup", &json!({ "logGroupName": "/theirs" }));
        theirs.sets(&["setup", PLACE, "--cloudwatch", "/theirs"]).await.expect(0, &["is there  log group /theirs"]);
        assert_eq!(groups(aws)[0].get("retentionInDays").filter(|days| !days.is_null()), None);
        theirs
            .sets(&["teardown", PLACE, "--yes", "--destroy", "log-group"])
            .await
            .expect(0, &["dayfly did not make it"]);
        assert_eq!(groups(aws).len(), 1);
        let denied = aws.set(Trouble::with("logs", "CreateLogGroup").refused("AccessDeniedException", "not you"));
        new.sets(&["setup", PLACE, "--cloudwatch", "/new"])
            .await
            .expect(1, &["logs:CreateLogGroup /new", "operator policy"]);
        denied.take_back();
        for (option, wrong) in [("--cloudwatch", "a*"), ("--notify", "jobs")] {
            theirs.sets(&["setup", PLACE, option, wrong]).await.expect(2, &[wrong]);
        }
    });
}

/// Of all agents the one that wrote the summary tells the topic; again where it was refused for a moment.
#[test]
fn the_topic_is_told_once_when_a_job_is_over() {
    // By agents of no machine and no role: those of a deployment are in options.rs.
    run(Kind::Aws, async |world: &World| {
        let aws = &world.aws();
        let made = aws.query("sns", "CreateTopic", &[("Name", "jobs")]);
        assert_eq!((made.status, made.field("TopicArn")), (200, Some(TOPIC)), "{}", made.body);
        let mut job = Layout::new(3).lay_out(world).await;
        let settings = world.folder().join("settings.json");
        std::fs::write(&settings, json!({ "notify_topic": TOPIC }).to_string()).expect("a file");
        let settings = settings.display().to_string();
        let busy = aws.set(Trouble::with("sns", "Publish").refused("InternalError", "a moment").status(500).times(1));
        // These only count.
        let saying = |text: &str| {
            aws.set(Trouble::with("sns", "Publish").containing(text).refused("Never", "never").after(1000))
        };
        let (subject, figures) = (saying("Subject=dayfly%3A%203%20done%2C%200%20given%20up"), saying("%22done%22%3A3"));
        let agent = |name: &str| world.agent(job.location(), name).arg("--settings").arg(&settings).start();
        let mut agents = ["one", "other"].map(agent);
        for agent in &mut agents {
            agent.ended().await.expect(0, &[]);
        }
        let told: Vec<Option<u16>> = aws.calls_of("sns", "Publish").iter().map(|call| call.status).collect();
        assert_eq!(told, [Some(500), Some(200)]);
        assert!(busy.hits() >= 1 && subject.hits() >= 1 && figures.hits() >= 1);
        // The job is over, and nobody tells it again.
        agent("late").ended().await.expect(0, &[]);
        assert_eq!(aws.calls_of("sns", "Publish").len(), 2);
        job.finish(&[]).await;
    });
}
