//! Machines after a launch: `dayfly ps`, `stop`, `start`, `terminate`, `reap`.

mod cut_off;
pub mod fleets;
mod judge;
mod leftovers;
pub mod machine;
pub mod manage;
mod ps;
mod reap;
mod work;

use dayfly_shared::job::Location;

use crate::cloud::{self, Cloud};
use crate::failure::Result;
use crate::jobs;
use crate::parts::{Parts, Patience};

pub use machine::{Machine, Scope};
pub use manage::{start, stop, terminate};
pub use ps::ps;
pub use reap::reap;

/// The account's clients, in the region of the job's deployment, and which machines a job's name means.
async fn reach(parts: &Parts, job: Option<&Location>) -> Result<(Cloud, Scope)> {
    let Some(job) = job else {
        return Ok((Cloud::connect(parts).await?, Scope::Account));
    };
    let deployment = cloud::find(parts, job).await?;
    // A deployment that is gone may have left machines; they are in the region that the settings say.
    let region = deployment.as_ref().map(|deployment| deployment.region.as_str());
    let cloud = Cloud::connect_in(parts, region).await?;
    match deployment {
        Some(deployment) if deployment.place == *job && !is_job(parts, job).await? => {
            Ok((cloud, Scope::Deployment(deployment.name)))
        }
        _ => Ok((cloud, Scope::Job(job.clone()))),
    }
}

async fn is_job(parts: &Parts, place: &Location) -> Result<bool> {
    jobs::is_job(&*parts.bucket(place.bucket(), Patience::Brief).await?, place).await
}
