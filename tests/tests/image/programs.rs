//! Programs on a machine: their user, their control group, the wall around them.

use dayfly_shared::job::JobSettings;
use dayfly_shared::records::DeadLetter;
use dayfly_shared::store::StoreExt;
use dayfly_shared::work::{InputKind, OutputKind, ProcessorSettings, ProgramSettings};
use dayfly_tests::{Kind, Layout, World, run};

use crate::guest::{Boot, expect};

/// What a program sees of itself; and one that takes more memory than it may.
const COMMAND: &str = "if [ {name} = eat ]; then head -c 200000000 /dev/zero | tail -c 199999999 | wc -c; exit; fi; \
    id -un; echo groups $(id -Gn); group=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); echo group $group; \
    ls $group 2>/dev/null && echo the group is open; \
    grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status; \
    timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' 2>/dev/null && echo reached || echo cut off; \
    (echo x > /var/lib/dayfly/work/x || ls /var/lib/dayfly || cat /var/lib/dayfly/work/log.txt) 2>/dev/null || echo kept out";

#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn programs_are_kept_apart() {
    run(Kind::Endpoint, async |world: &World| {
        let program = ProgramSettings {
            input: InputKind::Line,
            output: OutputKind::Stdout,
            memory_limit_mib: Some(64),
            ..ProgramSettings::default()
        };
        let processor = ProcessorSettings::Command { argv: vec![COMMAND.to_owned()], shell: true };
        let settings = JobSettings { processor, program, max_attempts: 1, ..JobSettings::default() };
        let job = Layout::of([]).settings(Some(settings)).list("look\neat\n").unwatched().lay_out(world).await;
        let said = Boot::new(world, "worker").on(&job).start().powered_off().await;
        expect(&said, &["programs run in control groups of their own", "powering off: the job is over"]);
        let store = job.bucket.store();
        let (_, seen) = store.read(&job.bucket.location.key("out/look")).await.expect("a read").expect("an output");
        let seen = String::from_utf8_lossy(&seen).into_owned();
        println!("{seen}");
        expect(
            &seen,
            &["dayfly-task\n", "groups dayfly-task\n", "/dayfly-agent.service/dayfly-", "cut off\n", "kept out\n"],
        );
        assert!(!seen.contains("the group is open"), "what bounds it is the agent's: {seen}");
        assert_eq!(seen.matches("\t0000000000000000\n").count(), 3, "no capabilities: {seen}");
        let letters = store.list_all(&job.bucket.keys.dead_letters()).await.expect("a listing");
        let (_, letter) = store.read(&letters[0].key).await.expect("a read").expect("a dead letter");
        let letter: DeadLetter = serde_json::from_slice(&letter).expect("a dead letter");
        assert!(letter.name == "eat" && letter.error.contains("more than the 64 MiB of memory"), "{letter:?}");
        let results = job.bucket.results().await.expect("the results");
        let attempts = results.iter().flat_map(|result| &result.tasks).flat_map(|task| &task.attempts);
        let used: Vec<u64> = attempts.map(|attempt| attempt.usage.expect("what it used").peak_memory_bytes).collect();
        assert!(used.len() == 2 && used.iter().all(|bytes| (1 << 17..=64 << 20).contains(bytes)), "{used:?}");
    });
}
