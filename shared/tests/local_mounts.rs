//! The directory on a file system that is full or read-only. Each test runs again in a mount namespace of its own,
//! where it may mount; where that is not permitted it says so and is skipped.

#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::clock::SystemClock;
use dayfly_shared::store::{
    Attributes, Condition, LocalStore, Outcome, Rejection, Store, StoreError, StoreErrorKind, StoreExt,
};

const DIR: &str = "DAYFLY_TEST_MOUNT";

/// Runs the ignored test `name` in a namespace of its own, with an empty directory to mount on.
fn in_namespace(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs"]).arg(&mount).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return println!("SKIPPED: no mounts here: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return println!("SKIPPED: unshare cannot be run: {error}"),
    }
    let status = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(rig::again_args(name))
        .env(DIR, &mount)
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed; its output is above");
}

fn mount(options: &str, dir: &Path) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).status().unwrap();
    assert!(status.success());
}

fn open(dir: &Path) -> LocalStore {
    LocalStore::open(dir, "mounts", Arc::new(SystemClock)).unwrap()
}

async fn put(store: &LocalStore, key: &str, size: usize, condition: Condition) -> Result<Outcome<()>, StoreError> {
    let attributes = Attributes::default().with("size", size.to_string());
    let outcome = store.put(key, Bytes::from(vec![7; size]), &attributes, &condition).await?;
    Ok(match outcome {
        Outcome::Applied(_) => Outcome::Applied(()),
        Outcome::Rejected(why) => Outcome::Rejected(why),
        Outcome::Unknown(why) => Outcome::Unknown(why),
    })
}

fn temporary_files(dir: &Path) -> usize {
    fs::read_dir(dir.join(".dayfly/tmp")).map(Iterator::count).unwrap_or(0)
}

/// The object is there, whole, with the metadata that it was put with.
async fn assert_stands(store: &LocalStore, key: &str, size: usize) {
    let (meta, body) = store.read(key).await.unwrap().unwrap_or_else(|| panic!("{key} is absent"));
    assert_eq!(body.len(), size, "{key}");
    assert_eq!(meta.metadata.get("size"), Some(&size.to_string()), "{key}");
}

#[test]
fn full_disk() {
    in_namespace("on_a_full_disk");
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn on_a_full_disk() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    mount("size=2m", dir);
    let store = open(dir);
    assert_eq!(put(&store, "old", 500_000, Condition::Create).await, Ok(Outcome::Applied(())));
    let full = |result: Result<Outcome<()>, StoreError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Full);
        let text = error.to_string();
        assert!(text.contains(dir.to_str().unwrap()) && text.contains("free some space"), "{text}");
    };
    full(put(&store, "new", 3_000_000, Condition::Create).await);
    full(put(&store, "old", 3_000_000, Condition::Overwrite).await);
    let etag = store.head("old").await.unwrap().unwrap().etag;
    full(put(&store, "old", 3_000_000, Condition::Update(etag)).await);
    let upload = store.upload_begin("new", &Attributes::default()).await.unwrap();
    let part = store.upload_part(&upload, 1, Bytes::from(vec![1; 3_000_000])).await;
    assert_eq!(part.unwrap_err().kind, StoreErrorKind::Full);
    assert_eq!(temporary_files(dir), 0, "a failed write left its file");
    assert!(store.head("new").await.unwrap().is_none());
    assert_stands(&store, "old", 500_000).await;
    // The space of what failed is free again, and the lock is, too.
    assert_eq!(put(&store, "new", 1_000_000, Condition::Create).await, Ok(Outcome::Applied(())));
    assert_eq!(store.delete("new", None).await.unwrap(), Outcome::Applied(()));
}

#[test]
fn no_inodes() {
    in_namespace("without_inodes");
}

/// With every number of inodes in turn, so that each step of a write once is the one that fails.
#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn without_inodes() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (mut failed, mut whole) = (0, 0);
    for inodes in 2..24 {
        let dir = Path::new(&dir).join(inodes.to_string());
        fs::create_dir(&dir).unwrap();
        mount(&format!("nr_inodes={inodes}"), &dir);
        let store = open(&dir);
        let mut standing = Vec::new();
        for (key, size) in [("a", 10), ("a", 20), ("d/e/f", 30), ("a/b", 40), ("d/e/f", 50)] {
            match put(&store, key, size, Condition::Overwrite).await {
                Ok(Outcome::Applied(())) => {
                    standing.retain(|(other, _)| *other != key);
                    standing.push((key, size));
                }
                Err(error) if error.kind == StoreErrorKind::Full => failed += 1,
                other => panic!("{inodes} inodes, {key}: {other:?}"),
            }
            assert_eq!(temporary_files(&dir), 0, "{inodes} inodes, {key}: a failed write left its file");
            for (key, size) in &standing {
                assert_stands(&store, key, *size).await;
            }
            let mut keys: Vec<&str> = standing.iter().map(|(key, _)| *key).collect();
            keys.sort_unstable();
            let listed: Vec<_> = store.list_all("").await.unwrap().into_iter().map(|entry| entry.key).collect();
            assert_eq!(listed, keys, "{inodes} inodes");
        }
        whole += usize::from(standing.len() == 3);
    }
    assert!(failed > 10 && whole > 1, "{failed} writes failed, {whole} runs did not");
}

#[test]
fn read_only() {
    in_namespace("on_a_read_only_disk");
}

#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn on_a_read_only_disk() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    mount("size=4m", dir);
    let store = open(dir);
    put(&store, "a/object", 1000, Condition::Create).await.unwrap();
    let upload = store.upload_begin("u", &Attributes::default()).await.unwrap();
    let part = store.upload_part(&upload, 1, Bytes::from_static(b"x")).await.unwrap();
    fs::write(dir.join("by hand"), "by hand").unwrap();
    let bare = dir.join("bare");
    fs::create_dir(&bare).unwrap();
    fs::write(bare.join("by hand"), "by hand").unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().unwrap();
    assert!(remounted.success());

    // One that had been written to, and one that never was.
    for (store, count) in [(open(dir), 3), (open(&bare), 1)] {
        assert_eq!(store.list_all("").await.unwrap().len(), count);
        let (meta, body) = store.read("by hand").await.unwrap().unwrap();
        assert_eq!((&body[..], meta.size), (&b"by hand"[..], 7));
        let refused = |error: StoreError| {
            assert_eq!(error.kind, StoreErrorKind::ReadOnly, "{error}");
            let text = error.to_string();
            assert!(text.contains(store.dir().to_str().unwrap()) && text.contains("remount"), "{text}");
        };
        for condition in [Condition::Overwrite, Condition::Update(meta.etag.clone())] {
            refused(put(&store, "by hand", 10, condition).await.unwrap_err());
        }
        refused(put(&store, "new", 10, Condition::Create).await.unwrap_err());
        refused(store.delete("by hand", None).await.unwrap_err());
        refused(store.upload_begin("k", &Attributes::default()).await.unwrap_err());
        // What fails whatever the disk is like is told as such.
        let taken = put(&store, "by hand", 10, Condition::Create).await;
        assert_eq!(taken, Ok(Outcome::Rejected(Rejection::Precondition)));
        assert_eq!(store.delete("absent", None).await.unwrap(), Outcome::Rejected(Rejection::Missing));
        assert_eq!(store.read("by hand").await.unwrap().unwrap().1, "by hand");
    }
    let store = open(dir);
    assert_stands(&store, "a/object", 1000).await;
    assert_eq!(store.uploads("").await.unwrap(), vec![upload.clone()]);
    let refused = store.upload_complete(&upload, &[part], &Condition::Create).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::ReadOnly);
    assert_eq!(store.upload_abort(&upload).await.unwrap_err().kind, StoreErrorKind::ReadOnly);
}

#[test]
fn stopped_between_steps() {
    in_namespace("stops_between_steps");
}

/// A mount on a file keeps it from being renamed over: that stops a write at a step of choice, as a death there would.
#[tokio::test]
#[ignore = "runs in a namespace of its own"]
async fn stops_between_steps() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    mount("size=4m", dir);
    let store = open(dir);
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    let sidecar_of = |store: &LocalStore| {
        let shard = fs::read_dir(store.dir().join(".dayfly/meta")).unwrap().next().unwrap().unwrap();
        fs::read_dir(shard.path()).unwrap().next().unwrap().unwrap().path()
    };
    put(&store, "k", 10, Condition::Create).await.unwrap();
    put(&store, "k", 20, Condition::Overwrite).await.unwrap();
    let before = store.head("k").await.unwrap().unwrap();
    // Before the sidecar is in place, and before the body is: the old version stands, and its metadata with it.
    for file in [sidecar_of(&store), dir.join("k")] {
        run(Command::new("mount").arg("--bind").arg(&file).arg(&file));
        for size in [30, 40] {
            let stopped = put(&store, "k", size, Condition::Overwrite).await;
            assert!(matches!(stopped, Ok(Outcome::Unknown(_))), "{stopped:?}");
            assert_stands(&store, "k", 20).await;
        }
        let after = open(dir).head("k").await.unwrap().unwrap();
        assert_eq!((&after.etag, &after.metadata), (&before.etag, &before.metadata), "{}", file.display());
        assert_eq!(temporary_files(dir), 0);
        run(Command::new("umount").arg(&file));
    }
    assert_eq!(put(&store, "k", 50, Condition::Update(before.etag)).await, Ok(Outcome::Applied(())));
    assert_stands(&store, "k", 50).await;
    // A deletion that stops leaves the object with its metadata; the same for a body that is gone before its sidecar.
    let body = dir.join("k");
    run(Command::new("mount").arg("--bind").arg(&body).arg(&body));
    assert!(matches!(store.delete("k", None).await, Ok(Outcome::Unknown(_))));
    assert_stands(&store, "k", 50).await;
    run(Command::new("umount").arg(&body));
    let sidecar = sidecar_of(&store);
    run(Command::new("mount").arg("--bind").arg(&sidecar).arg(&sidecar));
    assert!(matches!(store.delete("k", None).await, Ok(Outcome::Unknown(_))));
    assert!(store.head("k").await.unwrap().is_none());
    run(Command::new("umount").arg(&sidecar));
    assert_eq!(put(&store, "k", 60, Condition::Create).await, Ok(Outcome::Applied(())));
    assert_stands(&store, "k", 60).await;
}
