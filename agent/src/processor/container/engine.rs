//! The container engine of this machine, podman or docker: the commands that both know, and where they differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::processor::Failure;
use crate::processor::program::{find_program, search_path};
use crate::processor::tool::Tool;

use super::registry::Login;

/// What an engine's client needs of the agent's environment: where its daemon, its storage and its settings are.
const HANDED_ON: [&str; 6] = ["CONTAINERS_", "CONTAINER_", "DOCKER_", "STORAGE_", "REGISTRIES_", "XDG_"];

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Needs no daemon.
    Podman,
    /// Its daemon does the work.
    Docker,
}

/// The container engine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Which.
    pub kind: Kind,
    /// Its client.
    pub program: PathBuf,
}

impl Engine {
    /// The one that is wanted, else whichever is there, podman first; and it answers.
    ///
    /// # Errors
    /// None is there, or it does not work.
    pub async fn find(wanted: Option<&str>) -> Result<Self, Failure> {
        let engine = Self::choose(wanted)?;
        engine.tool(&["version"]).run("asking the container engine for its version").await.map_err(|failure| {
            Failure::Refused(format!("{failure}\nstart its service, or install podman, which needs none"))
        })?;
        Ok(engine)
    }

    fn choose(wanted: Option<&str>) -> Result<Self, Failure> {
        let path = search_path();
        if let Some(name) = wanted {
            let program = find_program(name, None).map_err(|_| {
                Failure::Refused(format!("there is no container engine {name} on this machine (--container-engine)"))
            })?;
            let docker = program.file_name().is_some_and(|name| name.to_string_lossy().contains("docker"));
            return Ok(Self { kind: if docker { Kind::Docker } else { Kind::Podman }, program });
        }
        for (name, kind) in [("podman", Kind::Podman), ("docker", Kind::Docker)] {
            if let Ok(program) = find_program(name, None) {
                return Ok(Self { kind, program });
            }
        }
        Err(Failure::Refused(format!(
            "the job's tasks run in containers, and neither podman nor docker is on this machine (looked for in {path}); \
             install one in the image that agents start from: apt-get install podman"
        )))
    }

    /// Its client with these words; with a login, if there is one.
    pub fn tool(&self, words: &[&str]) -> Tool {
        let words: Vec<&str> = self.quietly().into_iter().chain(words.iter().copied()).collect();
        let tool = Tool::new(&self.program, &words);
        // Under systemd there may be none, and podman insists.
        if std::env::var_os("HOME").is_none() { tool.with("HOME", "/") } else { tool }
    }

    /// The same for what speaks to a registry.
    pub fn tool_with(&self, login: Option<&Login>, words: &[&str]) -> Tool {
        let Some(login) = login else { return self.tool(words) };
        let mut tool = match self.kind {
            Kind::Podman => self.tool(words).with("REGISTRY_AUTH_FILE", &login.file().display().to_string()),
            Kind::Docker => self.tool(words).with("DOCKER_CONFIG", &login.folder().display().to_string()),
        };
        if login.asks_aws() {
            for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
                tool = tool.with(&name, &value);
            }
        }
        tool
    }

    /// Options before the command: warnings of podman's own are no words of the program's.
    fn quietly(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Podman => vec!["--log-level", "error"],
            Kind::Docker => Vec::new(),
        }
    }

    /// The whole of a command line, for the supervisor.
    pub fn line(&self, words: &[&str]) -> Vec<String> {
        let program = self.program.display().to_string();
        let words = self.quietly().into_iter().chain(words.iter().copied()).map(str::to_owned);
        std::iter::once(program).chain(words).collect()
    }

    /// The environment of a client that the supervisor runs.
    pub fn environment() -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> =
            std::env::vars().filter(|(name, _)| HANDED_ON.iter().any(|prefix| name.starts_with(prefix))).collect();
        all.insert("PATH".to_owned(), search_path());
        all.insert("HOME".to_owned(), std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()));
        if let Ok(folder) = std::env::var("TMPDIR") {
            all.insert("TMPDIR".to_owned(), folder);
        }
        all
    }

    /// What asks for a container's state.
    pub fn look(&self, name: &str) -> Vec<String> {
        self.line(&["container", "inspect", "--format", "{{json .State}}", name])
    }

    /// What sends SIGTERM to a container's first process.
    pub fn stop(&self, name: &str) -> Vec<String> {
        self.line(&["kill", "--signal", "TERM", name])
    }

    /// What removes a container, running or not, with the volumes that its image asked for.
    pub fn remove(&self, name: &str) -> Vec<String> {
        self.line(&self.removal(name))
    }

    /// Removes a container of this agent.
    ///
    /// # Errors
    /// An engine that does not.
    pub async fn remove_now(&self, name: &str) -> Result<(), Failure> {
        self.tool(&self.removal(name)).run("removing a container").await.map(drop)
    }

    fn removal<'a>(&self, name: &'a str) -> Vec<&'a str> {
        match self.kind {
            // Without a time it asks first, and waits.
            Kind::Podman => vec!["rm", "-f", "-v", "-t", "0", name],
            Kind::Docker => vec!["rm", "-f", "-v", name],
        }
    }

    /// An image's id, and the user that its programs run as unless told otherwise.
    ///
    /// # Errors
    /// It is not on this machine.
    pub async fn image(&self, name: &str) -> Result<(String, String), Failure> {
        let words = ["image", "inspect", "--format", "{{.Id}} {{.Config.User}}", name];
        let said = self.tool(&words).run(&format!("looking at the image {name}")).await?;
        let (id, user) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
        Ok((id.to_owned(), user.trim().to_owned()))
    }

    /// Loads an archive; the name of the image that was in it.
    ///
    /// # Errors
    /// An archive that holds none, or several; a disk that is full.
    pub async fn load(&self, archive: &Path) -> Result<String, Failure> {
        let file = archive.display().to_string();
        let said = self.tool(&["load", "-i", &file]).run("loading the job's image").await?;
        match &loaded(&said)[..] {
            [name] => Ok(name.clone()),
            names => Err(Failure::Refused(format!(
                "the job's archive holds {} images ({}), and tasks run in one; make it anew: docker save -o FILE IMAGE",
                names.len(),
                names.join(", ")
            ))),
        }
    }
}

/// The images that an engine says it has loaded: `Loaded image: NAME`, `Loaded image ID: sha256:…`, `Loaded image(s): …`.
fn loaded(said: &str) -> Vec<String> {
    let names = said.lines().filter(|line| line.starts_with("Loaded image"));
    let names = names.filter_map(|line| line.split_once(": ")).flat_map(|(_, names)| names.split(','));
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_say_what_they_loaded() {
        assert_eq!(loaded("Loaded image: localhost/bb:1\n"), ["localhost/bb:1"]);
        assert_eq!(loaded("Loaded image ID: sha256:01\n"), ["sha256:01"]);
        assert_eq!(loaded("Loaded image: a:1\nLoaded image: b:1\n").len(), 2);
        assert_eq!(loaded("oh\n"), Vec::<String>::new());
    }
}
