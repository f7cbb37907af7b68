//! What dayfly tells of a task and its logs, from the bucket alone.

use dayfly_tests::{Layout, Rule, World, everywhere, on_endpoint};
use hyper::Method;
use serde_json::Value;

const JOB: &str = "s3://test-bucket/job";

/// A job of programs over two inputs: `bad` fails until `mended` is there, `good` does not.
async fn seed(world: &World, more: &[&str]) {
    let folder = world.folder().join("inputs");
    std::fs::create_dir(&folder).expect("a folder");
    for name in ["good", "bad"] {
        std::fs::write(folder.join(name), name).expect("an input");
    }
    let mended = world.folder().join("mended");
    let command = format!(
        "echo begin {{name}} >&2; test {{name}} = good || test -e {} || {{{{ echo no luck >&2; exit 3; }}; echo done",
        mended.display()
    );
    let inputs = folder.display().to_string();
    let line = ["seed", JOB, "--inputs", &inputs, "--max-attempts", "2", "--lease-ttl", "2s"];
    let line: Vec<&str> = line.into_iter().chain(more.iter().copied()).chain(["--shell", &command]).collect();
    world.dayfly(&line).await.expect(0, &[]);
}

async fn json(world: &World, line: &[&str]) -> Value {
    let line: Vec<&str> = line.iter().copied().chain(["--json"]).collect();
    let ended = world.dayfly(&line).await;
    ended.expect(0, &[]);
    serde_json::from_str(&ended.said).unwrap_or_else(|e| panic!("{e}: {}", ended.said))
}

everywhere! {
    /// Given up, listed again, done: each planning with its attempts, and each attempt with its log.
    async fn a_task_that_failed_and_was_mended(world: &World) {
        seed(world, &[]).await;
        world.dayfly(&["describe", JOB, "bad"]).await.expect(0, &["listed, and not planned yet"]);
        world.dayfly(&["logs", JOB, "bad"]).await.expect(1, &["bad left no log", "no attempt at it is known"]);
        let location = JOB.parse().expect("a location");
        world.agent(&location, "first").start().ended().await.expect(0, &[]);
        let told = world.dayfly(&["describe", JOB, "bad"]).await;
        told.expect(0, &[
            "given up (dayfly retry", "2 attempts in", "attempt 1 (1-", "attempt 2 (1-", "failed", "exit code 3",
            "log: s3://test-bucket/job/logs/", "given up after 2 attempts", "no luck", "input    s3://test-bucket/job/bad  3 b",
        ]);
        let logs = world.dayfly(&["logs", JOB, "bad"]).await;
        logs.expect(0, &["==> bad, attempt 1-", ", failed, on first-"]);
        assert!(logs.said.contains("no luck"));
        assert_eq!(logs.said.matches("==> bad").count(), 2, "{}", logs.said);
        let failed = world.dayfly(&["logs", JOB, "--failed", "--tail", "1"]).await;
        failed.expect(0, &["==> bad, attempt 1-", "given up", "no luck"]);
        assert!(!failed.said.contains("begin") && !failed.said.contains("good"), "{}", failed.said);

        std::fs::write(world.folder().join("mended"), "").expect("a file");
        world.dayfly(&["retry", JOB, "bad"]).await.expect(0, &[]);
        world.agent(&location, "second").start().ended().await.expect(0, &[]);
        let told = json(world, &["describe", JOB, "bad"]).await;
        assert_eq!((&told["standing"], &told["name"]), (&Value::from("done"), &Value::from("bad")), "{told:#}");
        let attempts: Vec<Vec<&str>> = told["chapters"]
            .as_array()
            .expect("chapters")
            .iter()
            .map(|c| c["attempts"].as_array().expect("attempts").iter().filter_map(|a| a["end"].as_str()).collect())
            .collect();
        assert_eq!(attempts, [vec!["failed", "failed"], vec!["done"]], "{told:#}");
        let output = world.job_bucket("test-bucket", "job").await;
        let meta = output.store().head("job/out/bad").await.expect("a head").expect("an output");
        assert_eq!(told["output"]["bytes"], Value::from(meta.size), "{told:#}");
        let last = told["chapters"][1]["attempts"][0].clone();
        assert_eq!(told["output"]["attempt"], last["attempt"], "the attempt that made it");
        let (_, log) =
            dayfly_shared::store::StoreExt::read(&**output.store(), last["log"]["key"].as_str().expect("a log")).await.expect("a read").expect("a log");
        assert_eq!(last["log"]["bytes"], Value::from(log.len()), "{last:#}");
        // It has not failed any more.
        let failed = world.dayfly(&["logs", JOB, "--failed"]).await;
        failed.expect(0, &["no task was given up"]);
        // By its id and by its output it is the same task.
        for name in ["0001-0000001", "0001-0000002", "out/bad"] {
            let told = json(world, &["describe", JOB, name]).await;
            assert!(name.starts_with("0001") || told["name"] == "bad", "{told:#}");
        }
    }

    /// An agent is killed with a task in hand: who held it, until when, and who took over, is told.
    async fn a_takeover_is_told(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in1.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.until_announced("in1.dat").await;
        let told = world.dayfly(&["describe", &job.url(), "in1.dat"]).await;
        told.expect(0, &["state    running, on first-", "claimed by first-", "attempt 1 (1-", "running", "lease held"]);
        first.kill();
        job.agent("second").start().ended().await.expect(0, &[]);
        let told = world.dayfly(&["describe", &job.url(), "out1.dat"]).await;
        told.expect(0, &["task     in1.dat", "state    done, 2 attempts", "its agent vanished", "lease expired",
            "taken over (holder number 2) by second-", "output   s3://test-bucket/job/out1.dat"]);
        // XOR leaves no log; who asks is told where to look.
        let logs = world.dayfly(&["logs", &job.url(), "in1.dat"]).await;
        logs.expect(1, &["in1.dat left no log (done)", "dayfly logs --agent second-"]);
        world.dayfly(&["logs", &job.url(), "--agent", "second"]).await.expect(0, &["info"]);
        job.finish(&[]).await;
    }

    /// What is not there is said, with what is.
    async fn what_is_not_there(world: &World) {
        let job = Layout::new(3).unwatched().lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        let url = job.url();
        for command in ["describe", "logs"] {
            world.dayfly(&[command, &url, "n1.da"]).await.expect(1, &["has no task 'n1.da'", "did you mean in1.dat?"]);
            world.dayfly(&[command, &url, "nothing"]).await.expect(1, &["has no task 'nothing'", "completed.txt"]);
            world.dayfly(&[command, "s3://test-bucket/jbo", "in1.dat"]).await.expect(1, &["no job at s3://test-bucket/jbo/"]);
        }
        world.dayfly(&["logs", &url, "--agent", "two"]).await.expect(1, &["has no agent 'two'", "its agents are one-"]);
        world.dayfly(&["logs", "s3://test-bucket/jbo", "--agent", "two"]).await.expect(1, &["no job at"]);
        world.dayfly(&["logs", &url]).await.expect(2, &["--failed", "--agent"]);
        world.dayfly(&["logs", &url, "in1.dat", "--failed"]).await.expect(2, &["--failed"]);
        world.dayfly(&["describe", &url]).await.expect(2, &["describe takes one task"]);
    }
}

on_endpoint! {
    /// What a program wrote last is shown where it failed; a terminal's commands in it are not obeyed.
    async fn a_program_does_not_steer_the_terminal_of_who_looks(world: &World) {
        let folder = dayfly_tests::programs::inputs(world, &[("a", "1")]);
        let line = ["seed", JOB, "--inputs", &folder, "--max-attempts", "1", "--shell"];
        world.dayfly(&[&line[..], &[r"printf 'red \033[2J\007 alert' >&2; exit 3"]].concat()).await.expect(0, &[]);
        let location = JOB.parse().expect("a location");
        world.agent(&location, "one").start().ended().await.expect(0, &[]);
        for line in [&["status", JOB][..], &["describe", JOB, "a"], &["run", JOB], &["logs", JOB, "--agent", "one"]] {
            let ended = world.dayfly(line).await;
            assert!(ended.said.contains("alert"), "{line:?}: {}", ended.said);
            assert!(!ended.said.contains(['\x1b', '\x07']), "{line:?}: {:?}", ended.said);
        }
    }

    // Endings and patience, not the store: one server will do.
    /// Who follows sees what comes, and is let go when there is nothing more to come.
    async fn logs_are_followed_to_their_end(world: &World) {
        seed(world, &[]).await;
        let location = JOB.parse().expect("a location");
        let mut tasks = world.start_dayfly(&["logs", JOB, "good", "bad", "--follow"]);
        let mut failures = world.start_dayfly(&["logs", JOB, "--failed", "--follow", "--json"]);
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/good"));
        let mut agent = world.agent(&location, "one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        let mut log = world.start_dayfly(&["logs", JOB, "--agent", "one", "--follow"]);
        assert!(log.runs() && tasks.runs() && failures.runs(), "they follow");
        gate.open();
        agent.ended().await.expect(0, &[]);
        let said = tasks.ended().await;
        said.expect(0, &["==> good, attempt", "begin good", "begin bad", "no luck"]);
        log.ended().await.expect(0, &["INFO"]);
        let said = failures.ended().await;
        said.expect(0, &[]);
        let lines: Vec<Value> = said.said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 1, "one failure, told once: {lines:#?}");
        assert_eq!((&lines[0]["of"], lines[0]["text"].as_str().map(|t| t.contains("no luck"))), (&Value::from("bad"), Some(true)));
    }
}
