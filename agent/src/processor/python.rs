//! A Python project: a folder with a script and, usually, a `requirements.txt`. The virtual environment is made once an
//! agent, before the first claim; wheels that were built or downloaded for it are kept in the job's place, so that the next
//! agent needs neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::work::ContentHash;

use super::archive;
use super::command::Command;
use super::program::{Program, SharedFiles, find_program, open_to_read, search_path};
use super::put::{fetch_file, put_file_once};
use super::tool::Tool;
use super::{Failure, Processor, TaskIo};

/// What a project needs to be installed.
const REQUIREMENTS: &str = "requirements.txt";

/// Runs a project's script a task.
pub struct Python {
    archive: String,
    argv: Vec<String>,
    program: Program,
    ready: OnceLock<Command>,
}

/// Where a project and its environment lie on this machine.
struct Site {
    project: PathBuf,
    venv: PathBuf,
    wheels: PathBuf,
}

impl Python {
    /// The project in the shared file `archive`; `argv` begins with the script's path in it.
    pub fn new(archive: String, argv: Vec<String>, program: Program) -> Self {
        Self { archive, argv, program, ready: OnceLock::new() }
    }

    fn site(&self) -> Site {
        let work_dir = &self.program.workshop().work_dir;
        let at = |name: &str| work_dir.join("python").join(name);
        Site { project: at("project"), venv: at("venv"), wheels: at("wheels") }
    }

    fn command(&self, site: &Site) -> Command {
        // A path is no template: its braces are braces.
        let literal = |path: PathBuf| path.display().to_string().replace('{', "{{").replace('}', "}}");
        let (script, arguments) = self.argv.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let mut argv = vec![literal(site.venv.join("bin/python")), literal(site.project.join(script))];
        argv.extend_from_slice(arguments);
        let path = format!("{}:{}", site.venv.join("bin").display(), search_path());
        let program = self.program.with_environment([
            ("PATH", path),
            ("VIRTUAL_ENV", site.venv.display().to_string()),
            // The project is shared by all tasks, and stays as it came.
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ]);
        Command::new(argv, false, program).starting_in(site.project.clone())
    }
}

#[async_trait]
impl Processor for Python {
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure> {
        let site = self.site();
        let files = &self.program.settings().files;
        let shared = SharedFiles::fetch(job, files, &self.program.workshop().work_dir).await?;
        site.unpack(&shared.path(&self.archive))?;
        let script = self.argv.first().map_or("", String::as_str);
        if !site.project.join(script).is_file() {
            return Err(Failure::Refused(format!(
                "the project has no script {script}; seed a job with one that it has"
            )));
        }
        site.install(job).await?;
        let workshop = self.program.workshop();
        if workshop.user.is_some() {
            let folder = workshop.work_dir.join("python");
            open_to_read(&folder).map_err(|e| {
                let folder = folder.display();
                Failure::Refused(format!("{folder} cannot be opened to the user that runs programs: {e}"))
            })?;
        }
        let command = self.command(&site);
        command.prepare(job).await?;
        let _ = self.ready.set(command);
        Ok(())
    }

    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure> {
        match self.ready.get() {
            Some(command) => command.process(task).await,
            None => Err(Failure::Refused("the project was not made ready".to_owned())),
        }
    }

    fn is_program(&self) -> bool {
        true
    }

    fn overtime(&self) -> Duration {
        self.program.overtime()
    }
}

impl Site {
    /// Makes the folders anew: what an agent before left may be half of one.
    fn unpack(&self, archive: &Path) -> Result<(), Failure> {
        let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be made: {e}", self.project.display()));
        for folder in [&self.project, &self.venv, &self.wheels] {
            match fs::remove_dir_all(folder) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(broken(e)),
                _ => {}
            }
        }
        fs::create_dir_all(&self.project).map_err(broken)?;
        fs::create_dir_all(&self.wheels).map_err(broken)?;
        archive::unpack(archive, &self.project).map_err(broken)
    }

    /// Makes the virtual environment, with what the project requires.
    async fn install(&self, job: &JobBucket) -> Result<(), Failure> {
        let python = find_program("python3", None)?;
        let uv = find_program("uv", None).ok();
        let venv = self.venv.display().to_string();
        match &uv {
            Some(uv) => {
                Tool::new(uv, &["venv", "--quiet", "--seed", &venv]).run("making the virtual environment").await?
            }
            None => Tool::new(&python, &["-m", "venv", &venv]).run("making the virtual environment").await?,
        };
        let requirements = self.project.join(REQUIREMENTS);
        let Ok(text) = fs::read(&requirements) else { return Ok(()) };
        let own = self.venv.join("bin/python");
        let key = job.keys.wheels(&self.wheels_name(&own, &text).await?);
        let archive = self.wheels.with_extension("tar");
        let (wheels, list) = (self.wheels.display().to_string(), requirements.display().to_string());
        let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be written: {e}", archive.display()));
        let found = fetch_file(job.store(), &key, &archive).await?;
        if found {
            archive::unpack(&archive, &self.wheels).map_err(broken)?;
        } else {
            let words = [
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "-w",
                &wheels,
                "-r",
                &list,
            ];
            Tool::new(&own, &words).starting_in(&self.project).run("fetching what requirements.txt names").await?;
        }
        let install = ["install", "--quiet", "--no-index", "--find-links", &wheels, "-r", &list];
        match &uv {
            Some(uv) => {
                let words: Vec<&str> = ["pip"].into_iter().chain(install).chain(["--python", &venv]).collect();
                Tool::new(uv, &words).starting_in(&self.project).run("installing what requirements.txt names").await?
            }
            None => {
                let words: Vec<&str> =
                    ["-m", "pip"].into_iter().chain(install).chain(["--disable-pip-version-check"]).collect();
                Tool::new(&own, &words).starting_in(&self.project).run("installing what requirements.txt names").await?
            }
        };
        if !found {
            archive::pack(&self.wheels, &archive).map_err(broken)?;
            // A gift to the agents that come later: this one needs it no more.
            if let Err(error) = put_file_once(job.store(), &key, &archive).await {
                tracing::warn!(%error, "the wheels could not be kept; other agents fetch them anew");
            }
        }
        tracing::info!(from_the_job = found, "the virtual environment is ready");
        Ok(())
    }

    /// Wheels fit one list of requirements, one Python and one kind of machine.
    async fn wheels_name(&self, python: &Path, requirements: &[u8]) -> Result<String, Failure> {
        let ask = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())";
        let said = Tool::new(python, &["-c", ask]).run("asking Python for its version").await?;
        let mut hash = ContentHash::default();
        hash.update(requirements);
        hash.update(said.trim().as_bytes());
        Ok(hash.finish()[..16].to_owned())
    }
}
