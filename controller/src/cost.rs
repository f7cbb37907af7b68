//! `dayfly cost`, and what other commands ask of costs: an estimate before, a cap while a job runs.

mod bill;
mod estimate;
mod prices;
mod stay;
mod tariff;

use std::collections::BTreeSet;

use dayfly_shared::exit::Exit;
use dayfly_shared::records::{Cost, to_json};
use dayfly_shared::store::{Attributes, Condition};

use crate::cli::CostArgs;
use crate::cloud::{self, Cloud};
use crate::failure::Result;
use crate::parts::{Parts, Patience};
use crate::write;

pub use bill::Bill;
pub use estimate::{Estimate, Machines, Work, estimate};

/// `dayfly cost`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn cost(parts: &Parts, args: &CostArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job.job.as_ref())?;
    let bucket = parts.job(&job, Patience::Brief).await?;
    let deployment = cloud::find(parts, &job).await?;
    let cloud = Cloud::connect_in(parts, deployment.as_ref().map(|d| d.region.as_str())).await?;
    let bill = Bill::draw(&cloud, &bucket, parts.clock.now().wall, args.all).await?;
    note(parts, &bucket, &bill.cost()).await?;
    parts.output().result(&bill);
    Ok(Exit::Done)
}

/// Puts the cost into the summary of a job that is over; one that goes on has none.
///
/// # Errors
/// A store that refuses.
async fn note(parts: &Parts, bucket: &dayfly_shared::bucket::JobBucket, cost: &Cost) -> Result<()> {
    let key = bucket.keys.summary();
    let Some((meta, _)) = bucket.read(&key).await? else { return Ok(()) };
    let Some(mut summary) = bucket.summary().await? else { return Ok(()) };
    summary.cost = Some(cost.clone());
    // Another summary by now: the job went on, or somebody else asked too.
    let condition = Condition::Update(meta.etag);
    write::put(parts, &**bucket.store(), &key, to_json(&summary).into(), &Attributes::json(), &condition).await?;
    Ok(())
}

/// What a job has cost so far.
///
/// # Errors
/// A store that refuses.
pub async fn spent(parts: &Parts, cloud: &Cloud, bucket: &dayfly_shared::bucket::JobBucket) -> Result<Cost> {
    let bill = Bill::draw(cloud, bucket, parts.clock.now().wall, false).await?;
    note(parts, bucket, &bill.cost()).await?;
    Ok(bill.cost())
}

/// What machines and work may cost, by prices of now; and why prices are unknown.
pub async fn expect(parts: &Parts, cloud: &Cloud, machines: &Machines, work: Work) -> (Estimate, Vec<String>) {
    let now = parts.clock.now().wall;
    let wanted: BTreeSet<_> = machines.types.iter().map(|kind| (kind.clone(), machines.market)).collect();
    let (tariff, why) = prices::tariff(cloud, &wanted, now, now).await;
    (estimate(&tariff, machines, work, now), why)
}

/// What a job has cost so far, in dollars; none: it cannot be known. `dayfly run` asks now and then, and drains the job at
/// its cap. This is the one call site of prices there; the estimate itself is not written yet.
pub async fn spent(_parts: &Parts, _job: &dayfly_shared::job::Location) -> Option<f64> {
    None
}
