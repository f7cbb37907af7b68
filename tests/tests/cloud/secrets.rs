//! Secrets of programs: from SSM and Secrets Manager to the program, and nowhere else.

use dayfly_shared::store::StoreExt as _;
use dayfly_tests::aws::{Aws, Trouble};
use dayfly_tests::programs::{JOB, fetch, inputs, read};
use dayfly_tests::{Kind, World, run, world};
use serde_json::json;

const TOKEN: &str = "hush-token-4711";
const PASSWORD: &str = "hush password/0815";

fn put_parameter(aws: &Aws, name: &str, value: &str) {
    let asked = json!({ "Name": name, "Value": value, "Type": "SecureString" });
    let made = aws.ask("ssm", "AmazonSSM.PutParameter", &asked);
    assert_eq!(made.status, 200, "{}", made.body);
}

fn put_secret(aws: &Aws, name: &str, value: &str) {
    let made =
        aws.ask("secretsmanager", "secretsmanager.CreateSecret", &json!({ "Name": name, "SecretString": value }));
    assert_eq!(made.status, 200, "{}", made.body);
}

/// The program has them; its log, the dead letters, the job's settings and the agent's log have not.
#[test]
fn a_secret_reaches_the_program_and_nobody_else() {
    run(Kind::Aws, async |world: &World| {
        let aws = &world.aws();
        put_parameter(aws, "/dayfly/token", TOKEN);
        put_secret(aws, "dayfly/db", &json!({ "user": "me", "password": PASSWORD }).to_string());
        let folder = inputs(world, &[("good", "1"), ("bad", "2")]);
        let command = "echo \"the token is $TOKEN\" >&2; grep -q 1 {input} || { echo \"$PASSWORD\" >&2; exit 3; }; \
             echo \"$TOKEN $PASSWORD\" > {output}";
        let line = ["seed", JOB, "--inputs", &folder, "--max-attempts", "1", "--secret", "TOKEN=ssm:/dayfly/token"];
        let more = ["--secret", "PASSWORD=secretsmanager:dayfly/db#password", "--shell", command];
        world.dayfly(&[&line[..], &more].concat()).await.expect(0, &[]);
        let job = world.job_bucket(world::BUCKET, "job").await;
        let busy = aws.set(Trouble::with("ssm", "GetParameter").refused("ThrottlingException", "slowly").times(1));
        let ended = world.agent(&job.location, "one").env("DAYFLY_LOG", "debug").start().ended().await;
        ended.expect(0, &[]);
        assert!(busy.hits() == 1, "a service that is busy is asked again");
        assert_eq!(read(&fetch(world).await, "out/good"), format!("{TOKEN} {PASSWORD}\n"));
        let mut logs = String::new();
        for entry in job.store().list_all("job/").await.expect("a listing") {
            let (_, body) = job.store().read(&entry.key).await.expect("a read").expect("an object");
            let text = String::from_utf8_lossy(&body);
            assert!(entry.key == "job/out/good" || !text.contains("hush"), "{}: {text}", entry.key);
            if entry.key.ends_with(".log") {
                logs += &text;
            }
        }
        assert!(logs.contains("the token is ***\n") && logs.contains("\n***\n"), "{logs}");
        assert!(!ended.said.contains("hush"), "{}", ended.said);
        // Kept for some minutes: not asked for with each task.
        let asked = aws.calls_of("ssm", "GetParameter").len() + aws.calls_of("secretsmanager", "GetSecretValue").len();
        assert_eq!(asked, 3, "one refused, one each");
    });
}

/// What cannot be had is said before anything is claimed, and nothing is burned.
#[test]
fn a_secret_that_cannot_be_had_burns_no_attempt() {
    run(Kind::Aws, async |world: &World| {
        let aws = &world.aws();
        let folder = inputs(world, &[("a", "1")]);
        let line = ["seed", JOB, "--inputs", &folder, "--max-attempts", "1", "--secret", "TOKEN=ssm:/dayfly/token"];
        world.dayfly(&[&line[..], &["--shell", "echo $TOKEN"]].concat()).await.expect(0, &[]);
        let job = world.job_bucket(world::BUCKET, "job").await;
        let agent = |name: &str| world.agent(&job.location, name).start();
        let absent =
            ["the secret ssm:/dayfly/token cannot be had (ssm:GetParameter)", "none of that name in us-east-1"];
        agent("one").ended().await.expect(1, &absent);
        put_parameter(aws, "/dayfly/token", TOKEN);
        let denied = aws.set(Trouble::with("ssm", "GetParameter").refused("AccessDeniedException", "not you"));
        let refused = ["AccessDeniedException", "not you", "dayfly setup --secrets ssm:/dayfly/token"];
        agent("two").ended().await.expect(1, &refused);
        denied.take_back();
        for folder in ["semaphores/", "failed/", "results/"] {
            let all = job.store().list_all(&job.location.key(folder)).await.expect("a listing");
            assert!(all.is_empty(), "{folder}: {all:?}");
        }
        agent("three").ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), format!("{TOKEN}\n"));
        for (wrong, why) in
            [("TOKEN", "is not NAME=VALUE"), ("TOKEN=hush", "names no secret"), ("TOKEN=ssm:", "there is no name")]
        {
            world.dayfly(&["seed", JOB, "--secret", wrong, "true"]).await.expect(2, &[why]);
        }
        let twice =
            ["seed", "s3://test-bucket/other", "--inputs", &folder, "--env", "A=1", "--secret", "A=ssm:/a", "true"];
        world.dayfly(&twice).await.expect(2, &["the variable A is to be a secret, and has a value as well"]);
    });
}
