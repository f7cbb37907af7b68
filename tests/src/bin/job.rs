//! Lays out a job that is over, made up (`dayfly_tests::fabric`), where `dayfly … --local FOLDER` looks for one.
//!
//! `dayfly-test-job FOLDER TASKS AGENTS`

use std::path::Path;
use std::sync::Arc;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::SystemClock;
use dayfly_shared::job::Location;
use dayfly_shared::store::LocalStore;
use dayfly_tests::fabric;

/// The bucket that `--local` means.
const BUCKET: &str = "dayfly";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tasks, agents] = arguments.as_slice() else { return Err("FOLDER TASKS AGENTS".into()) };
    let store = LocalStore::create(&Path::new(folder).join(BUCKET), BUCKET, Arc::new(SystemClock))?;
    let job = JobBucket::new(Location::new(BUCKET, "")?, Arc::new(store));
    fabric::lay_out(&job, tasks.parse()?, agents.parse()?).await;
    Ok(())
}
