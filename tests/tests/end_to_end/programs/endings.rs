//! How programs end, and what each end means.

use dayfly_shared::keys::View;
use dayfly_shared::records::AttemptEnd;
use dayfly_shared::store::StoreExt;
use dayfly_tests::{World, on_endpoint};

use super::{JOB, dead_letter_with_log, fetch, file, inputs, lines, read, seed, work};

on_endpoint! {
    async fn a_failure_keeps_its_last_words(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "for n in $(seq 50); do echo line $n; done >&2; exit 3";
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "2", "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let (letter, log) = dead_letter_with_log(&job).await;
        assert!(letter.error.contains("exit code 3") && letter.error.ends_with("line 50"), "{}", letter.error);
        assert!(!letter.error.contains("line 30"), "only the last lines: {}", letter.error);
        assert_eq!(letter.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Failed, AttemptEnd::Failed]);
        assert!(log.contains("line 1\n") && log.contains("line 50\n"), "{log}");
        assert_eq!(lines(&job, View::Failed).await, ["a"]);
    }

    async fn a_signal_is_named(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "1", "--shell", "kill -SEGV $$"]).await;
        work(world, &job, "one").await.expect(0, &[]);
        assert!(dead_letter_with_log(&job).await.0.error.contains("SIGSEGV"));
    }

    /// It ignores SIGTERM, and has children that do.
    async fn a_program_that_will_not_end_is_ended(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let mark = world.folder().display().to_string();
        let command = format!("trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & : {mark}; while :; do sleep 1; done");
        let job = seed(world, &[
            "--inputs", &folder, "--max-attempts", "1", "--task-time-limit", "1s", "--stop-grace", "1s", "--shell", &command,
        ]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let error = dead_letter_with_log(&job).await.0.error;
        assert!(error.contains("task time limit of 1 s"), "{error}");
        assert_eq!(look(&mark), Vec::<String>::new());
    }

    /// What detaches itself from its program is ended with it.
    async fn what_a_program_leaves_behind_is_ended(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let mark = format!("{}/left-behind", world.folder().display());
        let command = format!("setsid sh -c 'exec 0<&- 1>&- 2>&-; while :; do sleep 1; done; : {mark}' & sleep 0.5; echo done");
        let job = seed(world, &["--inputs", &folder, "--shell", &command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        assert_eq!(look(&mark), Vec::<String>::new());
        assert_eq!(read(&fetch(world).await, "out/a"), "done\n");
    }

    async fn try_again_later_spends_no_attempt(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let counter = world.folder().join("counter").display().to_string();
        let command = format!("echo x >> {counter}; [ $(wc -l < {counter}) -gt 3 ] || exit 75; echo done");
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "1", "--shell", &command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), "done\n");
    }

    /// The memory of a program and of what it starts counts together.
    async fn too_much_memory_is_the_tasks_own_trouble(world: &World) {
        let script = file(world, "eat.py", "import os, sys, time\nos.fork()\nx = bytearray(40 << 20)\ntime.sleep(60)\n");
        let list = file(world, "list.txt", "eater\nneighbour\n");
        let command = "[ {name} = neighbour ] && sleep 1 || python3 {file:eat.py}";
        let job = seed(world, &[
            "--tasks", &list, "--max-attempts", "1", "--task-memory", "64", "--files", &script, "--shell", command,
        ]).await;
        let mut agent = world.agent(&job.location, "one").arg("--slots").arg("2").start();
        agent.ended().await.expect(0, &[]);
        let (letter, _) = dead_letter_with_log(&job).await;
        assert!(letter.name == "eater" && letter.error.contains("MiB of memory, and may use 64"), "{letter:?}");
        assert_eq!(lines(&job, View::Completed).await, ["neighbour"]);
    }

    /// Of a long log the beginning and the end are kept.
    async fn a_long_log_is_cut_in_the_middle(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "echo first >&2; head -c 100000000 /dev/zero | tr '\\0' x >&2; echo last >&2";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let logs = job.store().list_all(&job.location.key("logs/0001-")).await.expect("a listing");
        let [log] = &logs[..] else { panic!("{logs:?}") };
        assert!((64 << 20..65 << 20).contains(&log.size), "{} bytes", log.size);
        let (_, text) = job.store().read(&log.key).await.expect("a read").expect("a log");
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("\nfirst\nxxx") && text.contains("xxxlast\n") && text.contains("were left out"));
    }

    /// Nothing ever ended well: the list is not burnt, and whoever mends it goes on.
    async fn a_program_that_never_works_suspends_the_job(world: &World) {
        let folder = inputs(world, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        let mended = world.folder().join("mended");
        let command = format!("[ -e {} ] || exit 9; echo done", mended.display());
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "2", "--shell", &command]).await;
        let mut agent = world.agent(&job.location, "one").start();
        world.until("the job is suspended", async || agent.said().contains("suspended")).await;
        let status = world.dayfly(&["status", JOB]).await;
        status.expect(0, &["suspended", "exit code 9", "dayfly resume"]);
        std::fs::write(&mended, "").expect("a file");
        world.dayfly(&["resume", JOB]).await.expect(0, &[]);
        agent.ended().await.expect(0, &[]);
        assert_eq!(lines(&job, View::Failed).await.len(), 1, "only the first task was given up before");
        assert_eq!(lines(&job, View::Completed).await.len(), 3);
    }

    /// Nobody resumes it: its agents end, as machines that wait cost money; and whoever resumes it is told so.
    async fn agents_of_a_suspended_job_end_after_a_while(world: &World) {
        let folder = inputs(world, &[("a", "1"), ("b", "2"), ("c", "3")]);
        let mended = world.folder().join("mended");
        let command = format!("[ -e {} ] || exit 9; echo done", mended.display());
        let job = seed(world, &["--inputs", &folder, "--max-attempts", "2", "--shell", &command]).await;
        let mut agent = world.agent(&job.location, "one").arg("--suspended-wait").arg("1").start();
        agent.ended().await.expect(4, &["nobody resumed it within 1 s"]);
        world.dayfly(&["status", JOB]).await.expect(0, &["suspended", "nobody resumed it", "dayfly resume"]);
        assert_eq!(job.semaphores().await.expect("a listing").len(), 1, "the chunk in hand is released, not held");
        world.dayfly(&["resume", JOB]).await.expect(0, &["may run again", "dayfly launch"]);
        std::fs::write(&mended, "").expect("a file");
        work(world, &job, "two").await.expect(0, &[]);
        assert_eq!((lines(&job, View::Failed).await.len(), lines(&job, View::Completed).await.len()), (1, 2));
    }

    /// A program that is not there is no task's fault.
    async fn a_missing_program_burns_nothing(world: &World) {
        let folder = inputs(world, &[("a", "1"), ("b", "2")]);
        let job = seed(world, &["--inputs", &folder, "no-such-program {input}"]).await;
        work(world, &job, "one").await.expect(1, &["no-such-program", "--files"]);
        assert_eq!(lines(&job, View::Tasklist).await, ["a", "b"]);
        assert_eq!(job.store().list_all(&job.keys.dead_letters()).await.expect("a listing"), []);
    }
}

/// The command lines of looping processes that name `mark`.
fn look(mark: &str) -> Vec<String> {
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let lines = pids.filter_map(|path| std::fs::read(path.join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with("sh ") || line.starts_with("/bin/sh "))
        .filter(|line| line.contains(mark) && line.contains("while :"))
        .collect()
}

/// Whether a process runs that names `mark`.
pub(super) fn runs(mark: &str) -> bool {
    !look(mark).is_empty()
}
