//! Every command keeps what all of them have to keep: those that need a bucket alone. Those of EC2 are in
//! `tests/cloud/commands.rs`, what is asked of each in `src/commands.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use dayfly_tests::commands::{HERE, Mode, ON_EC2, OTHERS, all, judged, tried};
use dayfly_tests::{World, on_endpoint};
use rustix::process::{Pid, Signal, kill_process};

/// A command that is not in the lists is tried by nobody.
#[test]
fn every_command_is_tried() {
    let listed: BTreeSet<String> = [HERE, ON_EC2, OTHERS].concat().into_iter().map(str::to_owned).collect();
    assert_eq!(listed, all(), "put a new command into a list, and a line of it into the test");
}

/// The command of a line, where it is one of the list.
fn name(line: &str) -> Option<&'static str> {
    HERE.iter().find(|name| line == **name || line.starts_with(&format!("{name} "))).copied()
}

/// Starts a command that goes on until it is told to end, and tells it when it has printed its result.
async fn until_it_has_said(world: &World, mode: Mode, line: &[&str]) {
    let (out, err) = (world.folder().join("out"), world.folder().join("err"));
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).expect("a file"));
    let mut command = world.dayfly_command();
    command
        .arg(mode.flag())
        .args(line)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err));
    let mut child = command.spawn().expect("it runs");
    let read = |path: &Path| std::fs::read(path).expect("what it said");
    world.until("it has said where", async || read(&out).ends_with(b"\n")).await;
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("a thread").expect("an end");
    let output = std::process::Output { status, stdout: read(&out), stderr: read(&err) };
    judged(mode, &line.join(" "), &output, 0);
}

on_endpoint! {
    // What is printed is the same whatever answers.
    async fn every_command_prints_what_it_was_told_to(world: &World) {
        let folder = world.folder().join("data");
        std::fs::create_dir(&folder).expect("a folder");
        for n in 0..3 {
            std::fs::write(folder.join(format!("in{n}.dat")), format!("{n}")).expect("a file");
        }
        std::fs::create_dir(world.folder().join("served")).expect("a folder");
        for mode in Mode::ALL {
            let job = &format!("s3://test-bucket/{mode:?}");
            let mut tried_here = BTreeSet::new();
            // One of three tasks is given up: the exit codes say so.
            let lines = [
                (0, "seed JOB --inputs data --max-attempts 1 --shell COMMAND"),
                (0, "pause JOB --why lunch"),
                (0, "resume JOB"),
                (0, "drain JOB"),
                (0, "resume JOB"),
                (3, "launch JOB --wait"),
                (3, "run JOB --fetch fetched"),
                (0, "status JOB --all"),
                (3, "watch JOB"),
                (0, "logs JOB --failed"),
                (0, "logs JOB in1.dat"),
                (0, "describe JOB in1.dat"),
                (0, "report JOB"),
                (0, "report JOB --format html -o page.html --timeline page.svg"),
                (0, "report JOB --format csv -o s3://test-bucket/reports/table.csv"),
                (0, "fetch JOB results"),
                (0, "jobs s3://test-bucket"),
                (0, "clean JOB --yes"),
                (0, "retry JOB --all"),
                (0, "cancel JOB"),
                (0, "doctor JOB/try --rounds 3 --time-limit 5s"),
                (0, "config save here JOB"),
                (0, "config show"),
                (0, "config list"),
                (0, "man pages"),
            ];
            for (code, line) in lines {
                let words: Vec<String> = line
                    .split(' ')
                    .map(|word| word.replace("JOB", job).replace("COMMAND", "echo begun >&2; test {name} != in2.dat && cat {input}"))
                    .collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let said = tried(world, mode, &words, code).await;
                // Quiet is not silent: who asks for a result gets it.
                let elsewhere = ["config save", "man", "report"].contains(&name(line).expect("a command"));
                assert!(elsewhere || !said.trim().is_empty(), "{line} {mode:?}: no result");
                tried_here.extend(name(line));
            }
            for line in [&["serve", "served"][..], &["watch", job, "--web"]] {
                until_it_has_said(world, mode, line).await;
                tried_here.extend(name(line[0]));
            }
            assert_eq!(tried_here, HERE.iter().copied().collect(), "{mode:?}");
        }
        let table = world.server().store("test-bucket").await;
        let table = dayfly_shared::store::StoreExt::read(&*table, "reports/table.csv").await.expect("a read").expect("it is there");
        let lines = String::from_utf8_lossy(&table.1).lines().filter(|line| line.starts_with("0001-")).count();
        assert_eq!(lines, 3, "a line for each attempt");
        let pages = std::fs::read_dir(world.folder().join("pages")).expect("the pages").count();
        let told = tried(world, Mode::Json, &["man", "pages"], 0).await;
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["pages"].as_array().map(Vec::len), Some(pages));
    }

    // What has to be asked, and where a place in a bucket is no path.
    async fn nobody_is_asked_and_no_place_is_taken_for_a_path(world: &World) {
        let folder = world.folder().join("data");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("in0.dat"), "0").expect("a file");
        let job = "s3://test-bucket/asked";
        let seed = ["seed", job, "--inputs", "data", "cat {input}"];
        world.dayfly(&seed).await.expect(0, &[]);
        std::fs::write(folder.join("in0.dat"), "another").expect("a file");
        // A pipe is no terminal: a question is an error that says so, and --yes answers it.
        world.dayfly(&seed).await.expect(2, &["Nobody is there to answer", "nothing was changed", "pass --yes"]);
        world.dayfly(&[&seed[..], &["--yes"]].concat()).await.expect(0, &[]);
        world.dayfly(&["fetch", job, "s3://test-bucket/results"]).await.expect(2, &["a path on this machine", "aws s3 cp"]);
        world.dayfly(&["seed", job, "--submit", "s3://test-bucket/x"]).await.expect(2, &["--submit", "aws s3 cp"]);
        world.dayfly(&["report", job, "-o", "s3://test-bucket/reports/"]).await.expect(2, &["--out", "s3://BUCKET/KEY"]);
        world.dayfly(&["report", job, "--json", "--format", "csv"]).await.expect(2, &["--json", "--out FILE"]);
        // A list of tasks may lie in a bucket.
        let listed = "s3://test-bucket/listed";
        let absent = ["seed", listed, "--tasks", "s3://test-bucket/lists/a.txt", "echo {name}"];
        world.dayfly(&absent).await.expect(1, &["there is no list s3://test-bucket/lists/a.txt", "nothing was written"]);
        let bucket = world.job_bucket("test-bucket", "lists").await;
        let text = dayfly_shared::store::Attributes::text();
        bucket.store().put("lists/a.txt", "one\ntwo\n".into(), &text, &dayfly_shared::store::Condition::Create).await.expect("a write");
        world.dayfly(&absent).await.expect(0, &["2"]);
    }
}
