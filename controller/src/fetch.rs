//! `dayfly fetch`: copies committed outputs to a folder. What is there and right is not fetched again; what is being
//! fetched bears another name until it is whole and checked.

mod file;

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dayfly_shared::exit::Exit;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{View, attempt_file_name};
use dayfly_shared::manifest::Manifest;
use dayfly_shared::plan::clean_lines;
use dayfly_shared::records::from_json;
use dayfly_shared::store::{Entry, Store, StoreExt as _};
use dayfly_shared::views::Fate;
use dayfly_shared::work::OutputKind;
use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use crate::cli::{FetchArgs, local_path, split_job};
use crate::failure::{Failure, Result};
use crate::observe::Observer;
use crate::parts::{Parts, Patience};
use crate::{human, names, progress};

use file::Fetched;

/// Files under way at once, as for sending.
const AT_ONCE: usize = 16;

/// `dayfly fetch`.
///
/// # Errors
/// No job there, a folder that cannot be written, outputs that did not arrive whole.
pub async fn command(parts: &Parts, args: &FetchArgs) -> Result<Exit> {
    let (named, rest) = split_job(&args.job_and_dir)?;
    let [dir] = rest else {
        return Err(Failure::usage("fetch takes a job and a folder").fix("dayfly fetch [s3://BUCKET/PREFIX] DIR"));
    };
    let dir = local_path(dir).map_err(|e| Failure::usage(format!("'{dir}': {e}")))?;
    let job = parts.settings.job(named.as_ref().or(args.default_job.as_ref()))?;
    let report = fetch(parts, &job, &dir, args.glob.as_deref()).await?;
    parts.output().result(&report);
    Ok(Exit::Done)
}

/// Copies the outputs of a job to `dir`.
///
/// # Errors
/// As [`command`].
pub async fn fetch(parts: &Parts, job: &Location, dir: &Path, glob: Option<&str>) -> Result<FetchReport> {
    let glob = glob.map(names::glob).transpose()?;
    let mut observer = Observer::new(parts.job(job, Patience::Brief).await?);
    let snapshot = observer.look().await?;
    let mut done: Vec<String> = observer.ledger().names(Fate::Done).iter().map(ToString::to_string).collect();
    // Those that were done before the job.
    let completed = observer.job().view(View::Completed).await?.map(|v| clean_lines(&v.text)).unwrap_or_default();
    done.extend(completed.into_iter().filter(|name| observer.ledger().fate(name).is_none()));
    if let Some(glob) = &glob {
        done.retain(|name| glob.is_match(name) || glob.is_match(snapshot.settings.commit_name(name)));
    }
    std::fs::create_dir_all(dir).map_err(|e| Failure::io("making the folder", dir, &e))?;

    let place = snapshot.settings.outputs(job);
    let store = parts.bucket(place.bucket(), Patience::Long).await?;
    let (found, missing) = find(&*store, &snapshot.settings, place, &done).await?;
    let mut report =
        FetchReport { job: job.clone(), dir: dir.to_owned(), fetched: 0, bytes: 0, there: 0, left: snapshot.left() };
    let mut failures: Vec<String> = missing.iter().map(|n| format!("{n}: it is gone from {place}")).collect();
    let bar = progress::bytes(parts.output(), "fetching", found.iter().map(|wanted| wanted.entry.size).sum());
    let fetching = stream::iter(found).map(|Wanted { name, entry, checksum }| {
        let (store, bar) = (Arc::clone(&store), bar.clone());
        async move {
            let outcome = match target(dir, &name) {
                Some(path) => file::fetch(&*store, &entry, checksum.as_deref(), &path, &bar).await,
                None => Err(Failure::new("its name would lead out of the folder")),
            };
            (name, entry.size, outcome)
        }
    });
    let mut fetching = std::pin::pin!(fetching.buffer_unordered(AT_ONCE));
    while let Some((name, size, outcome)) = fetching.next().await {
        match outcome {
            Ok(Fetched::Now) => {
                report.fetched += 1;
                report.bytes += size;
            }
            Ok(Fetched::Before) => report.there += 1,
            Err(failure) => failures.push(format!("{name}: {failure:#}")),
        }
    }
    bar.finish_and_clear();
    if failures.is_empty() {
        return Ok(report);
    }
    failures.sort();
    let whole = human::count(report.fetched + report.there, "output");
    Err(Failure::new(format!(
        "{} did not arrive: {}",
        human::count(failures.len() as u64, "output"),
        human::some(&failures)
    ))
    .left(format!("{whole} in {} whole and checked", dir.display()))
    .fix("run it again: it fetches only what is missing"))
}

/// An object that is to be a file.
struct Wanted {
    /// The file's path below the folder.
    name: String,
    entry: Entry,
    /// What the manifest says of its content.
    checksum: Option<String>,
}

/// The outputs of these tasks, and the names of those that are not there.
async fn find(
    store: &dyn Store,
    settings: &JobSettings,
    place: &Location,
    done: &[String],
) -> Result<(Vec<Wanted>, Vec<String>)> {
    let mut listed: HashMap<String, Entry> =
        store.list_all(place.prefix()).await?.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for task in done {
        let name = settings.commit_name(task);
        match listed.remove(&place.key(&name)) {
            Some(entry) if settings.program.output == OutputKind::Folder => {
                let manifest: Manifest = read_manifest(store, &entry.key).await?;
                for file in manifest.files {
                    let object = attempt_file_name(&manifest.name, manifest.attempt, &file.path);
                    let name = format!("out/{task}/{}", file.path);
                    match listed.remove(&place.key(&object)).filter(|entry| entry.size == file.bytes) {
                        Some(entry) => found.push(Wanted { name, entry, checksum: Some(file.checksum) }),
                        None => missing.push(name),
                    }
                }
            }
            Some(entry) => found.push(Wanted { name, entry, checksum: None }),
            None => missing.push(name),
        }
    }
    Ok((found, missing))
}

async fn read_manifest(store: &dyn Store, key: &str) -> Result<Manifest> {
    let wrong = |why: String| {
        Failure::new(format!("{} is not the manifest that it should be: {why}", store.place(key)))
            .fix("find out who wrote over it; the files of the attempts lie beside it")
    };
    let (_, bytes) = store.read(key).await?.ok_or_else(|| wrong("it is gone".to_owned()))?;
    from_json(&bytes).map_err(|e| wrong(e.to_string()))
}

/// Where the output goes; none if that would not be below the folder, or no file name can be it.
fn target(dir: &Path, name: &str) -> Option<PathBuf> {
    let plain = |part: &str| !part.is_empty() && !part.contains('\0') && part != "." && part != "..";
    if !name.split('/').all(plain) {
        return None;
    }
    let relative = Path::new(name);
    relative.components().all(|c| matches!(c, Component::Normal(_))).then(|| dir.join(relative))
}

/// What was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct FetchReport {
    job: Location,
    dir: PathBuf,
    fetched: u64,
    bytes: u64,
    there: u64,
    left: u64,
}

impl fmt::Display for FetchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, bytes) = (human::count(self.fetched, "output"), human::bytes(self.bytes));
        write!(f, "fetched  {count} ({bytes}) to {}", self.dir.display())?;
        if self.there > 0 {
            write!(f, ", {} there before", human::thousands(self.there))?;
        }
        if self.left > 0 {
            write!(f, "\nnote: {} of {} not done yet", human::count(self.left, "task"), self.job)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let dir = Path::new("d");
        assert_eq!(target(dir, "out/a b/ü"), Some(PathBuf::from("d/out/a b/ü")));
        for name in ["../x", "out/../../x", "/etc/x", "out//x", "out/", "", "out/.", "a\0b"] {
            assert_eq!(target(dir, name), None, "{name:?}");
        }
    }
}
