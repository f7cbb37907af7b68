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
use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, geteuid, getpid, kill_process_group, set_child_subreaper, setrlimit,
};
use rustix::thread::{CapabilitySet, capabilities, clear_ambient_capability_set, set_thread_groups};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{self, SignalKind};

use crate::cgroup::{Scope, ScopeOrder};
use family::Family;

pub use container::{Closed, Contained};

/// The word on the command line.
pub const WORD: &str = "supervise";

/// Between two looks at the memory in use: what allocates 1 GB/s is seen within some 100 MB.
const LOOK: Duration = Duration::from_millis(100);
/// The first look comes sooner, so that short programs are seen as well; then each wait is twice the one before.
const FIRST_LOOK: Duration = Duration::from_millis(5);

/// Who a program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group; there are no others.
    pub gid: u32,
}

/// What it takes to run programs as somebody else: to become that user, to hand over folders, to end the programs, and to
/// read and remove what they leave.
const NEEDED: CapabilitySet = CapabilitySet::SETUID
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::DAC_OVERRIDE);

impl User {
    /// The user of that name or number, by /etc/passwd: a static program has no other way to ask.
    ///
    /// # Errors
    /// None such, or no right to run programs as somebody else.
    pub fn find(name: &str) -> Result<Self, String> {
        let table = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd cannot be read: {e}"))?;
        let user = Self::of_table(&table, name)
            .ok_or_else(|| format!("there is no user '{name}' in /etc/passwd; make one, or leave --run-as out"))?;
        let may = capabilities(None).is_ok_and(|mine| mine.effective.contains(NEEDED));
        if !may && geteuid().as_raw() != user.uid {
            return Err(format!(
                "there is no right to run programs as '{name}'; run the agent as root, give it the capabilities of \
                 dayfly-agent.service, or leave --run-as out"
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
    /// The control group to run it in, where there can be one.
    pub scope: Option<ScopeOrder>,
    /// Where the report goes.
    pub report: PathBuf,
    /// The container that the program starts, if it is an engine's client.
    #[serde(default)]
    pub container: Option<Contained>,
}

/// More than any report has.
const REPORT_BYTES: usize = 4096;

impl Order {
    /// The report is to find its place also where the program has filled the disk.
    ///
    /// # Errors
    /// When it is full already.
    pub fn keep_room_for_the_report(&self) -> std::io::Result<()> {
        std::fs::write(part_of(&self.report), [b' '; REPORT_BYTES])
    }
}

fn part_of(report: &Path) -> PathBuf {
    report.with_extension("part")
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
    /// It used more memory than it may, in bytes, as sampled.
    OutOfMemory(u64),
    /// The kernel killed it, as its control group was to use no more memory, or the machine had none left.
    KilledForMemory,
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// CPU time of it and all it started, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory of it and all it started together, as sampled, without the cache of files, in bytes.
    pub peak_memory_bytes: u64,
    /// From its start to its end, in milliseconds.
    pub wall_ms: u64,
    /// Processes that it left behind, and that were killed.
    pub left_behind: u32,
}

impl Report {
    /// Of a program of which nothing else is known.
    pub fn of(end: End) -> Self {
        Self { end, cpu_ms: 0, peak_memory_bytes: 0, wall_ms: 0, left_behind: 0 }
    }
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

fn write(path: &Path, report: &Report) -> Result<(), String> {
    let json = serde_json::to_vec(report).map_err(|e| e.to_string())?;
    let part = part_of(path);
    // Over the spaces that keep its room: JSON may be followed by some.
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&part);
    file.and_then(|file| file.write_all_at(&json, 0))
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

struct Supervisor {
    order: Order,
    line: BufReader<pipe::Receiver>,
    family: Family,
    scope: Option<Scope>,
    clock: SystemClock,
}

impl Supervisor {
    async fn take_order() -> Result<Self, String> {
        // Programs of another user inherit no rights by which the agent runs them as such.
        let _ = clear_ambient_capability_set();
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
        Ok(Self { order, line, family: Family::default(), scope: None, clock: SystemClock })
    }

    async fn run(mut self) -> Report {
        self.scope = match self.order.scope.as_ref().map(|scope| Scope::make(scope, self.order.memory_limit_bytes)) {
            Some(Err(error)) => {
                return Report::of(End::NotStarted(format!("its control group cannot be made: {error}")));
            }
            made => made.and_then(Result::ok),
        };
        let began = self.clock.now().at;
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                self.bury().await;
                let program = self.order.argv.first().map_or("", String::as_str);
                let user = self.order.user.map_or(String::new(), |user| format!(" as user {}", user.uid));
                return Report::of(End::NotStarted(format!("{program}{user}: {error}")));
            }
        };
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut killing_at: Option<Moment> = None;
        let mut asked = false;
        let mut line_is_open = true;
        let mut too_much = None;
        let mut pause = FIRST_LOOK;
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
                        self.kill(group);
                    }
                },
                () = self.clock.sleep(pause) => {
                    pause = (pause * 2).min(LOOK);
                    let memory = self.family.sample(self.scope.as_ref());
                    let bounded = self.scope.as_ref().is_some_and(Scope::bounds_memory);
                    if !bounded
                        && too_much.is_none()
                        && self.order.memory_limit_bytes.is_some_and(|limit| memory > limit)
                    {
                        too_much = Some(memory);
                        self.kill(None);
                    }
                    if killing_at.is_some_and(|at| self.clock.now().at >= at) {
                        self.kill(group);
                    }
                }
            }
        };
        if let Some(container) = &self.order.container {
            container.close(&self.order.environment, &self.clock).await;
            self.family.settle(&self.clock).await;
        }
        let wall = self.clock.now().at.since(began);
        let killed_for_memory = self.scope.as_ref().is_some_and(|scope| scope.memory_kills() > 0);
        let peak_memory_bytes = self.family.peak(self.scope.as_ref());
        // What is left of an engine is no program's.
        let left_behind = if self.order.container.is_some() { 0 } else { self.family.left() };
        // After the last process, and before the group goes.
        let of_the_group = self.scope.as_ref().and_then(Scope::cpu_ms);
        self.bury().await;
        let end = match (too_much, asked) {
            (Some(memory), _) => End::OutOfMemory(memory),
            (None, _) if killed_for_memory => End::KilledForMemory,
            (None, true) => End::Stopped,
            (None, false) => status.map_or_else(|e| End::NotStarted(e.to_string()), end_of),
        };
        Report {
            end,
            cpu_ms: of_the_group.unwrap_or_else(family::cpu_of_the_dead),
            peak_memory_bytes,
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            left_behind,
        }
    }

    /// Kills the program and all it started.
    fn kill(&self, group: Option<Pid>) {
        if let Some(scope) = &self.scope {
            scope.kill();
        }
        self.family.kill();
        signal(group, Signal::KILL);
    }

    /// Kills whatever is left, until nothing is.
    async fn bury(&mut self) {
        if let Some(scope) = self.scope.take() {
            // Faster than anything in it can fork.
            scope.kill();
            self.family.bury(&self.clock).await;
            scope.end(&self.clock).await;
        } else {
            self.family.bury(&self.clock).await;
        }
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
            // The standard library drops the other groups where root runs it, and only there. This process has one thread.
            if geteuid().as_raw() != uid {
                set_thread_groups(&[])?;
            }
            command.uid(uid).gid(gid);
        }
        let mut command = tokio::process::Command::from(command);
        match &self.scope {
            Some(scope) => scope.inside(|| command.spawn()),
            None => command.spawn(),
        }
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
