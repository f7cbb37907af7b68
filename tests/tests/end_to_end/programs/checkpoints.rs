//! What a stopped program left, on its way to the next attempt: all of it, or nothing.

use std::path::Path;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::store::{Attributes, Condition, StoreExt};
use dayfly_tests::{Rule, World, everywhere, on_endpoint};
use hyper::Method;
use rustix::process::Signal;

use super::hard::SmallDisk;
use super::{fetch, file, inputs, read, seed};

/// Stops an agent whose program has started.
async fn drained(world: &World, job: &JobBucket, started: &Path, slots: &str) {
    let mut agent =
        world.agent(&job.location, "first").env("DAYFLY_SLOTS", slots).arg("--drain-grace").arg("1").start();
    world.until("the program runs", async || started.exists()).await;
    agent.signal(Signal::TERM);
    agent.ended().await.expect(4, &["SIGTERM"]);
}

everywhere! {
    /// An archive that breaks off in the midst of a file: the program finds an empty folder of its own.
    async fn half_a_checkpoint_is_not_handed_to_the_program(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let started = world.folder().join("started");
        let script = file(world, "parts.sh", "
trap 'for n in 1 2 3; do head -c 100000 /dev/zero > \"$1/part$n\"; done; exit 0' TERM
if [ -e \"$2\" ]; then echo \"found $(ls -A \"$1\" | wc -l)\"; stat -c '%a %U' \"$1\"; id -un; echo x > \"$1/own\" && echo written; exit; fi
touch \"$2\"
while :; do sleep 0.1; done
");
        let command = format!("sh {{file:parts.sh}} {{checkpoint}} {}", started.display());
        let job = seed(world, &["--inputs", &folder, "--files", &script, "--stop-grace", "5s", &command]).await;
        let own_user = rustix::process::geteuid().is_root();
        // The program's user makes a file in the test's folder.
        std::fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("a mode");
        drained(world, &job, &started, "1").await;
        let all = job.store().list_all(&job.location.key("checkpoints/")).await.expect("a listing");
        let key = &all[0].key;
        let (_, archive) = job.store().read(key).await.expect("a read").expect("a checkpoint");
        let half = archive.slice(..150_000);
        job.store().put(key, half, &Attributes::default(), &Condition::Overwrite).await.expect("a put");
        let mut second = world.agent(&job.location, "second");
        if own_user {
            second = second.arg("--run-as").arg("nobody");
        }
        second.start().ended().await.expect(0, &["the task begins anew"]);
        let said = read(&fetch(world).await, "out/a");
        let lines: Vec<&str> = said.lines().collect();
        let [found, owner, user, written] = lines[..] else { panic!("{said}") };
        assert_eq!((found, written), ("found 0", "written"), "{said}");
        assert_eq!(owner, format!("700 {user}"), "{said}");
    }
}

on_endpoint! {
    /// A neighbour has filled the disk so far that the checkpoint has no room: the task waits for it, the agent and the
    /// neighbour go on, and what was left is found.
    async fn a_checkpoint_waits_for_room_on_the_disk(world: &World) {
        let Some(_disk) = SmallDisk::mount(world, "2-second", 40) else { return };
        let list = file(world, "list.txt", "hog\nresumed\n");
        let at = |name: &str| world.folder().join(name);
        let (started, hogs, go) = (at("started"), at("hogs"), at("go"));
        let script = file(world, "work.sh", "
if [ \"$1\" = hog ]; then
    head -c 20000000 /dev/zero > \"$3/fill\"; touch \"$5\"; until [ -e \"$6\" ]; do sleep 0.1; done; echo fine; exit
fi
trap 'head -c 12000000 /dev/zero > \"$2/state\"; exit 0' TERM
if [ -e \"$2/state\" ]; then wc -c < \"$2/state\"; exit; fi
touch \"$4\"
while :; do sleep 0.1; done
");
        let marks = [&started, &hogs, &go].map(|path| path.display().to_string()).join(" ");
        let command = format!("sh {{file:work.sh}} {{name}} {{checkpoint}} {{scratch}} {marks}");
        let job = seed(world, &["--tasks", &list, "--files", &script, "--stop-grace", "5s", &command]).await;
        drained(world, &job, &started, "2").await;
        let _ = std::fs::remove_file(&hogs);
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_has("resumed.tar"));
        let mut second = world.agent(&job.location, "second").env("DAYFLY_SLOTS", "2").through(&proxy).start();
        world.held(&mut second, &gate).await;
        world.until("the neighbour fills the disk", async || hogs.exists()).await;
        gate.open();
        world.until("the task is put off", async || second.said().contains("put off")).await;
        assert!(second.said().contains("bytes to unpack"), "{}", second.said());
        std::fs::write(&go, "").expect("a mark");
        second.ended().await.expect(0, &[]);
        let results = fetch(world).await;
        assert_eq!((read(&results, "out/hog").as_str(), read(&results, "out/resumed").trim()), ("fine\n", "12000000"));
    }

    /// Longer than the lease lasts it is unpacked, with others waiting for the chunk: nobody takes it.
    #[ignore = "60,000 files, several times: minutes, where the disk discards each file at once"]
    async fn a_lease_is_renewed_while_a_checkpoint_is_unpacked(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let started = world.folder().join("started");
        let script = file(world, "many.py", "
import os, signal, sys, time
folder, started = sys.argv[1:]
found = len(os.listdir(folder))
if found:
    print(found)
    sys.exit()
for n in range(60_000):
    with open(f'{folder}/{n:06}', 'w') as f: f.write('x')
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
open(started, 'w').close()
while True: time.sleep(0.1)
");
        let command = format!("python3 {{file:many.py}} {{checkpoint}} {}", started.display());
        let words = ["--inputs", &folder, "--files", &script, "--stop-grace", "5s", "--lease-ttl", "1s", &command];
        let line: Vec<&str> = ["seed", super::JOB].into_iter().chain(words).collect();
        world.dayfly(&line).await.expect(0, &[]);
        let job = world.job_bucket("test-bucket", "job").await;
        let mut first = world.agent(&job.location, "first").arg("--drain-grace").arg("50").start();
        world.until("the program runs", async || started.exists()).await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &["SIGTERM"]);
        let mut others = ["second", "third"].map(|name| world.agent(&job.location, name).start());
        for other in &mut others {
            other.ended().await.expect(0, &[]);
        }
        assert_eq!(read(&fetch(world).await, "out/a"), "60000\n");
        let results = job.results().await.expect("the results");
        println!("tenures: {:?}", results[0].tenures);
        assert_eq!(results[0].tenures.len(), 2, "{:?}", results[0].tenures);
    }
}
