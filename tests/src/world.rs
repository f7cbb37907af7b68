//! What one test has to itself: a server, a folder, programs.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::job::Location;
use futures::FutureExt;
use tempfile::TempDir;

use crate::aws::Aws;
use crate::orphans;
use crate::program::{Agent, Ended, Program};
use crate::proxy::Proxy;
use crate::server::{Kind, REGION, Server, program};

/// How long a condition is waited for before the test fails: many times what it takes on a busy machine, and less than
/// the test runner's own limit.
pub const PATIENCE: Duration = Duration::from_secs(400);
/// Between two looks at a condition.
pub const POLL: Duration = Duration::from_millis(50);

/// The bucket of most tests.
pub const BUCKET: &str = "test-bucket";

/// What one test has to itself.
pub struct World {
    kind: Kind,
    folder: TempDir,
    server: Mutex<Option<Arc<Server>>>,
    programs: AtomicUsize,
    /// The jobs, for the report of a failure.
    jobs: Mutex<Vec<JobBucket>>,
}

/// Runs the body of a test in a world of its own; if it fails, says what is in the bucket and what the programs said.
///
/// # Panics
/// If the body does.
pub fn run(kind: Kind, body: impl AsyncFn(&World)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new(kind).await;
        let outcome = AssertUnwindSafe(body(&world)).catch_unwind().await;
        if let Err(panic) = outcome {
            eprintln!("{}", world.report().await);
            std::panic::resume_unwind(panic);
        }
    });
}

impl World {
    /// With a server of this kind, and [`BUCKET`] in it.
    ///
    /// # Panics
    /// If the server does not start.
    pub async fn new(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("dayfly-test-").tempdir().expect("a temporary folder");
        for name in ["programs", "home"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let server = Server::start(kind, folder.path());
        server.create_bucket(BUCKET).await;
        Self {
            kind,
            folder,
            server: Mutex::new(Some(Arc::new(server))),
            programs: AtomicUsize::new(0),
            jobs: Mutex::default(),
        }
    }

    /// Which server it has.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A folder that goes when the test ends.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server.
    ///
    /// # Panics
    /// If it was taken down.
    pub fn server(&self) -> Arc<Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("the server is up")
    }

    /// Takes the server down at once; the port that it had. Its data stays where the server keeps any.
    ///
    /// # Panics
    /// If it is down.
    pub fn take_server_down(&self) -> u16 {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take().expect("the server is up");
        let port = server.port();
        let mut server = Arc::into_inner(server).expect("nobody else has the server in hand");
        server.kill();
        port
    }

    /// Brings a server up where one was.
    pub fn bring_server_up(&self, port: u16) {
        let server = Server::start_on(self.kind, self.folder(), port);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(server));
    }

    /// All of AWS, in a world of [`Kind::Aws`].
    ///
    /// # Panics
    /// In any other world.
    pub fn aws(&self) -> Aws {
        assert_eq!(self.kind, Kind::Aws, "this world has a bucket and nothing else of AWS");
        Aws::at(self.server().url())
    }

    /// A proxy in front of the server; `seed` decides what its rules leave to chance.
    pub async fn proxy(&self, seed: u64) -> Proxy {
        Proxy::start(self.server().address(), seed).await
    }

    /// The job at `prefix` in `bucket`, straight to the server.
    ///
    /// # Panics
    /// If that is no location.
    pub async fn job_bucket(&self, bucket: &str, prefix: &str) -> JobBucket {
        let location = Location::new(bucket, prefix).expect("a location");
        let job = JobBucket::new(location, self.server().store(bucket).await);
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job.clone());
        job
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env_clear();
        for kept in ["PATH", "LANG", "LLVM_PROFILE_FILE", "DAYFLY_LOG"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
            .current_dir(self.folder())
            .env("HOME", self.folder().join("home"))
            .env("TMPDIR", self.folder())
            .env("RUST_BACKTRACE", "1")
            .env("NO_COLOR", "1")
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(server) = server.filter(|server| server.kind() != Kind::Folder) {
            command
                .env("AWS_ENDPOINT_URL", server.url())
                .env("AWS_ACCESS_KEY_ID", &server.keys().access)
                .env("AWS_SECRET_ACCESS_KEY", &server.keys().secret);
        }
        command
    }

    fn logs(&self) -> PathBuf {
        self.folder().join("programs")
    }

    /// An agent to be started on `job`, with one slot.
    pub fn agent(&self, job: &Location, name: &str) -> Agent {
        let nth = self.programs.fetch_add(1, Ordering::Relaxed);
        let mut command = self.command("dayfly-agent");
        command.arg("--job").arg(job.to_string());
        Agent::new(name, command, self.logs(), nth)
    }

    /// `dayfly`, in the environment that programs of this world have, to be started otherwise than by this world.
    pub fn dayfly_command(&self) -> Command {
        self.command("dayfly")
    }

    /// Starts `dayfly` with these arguments.
    pub fn start_dayfly(&self, arguments: &[&str]) -> Program {
        self.start_dayfly_with(arguments, |_| {})
    }

    /// The same, with changes to its environment.
    pub fn start_dayfly_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Program {
        let nth = self.programs.fetch_add(1, Ordering::Relaxed);
        let mut command = self.command("dayfly");
        command.args(arguments);
        change(&mut command);
        let log = self.logs().join(format!("{nth}-dayfly.log"));
        Program::start(&format!("dayfly {}", arguments.join(" ")), &mut command, &log)
    }

    /// Runs `dayfly` with these arguments to its end.
    pub async fn dayfly(&self, arguments: &[&str]) -> Ended {
        self.start_dayfly(arguments).ended().await
    }

    /// Waits for a condition.
    ///
    /// # Panics
    /// If it does not come true.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let begun = SystemClock.now().at;
        while !condition().await {
            let waited = SystemClock.now().at.since(begun);
            assert!(waited < PATIENCE, "waited for {} s, and still not: {what}", waited.as_secs());
            SystemClock.sleep(POLL).await;
        }
    }

    /// Waits until an agent has got so far that `gate` holds it.
    ///
    /// # Panics
    /// If it does not get there.
    pub async fn held(&self, program: &mut Program, gate: &crate::Gate) {
        let begun = SystemClock.now().at;
        while gate.came() == 0 {
            assert!(program.runs(), "{} ended before it was held; it said:\n{}", program.name(), program.said());
            assert!(SystemClock.now().at.since(begun) < PATIENCE, "{} was never held", program.name());
            SystemClock.sleep(POLL).await;
        }
    }

    /// What is in the buckets, and what the programs said.
    pub async fn report(&self) -> String {
        let mut report = String::new();
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for job in jobs {
            let listing =
                async { job.store().list(&dayfly_shared::store::ListQuery::under(job.location.prefix())).await };
            let listing = futures::future::select(Box::pin(listing), SystemClock.sleep(Duration::from_secs(10))).await;
            report += &format!("---- {}\n", job.location);
            match listing {
                futures::future::Either::Left((Ok(page), _)) => {
                    for entry in page.entries.iter().take(300) {
                        report += &format!("{:>9}  {}\n", entry.size, entry.key);
                    }
                }
                futures::future::Either::Left((Err(error), _)) => report += &format!("{error}\n"),
                futures::future::Either::Right(_) => report += "no answer\n",
            }
            for view in dayfly_shared::keys::View::ALL {
                if self.server.lock().unwrap_or_else(PoisonError::into_inner).is_some()
                    && let Ok(Some(read)) = job.view(view).await
                {
                    let text = String::from_utf8_lossy(&read.text).lines().take(40).collect::<Vec<_>>().join(" ");
                    report += &format!("{}: {text}\n", view.name());
                }
            }
        }
        let mut logs: Vec<PathBuf> =
            std::fs::read_dir(self.logs()).into_iter().flatten().flatten().map(|e| e.path()).collect();
        logs.extend(orphans::launches(self.folder()).into_iter().map(|launch| launch.with_file_name("stderr.txt")));
        logs.push(self.folder().join("server.log"));
        logs.sort();
        for log in logs.iter().filter(|log| log.is_file()) {
            let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            report += &format!("---- {}\n", log.display());
            if lines.len() > 80 {
                report += &format!("({} lines before)\n", lines.len() - 80);
            }
            for line in &lines[lines.len().saturating_sub(80)..] {
                report += &format!("{line}\n");
            }
        }
        report
    }
}

impl Drop for World {
    fn drop(&mut self) {
        orphans::kill(self.folder());
    }
}
