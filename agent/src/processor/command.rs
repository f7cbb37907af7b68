//! Any program of the machine, or one that came with the job.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::input_file_name;
use dayfly_shared::work::{InputKind, OutputKind, Placeholder, Template, Values};

use super::errand::{self, Wanted};
use super::program::{Launch, Places, Program, Room, SharedFiles, find_program, stage_output};
use super::{Failure, Processor, TaskIo, on_disk, on_disk_by_name};

/// The shell of `--shell`: POSIX says that it is there.
const SHELL: &str = "/bin/sh";

/// Runs a command line a task.
pub struct Command {
    argv: Vec<String>,
    shell: bool,
    program: Program,
    /// Where it starts, if not in a folder of the task's own.
    folder: Option<PathBuf>,
    ready: OnceLock<Ready>,
}

/// What is made ready once an agent.
struct Ready {
    template: Template,
    files: SharedFiles,
}

impl Command {
    /// This command line.
    pub fn new(argv: Vec<String>, shell: bool, program: Program) -> Self {
        Self { argv, shell, program, folder: None, ready: OnceLock::new() }
    }

    /// The same, started in `folder`.
    pub fn starting_in(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The words to run for one task.
    fn words(&self, ready: &Ready, values: &Values) -> Vec<String> {
        let words = ready.template.fill(values, self.shell);
        match self.shell {
            true => [SHELL.to_owned(), "-c".to_owned()].into_iter().chain(words).collect(),
            false => words,
        }
    }
}

#[async_trait]
impl Processor for Command {
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure> {
        self.program.prepare()?;
        self.program.look_for_secrets().await?;
        let template = Template::parse(&self.argv).map_err(|e| Failure::Refused(e.to_string()))?;
        let settings = self.program.settings();
        let files = SharedFiles::fetch(job, &settings.files, &self.program.workshop().work_dir).await?;
        let first = match self.shell {
            true => SHELL,
            false => self.argv.first().map_or("", String::as_str),
        };
        // One that a placeholder names is known with the task.
        if !first.contains('{') {
            find_program(first, settings.environment.get("PATH"))?;
        }
        let _ = self.ready.set(Ready { template, files });
        Ok(())
    }

    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure> {
        let Some(ready) = self.ready.get() else {
            return Err(Failure::Refused("the command was not made ready".to_owned()));
        };
        let room = Room::make(task.scratch()?, self.program.workshop().user)?;
        let done = self.work(ready, task, room.clone()).await;
        room.leave(done, &*self.program.workshop().clock).await
    }

    fn is_program(&self) -> bool {
        true
    }

    fn overtime(&self) -> Duration {
        self.program.overtime()
    }
}

impl Command {
    async fn work(&self, ready: &Ready, task: &mut TaskIo, room: Room) -> Result<(), Failure> {
        let settings = self.program.settings();
        let folder = |path: PathBuf| path.display().to_string();
        let places = Places {
            input: folder(room.input_dir()),
            output: folder(room.output_dir()),
            files: folder(ready.files.folder().to_owned()),
            checkpoint: folder(room.checkpoint_dir()),
            scratch: folder(room.temporary_dir()),
        };
        let mut values = places.values(task, ready.files.names());
        if settings.input == InputKind::Object {
            let path = room.input_dir().join(input_file_name(&task.task.name));
            task.input_to_file(&path).await?;
            hand_over(&room, &path)?;
            values.insert(Placeholder::Input, path.display().to_string());
        }
        self.program.restore_checkpoint(task, &room).await?;
        let copied = match settings.in_place {
            true => {
                let (files, room) = (ready.files.clone(), room.clone());
                let names = settings.files.iter().map(|file| file.name.clone()).collect();
                errand::run(move |wanted| Ok(copy(wanted, &files, names, &room)))
                    .await
                    .map_err(|e| on_disk("the job's files cannot be copied", &e))??
            }
            false => BTreeSet::new(),
        };
        let launch = Launch {
            argv: self.words(ready, &values),
            folder: match &self.folder {
                Some(folder) => folder.clone(),
                None if settings.in_place => room.output_dir(),
                None => room.work_dir(),
            },
            stdout: (settings.output == OutputKind::Stdout).then(|| room.stdout()),
            container: None,
            secrets: self.program.secrets().await?,
        };
        let room = self.program.run(task, room, launch).await?;
        stage_output(task, &room, settings, copied).await
    }
}

fn hand_over(room: &Room, path: &Path) -> Result<(), Failure> {
    room.hand_over(path)
        .map_err(|e| on_disk_by_name(&format!("{} cannot be given to the user that runs programs", path.display()), &e))
}

/// Copies shared files to where the program starts.
fn copy(wanted: &Wanted, files: &SharedFiles, names: Vec<String>, room: &Room) -> Result<BTreeSet<String>, Failure> {
    for name in &names {
        let (from, to) = (files.path(name), room.output_dir().join(name));
        let folder = wanted.check().and_then(|()| to.parent().map_or(Ok(()), fs::create_dir_all));
        let done = folder.and_then(|()| {
            fs::copy(&from, &to)?;
            // The program may change its own copy.
            let mode = fs::metadata(&from)?.permissions().mode() | 0o200;
            fs::set_permissions(&to, fs::Permissions::from_mode(mode))
        });
        done.map_err(|e| on_disk(&format!("{} cannot be made", to.display()), &e))?;
        for path in to.ancestors().take_while(|path| *path != room.output_dir()) {
            hand_over(room, path)?;
        }
    }
    Ok(names.into_iter().collect())
}
