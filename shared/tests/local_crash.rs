//! A process that is killed in the middle of a write leaves the old object with its old metadata, or the new one with
//! its new.

#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::clock::SystemClock;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Attributes, Condition, LocalStore, ObjectMeta, Outcome, Store, StoreExt};
use md5::{Digest, Md5};

const DIR: &str = "DAYFLY_TEST_DIR";
const SEED: &str = "DAYFLY_TEST_SEED";
/// A folder and its object contend for a name, so that kills fall into that, too.
const KEYS: [&str; 6] = ["k", "k/below", "k/below/it", "out/1", "//", "long/../name"];
/// Large enough that most kills fall into the writing of a body.
const LARGEST: u64 = 1 << 20;
const PART_BYTES: usize = 5 << 20;
/// Rounds are run until kills have left their mark, and at least so many.
const ROUNDS: u64 = 30;
const ROUNDS_MAX: u64 = 400;

fn open(dir: &Path) -> LocalStore {
    LocalStore::open(dir, "crash", Arc::new(SystemClock)).unwrap()
}

/// A body that tells whether it is whole: its mark, its length, its mark over and over.
fn body(mark: u64, length: usize) -> Bytes {
    let pattern = format!("{mark:016x} {length:016x} ").into_bytes();
    let mut body = pattern.repeat(length / pattern.len() + 1);
    body.truncate(length.max(pattern.len()));
    body.into()
}

/// Not a test: writes until it is killed, and says so after each write.
#[tokio::test]
#[ignore = "a writer, started and killed by the test"]
async fn writer() {
    let (Ok(dir), Ok(seed)) = (std::env::var(DIR), std::env::var(SEED)) else { return };
    let store = open(Path::new(&dir));
    let dice = StdDice::seeded(seed.parse().unwrap());
    loop {
        let key = KEYS[usize::try_from(dice.below(KEYS.len() as u64)).unwrap()];
        let mark = dice.next_u64();
        let attributes = Attributes::default().with("mark", format!("{mark:016x}"));
        let small = usize::try_from(dice.below(LARGEST)).unwrap();
        match dice.below(10) {
            0..6 => {
                let put = store.put(key, body(mark, small), &attributes, &Condition::Overwrite).await.unwrap();
                assert!(matches!(put, Outcome::Applied(_)), "{put:?}");
            }
            6..8 => {
                store.delete(key, None).await.unwrap();
            }
            one_or_two => {
                let length = if one_or_two == 8 { small } else { PART_BYTES + small };
                let body = body(mark, length);
                let upload = store.upload_begin(key, &attributes).await.unwrap();
                let mut parts = Vec::new();
                for (number, piece) in (1..).zip(body.chunks(PART_BYTES)) {
                    let piece = body.slice_ref(piece);
                    parts.push(store.upload_part(&upload, number, piece).await.unwrap());
                }
                let put = store.upload_complete(&upload, &parts, &Condition::Overwrite).await.unwrap();
                assert!(matches!(put, Outcome::Applied(_)), "{put:?}");
            }
        }
        println!("wrote");
        std::io::stdout().flush().unwrap();
    }
}

/// The object is one that the writer wrote, whole, with what belongs to it.
fn assert_whole(key: &str, meta: &ObjectMeta, content: &Bytes) {
    let head = std::str::from_utf8(&content[..34]).unwrap();
    let (mark, length) = (&head[..16], usize::from_str_radix(&head[17..33], 16).unwrap());
    assert_eq!(*content, body(u64::from_str_radix(mark, 16).unwrap(), length), "{key} is torn");
    assert_eq!(meta.size, content.len() as u64, "{key}");
    assert_eq!(meta.metadata.get("mark").map(String::as_str), Some(mark), "{key} has another version's metadata");
    let md5 = |bytes: &[u8]| Md5::digest(bytes);
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digests: Vec<u8> = content.chunks(PART_BYTES).flat_map(&md5).collect();
    let (plain, parts) = (hex(&md5(content)), format!("{}-{}", hex(&md5(&digests)), digests.len() / 16));
    let etag = meta.etag.as_str();
    assert!(etag == plain || etag == parts, "{key} has another version's ETag {etag}");
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_objects() {
    let dir = tempfile::tempdir().unwrap();
    let dice = StdDice::from_os();
    let seed = dice.next_u64();
    println!("seed {seed}");
    let dice = StdDice::seeded(seed);
    let tmp = dir.path().join(".dayfly/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let (mut objects, mut round) = (0, 0);
    let mut left: BTreeSet<_> = BTreeSet::new();
    while round < ROUNDS || (left.is_empty() && round < ROUNDS_MAX) {
        round += 1;
        let mut writer = rig::again("writer")
            .env(DIR, dir.path())
            .env(SEED, dice.next_u64().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Kept open until the kill: a writer must not notice that nobody listens any more.
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let writes = 1 + usize::try_from(dice.below(8)).unwrap();
        let seen = lines.by_ref().map(Result::unwrap).filter(|line| line.ends_with("wrote")).take(writes).count();
        assert_eq!(seen, writes, "the writer ended by itself");
        // Some way into its next write.
        for _ in 0..dice.below(2000) {
            std::thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();

        // Another process, or this one, goes on at once.
        let store = open(dir.path());
        for entry in store.list_all("").await.unwrap() {
            let (meta, content) = store.read(&entry.key).await.unwrap().unwrap();
            assert_eq!((&entry.etag, entry.size), (&meta.etag, meta.size));
            assert_whole(&entry.key, &meta, &content);
            let again = Attributes::default().with("mark", format!("{:016x}", 7));
            let update = store.put(&entry.key, body(7, 40), &again, &Condition::Update(meta.etag)).await.unwrap();
            assert!(matches!(update, Outcome::Applied(_)), "{update:?}");
            objects += 1;
        }
        left.extend(std::fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().file_name()));
    }
    println!("{round} kills, {objects} objects checked, {} temporary files left", left.len());
    assert!(objects > 0);
    assert!(!left.is_empty(), "no kill fell into a write: nothing was tested");
}

/// What the dead left is removed after a day, and nothing else.
#[tokio::test]
async fn files_of_dead_processes_go_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join(".dayfly/tmp");
    std::fs::create_dir_all(tmp.join("4194305-2")).unwrap();
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let dead_pid = dead.id();
    dead.wait().unwrap();
    let own = std::process::id();
    for name in [format!("{dead_pid}-0"), format!("{dead_pid}-1"), format!("{own}-999999"), "4194305-2/part".to_owned()]
    {
        std::fs::write(tmp.join(name), "half").unwrap();
    }
    for old in [format!("{dead_pid}-0"), format!("{own}-999999"), "4194305-2".to_owned()] {
        let status = std::process::Command::new("touch").args(["-d", "25 hours ago"]).arg(tmp.join(old)).status();
        assert!(status.unwrap().success());
    }
    open(dir.path());
    let left: BTreeSet<String> =
        std::fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left, BTreeSet::from([format!("{dead_pid}-1"), format!("{own}-999999")]));
}
