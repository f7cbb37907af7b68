//! Jobs whose tasks are programs: what they get, what they leave, how they end.

mod checkpoints;
mod endings;
mod hard;
mod limits;
mod names;
mod outputs;
mod python;
mod stops;
mod wall;

use dayfly_shared::bucket::JobBucket;
use dayfly_tests::programs::dead_letter_with_log;
use dayfly_tests::programs::{JOB, fetch, file, inputs, lines, read, seed};
use dayfly_tests::{Ended, World};

/// Runs one agent to its end.
async fn work(world: &World, job: &JobBucket, name: &str) -> Ended {
    world.agent(&job.location, name).start().ended().await
}
