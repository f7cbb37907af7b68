//! A temporary folder of buckets, the program, and a job made by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{SystemClock, Timestamp};
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::job::{JobSettings, Location, SCHEMA};
use dayfly_shared::keys::{View, slug};
use dayfly_shared::plan::{Frozen, Segment, join_lines};
use dayfly_shared::records::{
    AttemptEnd, AttemptRecord, DeadLetter, LeaseState, ResultRecord, Semaphore, TaskOutcome, TaskResult, TenureEnd,
    TenureRecord,
};
use dayfly_shared::store::{Condition, LocalStore, Outcome};
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The result as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// That it failed so, with all these words on standard error.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}' in: {}", self.stderr);
        }
        assert_eq!(self.stderr.lines().count(), 1, "one line says it all: {}", self.stderr);
    }

    /// That it did what was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// The program with an environment in which nothing of the tester's own is set.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dayfly"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("DAYFLY_") || text == "NO_COLOR" {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of buckets with the job `s3://dayfly/`.
pub struct Rig {
    dir: TempDir,
}

impl Rig {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a job laid out as the demo's, of a few bytes: `in0.dat` to `in9.dat`, the outputs of the first three.
    pub fn seeded() -> Self {
        let rig = Self::new();
        fs::create_dir_all(rig.at("")).unwrap();
        fs::write(rig.at("kernel.dat"), "k").unwrap();
        (0..10).for_each(|n| fs::write(rig.at(&format!("in{n}.dat")), "input").unwrap());
        (0..3).for_each(|n| fs::write(rig.at(&format!("out{n}.dat")), format!("done{n}")).unwrap());
        rig.dayfly(&["seed"]).ok();
        rig
    }

    /// The folder of buckets.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("buckets")
    }

    /// A path in the job's bucket.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder().join("dayfly").join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// A file beside the buckets, and its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A path beside the buckets.
    pub fn beside(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Runs the program on the folder.
    pub fn dayfly(&self, args: &[&str]) -> Ran {
        run(command(args).arg("--local").arg(self.folder()).current_dir(self.dir.path()))
    }

    /// The store of a bucket.
    pub fn store(&self, bucket: &str) -> LocalStore {
        LocalStore::open(&self.folder().join(bucket), bucket, Arc::new(SystemClock)).unwrap()
    }

    /// The job's objects.
    pub fn job(&self) -> JobBucket {
        JobBucket::new("s3://dayfly/".parse().unwrap(), Arc::new(self.store("dayfly")))
    }

    /// Plans these names, as agents would, one task a chunk.
    pub async fn plan(&self, names: &[&str]) {
        let text = join_lines(names);
        let frozen = Frozen { settings: Some(settings(self)), source: None, by: agent(), at: at(0) };
        let segment = Segment::cut(1, &text, 1, frozen);
        applied(self.job().put_segment_text(1, text).await.unwrap());
        applied(self.job().put_segment(&segment).await.unwrap());
    }

    /// Closes a chunk as done.
    pub async fn done(&self, line: u32, name: &str) {
        let outcome = TaskOutcome::Done { bytes: 5, checksum: None, attempt: None };
        self.close(line, name, outcome, AttemptEnd::Done).await;
    }

    /// Closes a chunk as given up, with its dead letter.
    pub async fn given_up(&self, line: u32, name: &str, error: &str) {
        let (job, task) = (self.job(), TaskId { segment: 1, line });
        let letter = DeadLetter {
            schema: SCHEMA,
            task,
            name: name.to_owned(),
            error: error.to_owned(),
            attempts: vec![attempt(task, AttemptEnd::Failed, Some(error))],
            at: at(u64::from(line)),
            log: None,
        };
        let key = job.keys.dead_letter(task, Some(&slug(name)));
        applied(job.put_json(&key, &letter, &Condition::Create).await.unwrap());
        self.close(line, name, TaskOutcome::Failed { error: error.to_owned() }, AttemptEnd::Failed).await;
    }

    async fn close(&self, line: u32, name: &str, outcome: TaskOutcome, end: AttemptEnd) {
        let (job, task) = (self.job(), TaskId { segment: 1, line });
        let chunk = ChunkId { segment: 1, index: line };
        let (from, to) = (at(u64::from(line)), at(u64::from(line) + 1));
        let tenure = TenureRecord { agent: agent(), epoch: 1, tenure: Nonce(1), from, to, end: TenureEnd::Closed };
        let attempts = vec![attempt(task, end, None)];
        let result = ResultRecord {
            schema: SCHEMA,
            chunk,
            tenures: vec![tenure],
            tasks: vec![TaskResult { task, name: name.to_owned(), outcome, attempts }],
        };
        let key = job.keys.result(chunk, Some(&slug(name)));
        applied(job.put_json(&key, &result, &Condition::Create).await.unwrap());
    }

    /// Puts a semaphore on a chunk.
    pub async fn hold(&self, line: u32, name: &str) {
        let (job, chunk) = (self.job(), ChunkId { segment: 1, index: line });
        let semaphore = Semaphore {
            schema: SCHEMA,
            agent: agent(),
            tenure: Nonce(1),
            write: 1,
            epoch: 1,
            ttl_seconds: 3600,
            state: LeaseState::Held,
            since: at(0),
            name: Some(name.to_owned()),
            decided: 0,
            running: None,
            attempts: Vec::new(),
            losses: 0,
            tenures: Vec::new(),
        };
        let key = job.keys.semaphore(chunk, Some(&slug(name)));
        applied(job.put_json(&key, &semaphore, &Condition::Create).await.unwrap());
    }

    /// Writes a list as agents do, with their mark.
    pub async fn view(&self, view: View, lines: &[&str]) {
        applied(self.job().put_view(view, join_lines(lines), &Condition::Overwrite).await.unwrap());
    }
}

fn settings(rig: &Rig) -> JobSettings {
    JobSettings::parse(&fs::read(rig.at("job.json")).unwrap()).unwrap()
}

#[track_caller]
fn applied<T: std::fmt::Debug>(outcome: Outcome<T>) {
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}

pub fn agent() -> AgentId {
    "tester-00000001".parse().unwrap()
}

fn at(s: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + s * 1000)
}

fn attempt(task: TaskId, end: AttemptEnd, error: Option<&str>) -> AttemptRecord {
    let (from, to) = (at(u64::from(task.line)), at(u64::from(task.line) + 1));
    let attempt = Attempt { epoch: 1, tenure: Nonce(1), n: 1 };
    AttemptRecord { task, attempt, agent: agent(), from, to, end, error: error.map(str::to_owned), usage: None }
}

/// The names of all files below a folder, but for what the store keeps for itself.
pub fn files(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == ".dayfly" {
                continue;
            }
            match entry.path().is_dir() {
                true => walk(&entry.path(), &format!("{prefix}{name}/"), all),
                false => all.push(format!("{prefix}{name}")),
            }
        }
    }
    let mut all = Vec::new();
    if dir.is_dir() {
        walk(dir, "", &mut all);
    }
    all.sort();
    all
}

/// Two jobs' places are told apart by their prefix.
pub fn place(text: &str) -> Location {
    text.parse().unwrap()
}
