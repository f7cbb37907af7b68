//! `dayfly run` on this machine: what it says while it stays, and when it ends.

use std::path::Path;

use dayfly_shared::records::LeaseState;
use dayfly_tests::programs::{file, inputs};
use dayfly_tests::{Kind, Program, World, orphans, run};
use rustix::process::Signal;

/// Agents of a suspended job wait so long, in seconds.
const WAIT: &str = "DAYFLY_SUSPENDED_WAIT";
/// Fails as long as there is no file `mended`.
const SCRIPT: &str =
    "import os\ndef load():\n    raise ValueError('no column price')\nif not os.path.exists('MENDED'):\n    load()\n";

fn root(world: &World) -> String {
    world.server().root().display().to_string()
}

/// Tasks that all fail in the same way, run by one agent; and the file that mends them.
fn failing(world: &World, wait: Option<&str>) -> (Program, std::path::PathBuf) {
    let folder = inputs(world, &["a", "b", "c", "d", "e", "f"].map(|name| (name, "1")));
    let mended = world.folder().join("mended");
    let script = file(world, "load.py", &SCRIPT.replace("MENDED", &mended.display().to_string()));
    let root = root(world);
    let line = ["run", "--local", &root, "--inputs", &folder, "-n", "1", "--slots", "1", "--lease-ttl", "2s"];
    let line = [&line[..], &["--", "python3", &script]].concat();
    let program = world.start_dayfly_with(&line, |command| {
        if let Some(wait) = wait {
            command.env(WAIT, wait);
        }
    });
    (program, mended)
}

async fn gone(world: &World) {
    world.until("all agents are gone", async || orphans::running(world.folder()).is_empty()).await;
}

/// While its agents come up nobody is told to launch some.
#[test]
fn agents_that_start_are_said_to_start() {
    run(Kind::Folder, async |world: &World| {
        let go = world.folder().join("go");
        let dayfly = world.dayfly_command();
        let agent = Path::new(dayfly.get_program()).with_file_name("dayfly-agent");
        let text = format!(
            "#!/bin/sh\nuntil [ -e '{}' ]; do sleep 0.05; done\nexec '{}' \"$@\"\n",
            go.display(),
            agent.display()
        );
        let late = file(world, "late-agent", &text);
        std::fs::set_permissions(&late, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
        let root = root(world);
        let mut program = world.start_dayfly(&["run", "--local", &root, "--demo", "-n", "2", "--agent", &late]);
        world.until("it says so", async || program.said().contains("3 of 10 done; 2 agents starting")).await;
        std::fs::write(&go, "").expect("a file");
        let ended = program.ended().await;
        ended.expect(0, &["10 of 10 done"]);
        assert!(!ended.said.contains("idle"), "{}", ended.said);
    });
}

/// Nobody resumes it: what failed is said at once, and at the end what to do.
#[test]
fn a_suspended_job_ends_its_run() {
    run(Kind::Folder, async |world: &World| {
        let (mut program, mended) = failing(world, Some("1"));
        let root = root(world);
        let ended = program.ended().await;
        let why = "none ended well: the program ended with exit code 1: ValueError: no column price";
        let resume = format!("dayfly resume --local {root}");
        ended.expect(1, &[
            &format!("warning: the job is suspended: 5 attempts at 2 tasks failed in the same way on one agent, and {why}\n"),
            "\n    File \"",
            "line 3, in load\n",
            &format!("go on: {resume}; agents wait about 1 s"),
        ]);
        let last = ended.last_line();
        let wanted = ["error: the job is suspended: ", why, "5 tasks to do", &resume, "dayfly launch --local"];
        assert!(wanted.iter().all(|words| last.contains(words)), "{last}");
        gone(world).await;
        // A folder's logs are read as a bucket's.
        let failed = std::fs::read_to_string(Path::new(&root).join("dayfly/failed.txt")).expect("failed.txt");
        for more in [&[][..], &["--follow"], &["--tail", "3"]] {
            let line = [&["logs", "--local", &root, failed.trim()], more].concat();
            world.dayfly(&line).await.expect(0, &["failed, on local-1", "\nValueError: no column price"]);
        }
        std::fs::write(&mended, "").expect("a file");
        world.dayfly(&["status", "--local", &root]).await.expect(0, &["to go on: dayfly resume and dayfly launch"]);
        world.dayfly(&["resume", "--local", &root]).await.expect(0, &["may run again"]);
        world.dayfly(&["launch", "--local", &root]).await.expect(3, &["5 of 6 done, 1 given up"]);
        let retry = format!("1 task given up; to try again: dayfly retry --local {root} --all");
        world.dayfly(&["launch", "--local", &root]).await.expect(3, &["nothing is left to do", &retry]);
    });
}

/// Somebody mends it within the minute that agents wait, and it goes on; or has enough, and it ends at once.
#[test]
fn a_suspended_job_waits_for_its_user() {
    run(Kind::Folder, async |world: &World| {
        let (mut program, mended) = failing(world, None);
        world.until("it is suspended", async || program.said().contains("agents wait about 1 min")).await;
        std::fs::write(&mended, "").expect("a file");
        world.dayfly(&["resume", "--local", &root(world)]).await.expect(0, &["runs again"]);
        program.ended().await.expect(3, &["5 of 6 done, 1 given up"]);
        gone(world).await;
    });
    run(Kind::Folder, async |world: &World| {
        let (mut program, _) = failing(world, None);
        world.until("it is suspended", async || program.said().contains("Ctrl-C ends them now")).await;
        program.signal(Signal::INT);
        program.ended().await.expect(4, &["1 agent asked to stop", "dayfly resume and dayfly launch"]);
        assert_eq!(orphans::running(world.folder()), Vec::<u32>::new());
        let job = world.job_bucket("dayfly", "").await;
        let held = job.held().await.expect("the semaphores");
        assert!(held.iter().all(|(_, semaphore)| semaphore.state == LeaseState::Released), "given back: {held:?}");
    });
}

/// Nobody waits for the word to go on with a job of which nothing is left.
#[test]
fn a_paused_job_that_is_over_ends_its_run() {
    run(Kind::Folder, async |world: &World| {
        let (root, go) = (root(world), world.folder().join("go"));
        let folder = inputs(world, &[("a", "1")]);
        let shell = format!("until [ -e '{}' ]; do sleep 0.05; done", go.display());
        let line = ["run", "--local", &root, "--inputs", &folder, "--lease-ttl", "2s", "--shell", &shell];
        let mut program = world.start_dayfly(&line);
        world.until("it works", async || program.said().contains("1 running")).await;
        let place = ["--local", root.as_str()];
        world.dayfly(&["pause", place[0], place[1], "--why", "to look"]).await.expect(0, &[]);
        world
            .until("its agent knows", async || {
                world.dayfly(&["status", place[0], place[1]]).await.said.contains("working (paused: to look)")
            })
            .await;
        std::fs::write(&go, "").expect("a file");
        program.ended().await.expect(0, &["1 of 1 done"]);
        gone(world).await;
    });
}
