//! Programs as processors: what commands, containers and Python projects have in common.
//!
//! A program gets folders of its own, an environment of its own and, if the agent was told so, a user of its own. It runs
//! under a supervisor ([`crate::supervisor`]), so nothing of it outlives the task or the agent.

mod capture;
mod checkpoint;
mod contained;
mod environment;
mod mask;
mod outcome;
mod outputs;
mod places;
mod room;
mod run;
mod secrets;
mod shared_files;
pub mod wall;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dayfly_shared::clock::Clock;
use dayfly_shared::keys::output_file_name;
use dayfly_shared::secret::Secrets;
use dayfly_shared::work::{OutputKind, ProgramSettings};

use super::container::Means;
use super::{Failure, TaskIo, errand, on_disk};
use crate::cgroup::Cgroups;
use crate::instance::InstanceMetadata;
use crate::supervisor::User;

pub use capture::{Capture, LogView};
pub use environment::{of_task, path as search_path};
pub use places::Places;
pub use room::{Room, open_to_read};
pub use run::{Containment, Launch};
pub use shared_files::SharedFiles;

/// Where a program is, as a shell would find it.
///
/// # Errors
/// None such on this machine.
pub fn find_program(name: &str, path: Option<&String>) -> Result<PathBuf, Failure> {
    let is_program = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let path = path.cloned().unwrap_or_else(environment::path);
    let found = match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(|path| is_program(path)),
        false => path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| is_program(path)),
    };
    found.ok_or_else(|| {
        let searched = if name.contains('/') { String::new() } else { format!(" (looked for in {path})") };
        Failure::Refused(format!(
            "there is no program {name} on this machine{searched}; install it in the image that agents start from, or bring \
             it with the job: --files {name}, and {{file:{name}}} in the command"
        ))
    })
}

/// Stages what a program left as the task's output; `copied` were in its output folder before.
///
/// # Errors
/// An output that is missing, or that cannot be one; a store that refuses.
pub async fn stage_output(
    task: &mut TaskIo,
    room: &Room,
    settings: &ProgramSettings,
    copied: BTreeSet<String>,
) -> Result<(), Failure> {
    match settings.output {
        OutputKind::Stdout => {
            task.output_from_file(&room.stdout()).await?;
        }
        OutputKind::File => {
            let output = room.output_dir().join(output_file_name(&task.task.name));
            if !fs::symlink_metadata(&output).is_ok_and(|meta| meta.is_file()) {
                let error = "the program ended well, and made no file at {output}".to_owned();
                return Err(Failure::Processor { error, permanent: false });
            }
            task.output_from_file(&output).await?;
        }
        OutputKind::Folder => {
            let theirs = room.clone();
            let found = errand::run(move |_| Ok(outputs::find(&theirs.output_dir(), &copied)));
            let found = found.await.map_err(|e| on_disk("the outputs cannot be looked for", &e))??;
            outputs::expect(&found, &settings.expect)?;
            outputs::stage(task, found).await?;
        }
    }
    Ok(())
}

/// What programs need of the machine.
#[derive(Clone)]
pub struct Workshop {
    /// Where the agent's folders are.
    pub work_dir: PathBuf,
    /// The program that supervises: the agent itself, with [`crate::supervisor::WORD`].
    pub supervisor: PathBuf,
    /// Who programs run as, if not as the agent.
    pub user: Option<User>,
    /// The metadata service of the instance, where there is one: programs of another user are cut off from it.
    pub metadata: Option<Arc<dyn InstanceMetadata>>,
    /// Control groups for programs, once the first is made ready; none where they cannot be had.
    pub cgroups: Arc<OnceLock<Option<Cgroups>>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the secrets of programs are had.
    pub vault: Option<Arc<dyn Secrets>>,
    /// What containers need besides.
    pub containers: Means,
}

/// Runs a job's program, task by task.
pub struct Program {
    workshop: Workshop,
    settings: ProgramSettings,
    time_limit: Duration,
}

impl Program {
    /// With these settings and this time limit for a task.
    pub fn new(workshop: Workshop, settings: ProgramSettings, time_limit: Duration) -> Self {
        Self { workshop, settings, time_limit }
    }

    /// The same, with more in the environment of its programs; what the job says goes before.
    pub fn with_environment(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut settings = self.settings.clone();
        for (name, value) in more {
            settings.environment.entry(name.to_owned()).or_insert(value);
        }
        Self { workshop: self.workshop.clone(), settings, time_limit: self.time_limit }
    }

    /// Its settings.
    pub fn settings(&self) -> &ProgramSettings {
        &self.settings
    }

    /// How long a task may take.
    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// The machine's part.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// The credentials that a program is trusted with, as variables. One that is cut off from the metadata service is given
    /// the role's.
    ///
    /// # Errors
    /// A service that does not answer, a machine without a role.
    pub async fn credentials(&self, cut_off: bool) -> Result<BTreeMap<String, String>, Failure> {
        if !self.settings.with_credentials {
            return Ok(BTreeMap::new());
        }
        let mut all: BTreeMap<String, String> = environment::own_credentials().collect();
        if let (true, Some(metadata)) = (cut_off, &self.workshop.metadata)
            && !all.contains_key("AWS_ACCESS_KEY_ID")
        {
            let role = environment::of_the_role(&**metadata).await;
            all.extend(role.map_err(|why| Failure::Later(format!("the program's credentials cannot be had: {why}")))?);
        }
        Ok(all)
    }

    /// Makes ready what programs share on this machine.
    ///
    /// # Errors
    /// A metadata service that programs would reach.
    pub fn prepare(&self) -> Result<(), Failure> {
        if let (Some(user), Some(_)) = (self.workshop.user, &self.workshop.metadata) {
            wall::hold(&self.workshop.supervisor, user)?;
        }
        self.workshop.cgroups.get_or_init(|| match Cgroups::take() {
            Ok(cgroups) => {
                tracing::info!("programs run in control groups of their own");
                Some(cgroups)
            }
            Err(error) => {
                tracing::info!(%error, "no control groups; what programs use is sampled");
                None
            }
        });
        Ok(())
    }

    /// Fills the room's checkpoint folder with what a stopped attempt left.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn restore_checkpoint(&self, task: &TaskIo, room: &Room) -> Result<(), Failure> {
        checkpoint::restore(task, room).await
    }

    /// How much longer than the time limit a task may last: until the program has ended and its log is put.
    pub fn overtime(&self) -> Duration {
        /// For a log, and the last signals.
        const FAREWELL: Duration = Duration::from_secs(30);
        self.settings.stop_grace() + FAREWELL
    }
}
