//! A container a task, by podman or docker. The image is had once an agent, before the first claim, and every task runs in
//! that very image, by its id.
//!
//! A container has no rights and no network unless the job asks for it; its root is read-only. What it can change is its
//! output folder (`/data`), its checkpoint and its `/tmp`: all folders of the task's own.

mod build;
mod engine;
mod image;
mod links;
mod lock;
mod order;
mod registry;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::{input_file_name, output_file_name};
use dayfly_shared::work::{ContainerSettings, InputKind, OutputKind, Placeholder, Template};

use super::program::{Containment, Launch, Places, Program, Room, SharedFiles, of_task, stage_output};
use super::{Failure, Processor, TaskIo, on_disk_by_name};
use crate::supervisor::Contained;
use engine::{Engine, Kind};
use image::Source;
use links::Links;
use lock::Lock;
use order::{CHECKPOINT, ContainerOrder, DATA, FILES, INPUT, Mount, SCRATCH};
use user::Identity;

pub use build::Lease;
pub use registry::Logins;

/// What containers need of the machine and of AWS.
#[derive(Clone, Default)]
pub struct Means {
    /// Which engine, if not the one that is there.
    pub engine: Option<String>,
    /// Who builds an image, for the others to see.
    pub builder: String,
    /// Logs in to ECR.
    pub logins: Option<Arc<dyn Logins>>,
}

/// Runs a container a task.
pub struct Container {
    settings: ContainerSettings,
    lease: Lease,
    program: Program,
    ready: OnceLock<Ready>,
}

/// What is made ready once an agent.
struct Ready {
    engine: Engine,
    image: String,
    user: Identity,
    template: Template,
    files: SharedFiles,
    lock: Lock,
}

impl Container {
    /// Of these settings; `lease` is for the build of the image, if there is one.
    pub fn new(settings: ContainerSettings, lease: Lease, program: Program) -> Self {
        Self { settings, lease, program, ready: OnceLock::new() }
    }

    /// Its own folder of the agent's.
    fn folder(&self) -> Result<PathBuf, Failure> {
        let broken = |path: &Path, e: std::io::Error| {
            Failure::Refused(format!("the folder {} cannot be made: {e}", path.display()))
        };
        let work_dir = &self.program.workshop().work_dir;
        let folder = std::path::absolute(work_dir.join("container")).map_err(|e| broken(work_dir, e))?;
        std::fs::create_dir_all(&folder).map_err(|e| broken(&folder, e))?;
        // Engines end the host's path of a volume there.
        match folder.display().to_string().contains(':') {
            true => Err(Failure::Refused(format!(
                "the work folder {} has a colon in its name, and container engines take it for a separator; name another: \
                 --work-dir",
                work_dir.display()
            ))),
            false => Ok(folder),
        }
    }

    fn order(
        &self,
        ready: &Ready,
        task: &TaskIo,
        room: &Room,
        argv: Vec<String>,
        mut hidden: BTreeMap<String, String>,
    ) -> (Vec<String>, Containment) {
        let settings = self.program.settings();
        let name = format!("dayfly-{}-{}", task.task.id, task.attempt);
        let deadline = self.program.workshop().clock.now().wall.after(self.program.time_limit());
        let mut variables = of_task(task, deadline, [INPUT, DATA, CHECKPOINT].map(str::to_owned));
        let mut environment = Engine::environment();
        if !settings.with_credentials {
            variables.insert("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
        }
        variables.extend(settings.environment.clone());
        // By their names alone: what is on a command line, everybody on the machine can read. A secret of several lines would
        // not fit into an engine's file of variables, either.
        variables.retain(|name, _| !settings.secrets.contains_key(name));
        hidden.retain(|name, _| !variables.contains_key(name));
        let handed_on: Vec<_> = hidden.keys().map(|name| (name.clone(), None)).collect();
        environment.extend(hidden);
        let variables: Vec<(String, Option<String>)> =
            variables.into_iter().map(|(name, value)| (name, Some(value))).chain(handed_on).collect();
        let folders = [
            (room.output_dir(), DATA, true),
            (room.input_dir(), INPUT, false),
            (ready.files.folder().to_owned(), FILES, false),
            (room.checkpoint_dir(), CHECKPOINT, true),
            (room.temporary_dir(), SCRATCH, true),
        ]
        .map(|(from, to, writable)| (std::path::absolute(&from).unwrap_or(from), to, writable));
        let mounts: Vec<Mount<'_>> =
            folders.iter().map(|(from, to, writable)| Mount { from, to, writable: *writable }).collect();
        let order = ContainerOrder {
            name: &name,
            lock: ready.lock.path(),
            image: &ready.image,
            settings: &self.settings,
            memory_mib: settings.memory_limit_mib,
            user: ready.user.inside,
            mounts: &mounts,
            environment: &variables,
            argv,
        };
        let line = order.line(&ready.engine);
        let contained = Contained {
            stop: ready.engine.stop(&name),
            look: ready.engine.look(&name),
            remove: ready.engine.remove(&name),
            closed: room.closed(),
        };
        (line, Containment { name, environment, contained, is_measured: ready.engine.kind == Kind::Podman })
    }
}

#[async_trait]
impl Processor for Container {
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure> {
        let template = Template::parse(&self.settings.argv).map_err(|e| Failure::Refused(e.to_string()))?;
        let workshop = self.program.workshop();
        self.program.look_for_secrets().await?;
        let folder = self.folder()?;
        if let Some(name) =
            self.program.settings().secrets.keys().find(|name| Engine::environment().contains_key(*name))
        {
            // A container's secret is in its engine's environment first.
            return Err(Failure::Refused(format!(
                "the variable {name} is the engine's own; give the secret another name"
            )));
        }
        let engine = Engine::find(workshop.containers.engine.as_deref()).await?;
        lock::remove_leftovers(&engine).await;
        let lock = Lock::take(&folder)?;
        let source = Source { engine: &engine, job, folder: &folder, workshop, lease: self.lease };
        let image = source.have(&self.settings.image).await?;
        let (image, of_image) = engine.image(&image).await?;
        let user = user::of(&engine, &image, &of_image, workshop.user, (&folder, &lock)).await?;
        let files = SharedFiles::fetch(job, &self.program.settings().files, &workshop.work_dir).await?;
        tracing::info!(engine = %engine.program.display(), image, user = ?user.inside, "the image is ready");
        let _ = self.ready.set(Ready { engine, image, user, template, files, lock });
        Ok(())
    }

    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure> {
        let Some(ready) = self.ready.get() else {
            return Err(Failure::Refused("the image was not made ready".to_owned()));
        };
        let room = Room::make(task.scratch()?, ready.user.folders)?;
        let done = self.work(ready, task, room.clone()).await;
        room.leave(done, &*self.program.workshop().clock).await
    }

    fn is_program(&self) -> bool {
        true
    }

    fn overtime(&self) -> Duration {
        /// For an engine to take a container down, on a machine under load.
        const REMOVAL: Duration = Duration::from_secs(60);
        self.program.overtime() + REMOVAL
    }
}

impl Container {
    async fn work(&self, ready: &Ready, task: &mut TaskIo, room: Room) -> Result<(), Failure> {
        let settings = self.program.settings();
        let places = Places {
            input: INPUT.to_owned(),
            output: DATA.to_owned(),
            files: FILES.to_owned(),
            checkpoint: CHECKPOINT.to_owned(),
            scratch: SCRATCH.to_owned(),
        };
        let mut values = places.values(task, ready.files.names());
        let mut links = Links::default();
        // What stands where an output has to be is none.
        let output = (settings.output == OutputKind::File).then(|| output_file_name(&task.task.name));
        let taken = |name: &str| output.as_deref() == Some(name) || settings.expect.iter().any(|one| one == name);
        if settings.input == InputKind::Object {
            let name = input_file_name(&task.task.name).to_owned();
            let path = room.input_dir().join(&name);
            task.input_to_file(&path).await?;
            room.hand_over(&path).map_err(|e| {
                on_disk_by_name(&format!("{} cannot be given to the container's user", path.display()), &e)
            })?;
            let inside = format!("{INPUT}/{name}");
            if !taken(&name) {
                links.make(&room, &name, &inside)?;
            }
            values.insert(Placeholder::Input, inside);
        }
        for name in ready.files.names().filter(|name| !taken(name)) {
            links.make(&room, name, &format!("{FILES}/{name}"))?;
        }
        self.program.restore_checkpoint(task, &room).await?;
        // The service is behind a hop more than its answers go.
        let mut hidden = self.program.credentials(true).await?;
        let secrets = self.program.secrets().await?;
        hidden.extend(secrets.clone());
        let (argv, container) = self.order(ready, task, &room, ready.template.fill(&values, false), hidden);
        let name = container.name.clone();
        let stdout = (settings.output == OutputKind::Stdout).then(|| room.stdout());
        let launch = Launch { argv, folder: room.work_dir(), stdout, container: Some(container), secrets };
        match self.program.run(task, room, launch).await {
            Ok(room) => {
                links.remove(&room);
                stage_output(task, &room, settings, BTreeSet::new()).await
            }
            Err(failure) => {
                // Once more, where the supervisor was killed before it could; for one that is gone there is nothing to do.
                if let Err(error) = ready.engine.remove_now(&name).await {
                    tracing::debug!(name, %error, "removing the container once more");
                }
                Err(failure)
            }
        }
    }
}
