//! `dayfly-agent supervise`: runs one program and sees to it that nothing of it is left.
//!
//! It stands between the agent and a task's program as a process of its own, for what the agent cannot do while it dies:
//! its standard input is a line that breaks when the agent ends, however that comes about, and then the program and
//! everything that it started is killed. It adopts what the program leaves behind (a child subreaper, prctl(2)), so a
//! process that detached itself is found as well.
//!
//! The order comes as one line of JSON on standard input. Any byte after it asks the program to end (SIGTERM, then SIGKILL
//! after the grace). The report is written as a file when nothing is left.

mod container;
mod family;

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, kill_process_group, set_child_subreaper, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{self, SignalKind};

use family::Family;

pub use container::{Closed, Contained};

/// The word on the command line.
pub const WORD: &str = "supervise";

/// Between two looks at the memory in use: what allocates 1 GB/s is seen within some 100 MB.
const LOOK: Duration = Duration::from_millis(100);

/// Who a program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group; there are no others.
    pub gid: u32,
}

impl User {
    /// The user of that name or number, by /etc/passwd: a static program has no other way to ask.
    ///
    /// # Errors
    /// None such, or no right to run programs as somebody else.
    pub fn find(name: &str) -> Result<Self, String> {
        let table = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd cannot be read: {e}"))?;
        let user = Self::of_table(&table, name)
            .ok_or_else(|| format!("there is no user '{name}' in /etc/passwd; make one, or leave --run-as out"))?;
        let me = rustix::process::geteuid();
        if !me.is_root() && me.as_raw() != user.uid {
            return Err(format!(
                "only root can run programs as '{name}'; run the agent as root, or leave --run-as out"
            ));
        }
        Ok(user)
    }

    /// Lines are name:password:uid:gid:… (passwd(5)).
    pub(crate) fn of_table(table: &str, name: &str) -> Option<Self> {
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [own, _, uid, gid, ..] = fields[..] else { return None };
            (own == name || uid == name).then(|| Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))?
        })
    }
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The folder that it starts in.
    pub folder: PathBuf,
    /// The whole of its environment.
    pub environment: BTreeMap<String, String>,
    /// Who it runs as, if not as who supervises.
    pub user: Option<User>,
    /// How long it may take to end after SIGTERM.
    pub grace: Duration,
    /// The resident memory that it and all it started may use together.
    pub memory_limit_bytes: Option<u64>,
    /// Where the report goes.
    pub report: PathBuf,
    /// The container that the program starts, if it is an engine's client.
    #[serde(default)]
    pub container: Option<Contained>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It could not be started.
    NotStarted(String),
    /// By itself, with an exit code.
    Exit(i32),
    /// By a signal that was not the supervisor's.
    Signal(i32),
    /// On request.
    Stopped,
    /// It used more memory than it may, in bytes.
    OutOfMemory(u64),
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// CPU time of it and all it started, in milliseconds.
    pub cpu_ms: u64,
    /// The most resident memory of it and all it started together, as sampled, in bytes.
    pub peak_memory_bytes: u64,
    /// Processes that it left behind, and that were killed.
    pub left_behind: u32,
}

/// Runs what standard input orders.
pub async fn supervise() -> ExitCode {
    match Supervisor::take_order().await {
        Ok(supervisor) => {
            let path = supervisor.order.report.clone();
            let report = supervisor.run().await;
            match write(&path, &report) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => complain(&why),
            }
        }
        Err(why) => complain(&why),
    }
}

fn complain(why: &str) -> ExitCode {
    eprintln!("dayfly: the supervisor cannot work: {why}");
    ExitCode::FAILURE
}

fn write(path: &std::path::Path, report: &Report) -> Result<(), String> {
    let json = serde_json::to_vec(report).map_err(|e| e.to_string())?;
    let part = path.with_extension("part");
    std::fs::write(&part, json)
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

struct Supervisor {
    order: Order,
    line: BufReader<pipe::Receiver>,
    family: Family,
    clock: SystemClock,
}

impl Supervisor {
    async fn take_order() -> Result<Self, String> {
        // Signals to the whole group (a terminal's, a service manager's) are the agent's to answer: its line says what is to
        // be done here.
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            // Heard of once, a signal never again ends the process.
            drop(unix::signal(kind).map_err(|e| format!("signals cannot be put off: {e}"))?);
        }
        set_child_subreaper(Some(getpid())).map_err(|e| format!("orphans cannot be adopted: {e}"))?;
        let line = std::io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
        let mut line = BufReader::new(line.map_err(|e| format!("standard input is no pipe: {e}"))?);
        let mut order = Vec::new();
        line.read_until(b'\n', &mut order).await.map_err(|e| e.to_string())?;
        let order = serde_json::from_slice(&order).map_err(|e| format!("the order is none: {e}"))?;
        Ok(Self { order, line, family: Family::default(), clock: SystemClock })
    }

    async fn run(mut self) -> Report {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                let end = End::NotStarted(error.to_string());
                return Report { end, cpu_ms: 0, peak_memory_bytes: 0, left_behind: 0 };
            }
        };
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut killing_at: Option<Moment> = None;
        let mut asked = false;
        let mut line_is_open = true;
        let mut too_much = None;
        let status = loop {
            let mut byte = [0];
            tokio::select! {
                biased;
                status = child.wait() => break status,
                read = self.line.read(&mut byte), if line_is_open => match read {
                    Ok(1..) if !asked => {
                        asked = true;
                        killing_at = Some(self.clock.now().at.after(self.order.grace));
                        self.ask_to_end(group);
                    }
                    Ok(1..) => {}
                    // The agent has gone, or wants the end at once.
                    _ => {
                        line_is_open = false;
                        asked = true;
                        self.family.kill();
                        signal(group, Signal::KILL);
                    }
                },
                () = self.clock.sleep(LOOK) => {
                    let memory = self.family.sample();
                    if self.order.memory_limit_bytes.is_some_and(|limit| memory > limit) && too_much.is_none() {
                        too_much = Some(memory);
                        self.family.kill();
                    }
                    if killing_at.is_some_and(|at| self.clock.now().at >= at) {
                        self.family.kill();
                        signal(group, Signal::KILL);
                    }
                }
            }
        };
        if let Some(container) = &self.order.container {
            container.close(&self.order.environment, &self.clock).await;
            self.family.settle(&self.clock).await;
        }
        let left_behind = self.family.bury(&self.clock).await;
        // What is left of an engine is no program's.
        let left_behind = if self.order.container.is_some() { 0 } else { left_behind };
        let end = match (too_much, asked) {
            (Some(memory), _) => End::OutOfMemory(memory),
            (None, true) => End::Stopped,
            (None, false) => status.map_or_else(|e| End::NotStarted(e.to_string()), end_of),
        };
        Report { end, cpu_ms: family::cpu_of_the_dead(), peak_memory_bytes: self.family.peak_memory_bytes, left_behind }
    }

    /// Beside everything else: an engine takes its time.
    fn ask_to_end(&self, group: Option<Pid>) {
        let Some(container) = self.order.container.clone() else { return signal(group, Signal::TERM) };
        let environment = self.order.environment.clone();
        tokio::spawn(async move {
            if !container.stop(&environment, &SystemClock).await {
                // There is none yet: then there will be none.
                signal(group, Signal::TERM);
            }
        });
    }

    fn start(&self) -> std::io::Result<tokio::process::Child> {
        // A core dump of a task is nobody's to read, and fills the disk.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let (program, arguments) = self.order.argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.order.folder)
            .env_clear()
            .envs(&self.order.environment)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(User { uid, gid }) = self.order.user {
            // The standard library drops all other groups with it.
            command.uid(uid).gid(gid);
        }
        tokio::process::Command::from(command).spawn()
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process_group(group, signal);
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}
