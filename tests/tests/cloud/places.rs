//! Where deployments could hurt: places that their policies cannot serve, jobs of others, launches that nothing leads to.

use dayfly_shared::launch::tags;
use dayfly_tests::aws::{Aws, Trouble};
use dayfly_tests::{Instances, Kind, Layout, World, run};

use crate::court::in_court;
use crate::ground::{TYPES, on_ground};

const BUCKET: &str = "made-by-setup";

/// What lies at a place of the bucket, by a listing of the test's own.
fn keys(aws: &Aws, prefix: &str) -> Vec<String> {
    let listed = aws.s3("GET", &format!("/{BUCKET}?list-type=2&prefix={prefix}"), "");
    listed.fields("Key").into_iter().map(str::to_owned).collect()
}

/// The wildcards of the bucket policy would take the folder for one of a job's own.
#[test]
fn a_job_below_a_folder_of_a_jobs_own_is_refused_before_anything_is_written() {
    in_court(async |court| {
        let (aws, isolated) = (&court.aws, "s3://made-by-setup/jobs/logs/one");
        let crew = court.crew("s3://made-by-setup/jobs", &[]).await;
        let apart = court.crew(isolated, &["--isolate"]).await;
        crew.sets(&["setup", "s3://made-by-setup/jobs"]).await.expect(0, &["made"]);
        for (folder, job) in
            [("logs", "jobs/logs/one"), ("results", "jobs/2026/results"), ("dayfly", "jobs/dayfly/one")]
        {
            let before = keys(aws, job);
            let url = format!("s3://{BUCKET}/{job}");
            let fix = format!("dayfly setup {url}/ --isolate");
            let words = [&format!("the folder '{folder}'"), "nothing was written", fix.as_str()];
            crew.runs(&["seed", &url, "--demo"]).await.expect(2, &words);
            crew.runs(&["run", &url, "--demo"]).await.expect(2, &words);
            assert_eq!(keys(aws, job), before);
        }
        crew.runs(&["seed", "s3://made-by-setup/jobs/planet/one", "--demo"]).await.expect(0, &[]);
        // Without wildcards there is nothing to take it for.
        apart.sets(&["setup", isolated, "--isolate"]).await.expect(0, &["made"]);
        apart.runs(&["seed", isolated, "--demo"]).await.expect(0, &[]);
    });
}

/// What a deployment keeps at a job's very place is no input of the job.
#[test]
fn the_record_of_a_deployment_is_no_task() {
    in_court(async |court| {
        let (world, aws) = (court.world, &court.aws);
        let crew = court.crew("s3://made-by-setup/one", &["--isolate"]).await;
        crew.sets(&["setup", "s3://made-by-setup/one", "--isolate"]).await.expect(0, &["made"]);
        let job = Layout::new(3).bucket(BUCKET).prefix("one").unwatched().lay_out(world).await;
        assert!(keys(aws, "one/").contains(&"one/dayfly/deployment.json".to_owned()));
        crew.runs(&["seed", &job.url()]).await.expect(0, &["inputs   3"]);
        let list = aws.s3("GET", &format!("/{BUCKET}/one/tasklist.txt"), "").body;
        assert!(list.contains("in0.dat") && !list.contains("dayfly/"), "{list}");
    });
}

/// It is one job's; jobs below it belong to the next deployment above, or to none.
#[test]
fn an_isolated_deployment_serves_its_own_job_alone() {
    // Not in court: a look above one's own place may well be refused, and is no harm.
    run(Kind::Aws, async |world: &World| {
        let aws = &world.aws();
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        world.dayfly(&["setup", "s3://made-by-setup/jobs/one", "--isolate"]).await.expect(0, &["made"]);
        let below = Layout::new(1).bucket(BUCKET).prefix("jobs/one/below").unwatched().lay_out(world).await;
        let own = Layout::new(1).bucket(BUCKET).prefix("jobs/one").unwatched().lay_out(world).await;
        let url = below.url();
        let refused = [
            "is isolated",
            "s3://made-by-setup/jobs/one/",
            "nothing was started",
            "dayfly setup s3://made-by-setup/jobs/one/below/ --isolate",
        ];
        world.dayfly(&["launch", &url]).await.expect(2, &refused);
        world.dayfly(&["launch", &url, "--instance-type", TYPES]).await.expect(2, &refused);
        // Who has rights on that one job alone is told the same.
        let above = Trouble::with("s3", "GetObject").containing("jobs/dayfly/deployment.json").status(403);
        let above = aws.set(above.refused("AccessDenied", "not above"));
        world.dayfly(&["launch", &url]).await.expect(2, &refused);
        assert!(above.hits() > 0);
        above.take_back();
        assert_eq!(aws.machines().len(), 0);
        world.dayfly(&["launch", &own.url(), "--instance-type", TYPES]).await.expect(0, &["1 machine started"]);
        world.dayfly(&["setup", "s3://made-by-setup/jobs", "--name", "wide"]).await.expect(0, &["made"]);
        world.dayfly(&["launch", &url, "--instance-type", TYPES]).await.expect(0, &["1 machine started"]);
        let of = |name: &str| aws.machines_tagged(tags::DEPLOYMENT, name).len();
        assert_eq!((of("made-by-setup-jobs-one"), of("wide")), (1, 1));
    });
}

/// A launch that was killed right after its intent has made nothing that bears a tag.
#[test]
fn a_launch_that_made_nothing_is_found_from_the_account_alone() {
    on_ground(async |ground| {
        let record = || Trouble::with("s3", "PutObject").containing("launches/").answer_held();
        let flags = format!("-n 2 --instance-type {TYPES}");
        ground.cut_off(&flags, ground.aws.set(record())).await;
        assert_eq!(ground.aws.machines().len(), 0);
        ground.start(&["reap"]).ended().await.expect(0, &["no machines of this account"]);
        assert!(ground.launches().await[0].is_open(), "it has its grace");
        ground.start(&["reap", "--grace", "0s", "--dry-run"]).ended().await.expect(0, &["it had started nothing"]);
        assert!(ground.launches().await[0].is_open());
        ground.start(&["reap", "--grace", "0s"]).ended().await.expect(0, &["was cut off: it had started nothing"]);
        assert!(!ground.launches().await[0].is_open());
        // The same where a deployment's place is named.
        ground.cut_off(&flags, ground.aws.set(record())).await;
        let place = "s3://test-bucket";
        ground.start(&["reap", place, "--grace", "0s"]).ended().await.expect(0, &["it had started nothing"]);
        assert!(ground.launches().await.iter().all(|launch| !launch.is_open()));
        // One that does not tell its place is named.
        let silent = [
            ("LaunchTemplateName", "old"),
            ("LaunchTemplateData.InstanceType", "m5.large"),
            ("TagSpecification.1.ResourceType", "launch-template"),
            ("TagSpecification.1.Tag.1.Key", tags::DEPLOYMENT),
            ("TagSpecification.1.Tag.1.Value", "old"),
        ];
        assert_eq!(ground.aws.query("ec2", "CreateLaunchTemplate", &silent).status, 200);
        ground.start(&["reap"]).ended().await.expect(0, &["the deployment old does not tell where its jobs are"]);
    });
}

/// Whoever is refused after a call that went unanswered cannot know that nothing came of it.
#[test]
fn a_refusal_after_a_lost_answer_leaves_the_launch_open() {
    on_ground(async |ground| {
        let flags = format!("-n 2 --instance-type {TYPES}");
        let lost = ground.aws.set(Trouble::with("ec2", "CreateFleet").lost().times(1));
        let refused = Trouble::with("ec2", "CreateFleet").refused("RequestExpired", "Request has expired.").after(1);
        let refused = ground.aws.set(refused);
        ground.launch(&flags).await.expect(1, &["may have started machines", "log in again", "run the same again"]);
        assert_eq!((lost.hits(), ground.up().len()), (1, 2));
        assert!(ground.launches().await[0].is_open());
        refused.take_back();
        ground.launch(&flags).await.expect(0, &["was cut off; it goes on", "2 machines started"]);
        assert_eq!((ground.up().len(), ground.launches().await.len()), (2, 1));
    });
}

/// The job is over and its outputs are here: what EC2 does not tell of the machines is said beside.
#[test]
fn a_look_at_machines_that_fails_does_not_spoil_the_end_of_a_run() {
    on_ground(async |ground| {
        ground
            .aws
            .set(Trouble::with("ec2", "DescribeInstances").refused("UnauthorizedOperation", "not you").status(403));
        let url = ground.job.url();
        let mut run = ground.start(&["run", &url, "-n", "1", "--instance-type", TYPES, "--fetch", "results"]);
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        machines.until("dayfly run has ended", async |_| !run.runs()).await;
        run.ended()
            .await
            .expect(0, &["ec2:DescribeInstances", "to find and end what should not run: dayfly reap", "4 outputs"]);
        ground.job.finish(&[]).await;
    });
}

/// What was there before setup, and is called as setup was told, is somebody's.
#[test]
fn a_repository_of_others_is_never_removed() {
    in_court(async |court| {
        let aws = &court.aws;
        let call = |action: &str, body: serde_json::Value| {
            aws.ask("ecr", &format!("AmazonEC2ContainerRegistry_V20150921.{action}"), &body)
        };
        let made = call("CreateRepository", serde_json::json!({"repositoryName": "theirs"}));
        assert_eq!(made.status, 200, "{}", made.body);
        let place = "s3://made-by-setup/jobs";
        let crew = court.crew(place, &["--ecr", "theirs"]).await;
        crew.sets(&["setup", place, "--ecr", "theirs"]).await.expect(0, &["is there  container repository theirs"]);
        crew.sets(&["teardown", place, "--yes", "--destroy", "ecr"])
            .await
            .expect(0, &["kept      container repository theirs: dayfly did not make it"]);
        let found = call("DescribeRepositories", serde_json::json!({"repositoryNames": ["theirs"]}));
        assert_eq!(found.status, 200, "{}", found.body);
        crew.sets(&["setup", place, "--ecr", "ours"]).await.expect(0, &["made      container repository ours"]);
        crew.sets(&["teardown", place, "--yes", "--destroy", "ecr"])
            .await
            .expect(0, &["removed   container repository ours"]);
    });
}
