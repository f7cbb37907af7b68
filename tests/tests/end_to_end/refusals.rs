//! What cannot work, said clearly: by exit code, and in words that name the thing and the fix. Nothing is burnt.

use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Fault, Job, Kind, Layout, Rule, World, content, everywhere, on_endpoint};

/// Nothing of the job was touched: no plan, no claim, no dead letter, and the list as it was.
async fn untouched(job: &Job<'_>, list: &[&str]) {
    for folder in [
        job.bucket.keys.plan(),
        job.bucket.keys.semaphores(),
        job.bucket.keys.dead_letters(),
        job.bucket.keys.results(),
    ] {
        let left = job.bucket.store().list_all(&folder).await.expect("a listing");
        assert!(left.is_empty(), "nothing was begun: {left:?}");
    }
    assert_eq!(job.lines(View::Tasklist).await, list);
    assert_eq!(job.lines(View::Failed).await, Vec::<String>::new());
}

everywhere! {
    async fn a_missing_bucket(world: &World) {
        let place = "s3://no-such-bucket/job".parse().expect("a location");
        let ended = world.agent(&place, "one").start().ended().await;
        ended.expect(1, &["error:", "no-such-bucket", "create it (aws s3 mb s3://no-such-bucket)", "correct the name"]);
    }

    async fn a_mistyped_prefix(world: &World) {
        let _job = Layout::new(2).unwatched().lay_out(world).await;
        let place = "s3://test-bucket/jbo".parse().expect("a location");
        let ended = world.agent(&place, "one").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/jbo/tasklist.txt", "mistyped", "dayfly seed"]);
        let bucket = world.job_bucket("test-bucket", "jbo").await;
        let left = bucket.store().list_all("jbo/").await.expect("a listing");
assert_eq!(left, [], "nothing was written there");
    }

    async fn no_credentials(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        let agent = job.agent("one").without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
        agent.start().ended().await.expect(1, &["error:", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    async fn an_endpoint_that_refuses(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        proxy.add(Rule::any().then(Fault::Answer(403, "AccessDenied".to_owned())));
        let ended = job.agent("one").through(&proxy).start().ended().await;
        ended.expect(1, &["error:", "AccessDenied", "allow s3:GetObject", "s3:ListBucket", "s3://test-bucket/job/"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    /// Outputs may not be written: the agent stops at the first, and no task pays for it.
    async fn outputs_that_may_not_be_written(world: &World) {
        let mut job = Layout::new(4).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let put = Rule::on(hyper::Method::PUT).and(|asked| asked.key.contains("/out"));
        proxy.add(put.then(Fault::Answer(403, "AccessDenied".to_owned())));
        let ended = job.agent("one").through(&proxy).start().ended().await;
        ended.expect(1, &["AccessDenied", "allow s3:PutObject", "/out"]);
        assert_eq!(job.bucket.dead_letters().await.expect("the dead letters"), []);
        job.agent("two").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    async fn a_missing_kernel(world: &World) {
        let job = Layout::new(2).kernel(None).unwatched().lay_out(world).await;
        let ended = job.agent("one").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/job/kernel.dat", "does not exist", "--kernel"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    async fn an_empty_kernel(world: &World) {
        let job = Layout::new(2).kernel(Some(b"")).unwatched().lay_out(world).await;
        let ended = job.agent("one").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/job/kernel.dat", "is empty", "--kernel"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    /// One input is missing: its task is given up, at the first try, and the rest is done. Put there and listed again, it
    /// is done too.
    async fn an_input_that_does_not_exist(world: &World) {
        let mut job = Layout::new(3).list("in0.dat\nin9.dat\nin1.dat\nin2.dat\n").lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &["in9.dat", "does not exist", "given up"]);
        let letters = job.bucket.dead_letters().await.expect("the dead letters");
        assert!(letters.len() == 1 && letters[0].attempts.len() == 1, "{letters:?}");
        assert!(letters[0].error.contains("s3://test-bucket/job/in9.dat does not exist"), "{letters:?}");
        let log = letters[0].log.clone().expect("a log");
        assert!(job.bucket.store().head(&log).await.expect("a head").is_some(), "{log} is there");
        assert_eq!(job.lines(View::Failed).await, ["in9.dat"]);

        world.dayfly(&["status", &job.url()]).await.expect(0, &["1 given up", "in9.dat", "dayfly retry"]);
        world.dayfly(&["watch", &job.url()]).await.expect(3, &["1 given up"]);

        job.put_input("in9.dat", content::of("in9.dat", 77)).await;
        world.dayfly(&["retry", &job.url(), "in0.dat"]).await.expect(1, &["in0.dat is done", "nothing was changed"]);
        world.dayfly(&["retry", &job.url(), "--all"]).await.expect(0, &["1 task back on the list: in9.dat"]);
        job.expect_lines(&["in9.dat".to_owned()]);
        job.agent("two").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// One input is encrypted with a key that a request would have to bring along, or one that was switched off: its task
    /// is given up, also where it is an agent's first, and the rest is done.
    async fn an_input_that_the_store_does_not_give(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let get = Rule::on(hyper::Method::GET).key_has("/in1.dat");
        proxy.add(get.then(Fault::Answer(400, "KMS.DisabledException".to_owned())));
        job.agent("one").through(&proxy).start().ended().await.expect(0, &["KMS.DisabledException", "given up"]);
        let letters = job.bucket.dead_letters().await.expect("the dead letters");
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        assert!(letter.error.contains("KMS.DisabledException") && letter.error.contains("/job/in1.dat"), "{letter:?}");
        job.finish(&["in1.dat"]).await;
    }

    async fn settings_of_a_newer_dayfly(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        job.put("job.json", br#"{"schema": 99, "colour": "red"}"#).await;
        let ended = job.agent("one").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/job/job.json", "schema 99", "use a newer dayfly"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    async fn settings_with_an_unknown_field(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        job.put("job.json", br#"{"schema": 1, "max_atempts": 5}"#).await;
        let ended = job.agent("one").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/job/job.json", "max_atempts", "max_attempts", "mend it"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    async fn settings_that_are_no_json(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        job.put("job.json", b"{ schema: 1 }").await;
        job.agent("one").start().ended().await.expect(1, &["error:", "s3://test-bucket/job/job.json", "line 1"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    /// The plan froze the settings: a job.json that says otherwise is an error, and says which field.
    async fn settings_changed_after_the_plan(world: &World) {
        let mut job = Layout::new(2).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        let before = job.settings.clone();
        let after = JobSettings { max_attempts: 7, ..before.clone() };
        job.put("job.json", after.to_json()).await;
        let ended = job.agent("two").start().ended().await;
        ended.expect(1, &["error:", "s3://test-bucket/job/job.json", "changed after the job began", "max_attempts: 3 / 7", "seed a new job"]);
        job.put("job.json", before.to_json()).await;
        job.agent("three").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }
}

on_endpoint! {
    // Nobody listens there, whatever server there is elsewhere.
    async fn an_endpoint_that_is_not_there(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        let agent = job.agent("one").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        agent.start().ended().await.expect(1, &["error:", "http://127.0.0.1:1"]);
        let url = job.url();
        let status = ["status", &url, "--endpoint-url", "http://127.0.0.1:1"];
        world.dayfly(&status).await.expect(1, &["error:", "http://127.0.0.1:1"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }

    // moto takes every signature.
    async fn a_wrong_secret(world: &World) {
        let job = Layout::new(2).unwatched().lay_out(world).await;
        let agent = job.agent("one").env("AWS_SECRET_ACCESS_KEY", "not the secret");
        agent.start().ended().await.expect(1, &["error:", "SignatureDoesNotMatch", "the secret key is not the one"]);
        let agent = job.agent("two").env("AWS_ACCESS_KEY_ID", "NOTTHEKEY");
        agent.start().ended().await.expect(1, &["error:", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
        untouched(&job, &["in0.dat", "in1.dat"]).await;
    }
}

/// A store that takes the headers of conditional writes and ignores them: refused by both programs, and left as it was.
async fn ignores_conditions(world: &World) {
    let job = Layout::new(2).unwatched().lay_out(world).await;
    let before = job.bucket.store().list_all("").await.expect("a listing");
    let ended = job.agent("one").start().ended().await;
    ended.expect(1, &["error:", "If-None-Match", "overwrite each other's work", "use Amazon S3"]);
    assert_eq!(job.bucket.store().list_all("").await.expect("a listing"), before, "nothing is left behind");
    let seed = world.dayfly(&["seed", "s3://test-bucket/new", "--demo"]).await;
    seed.expect(1, &["error:", "If-None-Match", "overwrite each other's work", "use Amazon S3"]);
    assert_eq!(job.bucket.store().list_all("").await.expect("a listing"), before, "nothing is left behind");
}

#[test]
fn a_store_that_ignores_conditions() {
    dayfly_tests::run(Kind::IgnoresConditions, ignores_conditions);
}

#[test]
fn s3rver_ignores_conditions() {
    match dayfly_tests::server::s3rver() {
        Some(_) => dayfly_tests::run(Kind::S3rver, ignores_conditions),
        None => println!("SKIPPED: s3rver is not installed (scripts/test does so where npm is there)"),
    }
}
