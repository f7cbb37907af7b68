//! Agents that end while a program runs.

use std::path::PathBuf;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{AttemptEnd, Control, ControlState};
use dayfly_shared::store::{Condition, StoreExt};
use dayfly_tests::{World, everywhere, on_endpoint};
use rustix::process::Signal;

use super::endings::runs;
use super::{JOB, fetch, file, inputs, read, seed, work};

on_endpoint! {
    /// The agent is killed: the program, its children and what detached itself go with it.
    async fn a_killed_agent_takes_its_program_along(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let mark = format!("{}/killed", world.folder().display());
        let started = world.folder().join("started");
        let inner = format!("while :; do sleep 1; done; : {mark}");
        let command = format!(
            "trap '' TERM; setsid sh -c 'trap \"\" TERM; {inner}' & sh -c '{inner}' & touch {}; {inner}",
            started.display()
        );
        let job = seed(world, &["--inputs", &folder, "--shell", &command]).await;
        let mut agent = world.agent(&job.location, "one").start();
        world.until("the program runs", async || started.exists() && runs(&mark)).await;
        agent.kill();
        world.until("nothing of it runs", async || !runs(&mark)).await;
    }

    /// Programs run as another user see nothing of the agent's: not its folders, not its environment.
    async fn a_user_of_their_own_keeps_programs_out(world: &World) {
        if !rustix::process::geteuid().is_root() {
            return println!("SKIPPED: only root can run programs as somebody else");
        }
        let folder = inputs(world, &[("a", "1")]);
        let command = "id -un > {output_dir}/who; cp {input} {output_dir}/copy; \
            cat /proc/$PPID/environ > {output_dir}/secret 2>/dev/null; (ls ../..; cat ../../log.txt) > {output_dir}/list 2>/dev/null; \
            touch ../../mine 2>/dev/null; touch {input_dir}/x {scratch}/x; true";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        // Others may pass through the folders above, as on an instance.
        std::fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        world.agent(&job.location, "one").arg("--run-as").arg("nobody").start().ended().await.expect(0, &[]);
        let results = fetch(world).await;
        assert_eq!(read(&results, "out/a/who"), "nobody\n");
        assert_eq!((read(&results, "out/a/copy"), read(&results, "out/a/secret"), read(&results, "out/a/list")),
            ("1".to_owned(), String::new(), String::new()));
    }
}

/// A job of one task, whose program saves what it has when it is asked to end; and the file that says that it runs.
async fn counting(world: &World) -> (JobBucket, PathBuf) {
    let folder = inputs(world, &[("a", "1")]);
    let started = world.folder().join("started");
    let script = file(
        world,
        "count.sh",
        "
trap 'echo 41 > \"$1/count\"; mkdir -p \"$1/sub\"; echo kept > \"$1/sub/x\"; exit 0' TERM
if [ -e \"$1/count\" ]; then echo \"$(($(cat \"$1/count\") + 1)) $(cat \"$1/sub/x\")\"; exit; fi
touch \"$2\"
while :; do sleep 0.1; done
",
    );
    let command = format!("sh {{file:count.sh}} {{checkpoint}} {}", started.display());
    let job = seed(world, &["--inputs", &folder, "--files", &script, "--stop-grace", "5s", &command]).await;
    (job, started)
}

/// Waits until an agent's record says that it drains, or waits, for such a reason.
async fn until_told(world: &World, job: &JobBucket, why: &str) {
    let told = async || {
        let agents = job.agents().await.expect("a listing");
        agents.iter().any(|agent| agent.why.as_ref().is_some_and(|told| told.contains(why)))
    };
    world.until(&format!("the agent says why: {why}"), told).await;
}

on_endpoint! {
    /// A job that drains gives a task all the time that it may take; a machine that goes meanwhile has less.
    async fn a_nearer_deadline_reaches_a_program_that_drains(world: &World) {
        let (job, started) = counting(world).await;
        let mut first = world.agent(&job.location, "first").arg("--drain-grace").arg("10").start();
        world.until("the program runs", async || started.exists()).await;
        world.dayfly(&["drain", JOB]).await.expect(0, &[]);
        until_told(world, &job, "draining").await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &[]);
        assert_eq!(job.store().list_all(&job.location.key("checkpoints/")).await.expect("a listing").len(), 1);
        world.dayfly(&["resume", JOB]).await.expect(0, &[]);
        work(world, &job, "second").await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), "42 kept\n");
    }

    /// Some other machine lacks what the program needs: what runs here is brought to its end.
    async fn a_suspended_job_lets_what_runs_come_to_its_end(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let (started, go) = (world.folder().join("started"), world.folder().join("go"));
        let command = format!("touch {}; until [ -e {} ]; do sleep 0.1; done; echo whole", started.display(), go.display());
        let job = seed(world, &["--inputs", &folder, "--shell", &command]).await;
        let mut agent = world.agent(&job.location, "one").arg("--suspended-wait").arg("1").start();
        world.until("the program runs", async || started.exists()).await;
        let suspended = Control { schema: SCHEMA, state: ControlState::Suspended, why: None, by: None, at: None, max_cost: None };
        job.put_json(&job.keys.control(), &suspended, &Condition::Overwrite).await.expect("a put");
        until_told(world, &job, "nobody resumed it").await;
        std::fs::write(&go, "").expect("a file");
        agent.ended().await.expect(4, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), "whole\n");
    }
}

everywhere! {
    /// Asked to end, a program saves what it has; the next attempt finds it.
    async fn a_drained_program_leaves_a_checkpoint(world: &World) {
        let (job, started) = counting(world).await;
        let mut first = world.agent(&job.location, "first").arg("--drain-grace").arg("1").start();
        world.until("the program runs", async || started.exists()).await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &["SIGTERM"]);
        work(world, &job, "second").await.expect(0, &[]);
        assert_eq!(read(&fetch(world).await, "out/a"), "42 kept\n");
        let results = job.store().list_all(&job.keys.results()).await.expect("a listing");
        let (_, body) = job.store().read(&results[0].key).await.expect("a read").expect("a result");
        let result: dayfly_shared::records::ResultRecord = serde_json::from_slice(&body).expect("a result");
        let ends: Vec<AttemptEnd> = result.tasks[0].attempts.iter().map(|a| a.end).collect();
        assert_eq!(ends, [AttemptEnd::Preempted, AttemptEnd::Done]);
        let left = job.store().list_all(&job.location.key("checkpoints/")).await.expect("a listing");
        assert_eq!(left, [], "a task that is done needs no checkpoint");
    }
}
