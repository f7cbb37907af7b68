//! The program of a job: from the command line to the settings and the files that travel with it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::JobSettings;
use dayfly_shared::store::Store;
use dayfly_shared::work::{
    ContentHash, InputKind, OutputKind, Placeholder, ProcessorSettings, ProgramSettings, SharedFile, Template,
    output_kind_of,
};

use super::Contents;
use super::container;
use super::folder;
use super::upload::{self, Content, Item};
use crate::cli::{FileArg, ProgramArgs, SeedArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::{object, progress};

/// The archive of a Python project.
const PROJECT: &str = "project.tar";
/// The kernel, where a command asks for it.
pub(super) const KERNEL: &str = "kernel.dat";

/// A program that the command line asks for.
pub struct Program {
    /// How it is run.
    pub processor: ProcessorSettings,
    /// What it takes and leaves.
    pub settings: ProgramSettings,
    /// The files that travel with it, by their name below the job's `files/`.
    pub(super) files: Contents,
}

impl Program {
    /// What the command line asks for; none if it names no program.
    ///
    /// # Errors
    /// A command that is none, files that are not there.
    pub fn read(args: &SeedArgs) -> Result<Option<Self>> {
        let of = &args.program;
        let words = args.command()?;
        if let Some(script) = &of.submit {
            return submitted(of, script, words).map(Some);
        }
        if let Some(program) = container::read(args, words)? {
            return Ok(Some(program));
        }
        if words.is_empty() {
            return match of.is_unset() {
                true => Ok(None),
                false => Err(Failure::usage("these options are for a program, and none is named")
                    .fix("name it last: dayfly run … 'convert {input} {output}'")),
            };
        }
        let mut argv = words_of(words, of.shell)?;
        let mut files = shared(&of.files)?;
        if let Some(project) = &of.project {
            argv = with_folders(argv, of.tasks.is_none())?;
            files.push((PROJECT.to_owned(), archive(project, false)?));
        }
        let template = Template::parse(&argv).map_err(|e| Failure::usage(e.to_string()))?;
        if template.uses(&Placeholder::Kernel) {
            files.push((KERNEL.to_owned(), kernel(args)?));
        }
        let settings = ProgramSettings {
            input: if of.tasks.is_some() { InputKind::Line } else { InputKind::Object },
            output: output_kind_of(&argv).map_err(Failure::usage)?,
            ..of.settings(&files)?
        };
        let processor = match &of.project {
            Some(_) => ProcessorSettings::Python { archive: PROJECT.to_owned(), argv },
            None => ProcessorSettings::Command { argv, shell: of.shell },
        };
        Ok(Some(Self { processor, settings, files }))
    }

    /// The tasks that the command line lists, where they are lines and no inputs.
    ///
    /// # Errors
    /// A list that cannot be read.
    pub async fn lines(parts: &Parts, args: &SeedArgs) -> Result<Option<Vec<String>>> {
        if let Some(script) = &args.program.submit {
            return Ok(Some(vec![file_name(script)?]));
        }
        let Some(list) = &args.program.tasks else { return Ok(None) };
        let text = match list {
            FileArg::Object(url) => {
                let found = object::read(parts, "--tasks", url).await?;
                let none = || {
                    Failure::new(format!("there is no list {url}")).left("nothing was written").fix("check the name")
                };
                String::from_utf8_lossy(&found.ok_or_else(none)?).into_owned()
            }
            FileArg::File(path) => {
                let text = match path.to_str() {
                    Some("-") => std::io::read_to_string(std::io::stdin()),
                    _ => fs::read_to_string(path),
                };
                text.map_err(|e| Failure::io("reading the list of tasks", path, &e))?
            }
        };
        let lines: Vec<String> = dayfly_shared::plan::clean_lines(text.as_bytes());
        if lines.is_empty() {
            return Err(Failure::new(format!("there are no tasks in {list}"))
                .left("nothing was written")
                .fix("write one a line"));
        }
        Ok(Some(lines))
    }

    /// Sends the files that are not there yet. They bear the names that job.json has, so they come before it.
    ///
    /// # Errors
    /// A store that refuses; another file of that name, which agents of this job may hold.
    pub async fn send(&self, parts: &Parts, job: &JobBucket) -> Result<()> {
        let store: Arc<dyn Store> = Arc::clone(job.store());
        let mut items = Vec::new();
        for (name, content) in &self.files {
            let key = job.keys.shared_file(name);
            let entry = super::objects::entry(&*store, &key).await?;
            match entry {
                Some(entry) if upload::stands(&*store, &entry, content).await? => {}
                replaces => items.push(Item { key, content: content.clone(), replaces }),
            }
        }
        let bar = progress::bytes(parts.output(), "sending files", items.iter().map(|item| item.content.size()).sum());
        upload::send(parts, &store, items, &bar).await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// The settings with this program in the place of theirs.
    pub fn apply(&self, settings: &mut JobSettings) {
        settings.processor = self.processor.clone();
        settings.program = self.settings.clone();
    }
}

/// A script without placeholders takes `-i` and `-o` with folders.
fn with_folders(mut argv: Vec<String>, with_input: bool) -> Result<Vec<String>> {
    let template = Template::parse(&argv).map_err(|e| Failure::usage(e.to_string()))?;
    let own = [Placeholder::Input, Placeholder::InputDir, Placeholder::Output, Placeholder::OutputDir];
    if !own.iter().any(|place| template.uses(place)) {
        let input = with_input.then_some(["-i", "{input_dir}"]).into_iter().flatten();
        argv.extend(input.chain(["-o", "{output_dir}"]).map(str::to_owned));
    }
    Ok(argv)
}

/// A folder as one file, the same for the same content: what Python compiled and git's own files stay here, and hidden
/// ones unless they are wanted.
pub(super) fn archive(project: &Path, hidden: bool) -> Result<Content> {
    let broken = |e: std::io::Error| Failure::io("packing the folder", project, &e);
    let mut tar = tar::Builder::new(Vec::new());
    for file in folder::read(project, hidden)?.files {
        if file.name.split('/').any(|part| matches!(part, "__pycache__" | ".git")) {
            continue;
        }
        let content = fs::read(&file.path).map_err(|e| Failure::io("reading", &file.path, &e))?;
        let mode = fs::metadata(&file.path).map_err(|e| Failure::io("reading", &file.path, &e))?.permissions().mode();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if mode & 0o111 != 0 { 0o755 } else { 0o644 });
        tar.append_data(&mut header, &file.name, &content[..]).map_err(broken)?;
    }
    Ok(Content::Memory(tar.into_inner().map_err(broken)?.into()))
}

/// One word is split as a shell would, but nothing is expanded; several are taken as they are.
pub(super) fn words_of(words: &[String], shell: bool) -> Result<Vec<String>> {
    match words {
        [_] if shell => Ok(words.to_vec()),
        _ if shell => Err(Failure::usage("with --shell the command is one text").fix("put it in quotes")),
        [text] => shlex::split(text)
            .filter(|words| !words.is_empty())
            .ok_or_else(|| Failure::usage(format!("the command {text:?} has a quote that does not end"))),
        words => Ok(words.to_vec()),
    }
}

/// One script, run once, in a folder of its own that holds the files and takes what it leaves.
fn submitted(of: &ProgramArgs, script: &Path, words: &[String]) -> Result<Program> {
    if !words.is_empty() {
        return Err(Failure::usage("--submit names the script; the command line has a command as well").fix(
            "leave one out; a script that takes arguments is a command: 'sh {file:SCRIPT} ARGUMENT' --files SCRIPT",
        ));
    }
    let name = file_name(script)?;
    let mut files = shared(&of.files)?;
    files.push((name.clone(), content(script)?));
    let bytes = fs::read(script).map_err(|e| Failure::io("reading the script", script, &e))?;
    let place = format!("{{file:{name}}}");
    let argv = match (bytes.starts_with(b"#!"), name.ends_with(".py")) {
        (true, _) => vec![place],
        (false, true) => vec!["python3".to_owned(), place],
        (false, false) => vec!["/bin/sh".to_owned(), place],
    };
    let mut settings =
        ProgramSettings { input: InputKind::Line, output: OutputKind::Folder, in_place: true, ..of.settings(&files)? };
    if let Some(file) = settings.files.iter_mut().find(|file| file.name == name) {
        file.executable = true;
    }
    Ok(Program { processor: ProcessorSettings::Command { argv, shell: false }, settings, files })
}

impl ProgramArgs {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn settings(&self, files: &Contents) -> Result<ProgramSettings> {
        Ok(ProgramSettings {
            files: files.iter().map(|(name, content)| describe(name, content)).collect::<Result<_>>()?,
            expect: self.expect.clone(),
            environment: self.env.iter().cloned().collect(),
            secrets: self.secret.iter().cloned().collect(),
            with_credentials: self.with_credentials,
            memory_limit_mib: self.task_memory,
            stop_grace_seconds: self.stop_grace.map(|grace| u32::try_from(grace.as_secs()).unwrap_or(u32::MAX)),
            ..ProgramSettings::default()
        })
    }
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| Failure::usage(format!("{} has no name of its own", path.display())))
}

pub(super) fn content(path: &Path) -> Result<Content> {
    let meta = fs::metadata(path).map_err(|e| Failure::io("reading", path, &e))?;
    Ok(Content::File(path.to_owned(), meta.len()))
}

/// Files, and what lies in folders, by the names that tasks find them under.
pub(super) fn shared(paths: &[PathBuf]) -> Result<Contents> {
    let mut files: Contents = Vec::new();
    for path in paths {
        let name = file_name(path)?;
        if path.is_dir() {
            let found = folder::read(path, false)?.files.into_iter();
            files.extend(found.map(|file| (format!("{name}/{}", file.name), Content::File(file.path, file.bytes))));
        } else {
            files.push((name, content(path)?));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(twice) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Failure::usage(format!("two of --files would be called {}", twice[0].0)).fix("rename one"));
    }
    Ok(files)
}

pub(super) fn kernel(args: &SeedArgs) -> Result<Content> {
    match &args.kernel {
        Some(FileArg::File(path)) => content(path),
        Some(FileArg::Object(url)) => {
            Err(Failure::usage(format!("--kernel {url} is an object, and a command's is a file"))
                .fix("copy it here first: aws s3 cp"))
        }
        None => Err(Failure::usage("the command has {kernel}, and no kernel is named").fix("pass --kernel FILE")),
    }
}

pub(super) fn describe(name: &str, content: &Content) -> Result<SharedFile> {
    let (bytes, sha256, executable) = match content {
        Content::Memory(bytes) => (bytes.len() as u64, sha256(bytes), false),
        Content::File(path, size) => {
            let meta = fs::metadata(path).map_err(|e| Failure::io("reading", path, &e))?;
            (*size, sha256_of(path)?, meta.permissions().mode() & 0o111 != 0)
        }
    };
    Ok(SharedFile { name: name.to_owned(), bytes, sha256, executable })
}

fn sha256(bytes: &Bytes) -> String {
    let mut hash = ContentHash::default();
    hash.update(bytes);
    hash.finish()
}

/// Of a file that may be larger than the memory.
fn sha256_of(path: &Path) -> Result<String> {
    let failed = |e| Failure::io("reading", path, &e);
    let mut file = fs::File::open(path).map_err(failed)?;
    let (mut hash, mut piece) = (ContentHash::default(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(hash.finish()),
            n => hash.update(&piece[..n]),
        }
    }
}
