//! dayfly's programs as processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{PATIENCE, POLL};

/// A process, its output in a file; killed, by its id, when dropped.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it was called.
    pub name: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it said, on both channels.
    pub said: String,
}

impl Ended {
    /// Asserts the exit code and that all these words were said, whatever their case.
    ///
    /// # Panics
    /// If not.
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{} ended otherwise; it said:\n{}", self.name, self.said);
        let said = self.said.to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "{} did not say '{word}', but:\n{}", self.name, self.said);
        }
    }

    /// The last line that is not empty.
    pub fn last_line(&self) -> &str {
        self.said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
    }
}

impl Program {
    /// Starts it; what it says goes to `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("the log of a program");
        let other = file.try_clone().expect("the log of a program");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Its exit code, if it has ended by itself.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("the state of a child").and_then(|status| status.code())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&mut self, signal: Signal) {
        assert!(self.runs(), "{} has ended already; it said:\n{}", self.name, self.said());
        kill_process(Pid::from_child(&self.child), signal).expect("a signal to a child");
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Kills it if it has not ended.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// If it does not.
    pub async fn ended(&mut self) -> Ended {
        let begun = SystemClock.now().at;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return Ended { name: self.name.clone(), code: status.code(), said: self.said() };
            }
            let waited = SystemClock.now().at.since(begun);
            assert!(waited < PATIENCE, "{} does not end; it said:\n{}", self.name, self.said());
            SystemClock.sleep(POLL).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// An agent to be started.
pub struct Agent {
    name: String,
    command: Command,
    logs: PathBuf,
    nth: usize,
}

impl Agent {
    pub(crate) fn new(name: &str, mut command: Command, logs: PathBuf, nth: usize) -> Self {
        command.arg("--name").arg(name).env("DAYFLY_SLOTS", "1");
        command.arg("--work-dir").arg(logs.join(format!("{nth}-{name}")));
        Self { name: name.to_owned(), command, logs, nth }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without this environment variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Its requests go through the proxy.
    #[must_use]
    pub fn through(self, proxy: &crate::Proxy) -> Self {
        let url = proxy.url();
        self.env("AWS_ENDPOINT_URL", &url)
    }

    /// How long running tasks get when it is told to stop.
    #[must_use]
    pub fn drain_grace(self, grace: Duration) -> Self {
        self.arg("--drain-grace").arg(&grace.as_secs().to_string())
    }

    /// Starts it.
    #[must_use]
    pub fn start(mut self) -> Program {
        let log = self.logs.join(format!("{}-{}.log", self.nth, self.name));
        Program::start(&self.name, &mut self.command, &log)
    }
}
