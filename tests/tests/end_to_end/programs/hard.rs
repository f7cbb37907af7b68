//! Hard programs: they fill the disk, write without end, reach for what is not theirs. What comes of it is clear, and their
//! neighbours go on.

use std::path::{Path, PathBuf};
use std::process::Command;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::View;
use dayfly_shared::store::{Store as _, StoreExt};
use dayfly_tests::{World, on_endpoint};

use super::{dead_letter_with_log, fetch, file, inputs, lines, read, seed, work};

/// A small disk of its own where one agent works.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Where `agent` works: its number among the programs that the test starts, from 0, and its name. None, and it is said,
    /// where nothing can be mounted.
    pub fn mount(world: &World, agent: &str, mib: u64) -> Option<Self> {
        let folder = world.folder().join("programs").join(agent);
        std::fs::create_dir_all(&folder).expect("a folder");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "dayfly-test"]).arg(&folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                println!("SKIPPED: no disk can be mounted: {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: an agent of a test that failed may have files open there still.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The size of the one log of a task that there is, and its text.
async fn log(job: &JobBucket) -> (u64, String) {
    let logs = job.store().list_all(&job.location.key("logs/0001-")).await.expect("a listing");
    let [log] = &logs[..] else { panic!("{logs:?}") };
    let (_, text) = job.store().read(&log.key).await.expect("a read").expect("a log");
    (log.size, String::from_utf8_lossy(&text).into_owned())
}

on_endpoint! {
    /// Who fills the disk is stopped before it is full; a neighbour on the same disk does not notice.
    async fn who_fills_the_disk_is_stopped_and_neighbours_go_on(world: &World) {
        let Some(_disk) = SmallDisk::mount(world, "1-one", 256) else { return };
        let list = file(world, "list.txt", "filler\nneighbour\n");
        let stopped = world.folder().join("stopped");
        let command = format!(
            "[ {{name}} = neighbour ] || {{{{ head -c 200000000 /dev/zero > {{scratch}}/fill; trap 'touch {}; exit 1' TERM; \
             while head -c 1000000 /dev/zero >> {{scratch}}/fill; do sleep 0.1; done; exit 8; }}}}; \
             for n in $(seq 600); do head -c 1000 /dev/zero > {{scratch}}/small || exit 7; sleep 0.1; [ ! -e {} ] || break; done; \
             echo went on",
            stopped.display(), stopped.display(),
        );
        let job = seed(world, &["--tasks", &list, "--max-attempts", "1", "--shell", &command]).await;
        let mut agent = world.agent(&job.location, "one").env("DAYFLY_SLOTS", "2").start();
        agent.ended().await.expect(0, &[]);
        let (letter, _) = dead_letter_with_log(&job).await;
        assert!(letter.name == "filler" && letter.error.contains("disk of its machine is full"), "{letter:?}");
        assert_eq!(read(&fetch(world).await, "out/neighbour"), "went on\n");
    }

    /// It is full before anybody looks, with the program's log on the same disk: the outcome is as clear, and the next
    /// task finds the disk empty.
    async fn a_disk_that_is_full_at_once_is_named(world: &World) {
        let Some(_disk) = SmallDisk::mount(world, "1-one", 48) else { return };
        let list = file(world, "list.txt", "filler\nnext\n");
        let command = "[ {name} = next ] || { echo begun >&2; cat /dev/zero > {scratch}/fill; \
                       head -c 900000 /dev/zero | tr '\\0' x >&2; exit 3; }; echo fine";
        let job = seed(world, &["--tasks", &list, "--max-attempts", "1", "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let (letter, log) = dead_letter_with_log(&job).await;
        assert!(letter.name == "filler" && letter.error.contains("disk of its machine is full"), "{letter:?}");
        assert!(log.contains("begun\n") && log.contains("bytes are missing, as the machine's disk was full"), "{}", &log[..200]);
        assert_eq!(read(&fetch(world).await, "out/next"), "fine\n");
    }

    /// It is said before anything starts, and no other try is made on such a machine.
    async fn an_input_larger_than_the_disk_is_refused_before_it_starts(world: &World) {
        let Some(_disk) = SmallDisk::mount(world, "1-one", 8) else { return };
        let folder = inputs(world, &[("small", "1")]);
        std::fs::write(Path::new(&folder).join("large"), vec![0; 9_000_000]).expect("an input");
        let started = world.folder().join("started-large");
        let command = format!("[ {{name}} = small ] || touch {}; wc -c < {{input}}", started.display());
        let job = seed(world, &["--inputs", &folder, "--shell", &command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let objects = job.store().list_all(&job.keys.dead_letters()).await.expect("a listing");
        let (_, letter) = job.store().read(&objects[0].key).await.expect("a read").expect("a dead letter");
        let letter: dayfly_shared::records::DeadLetter = serde_json::from_slice(&letter).expect("a dead letter");
        assert!(letter.error.contains("has 9000000 bytes, and the disk of its machine 8388608"), "{}", letter.error);
        assert!(letter.error.contains("larger volume") && letter.attempts.len() == 1, "{letter:?}");
        assert!(!started.exists(), "the program was not started");
        assert_eq!(lines(&job, View::Completed).await, ["small"]);
    }

    /// As another user it writes to its own folders, and nowhere else: not to the agent's, not to its neighbour's, which
    /// runs as the same user.
    async fn a_program_writes_to_its_own_folders_alone(world: &World) {
        if !rustix::process::geteuid().is_root() {
            return println!("SKIPPED: only root can run programs as somebody else");
        }
        let list = file(world, "list.txt", "a\nb\n");
        let meeting = world.folder().join("meeting");
        std::fs::create_dir(&meeting).expect("a folder");
        for (folder, mode) in [(world.folder(), 0o755), (&meeting, 0o777)] {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
        }
        // Each tries while the other runs.
        let command = format!(
            "touch {meeting}/{{name}}; until [ -e {meeting}/a ] && [ -e {meeting}/b ]; do sleep 0.1; done; \
             for place in ../../x ../x /etc/dayfly-test-x ../../log.txt ../../files/x ../log ../report.part; do \
             (echo x >> $place) 2>/dev/null && echo $place >> {{output_dir}}/written; done; \
             ls ../.. > {{output_dir}}/seen 2>/dev/null; echo own > {{scratch}}/own && cp {{scratch}}/own {{output_dir}}/own; \
             touch {meeting}/{{name}}-done; until [ -e {meeting}/a-done ] && [ -e {meeting}/b-done ]; do sleep 0.1; done",
            meeting = meeting.display(),
        );
        let job = seed(world, &["--tasks", &list, "--max-attempts", "1", "--shell", &command]).await;
        let agent = world.agent(&job.location, "one").env("DAYFLY_SLOTS", "2").arg("--run-as").arg("nobody");
        agent.start().ended().await.expect(0, &[]);
        let results = fetch(world).await;
        for name in ["a", "b"] {
            assert_eq!(read(&results, &format!("out/{name}/own")), "own\n");
            assert_eq!(read(&results, &format!("out/{name}/seen")), "", "the names of other folders are nobody's");
            assert!(!results.join(format!("out/{name}/written")).exists(), "{}", read(&results, &format!("out/{name}/written")));
        }
    }

    /// Ten gigabytes of log: 64 MiB of it are kept, the beginning and the end.
    #[ignore = "writes 10 GB through a pipe: some minutes"]
    async fn ten_gigabytes_of_log(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let command = "echo first >&2; head -c 10000000000 /dev/zero | tr '\\0' x >&2; echo last >&2";
        let job = seed(world, &["--inputs", &folder, "--shell", command]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let (size, text) = log(&job).await;
        assert!((64 << 20..65 << 20).contains(&size), "{size} bytes");
        assert!(text.contains("\nfirst\nxxx") && text.contains("xxxlast\n") && text.contains(" bytes were left out"));
    }

    /// Larger than what one PUT takes: in parts.
    #[ignore = "takes 5.1 GB of disk, and minutes"]
    async fn an_output_larger_than_five_gigabytes(world: &World) {
        let folder = inputs(world, &[("a", "1")]);
        let job = seed(world, &["--inputs", &folder, "truncate -s 5100000000 {output}"]).await;
        work(world, &job, "one").await.expect(0, &[]);
        let meta = job.store().head(&job.location.key("out/a")).await.expect("a head").expect("an output");
        assert_eq!(meta.size, 5_100_000_000);
    }
}
