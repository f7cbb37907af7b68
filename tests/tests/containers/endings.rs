//! How containers end, and what each end means.

use dayfly_shared::keys::View;

use super::podman::{Podman, TOOLS};
use super::{dead_letter, fetch, file, in_containers, inputs, lines, read, seed};

in_containers! {
    async fn too_much_memory_is_the_tasks_own_trouble(podman: &Podman<'_>) {
        let list = file(podman.world, "list.txt", "eater\nneighbour\n");
        let script = "[ $0 = neighbour ] && { sleep 1; exit; }; x=a; while :; do x=$x$x; done";
        let job = seed(podman.world, &[
            "--tasks", &list, "--max-attempts", "1", "--task-memory", "32", "--image", TOOLS, "--", "/bin/sh", "-c", script, "{name}",
        ]).await;
        podman.agent("one").arg("--slots").arg("2").start().ended().await.expect(0, &[]);
        let letter = dead_letter(&job).await;
        assert!(letter.name == "eater" && letter.error.contains("want of memory: it may use 32 MiB"), "{letter:?}");
        assert_eq!(lines(&job, View::Completed).await, ["neighbour"]);
        assert_eq!(podman.containers(), Vec::<String>::new());
    }

    /// It ignores SIGTERM, and so does what it started.
    async fn a_container_that_will_not_end_is_ended(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let mark = podman.mark("stubborn");
        let script = format!("trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & : {mark}; while :; do sleep 1; done");
        let job = seed(podman.world, &[
            "--inputs", &folder, "--max-attempts", "1", "--task-time-limit", "3s", "--stop-grace", "1s", "--image", TOOLS,
            "--", "/bin/sh", "-c", &script,
        ]).await;
        podman.work("one").await.expect(0, &[]);
        let error = dead_letter(&job).await.error;
        assert!(error.contains("task time limit of 3 s"), "{error}");
        assert_eq!((Podman::runs(&mark), podman.containers()), (false, Vec::new()));
    }

    async fn try_again_later_spends_no_attempt(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        // A container has nothing that outlives it: the deadline's seconds are what differs from try to try.
        let script = "[ $((DAYFLY_DEADLINE % 3)) = 0 ] || { sleep 1; exit 75; }; echo done";
        let job = seed(podman.world, &["--inputs", &folder, "--max-attempts", "1", "--image", TOOLS, "--", "/bin/sh", "-c", script]).await;
        podman.work("one").await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "done\n");
        assert_eq!(lines(&job, View::Failed).await, Vec::<String>::new());
    }

    /// Exit codes are the program's; the engine's own of the same number are told apart.
    async fn codes_are_the_programs_own(podman: &Podman<'_>) {
        let list = file(podman.world, "list.txt", "exit 125\nexit 127\nkill -SEGV $$\nexit 3\n");
        let job = seed(podman.world, &[
            "--tasks", &list, "--max-attempts", "1", "--image", TOOLS, "--", "/bin/sh", "-c", "echo last words >&2; sh -c \"$0\"; exit $?", "{name}",
        ]).await;
        // One after the other they would be a reason to suspect the job.
        let mut agent = podman.agent("one").arg("--slots").arg("4").start();
        podman.world.until("all are given up", async || {
            let _ = podman.world.dayfly(&["resume", super::JOB]).await;
            lines(&job, View::Failed).await.len() == 4 || !agent.runs()
        }).await;
        let status = podman.world.dayfly(&["status", super::JOB, "--all"]).await.said;
        for words in ["exit code 125", "exit code 127", "exit code 139, as after signal 11 (SIGSEGV)", "exit code 3", "last words"] {
            assert!(status.contains(words), "{words}: {status}");
        }
    }

    async fn a_program_that_the_image_has_not_is_said(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let job = seed(podman.world, &["--inputs", &folder, "--max-attempts", "1", "--image", TOOLS, "/no/such/program"]).await;
        podman.work("one").await.expect(0, &[]);
        let error = dead_letter(&job).await.error;
        assert!(error.contains("the container did not start") && error.contains("/no/such/program"), "{error}");
    }

    async fn no_output_is_no_success(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let job = seed(podman.world, &["--inputs", &folder, "--max-attempts", "1", "--image", TOOLS, "/bin/true {output}"]).await;
        podman.work("one").await.expect(0, &[]);
        assert!(dead_letter(&job).await.error.contains("made no file"));
    }
}
