//! Where inputs come from, and which of them have to be sent.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::store::{ETag, Entry, Store};
use dayfly_shared::work::InputKind;

use super::Contents;
use super::demo::Demo;
use super::folder::{self, Folder};
use super::objects::{self, Listing};
use super::program::Program;
use super::report::SeedReport;
use super::upload::{self, Content, Item};
use crate::cli::{FileArg, InputsArg, SeedArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::{human, names, progress};

/// Where inputs come from.
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf, Folder),
    /// Made up on the spot.
    Demo(Demo),
    /// Objects that are there.
    Objects,
    /// No inputs: each task is a line.
    Lines(Vec<String>),
}

/// The kernel's name in a folder of inputs.
const KERNEL: &str = "kernel.dat";

impl Source {
    /// Reads what is on this machine.
    ///
    /// # Errors
    /// A folder that cannot be read, or is empty.
    pub async fn read(parts: &Parts, args: &SeedArgs) -> Result<Self> {
        if args.demo {
            return Ok(Self::Demo(Demo::make(&*parts.dice, args.demo_seed)));
        }
        if let Some(lines) = Program::lines(parts, args).await? {
            return Ok(Self::Lines(lines));
        }
        let Some(InputsArg::Folder(dir)) = &args.inputs else { return Ok(Self::Objects) };
        let found = folder::read(dir, args.hidden)?;
        if !found.unreadable.is_empty() {
            return Err(Failure::new(format!(
                "{} in {} not UTF-8, which object keys have to be: {}",
                human::count(found.unreadable.len() as u64, "file name"),
                dir.display(),
                human::some(&found.unreadable)
            ))
            .left("nothing was written")
            .fix("rename them"));
        }
        if found.files.is_empty() {
            let hidden = if found.hidden > 0 { " but hidden ones (--hidden takes them too)" } else { "" };
            return Err(Failure::new(format!("there are no files in {}{hidden}", dir.display()))
                .left("nothing was written")
                .fix("put the inputs there, or name another folder"));
        }
        Ok(Self::Folder(dir.clone(), found))
    }

    /// Whether it is made up.
    pub fn is_demo(&self) -> bool {
        matches!(self, Self::Demo(_))
    }

    /// The kernel that lies with the inputs.
    pub fn kernel(&self) -> Option<Content> {
        match self {
            Self::Demo(demo) => Some(Content::Memory(demo.kernel.clone())),
            Self::Folder(_, found) => {
                let file = found.files.iter().find(|f| f.name == KERNEL)?;
                Some(Content::File(file.path.clone(), file.bytes))
            }
            Self::Objects | Self::Lines(_) => None,
        }
    }

    /// Outputs that stand from the beginning.
    pub fn outputs(&self) -> &[(String, Bytes)] {
        match self {
            Self::Demo(demo) => &demo.outputs,
            _ => &[],
        }
    }

    /// The names of the inputs, sorted, and the contents of those that may have to be sent.
    ///
    /// # Errors
    /// No inputs at all.
    pub fn inputs(
        &self,
        args: &SeedArgs,
        settings: &JobSettings,
        job: &Location,
        there: &Listing,
        report: &mut SeedReport,
    ) -> Result<(Vec<String>, Contents)> {
        let place = settings.inputs(job);
        let glob = args.glob.as_deref().map(names::glob).transpose()?;
        let wanted = |name: &str| glob.as_ref().is_none_or(|g| g.is_match(name));
        let (names, contents): (Vec<String>, Contents) = match self {
            Self::Lines(lines) => {
                let mut names = lines.clone();
                names.sort();
                names.dedup();
                (names, Vec::new())
            }
            Self::Objects if settings.program.input == InputKind::Line => {
                return Err(Failure::usage("the tasks of this job are lines, and none are named")
                    .left("nothing was written")
                    .fix("pass --tasks FILE, or add lines to its tasklist.txt"));
            }
            Self::Objects => {
                let mut found = objects::inputs(there, settings, job);
                found.retain(|name| wanted(name));
                (found, Vec::new())
            }
            Self::Demo(demo) => {
                let contents = demo.inputs.iter().map(|(n, b)| (n.clone(), Content::Memory(b.clone())));
                (demo.inputs.iter().map(|(n, _)| n.clone()).collect(), contents.collect())
            }
            Self::Folder(_, found) => {
                report.hidden = found.hidden;
                report.odd = found.odd.clone();
                // The file that is the kernel is no input, whichever way it became the kernel.
                let kernel = match &args.kernel {
                    Some(FileArg::File(path)) => path.canonicalize().ok(),
                    _ => None,
                };
                let is_kernel = |file: &folder::Found| match (&args.kernel, &kernel) {
                    (None, _) => settings.processor.kernel().is_some() && file.name == KERNEL,
                    (Some(_), Some(path)) => file.path.canonicalize().is_ok_and(|p| p == *path),
                    (Some(_), None) => false,
                };
                let files = found.files.iter().filter(|f| wanted(&f.name) && !is_kernel(f));
                let contents: Contents =
                    files.map(|f| (f.name.clone(), Content::File(f.path.clone(), f.bytes))).collect();
                (contents.iter().map(|(n, _)| n.clone()).collect(), contents)
            }
        };
        if names.is_empty() {
            let matching = args.glob.as_ref().map(|g| format!(" that match '{g}'")).unwrap_or_default();
            let at = match self {
                Self::Folder(dir, _) => dir.display().to_string(),
                _ => place.to_string(),
            };
            return Err(Failure::new(format!("there are no inputs{matching} in {at}"))
                .left("nothing was written")
                .fix("pass --inputs DIR or --inputs s3://BUCKET/PREFIX, or --demo to try with data made up"));
        }
        Ok((names, contents))
    }
}

/// What has to be done to have the inputs in place.
pub struct Plan {
    /// To send.
    pub items: Vec<Item>,
    /// Names that stand with another content, and are among the items.
    pub changed: Vec<String>,
}

/// Holds the contents against what is there.
///
/// # Errors
/// Files that cannot be read, a store that refuses.
pub async fn compare(
    parts: &Parts,
    store: &Arc<dyn Store>,
    place: &Location,
    contents: Contents,
    there: &Listing,
) -> Result<Plan> {
    let (standing, new): (Contents, Contents) = contents.into_iter().partition(|(name, _)| there.contains_key(name));
    let item = |name: &str, content: Content, replaces| Item { key: place.key(name), content, replaces };
    let mut items: Vec<Item> = new.into_iter().map(|(name, content)| item(&name, content, None)).collect();
    let pairs = standing.iter().filter_map(|(name, content)| Some((there.get(name)?.clone(), content.clone())));
    let bar = progress::bytes(parts.output(), "comparing", standing.iter().map(|(_, c)| c.size()).sum());
    let same = upload::standing(store, pairs.collect(), &bar).await?;
    bar.finish_and_clear();
    let mut changed = Vec::new();
    for ((name, content), same) in standing.into_iter().zip(same) {
        if !same {
            items.push(item(&name, content, there.get(&name).cloned()));
            changed.push(name);
        }
    }
    Ok(Plan { items, changed })
}

/// The names whose input is newer than the output that was made of it.
pub fn stale(
    settings: &JobSettings,
    done: &[String],
    inputs: &Listing,
    outputs: &Listing,
    changed: &[String],
) -> Vec<String> {
    let changed: HashSet<&str> = changed.iter().map(String::as_str).collect();
    let newer = |name: &str| {
        let (input, output) = (inputs.get(name)?.modified?, outputs.get(&settings.commit_name(name))?.modified?);
        Some(input > output)
    };
    done.iter().filter(|n| changed.contains(n.as_str()) || newer(n) == Some(true)).cloned().collect()
}

/// A line for an output that was put just now.
pub fn entry_of(name: &str) -> Entry {
    Entry { key: name.to_owned(), etag: ETag::new(""), size: 0, modified: None }
}

#[cfg(test)]
mod tests {
    use dayfly_shared::clock::Timestamp;

    use super::*;

    #[test]
    fn an_output_older_than_its_input_is_stale() {
        let at =
            |name: &str, ms| (name.to_owned(), Entry { modified: Some(Timestamp::from_unix_ms(ms)), ..entry_of(name) });
        let inputs = [at("in0.dat", 5), at("in1.dat", 5), at("in2.dat", 5)].into();
        let outputs = [at("out0.dat", 4), at("out1.dat", 5), at("out2.dat", 6)].into();
        let done = ["in0.dat", "in1.dat", "in2.dat"].map(str::to_owned);
        assert_eq!(stale(&JobSettings::default(), &done, &inputs, &outputs, &[]), ["in0.dat"]);
        assert_eq!(
            stale(&JobSettings::default(), &done, &inputs, &outputs, &["in2.dat".to_owned()]),
            ["in0.dat", "in2.dat"]
        );
    }
}
