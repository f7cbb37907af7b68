//! Jobs whose tasks are programs: what they get, what they leave, how they end.

mod endings;
mod hard;
mod limits;
mod outputs;
mod python;
mod stops;
mod wall;

use std::path::{Path, PathBuf};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::View;
use dayfly_shared::records::DeadLetter;
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Ended, World};

/// The place of the jobs.
const JOB: &str = "s3://test-bucket/job";

/// A folder of inputs.
fn inputs(world: &World, files: &[(&str, &str)]) -> String {
    let folder = world.folder().join("inputs");
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("an input");
    }
    folder.display().to_string()
}

/// A file beside the inputs.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.folder().join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Seeds the job with what the command line says.
async fn seed(world: &World, words: &[&str]) -> JobBucket {
    let line: Vec<&str> = ["seed", JOB, "--lease-ttl", "5s"].iter().chain(words).copied().collect();
    world.dayfly(&line).await.expect(0, &[]);
    world.job_bucket("test-bucket", "job").await
}

/// Runs one agent to its end.
async fn work(world: &World, job: &JobBucket, name: &str) -> Ended {
    world.agent(&job.location, name).start().ended().await
}

/// The outputs, as `dayfly fetch` brings them.
async fn fetch(world: &World) -> PathBuf {
    let folder = world.folder().join("results");
    world.dayfly(&["fetch", JOB, &folder.display().to_string()]).await.expect(0, &[]);
    folder
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

async fn lines(job: &JobBucket, view: View) -> Vec<String> {
    let text = job.view(view).await.expect("a view").map(|view| view.text).unwrap_or_default();
    String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
}

/// The one dead letter that there is, and the log that it names.
async fn dead_letter(job: &JobBucket) -> (DeadLetter, String) {
    let all = job.store().list_all(&job.keys.dead_letters()).await.expect("a listing");
    let [entry] = &all[..] else { panic!("{} dead letters", all.len()) };
    let (_, body) = job.store().read(&entry.key).await.expect("a read").expect("a dead letter");
    let letter: DeadLetter = serde_json::from_slice(&body).expect("a dead letter");
    let log = letter.log.clone().expect("a log");
    let (_, log) = job.store().read(&log).await.expect("a read").expect("a log");
    (letter, String::from_utf8_lossy(&log).into_owned())
}
