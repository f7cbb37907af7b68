//! What is done with each task: the processor of a job, and what its program takes and leaves.

mod container;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::secret::SecretName;
use crate::store::digest::hex;

pub use container::{ContainerSettings, ImageSource, Network};
pub use template::{BadTemplate, Placeholder, Template, Values};

/// What is done with each input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProcessorSettings {
    /// Each output byte is the input byte XOR the kernel's, the kernel repeated over the file.
    Xor {
        /// The kernel's name beside the job's other objects.
        kernel: String,
    },
    /// A program of the machine, or one that came with the job.
    Command {
        /// The program and its arguments, with placeholders ([`Placeholder`]). Without `shell`, no word is split or
        /// interpreted.
        argv: Vec<String>,
        /// Whether it is one text for `/bin/sh -c`; what placeholders stand for is quoted there.
        #[serde(default, skip_serializing_if = "is_default")]
        shell: bool,
    },
    /// A Python project, in a virtual environment of its own.
    Python {
        /// The shared file that is the project's archive.
        archive: String,
        /// The script, by its path in the project, and its arguments, with placeholders.
        argv: Vec<String>,
    },
    /// A container of an image.
    Container(ContainerSettings),
}

impl Default for ProcessorSettings {
    fn default() -> Self {
        Self::Xor { kernel: "kernel.dat".to_owned() }
    }
}

impl ProcessorSettings {
    /// The kernel's name, where there is one.
    pub fn kernel(&self) -> Option<&str> {
        match self {
            Self::Xor { kernel } => Some(kernel),
            Self::Command { .. } | Self::Python { .. } | Self::Container(_) => None,
        }
    }
}

/// What a task's line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// The name of an object, which the program gets as a file.
    #[default]
    Object,
    /// Parameters: the line itself is all there is.
    Line,
}

/// What a task leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// One file, at `{output}`: one object.
    #[default]
    File,
    /// What the program writes to its standard output: one object.
    Stdout,
    /// Any number of files, below `{output_dir}`: each an object, committed together by a manifest.
    Folder,
}

/// A file that came with the job, for every task to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFile {
    /// Its path below the job's `files/`, and below the folder that tasks find it in.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Whether it is a program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub executable: bool,
}

/// The SHA-256 of a content that comes piece by piece.
#[derive(Clone, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all that came, in hexadecimal.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// What a program takes and leaves, and its limits. The built-in processors have no use for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgramSettings {
    /// What a task's line is.
    #[serde(skip_serializing_if = "is_default")]
    pub input: InputKind,
    /// What a task leaves.
    #[serde(skip_serializing_if = "is_default")]
    pub output: OutputKind,
    /// Files that came with the job.
    #[serde(skip_serializing_if = "is_default")]
    pub files: Vec<SharedFile>,
    /// Whether the program starts in its output folder, with copies of the shared files around it: what it leaves there
    /// beside them is its output.
    #[serde(skip_serializing_if = "is_default")]
    pub in_place: bool,
    /// Paths below the output folder that a task must leave.
    #[serde(skip_serializing_if = "is_default")]
    pub expect: Vec<String>,
    /// Added to the program's environment.
    #[serde(skip_serializing_if = "is_default")]
    pub environment: BTreeMap<String, String>,
    /// Added to the program's environment: secrets, by where they are. What they are is fetched when a task starts, and stands
    /// nowhere in the bucket.
    #[serde(skip_serializing_if = "is_default")]
    pub secrets: BTreeMap<String, SecretName>,
    /// Whether the program gets the agent's AWS credentials.
    #[serde(skip_serializing_if = "is_default")]
    pub with_credentials: bool,
    /// The memory that a task and all it starts may use, in MiB.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_limit_mib: Option<u32>,
    /// How long a program may take to end after SIGTERM, in seconds.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_grace_seconds: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Ten seconds, as container engines give a program between SIGTERM and SIGKILL (docker stop's default).
const STOP_GRACE: Duration = Duration::from_secs(10);

impl ProgramSettings {
    /// Whether nothing of it is set.
    pub fn is_unset(&self) -> bool {
        is_default(self)
    }

    /// How long a program may take to end after SIGTERM.
    pub fn stop_grace(&self) -> Duration {
        self.stop_grace_seconds.map_or(STOP_GRACE, |s| Duration::from_secs(s.into()))
    }

    /// Holds the settings against the processor that they are for.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub fn check(&self, processor: &ProcessorSettings) -> Result<(), String> {
        match processor {
            ProcessorSettings::Xor { kernel } => {
                if kernel.is_empty() {
                    return Err("the xor processor's kernel has no name".to_owned());
                }
                if !self.is_unset() {
                    return Err("the xor processor is no program: it takes no settings of programs".to_owned());
                }
            }
            ProcessorSettings::Command { argv, shell } => self.check_command(argv, *shell)?,
            ProcessorSettings::Python { archive, argv } => {
                if !self.files.iter().any(|file| file.name == *archive) {
                    return Err(format!("the project's archive {archive} did not come with the job"));
                }
                self.check_command(argv, false)?;
            }
            ProcessorSettings::Container(container) => {
                container.check()?;
                if self.in_place {
                    return Err(
                        "a container has its output folder at /data, and starts where its image says".to_owned()
                    );
                }
                // Where it leaves its output is known without a placeholder.
                self.check_words(&container.argv, false)?;
            }
        }
        let own = match processor {
            ProcessorSettings::Container(container) => container.image.file(),
            _ => None,
        };
        for path in self.expect.iter().chain(self.files.iter().chain(own).map(|file| &file.name)) {
            if !is_plain_path(path) {
                return Err(format!("'{path}' is not a path below a folder"));
            }
        }
        if !self.expect.is_empty() && self.output != OutputKind::Folder {
            return Err("expected files need a folder of outputs: use {output_dir} in the command".to_owned());
        }
        if self.in_place && self.output != OutputKind::Folder {
            return Err("a program that works in its output folder leaves a folder of outputs".to_owned());
        }
        let mut variables = self.environment.keys().chain(self.secrets.keys());
        if let Some(name) = variables.find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("'{name}' cannot be the name of an environment variable"));
        }
        if let Some(name) = self.secrets.keys().find(|name| self.environment.contains_key(*name)) {
            return Err(format!("the variable {name} is to be a secret, and has a value as well"));
        }
        Ok(())
    }

    fn check_command(&self, argv: &[String], shell: bool) -> Result<(), String> {
        if argv.first().is_none_or(String::is_empty) {
            return Err("the command is empty".to_owned());
        }
        if shell && argv.len() != 1 {
            return Err("a command for the shell is one text".to_owned());
        }
        self.check_words(argv, true)
    }

    /// Holds the placeholders of a command against what a task takes and leaves; `names_its_output`: one of them has to.
    fn check_words(&self, argv: &[String], names_its_output: bool) -> Result<(), String> {
        let template = Template::parse(argv).map_err(|e| e.to_string())?;
        let uses = |placeholder: &Placeholder| template.uses(placeholder);
        if self.input == InputKind::Line && (uses(&Placeholder::Input) || uses(&Placeholder::InputDir)) {
            return Err("the command has {input}, and the tasks are lines without an input; use {name}".to_owned());
        }
        let wanted = match self.output {
            OutputKind::Folder => (!self.in_place).then_some(Placeholder::OutputDir),
            OutputKind::File => Some(Placeholder::Output),
            OutputKind::Stdout => None,
        };
        for one in [Placeholder::Output, Placeholder::OutputDir] {
            match (uses(&one), wanted == Some(one.clone())) {
                (true, false) if !(self.in_place && one == Placeholder::OutputDir) => {
                    return Err(format!("the command has {one}, and the job's outputs are of another kind"));
                }
                (false, true) if names_its_output => {
                    return Err(format!("the command has no {one}: nothing would be its output"));
                }
                _ => {}
            }
        }
        for name in template.files() {
            if !self.files.iter().any(|file| file.name == name) {
                return Err(format!("the command has {{file:{name}}}, and no such file came with the job"));
            }
        }
        Ok(())
    }
}

/// The kind of output that a command's placeholders say.
///
/// # Errors
/// Both kinds at once, or a template that is none.
pub fn output_kind_of(argv: &[String]) -> Result<OutputKind, String> {
    let template = Template::parse(argv).map_err(|e| e.to_string())?;
    match (template.uses(&Placeholder::Output), template.uses(&Placeholder::OutputDir)) {
        (true, true) => {
            Err("the command has both {output} and {output_dir}: a task leaves one file or a folder".into())
        }
        (true, false) => Ok(OutputKind::File),
        (false, true) => Ok(OutputKind::Folder),
        (false, false) => Ok(OutputKind::Stdout),
    }
}

/// Whether a path stays below the folder that it is relative to, and has one way to be written.
pub fn is_plain_path(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    !path.is_empty() && path.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> ProcessorSettings {
        ProcessorSettings::Command { argv: words.iter().map(|w| (*w).to_owned()).collect(), shell: false }
    }

    #[test]
    fn placeholders_say_what_a_task_leaves() {
        let kind = |words: &[&str]| output_kind_of(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(kind(&["convert", "{input}", "{output}"]), Ok(OutputKind::File));
        assert_eq!(kind(&["split", "{input}", "{output_dir}/x"]), Ok(OutputKind::Folder));
        assert_eq!(kind(&["wc", "{input}"]), Ok(OutputKind::Stdout));
        assert!(kind(&["x", "{output}", "{output_dir}"]).is_err());
        assert!(kind(&["x", "{outptu}"]).unwrap_err().contains("{outptu}"));
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let settings = ProgramSettings::default();
        assert_eq!(settings.check(&command(&["cp", "{input}", "{output}"])), Ok(()));
        for (settings, words, word) in [
            (ProgramSettings::default(), vec![], "empty"),
            (ProgramSettings::default(), vec!["cp", "{input}"], "{output}"),
            (ProgramSettings { output: OutputKind::Stdout, ..Default::default() }, vec!["a", "{output}"], "{output}"),
            (
                ProgramSettings { input: InputKind::Line, ..Default::default() },
                vec!["a", "{input}", "{output}"],
                "{name}",
            ),
            (ProgramSettings { expect: vec!["a".into()], ..Default::default() }, vec!["a", "{output}"], "folder"),
            (
                ProgramSettings { expect: vec!["../a".into()], output: OutputKind::Folder, ..Default::default() },
                vec!["a", "{output_dir}"],
                "'../a'",
            ),
            (ProgramSettings::default(), vec!["a", "{file:b}", "{output}"], "{file:b}"),
        ] {
            let why = settings.check(&command(&words)).unwrap_err();
            assert!(why.contains(word), "{words:?}: {why}");
        }
        let in_place = ProgramSettings { in_place: true, output: OutputKind::Folder, ..Default::default() };
        assert_eq!(in_place.check(&command(&["sh", "run.sh"])), Ok(()));
        assert!(in_place.check(&ProcessorSettings::default()).is_err());
    }

    /// The seed's container gets the name of its data file, and knows by itself where to put the result.
    #[test]
    fn a_container_may_know_its_output_by_itself() {
        let container = |words: &[&str]| {
            ProcessorSettings::Container(ContainerSettings {
                image: ImageSource::Name("busybox".to_owned()),
                argv: words.iter().map(|w| (*w).to_owned()).collect(),
                network: Network::None,
                milli_cpus: None,
                gpus: None,
            })
        };
        let settings = ProgramSettings::default();
        assert_eq!(settings.check(&container(&["{name}"])), Ok(()));
        assert_eq!(settings.check(&container(&[])), Ok(()));
        assert!(settings.check(&container(&["{output_dir}"])).unwrap_err().contains("another kind"));
        assert!(settings.check(&container(&["{file:x}"])).unwrap_err().contains("{file:x}"));
        let in_place = ProgramSettings { in_place: true, output: OutputKind::Folder, ..Default::default() };
        assert!(in_place.check(&container(&["x"])).is_err());
    }
}
