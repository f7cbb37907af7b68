//! The machines of a job, as far as a test can have them: for each that the double says runs, a real agent process with a
//! metadata service of its own, its credentials from there and from nowhere else, and a power-off that EC2 is told of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::job::Location;

use crate::aws::{Aws, End, Machine};
use crate::metadata::Metadata;
use crate::program::Program;
use crate::server::{program, python};
use crate::world::{PATIENCE, POLL};

/// What EC2 gives a spot machine (EC2 user guide, "Spot Instance interruption notices").
pub const NOTICE: Duration = Duration::from_secs(120);

/// One machine that runs here.
pub struct Instance {
    /// What EC2 knows of it, as of its start.
    pub machine: Machine,
    /// Its metadata service.
    pub metadata: Metadata,
    /// Its agent.
    pub agent: Program,
    powered_off: PathBuf,
}

impl Instance {
    /// The reasons that its power-off program was run with.
    pub fn power_offs(&self) -> Vec<String> {
        fs::read_to_string(&self.powered_off).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// The machines of one job.
pub struct Instances {
    aws: Aws,
    job: Location,
    folder: PathBuf,
    agent_variables: Vec<(String, String)>,
    running: BTreeMap<String, Instance>,
}

/// The program that an agent runs to power its machine off: it notes the reason, tells the double, and ends.
///
/// # Panics
/// If it cannot be written.
pub fn power_off_program(folder: &Path, aws: &Aws, machine: &str) -> PathBuf {
    let path = folder.join("power-off");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{reasons}'\nexec '{python}' -c \"import urllib.request as r; \
         r.urlopen('{url}/_double/end', b'{{\\\"id\\\": \\\"{machine}\\\", \\\"how\\\": \\\"power-off\\\"}}')\"\n",
        reasons = folder.join("powered-off").display(),
        python = python().display(),
        url = aws.url(),
    );
    fs::write(&path, text).expect("the power-off program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the power-off program can be run");
    path
}

impl Instances {
    /// The machines of `job`; their folders go into `folder`.
    pub fn new(aws: &Aws, job: &Location, folder: &Path) -> Self {
        Self {
            aws: Aws::at(aws.url()),
            job: job.clone(),
            folder: folder.join("instances"),
            agent_variables: Vec::new(),
            running: BTreeMap::new(),
        }
    }

    /// Agents started from now on have this variable in their environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.agent_variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts an agent for every machine that runs and has none, and ends those whose machine has ended; the ids of the new
    /// ones.
    pub fn catch_up(&mut self) -> Vec<String> {
        let mut new = Vec::new();
        for machine in self.aws.machines_of(&self.job) {
            match self.running.get_mut(&machine.id) {
                None if machine.runs() => {
                    new.push(machine.id.clone());
                    let instance = self.boot(machine);
                    self.running.insert(instance.machine.id.clone(), instance);
                }
                // A machine that is off runs nothing. The process that powered it off is on its way out, and its exit code
                // is worth seeing.
                Some(instance) if !machine.runs() && instance.power_offs().is_empty() => instance.agent.end(),
                _ => {}
            }
        }
        new
    }

    /// A machine with this metadata service and no other credentials than those it hands out.
    fn boot(&self, machine: Machine) -> Instance {
        let folder = self.folder.join(&machine.id);
        fs::create_dir_all(folder.join("home")).expect("a folder for a machine");
        let metadata = Metadata::serve(machine.clone());
        let power_off = power_off_program(&folder, &self.aws, &machine.id);
        let mut command = Command::new(program("dayfly-agent"));
        command.env_clear();
        for kept in ["PATH", "LANG", "LLVM_PROFILE_FILE", "DAYFLY_LOG"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
            .arg("--metadata")
            .current_dir(&folder)
            .env("HOME", folder.join("home"))
            .env("TMPDIR", &folder)
            .env("RUST_BACKTRACE", "1")
            .env("NO_COLOR", "1")
            .env("DAYFLY_WORK_DIR", folder.join("work"))
            .env("DAYFLY_POWER_OFF", &power_off)
            // All of AWS is at one address here; on EC2 the region alone tells.
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url());
        for (name, value) in &self.agent_variables {
            command.env(name, value);
        }
        let log = folder.join("agent.log");
        let agent = Program::start(&format!("the agent of {}", machine.id), &mut command, &log);
        Instance { machine, metadata, agent, powered_off: folder.join("powered-off") }
    }

    /// All of them, by id, those that have ended too.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.running.values_mut()
    }

    /// One of them.
    ///
    /// # Panics
    /// If it was never started.
    pub fn get(&mut self, id: &str) -> &mut Instance {
        self.running.get_mut(id).unwrap_or_else(|| panic!("no machine {id} was started here"))
    }

    /// The ids of those whose agent runs.
    pub fn running(&mut self) -> Vec<String> {
        self.running.iter_mut().filter_map(|(id, instance)| instance.agent.runs().then(|| id.clone())).collect()
    }

    /// A machine breaks: its agent is killed without a word, and EC2 says that it is gone.
    ///
    /// # Panics
    /// If its agent has ended.
    pub fn kill(&mut self, id: &str) {
        self.get(id).agent.kill();
        self.aws.end(id, End::Kill);
    }

    /// A spot machine gets its notice, with the time that EC2 gives.
    pub fn notice(&mut self, id: &str) {
        self.get(id).metadata.notice("terminate", NOTICE);
    }

    /// Goes on starting agents for machines that come, until a condition holds.
    ///
    /// # Panics
    /// If it does not come true.
    pub async fn until(&mut self, what: &str, mut condition: impl AsyncFnMut(&mut Self) -> bool) {
        let begun = SystemClock.now().at;
        loop {
            self.catch_up();
            if condition(self).await {
                return;
            }
            let waited = SystemClock.now().at.since(begun);
            assert!(waited < PATIENCE, "waited for {} s, and still not: {what}\n{}", waited.as_secs(), self.said());
            SystemClock.sleep(POLL).await;
        }
    }

    /// Waits until every machine of the job has ended, agents first.
    ///
    /// # Panics
    /// If one does not.
    pub async fn gone(&mut self) {
        self.until("all machines have ended", async |all| {
            all.aws.machines_of(&all.job).iter().all(|machine| !machine.runs()) && all.running().is_empty()
        })
        .await;
    }

    /// What the agents said last.
    pub fn said(&self) -> String {
        let mut report = String::new();
        for (id, instance) in &self.running {
            let said = instance.agent.said();
            let lines: Vec<&str> = said.lines().collect();
            report += &format!("---- {id}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        report
    }
}
