//! One run of a program, from its order to its report.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::records::Usage;
use futures::future::BoxFuture;
use rustix::fs::statvfs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::mask::Mask;
use super::outcome::{self, Why};
use super::{Capture, Program, Room, environment};
use crate::processor::{Failure, TaskIo, on_disk};
use crate::supervisor::{Contained, End, Order, Report, WORD};

/// A log under way is put for readers now and then: often while it is small, as a put costs as much as five heartbeats.
const LOG_EVERY: Duration = Duration::from_secs(30);
const LONG_LOG_EVERY: Duration = Duration::from_secs(300);
const LONG_LOG_BYTES: u64 = 1 << 20;

/// Below so much free space the task that fills the disk most is stopped, before its neighbours fail.
const DISK_RESERVE_BYTES: u64 = 256 << 20;
const DISK_LOOK: Duration = Duration::from_millis(500);

/// Between the end of a program that drains and the deadline: for its checkpoint, and the chunk's release.
const RELEASE_MARGIN: Duration = Duration::from_secs(15);

/// A program, ready to be started.
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it starts.
    pub folder: PathBuf,
    /// Where its standard output goes, if not to the log.
    pub stdout: Option<PathBuf>,
    /// The container that it starts.
    pub container: Option<Containment>,
    /// Its secrets, by the names of variables: a container's came with its order.
    pub secrets: BTreeMap<String, String>,
}

/// A container that a program starts: an engine's client, which runs as the agent.
pub struct Containment {
    /// The container's name.
    pub name: String,
    /// The client's environment.
    pub environment: BTreeMap<String, String>,
    /// How it is looked at and removed.
    pub contained: Contained,
    /// Whether it runs below the engine's client, so that what it uses is seen: with podman, not with docker's daemon.
    pub is_measured: bool,
}

/// Whoever drops it ends the program; the folders go once nothing of it runs.
struct Running {
    child: Option<Child>,
    line: Option<ChildStdin>,
    room: Option<Room>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The line breaks, and the supervisor kills all there is.
        drop(self.line.take());
        let (child, room) = (self.child.take(), self.room.take());
        if let (Some(mut child), Ok(runtime)) = (child, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = child.wait().await;
                drop(room);
            });
        }
    }
}

impl Program {
    /// Runs a program in `room` to its end, and puts its log. The room comes back if it did what it should.
    ///
    /// # Errors
    /// What went wrong, in words; a program that was stopped has left its checkpoint.
    pub async fn run(&self, task: &mut TaskIo, room: Room, launch: Launch) -> Result<Room, Failure> {
        let broken = |e: io::Error| on_disk("the program's log cannot be written", &e);
        let mut log = Capture::create(&room.log()).map_err(broken)?;
        let contained = launch.container.is_some();
        let is_measured = launch.container.as_ref().is_none_or(|container| container.is_measured);
        let credentials = match contained {
            // They came with its order.
            true => BTreeMap::new(),
            false => self.credentials(self.workshop.user.is_some()).await?,
        };
        let (mut report, asked, room) = match self.attend(task, room, launch, credentials, &mut log).await {
            Ok(ended) => ended,
            Err(error) => {
                return Err(on_disk(&format!("the supervisor {} failed", self.workshop.supervisor.display()), &error));
            }
        };
        let mut trouble = None;
        if contained {
            trouble = super::contained::settle(&mut report, &room, self.settings.memory_limit_mib, asked.is_some());
        }
        if report.left_behind > 0 {
            tracing::warn!(task = %task.task.id, left_behind = report.left_behind, "the program left processes; killed");
        }
        tracing::info!(
            task = %task.task.id, end = ?report.end, cpu_ms = report.cpu_ms, wall_ms = report.wall_ms,
            peak_memory_bytes = report.peak_memory_bytes, "the program ended"
        );
        let Report { peak_memory_bytes, cpu_ms, wall_ms, .. } = report;
        if is_measured {
            task.note_usage(Usage { peak_memory_bytes, cpu_ms, wall_ms });
        }
        let verdict = match trouble {
            // It may write on into its folders: nothing in them is known to be whole.
            Some(error) => Err(Failure::Processor { error, permanent: false }),
            None => outcome::judge(&report, asked, self.settings.memory_limit_mib, &log.last_lines()),
        };
        let remark = match &verdict {
            Ok(()) => None,
            Err(failure) => Some(failure.to_string()),
        };
        if log.written() > 0 || remark.is_some() {
            task.put_log(&log.view().map_err(broken)?, Some(remark.as_deref().unwrap_or("the program ended well")))
                .await;
        }
        if verdict == Err(Failure::Stopped) {
            match super::checkpoint::save(task, &room).await {
                Ok(saved) => tracing::info!(task = %task.task.id, saved, "stopped"),
                Err(error) => tracing::warn!(task = %task.task.id, %error, "its checkpoint is lost"),
            }
        }
        verdict.map(|()| room)
    }

    async fn attend(
        &self,
        task: &TaskIo,
        room: Room,
        launch: Launch,
        credentials: BTreeMap<String, String>,
        log: &mut Capture,
    ) -> io::Result<(Report, Option<Why>, Room)> {
        let clock = &*self.workshop.clock;
        let began = clock.now();
        let over = began.at.after(self.time_limit);
        let deadline = began.wall.after(self.time_limit);
        let scope = self.workshop.cgroups.get().and_then(Option::as_ref);
        let mut environment = environment::of(&self.settings, &room, task, deadline);
        for (name, value) in credentials {
            environment.entry(name).or_insert(value);
        }
        let mut masks = [(); 2].map(|()| Mask::new(launch.secrets.values()));
        environment.extend(launch.secrets);
        let mut order = Order {
            argv: launch.argv,
            folder: launch.folder,
            environment,
            user: self.workshop.user,
            grace: self.settings.stop_grace(),
            memory_limit_bytes: self.settings.memory_limit_mib.map(|mib| u64::from(mib) << 20),
            scope: scope.map(|cgroups| cgroups.scope(&task.attempt.to_string())),
            report: room.report(),
            container: None,
        };
        if let Some(container) = launch.container {
            // The engine sees to the user and to the memory: the client's own is the agent's.
            (order.user, order.memory_limit_bytes, order.scope) = (None, None, None);
            (order.environment, order.container) = (container.environment, Some(container.contained));
        }
        order.keep_room_for_the_report()?;
        let mut child = self.start(&order, launch.stdout.as_deref().map(File::create).transpose()?)?;
        let (mut line, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        if let Some(line) = &mut line {
            let mut text = serde_json::to_vec(&order)?;
            text.push(b'\n');
            line.write_all(&text).await?;
        }
        let mut running = Running { child: Some(child), line, room: Some(room) };
        let (mut stdout, mut stderr) = (Pipe::new(stdout), Pipe::new(stderr));
        let (mut asked, mut drained) = (None, None);
        let (mut next_log, mut logged) = (began.at.after(LOG_EVERY), 0);
        let mut next_look = began.at.after(DISK_LOOK);
        // Beside all else: a store that does not answer must not keep a program beyond its time.
        let mut shipping: Option<BoxFuture<'_, ()>> = None;
        while stdout.is_open() || stderr.is_open() {
            let now = clock.now().at;
            let drain_at = drained.map(|deadline: Moment| self.stop_at(deadline, now));
            let ends = [Some(over), drain_at].into_iter().flatten().filter(|_| asked.is_none());
            let wake = ends.chain([next_look]).min().unwrap_or(next_look);
            // What a program writes comes last but for the clock, which is read in any case: one that never stops writing
            // is looked after as well.
            tokio::select! {
                biased;
                deadline = task.drained(drained) => drained = Some(deadline),
                () = done(&mut shipping) => shipping = None,
                piece = stdout.read() => log.write(&masks[0].pass(piece)),
                piece = stderr.read() => log.write(&masks[1].pass(piece)),
                () = clock.sleep(wake.since(now)) => {}
            }
            let now = clock.now().at;
            let why = if now >= over {
                Some(Why::TimeIsUp(self.time_limit))
            } else if drain_at.is_some_and(|at| now >= at) {
                Some(Why::Draining)
            } else if now >= next_look {
                next_look = now.after(DISK_LOOK);
                self.fills_the_disk(running.room.as_ref()).then_some(Why::DiskFull)
            } else {
                None
            };
            if let (Some(why), None) = (why, asked) {
                asked = Some(why);
                if let Some(line) = &mut running.line {
                    // A program that has ended meanwhile hears nothing.
                    let _ = line.write_all(b"!").await;
                }
            }
            if now >= next_log && shipping.is_none() {
                if log.written() > logged {
                    logged = log.written();
                    let view = log.view()?;
                    shipping = Some(Box::pin(async move { task.put_log(&view, None).await }));
                }
                let pause = if logged > LONG_LOG_BYTES { LONG_LOG_EVERY } else { LOG_EVERY };
                next_log = now.after(pause);
            }
        }
        masks.iter_mut().for_each(|mask| log.write(&mask.rest()));
        // The whole of it follows.
        drop(shipping);
        if let Some(child) = &mut running.child {
            child.wait().await?;
        }
        running.child = None;
        let room = running.room.take().ok_or(io::ErrorKind::NotFound)?;
        let report = match std::fs::read(room.report()) {
            Ok(report) => serde_json::from_slice(&report)?,
            // Somebody killed the supervisor. What it supervised may live, unless it is in a group of its own; it is not
            // trusted to have ended well.
            Err(_) => {
                if let Some(scope) = order.scope {
                    scope.put_away(clock).await;
                }
                Report::of(End::Signal(9))
            }
        };
        // A program may come to its end by a full disk before anybody looks.
        if asked.is_none() && report.end != End::Exit(0) && self.fills_the_disk(Some(&room)) {
            asked = Some(Why::DiskFull);
        }
        Ok((report, asked, room))
    }

    fn start(&self, order: &Order, stdout: Option<File>) -> io::Result<Child> {
        let mut command = Command::new(&self.workshop.supervisor);
        command.arg(WORD).stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(stdout.map_or_else(Stdio::piped, Stdio::from));
        // The environment is the order's; that of the agent, with its credentials, is nobody's.
        command.env_clear().current_dir(&order.folder).spawn()
    }

    /// When a program has to be asked to end, so that what it leaves is in the store by the deadline.
    fn stop_at(&self, deadline: Moment, now: Moment) -> Moment {
        let left = deadline.since(now);
        now.after(left.saturating_sub(self.settings.stop_grace() + RELEASE_MARGIN))
    }

    /// Whether the disk is nearly full, and no other task uses more of it.
    fn fills_the_disk(&self, room: Option<&Room>) -> bool {
        let work_dir = &self.workshop.work_dir;
        let Ok(disk) = statvfs(work_dir) else { return false };
        // A small disk is not full from the start.
        let reserve = DISK_RESERVE_BYTES.min(disk.f_blocks * disk.f_frsize / 20);
        if disk.f_bavail * disk.f_frsize >= reserve {
            return false;
        }
        let mine = room.map_or(0, Room::size);
        let most = Room::all(work_dir).map(|folder| super::room::size_of(&folder)).max().unwrap_or(0);
        mine >= most
    }
}

/// Completes when what is under way is done.
async fn done(work: &mut Option<BoxFuture<'_, ()>>) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// One of the program's outputs, until it is closed.
struct Pipe<R>(Option<R>);

impl<R: tokio::io::AsyncRead + Unpin> Pipe<R> {
    fn new(pipe: Option<R>) -> Self {
        Self(pipe)
    }

    fn is_open(&self) -> bool {
        self.0.is_some()
    }

    async fn read(&mut self) -> Vec<u8> {
        /// What a pipe holds (pipe(7)).
        const PIECE: usize = 64 << 10;
        let Some(pipe) = &mut self.0 else { return std::future::pending().await };
        let mut piece = Vec::with_capacity(PIECE);
        match pipe.read_buf(&mut piece).await {
            Ok(1..) => piece,
            _ => {
                self.0 = None;
                Vec::new()
            }
        }
    }
}
