//! Everything in a folder: `--local`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dayfly_shared::keys::{View, output_name};
use dayfly_tests::{Job, Kind, Layout, World, content, orphans, run};

/// The bucket of `--local` unless named.
const BUCKET: &str = "dayfly";
/// Where an inner test finds its mount point.
const MOUNT: &str = "DAYFLY_TEST_MOUNT";

fn root(world: &World) -> String {
    world.server().root().display().to_string()
}

/// The demonstration in one command.
#[test]
fn the_demo() {
    run(Kind::Folder, async |world: &World| {
        let root = root(world);
        let seed = ["seed", "--local", &root, "--demo", "--agents", "3"];
        world.dayfly(&seed).await.expect(0, &["7 lines in tasklist.txt"]);
        let mut job = Job::seeded(world, world.job_bucket(BUCKET, "").await).await;
        world.dayfly(&["run", "--local", &root, "-n", "3"]).await.expect(0, &["over", "10 of 10 done"]);
        world.dayfly(&["status", "--local", &root]).await.expect(0, &["over", "10 of 10 done"]);
        job.finish(&[]).await;
    });
}

/// The controller, which also is the agents' endpoint, is killed; started again, it goes on, and so do they.
#[test]
fn a_killed_controller_resumes() {
    run(Kind::Folder, async |world: &World| {
        let root = root(world);
        let mut job = Layout::new(400).bucket(BUCKET).prefix("").lay_out(world).await;
        let mut first = world.start_dayfly(&["run", "--local", &root, "-n", "2"]);
        job.until("the agents are at work", async |job| job.lines(View::Completed).await.len() > 5).await;
        first.kill();
        assert!(job.lines(View::Completed).await.len() < 400, "it was killed in the middle");
        world.dayfly(&["run", "--local", &root, "-n", "1"]).await.expect(0, &["400 of 400 done"]);
        world.until("all agents are gone", async || orphans::running(world.folder()).is_empty()).await;
        job.finish(&[]).await;
    });
}

/// Runs an ignored test of this file again in a mount namespace of its own; says so where that is not permitted.
fn in_namespace(name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs"]).arg(folder.path()).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return println!("SKIPPED: no mounts here: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return println!("SKIPPED: unshare cannot be run: {error}"),
    }
    let status = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", &format!("local::{name}"), "--ignored", "--nocapture"])
        .env(MOUNT, folder.path())
        .status()
        .expect("unshare");
    assert!(status.success(), "{name} failed; its output is above");
}

fn mount(options: &str, folder: &Path) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).status();
    assert!(status.expect("mount").success());
}

/// The outputs of the demonstration, fetched and compared.
async fn demo_is_done(world: &World, root: &str) {
    let results = world.folder().join("results");
    let fetched = world.dayfly(&["fetch", "--local", root, &results.display().to_string()]).await;
    fetched.expect(0, &[]);
    let bucket = Path::new(root).join(BUCKET);
    let kernel = std::fs::read(bucket.join("kernel.dat")).expect("the kernel");
    let mut wanted = BTreeMap::new();
    for name in content::names(10) {
        let input = std::fs::read(bucket.join(&name)).expect("an input");
        wanted.insert(output_name(&name), content::xored(&input, &kernel));
    }
    for (name, bytes) in wanted {
        assert!(std::fs::read(results.join(&name)).expect("an output") == bytes, "{name}");
    }
}

#[test]
fn a_full_disk() {
    in_namespace("on_a_full_disk");
}

/// The disk is full while seeding, and later while outputs are written: no task pays for it, and once there is room the
/// job goes on.
#[test]
#[ignore = "runs in a mount namespace of its own"]
fn on_a_full_disk() {
    let Ok(root) = std::env::var(MOUNT) else { return };
    run(Kind::Folder, async |world: &World| {
        mount("size=8m", Path::new(&root));
        let seed = ["seed", "--local", &root, "--demo", "--demo-seed", "1", "--lease-ttl", "2s"];
        world.dayfly(&seed).await.expect(1, &["error:", "space"]);
        assert!(!Path::new(&root).join(BUCKET).join("tasklist.txt").exists(), "agents see no job");
        // Ten inputs and three outputs of 2 MB, and room for two more.
        mount("remount,size=32m", Path::new(&root));
        world.dayfly(&seed).await.expect(0, &["7 lines in tasklist.txt"]);
        let ended = world.dayfly(&["run", "--local", &root, "-n", "2"]).await;
        ended.expect(1, &["space"]);
        let failed = std::fs::read_to_string(Path::new(&root).join(BUCKET).join("failed.txt")).unwrap_or_default();
        assert_eq!(failed, "", "no task was given up");
        mount("remount,size=100m", Path::new(&root));
        world.dayfly(&["run", "--local", &root, "-n", "2"]).await.expect(0, &["10 of 10 done"]);
        demo_is_done(world, &root).await;
    });
}

#[test]
fn a_read_only_folder() {
    in_namespace("on_a_read_only_folder");
}

/// A folder that cannot be written: said so; what is there can still be read.
#[test]
#[ignore = "runs in a mount namespace of its own"]
fn on_a_read_only_folder() {
    let Ok(root) = std::env::var(MOUNT) else { return };
    run(Kind::Folder, async |world: &World| {
        mount("size=100m", Path::new(&root));
        world.dayfly(&["run", "--local", &root, "--demo", "-n", "2"]).await.expect(0, &["10 of 10 done"]);
        mount("remount,ro", Path::new(&root));
        world.dayfly(&["status", "--local", &root]).await.expect(0, &["10 of 10 done"]);
        demo_is_done(world, &root).await;
        for line in [
            ["pause", "--local", &root].as_slice(),
            &["seed", "s3://dayfly/new", "--local", &root, "--demo"],
            &["seed", "s3://other/job", "--local", &root, "--demo"],
        ] {
            world.dayfly(line).await.expect(1, &["error:", &root, "read-only"]);
        }
    });
}
