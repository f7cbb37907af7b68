//! Jobs whose tasks run in containers, by a real podman: its storage in the test's folder, its images made of busybox there,
//! no registry anywhere.
//!
//! `scripts/test containers` installs podman and runs these; by themselves they are ignored. Logging in to ECR is shown with
//! a stand-in for the engine, and needs nothing.

mod builds;
mod ecr;
mod endings;
mod images;
mod podman;
mod runs;
mod stops;

use std::path::{Path, PathBuf};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::View;
use dayfly_shared::records::DeadLetter;
use dayfly_shared::store::StoreExt;
use dayfly_tests::World;

/// The place of the jobs.
const JOB: &str = "s3://test-bucket/job";

/// Defines one test with an engine; ignored by itself.
#[macro_export]
macro_rules! in_containers {
    ($($(#[$meta:meta])* async fn $name:ident($podman:ident: $type:ty) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        #[ignore = "needs podman: scripts/test containers"]
        fn $name() {
            async fn body(world: &dayfly_tests::World) {
                async fn inner($podman: $type) $body
                inner(&$crate::podman::Podman::new(world)).await;
            }
            dayfly_tests::run(dayfly_tests::Kind::Endpoint, body);
        }
    )*};
}

/// A folder of inputs.
fn inputs(world: &World, files: &[(&str, &str)]) -> String {
    files.iter().for_each(|(name, text)| _ = file(world, &format!("inputs/{name}"), text));
    world.folder().join("inputs").display().to_string()
}

/// A file in the test's folder.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.folder().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Seeds the job with what the command line says.
async fn seed(world: &World, words: &[&str]) -> JobBucket {
    let line: Vec<&str> = ["seed", JOB, "--lease-ttl", "5s"].iter().chain(words).copied().collect();
    world.dayfly(&line).await.expect(0, &[]);
    world.job_bucket("test-bucket", "job").await
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

/// The one dead letter that there is.
async fn dead_letter(job: &JobBucket) -> DeadLetter {
    let all = job.store().list_all(&job.keys.dead_letters()).await.expect("a listing");
    let [entry] = &all[..] else { panic!("{} dead letters", all.len()) };
    let (_, body) = job.store().read(&entry.key).await.expect("a read").expect("a dead letter");
    serde_json::from_slice(&body).expect("a dead letter")
}

/// Nothing was claimed, and nothing given up.
async fn is_untouched(job: &JobBucket) {
    let listed = async |prefix: &str| job.store().list_all(prefix).await.expect("a listing").len();
    assert_eq!((listed(&job.keys.results()).await, listed(&job.keys.dead_letters()).await), (0, 0));
    let claims = job.semaphores().await.expect("a listing");
    assert!(claims.is_empty(), "{claims:?}");
}
