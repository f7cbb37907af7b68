//! Agents that end while a container runs.

use std::fs;

use dayfly_tests::Program;
use rustix::process::{Pid, Signal, kill_process};

use super::podman::{Podman, TOOLS};
use super::{fetch, in_containers, inputs, read, seed};

/// Loops until it is killed, with `mark` on its command line.
fn forever(mark: &str) -> String {
    format!("trap '' TERM; : {mark}; while :; do sleep 1; done")
}

/// The supervisor of an agent's one task.
fn supervisor(agent: &Program) -> Pid {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid())).unwrap_or_default();
    let mut pids = children.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // A worker thread may have started it.
    for task in fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("threads").flatten() {
        let more = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(more.split_whitespace().map(str::to_owned));
    }
    let is_supervisor =
        |pid: &&String| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("supervise"));
    let pid = pids.iter().find(is_supervisor).expect("a supervisor");
    Pid::from_raw(pid.parse().expect("a process id")).expect("a process id")
}

in_containers! {
    /// The agent is killed: its supervisor kills the container, and removes it.
    async fn a_killed_agent_takes_its_container_along(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let mark = podman.mark("killed");
        seed(podman.world, &["--inputs", &folder, "--image", TOOLS, "--", "/bin/sh", "-c", &forever(&mark)]).await;
        let mut agent = podman.agent("one").start();
        podman.world.until("the container runs", async || Podman::runs(&mark)).await;
        agent.kill();
        podman.world.until("nothing of it runs", async || !Podman::runs(&mark)).await;
        podman.world.until("it is removed", async || podman.containers().is_empty()).await;
    }

    /// Its supervisor is killed as well: the container runs on, until the next agent on the machine. A container of an agent
    /// that lives is left alone.
    async fn what_an_agent_before_left_is_removed(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let mark = podman.mark("left");
        let script = format!("[ -e /dayfly/checkpoint/x ] && exit; {}", forever(&mark));
        seed(podman.world, &["--inputs", &folder, "--image", TOOLS, "--", "/bin/sh", "-c", &script]).await;
        let mut first = podman.agent("first").start();
        podman.world.until("the container runs", async || Podman::runs(&mark)).await;
        let mut second = podman.agent("second").start();
        podman.world.until("the second agent is ready", async || second.said().contains("the image is ready")).await;
        assert!(Podman::runs(&mark), "the first agent lives, and so does its container");
        second.signal(Signal::TERM);
        second.ended().await.expect(4, &[]);
        let supervisor = supervisor(&first);
        kill_process(supervisor, Signal::STOP).expect("a signal");
        first.kill();
        kill_process(supervisor, Signal::KILL).expect("a signal");
        assert!(Podman::runs(&mark) && podman.containers().len() == 1);
        let mut third = podman.agent("third").start();
        podman.world.until("it was removed", async || third.said().contains("left behind")).await;
        podman.world.until("the first one's has ended", async || podman.containers().len() <= 1).await;
        third.signal(Signal::TERM);
        third.ended().await;
    }

    /// A terminal's signal, or a service manager's, goes to every process: what is to be done is the agent's to say.
    async fn signals_to_the_supervisor_change_nothing(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let mark = podman.mark("signals");
        let script = format!(": {mark}; sleep 3; echo done");
        seed(podman.world, &[
            "--inputs", &folder, "--max-attempts", "1", "--image", TOOLS, "--", "/bin/sh", "-c", &script,
        ]).await;
        let mut agent = podman.agent("one").start();
        podman.world.until("the container runs", async || Podman::runs(&mark)).await;
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            kill_process(supervisor(&agent), signal).expect("a signal");
        }
        agent.ended().await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "done\n");
    }

    /// Asked to end, a program in a container saves what it has; the next attempt finds it.
    async fn a_drained_container_leaves_a_checkpoint(podman: &Podman<'_>) {
        let folder = inputs(podman.world, &[("a", "1")]);
        let mark = podman.mark("drained");
        // A drain that leaves less time than the program may take asks it at once; an engine takes a second or more of it.
        // What the loop starts says that the trap is set.
        let script = format!(
            "[ -e $0/count ] && {{ echo $(($(cat $0/count) + 1)); exit; }}; trap 'echo 41 > $0/count; exit 0' TERM; is=set; \
             while :; do /bin/sh -c \": $is-{mark}; sleep 0.2; :\"; done"
        );
        seed(podman.world, &[
            "--inputs", &folder, "--stop-grace", "30s", "--image", TOOLS, "--", "/bin/sh", "-c", &script, "{checkpoint}",
        ]).await;
        let mut first = podman.agent("first").arg("--drain-grace").arg("40").start();
        podman.world.until("the container runs", async || Podman::runs(&format!("set-{mark}"))).await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &["SIGTERM"]);
        podman.work("second").await.expect(0, &[]);
        assert_eq!(read(&fetch(podman.world).await, "out/a"), "42\n");
        assert_eq!(podman.containers(), Vec::<String>::new());
    }
}
