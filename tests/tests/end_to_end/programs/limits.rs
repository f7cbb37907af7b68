//! What programs use, and the bounds that they are kept in.

use dayfly_shared::job::JobSettings;
use dayfly_shared::records::{ResultRecord, Summary, Usage};
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Rule, World, on_endpoint};
use hyper::Method;

use super::endings::runs;
use super::{JOB, dead_letter_with_log, fetch, file, inputs, read, seed, work};

/// What the attempts of the one closed chunk used.
async fn usages(job: &dayfly_shared::bucket::JobBucket) -> Vec<Usage> {
    let results = job.results().await.expect("the results");
    let attempts =
        |result: &ResultRecord| result.tasks.iter().flat_map(|task| task.attempts.clone()).collect::<Vec<_>>();
    results.iter().flat_map(attempts).map(|attempt| attempt.usage.expect("what it used")).collect()
}

on_endpoint! {
    /// Memory of all that a program starts, its CPU and its time stand in the result, the summary and the status.
    async fn what_a_task_used_is_recorded(world: &World) {
        let script = file(world, "use.py", "
import os, time
child = os.fork()
held = bytearray(48 << 20)
began = time.process_time()
while time.process_time() - began < 0.4: pass
time.sleep(0.5)
if child: os.waitpid(child, 0)
");
        let list = file(world, "list.txt", "a\nb\nc\n");
        let command = "python3 {file:use.py}; echo done";
        let job = seed(world, &["--tasks", &list, "--files", &script, "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let all = usages(&job).await;
        assert_eq!(all.len(), 3);
        for usage in &all {
            assert!((96 << 20..200 << 20).contains(&usage.peak_memory_bytes), "two of 48 MiB: {usage:?}");
            assert!(usage.cpu_ms >= 700, "two of 400 ms: {usage:?}");
            assert!(usage.wall_ms >= 900, "{usage:?}");
        }
        let (_, summary) = job.store().read(&job.keys.summary()).await.expect("a read").expect("a summary");
        let summary: Summary = serde_json::from_slice(&summary).expect("a summary");
        let totals = summary.usage.expect("what the tasks used");
        assert_eq!(totals.attempts, 3);
        assert_eq!(totals.cpu_ms, all.iter().map(|usage| usage.cpu_ms).sum::<u64>());
        assert_eq!(Some(totals.peak_memory_bytes), all.iter().map(|usage| usage.peak_memory_bytes).max());
        world.dayfly(&["status", JOB]).await.expect(0, &["used     ", "of memory at most by one attempt", "3 attempts"]);
    }

    /// Built-in processors are not measured.
    async fn xor_has_no_usage(world: &World) {
        let mut job = dayfly_tests::Layout::new(2).settings(Some(JobSettings::default())).lay_out(world).await;
        job.agent("one").start().ended().await.expect(0, &[]);
        let summary = job.bucket.summary().await.expect("a read").expect("a summary");
        assert_eq!(summary.usage, None);
        job.finish(&[]).await;
    }

    /// Where groups can be made, a program runs in one of its own, and nothing of it is left.
    async fn a_program_runs_in_a_group_of_its_own(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        // Who supervises leaves the group when the program has been started in it: a moment later.
        let command = "for n in $(seq 100); do grep '^0::' /proc/self/cgroup /proc/$PPID/cgroup > {scratch}/groups; \
            [ $(cut -d: -f4 {scratch}/groups | sort -u | wc -l) = 1 ] || break; sleep 0.1; done; cat {scratch}/groups";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        let mut agent = world.agent(&job.location, "one").start();
        agent.ended().await.expect(0, &[]);
        let said = read(&fetch(world).await, "out/a");
        if agent.said().contains("no control groups") {
            return println!("SKIPPED: no control groups of version 2 can be made here: {said}");
        }
        let groups: Vec<&str> = said.lines().filter_map(|line| line.split_once("0::")).map(|(_, group)| group).collect();
        let [program, supervisor] = groups[..] else { panic!("{said}") };
        assert_ne!(program, supervisor, "who supervises is not in it");
        let pid = agent.pid();
        assert!(program.contains(&format!("/dayfly-{pid}-1-")) && supervisor.ends_with(&format!("/dayfly-agent-{pid}")), "{said}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).and_then(|line| line.split(' ').nth(1));
        let left = std::path::Path::new(mount.expect("a mount")).join(program.trim_start_matches('/'));
        assert!(!left.exists(), "{} is left", left.display());
    }

    /// The store is silent about a log: the program is asked to end when its time is over, and not killed without a word.
    async fn a_silent_store_does_not_prolong_a_program(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let mark = format!("{}/silent", world.folder().display());
        let asked = world.folder().join("asked");
        let command = format!(
            "trap 'touch {}; exit 1' TERM; : {mark}; echo begun >&2; while :; do sleep 0.2; done", asked.display()
        );
        let job = seed(world, &[
            "--inputs", &folder, "--max-attempts", "1", "--task-time-limit", "34s", "--stop-grace", "5s", "--shell", &command,
        ]).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::PUT).key_has("/logs/0001-"));
        let mut agent = world.agent(&job.location, "one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        assert!(runs(&mark), "the log went up while it ran");
        world.until("the program has ended", async || !runs(&mark)).await;
        assert!(asked.exists(), "it was asked to end, although the log is still on its way");
        gate.open();
        agent.ended().await.expect(0, &[]);
        assert!(dead_letter_with_log(&job).await.0.error.contains("task time limit of 34 s"));
    }
}
