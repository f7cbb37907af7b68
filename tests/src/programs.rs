//! What tests of jobs whose tasks are programs have in common: seeding through the command line, and reading what came of it.

use std::path::{Path, PathBuf};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::View;
use dayfly_shared::records::DeadLetter;
use dayfly_shared::store::StoreExt;

use crate::World;

/// The place of the jobs.
pub const JOB: &str = "s3://test-bucket/job";

/// A folder of inputs.
pub fn inputs(world: &World, files: &[(&str, &str)]) -> String {
    files.iter().for_each(|(name, text)| _ = file(world, &format!("inputs/{name}"), text));
    world.folder().join("inputs").display().to_string()
}

/// A file in the test's folder.
pub fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.folder().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Seeds the job with what the command line says.
pub async fn seed(world: &World, words: &[&str]) -> JobBucket {
    let line: Vec<&str> = ["seed", JOB, "--lease-ttl", "5s"].iter().chain(words).copied().collect();
    world.dayfly(&line).await.expect(0, &[]);
    world.job_bucket("test-bucket", "job").await
}

/// The outputs, as `dayfly fetch` brings them.
pub async fn fetch(world: &World) -> PathBuf {
    let folder = world.folder().join("results");
    world.dayfly(&["fetch", JOB, &folder.display().to_string()]).await.expect(0, &[]);
    folder
}

/// A file's text.
pub fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines of a view.
pub async fn lines(job: &JobBucket, view: View) -> Vec<String> {
    let text = job.view(view).await.expect("a view").map(|view| view.text).unwrap_or_default();
    String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
}

/// The one dead letter that there is.
pub async fn dead_letter(job: &JobBucket) -> DeadLetter {
    let all = job.store().list_all(&job.keys.dead_letters()).await.expect("a listing");
    let [entry] = &all[..] else { panic!("{} dead letters", all.len()) };
    let (_, body) = job.store().read(&entry.key).await.expect("a read").expect("a dead letter");
    serde_json::from_slice(&body).expect("a dead letter")
}

/// The one dead letter that there is, and the log that it names.
pub async fn dead_letter_with_log(job: &JobBucket) -> (DeadLetter, String) {
    let letter = dead_letter(job).await;
    let log = letter.log.clone().expect("a log");
    let (_, log) = job.store().read(&log).await.expect("a read").expect("a log");
    (letter, String::from_utf8_lossy(&log).into_owned())
}
