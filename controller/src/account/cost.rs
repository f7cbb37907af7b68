//! `dayfly cost`, and what other commands ask of costs: an estimate before, a cap while a job runs.

mod bill;
mod estimate;
mod prices;
mod stay;
mod tariff;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::launch::{Launch, Market, tags};
use dayfly_shared::records::{Cost, to_json};
use dayfly_shared::store::{Attributes, Condition};

use crate::cli::CostArgs;
use crate::cloud::{self, Cloud};
use crate::control;
use crate::failure::Result;
use crate::human;
use crate::observe::Observer;
use crate::parts::{Parts, Patience};
use crate::write;

pub use bill::Bill;
pub use estimate::Expected;
use estimate::{Machines, Work, estimate};
pub use prices::snapshot_month;

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
async fn note(parts: &Parts, bucket: &JobBucket, cost: &Cost) -> Result<()> {
    let key = bucket.keys.summary();
    let Some((meta, _)) = bucket.read(&key).await? else { return Ok(()) };
    let Some(mut summary) = bucket.summary().await? else { return Ok(()) };
    summary.cost = Some(cost.clone());
    // Another summary by now: the job went on, or somebody else asked too.
    let condition = Condition::Update(meta.etag);
    write::put(parts, &**bucket.store(), &key, to_json(&summary).into(), &Attributes::json(), &condition).await?;
    Ok(())
}

/// Drains a job if it has cost as much as it may, `cap` dollars.
///
/// # Errors
/// A store that refuses.
pub async fn hold_to(parts: &Parts, cloud: &Cloud, job: &JobBucket, cap: &str) -> Result<()> {
    let spent = Bill::draw(cloud, job, parts.clock.now().wall, false).await?.cost();
    if cap.parse::<f64>().is_ok_and(|cap| spent.dollars < cap) {
        if !spent.unknown.is_empty() {
            let unknown = human::some(&spent.unknown);
            parts.output().warn(format!("the cap of ${cap} is kept without what is unknown: {unknown}"));
        }
        return Ok(());
    }
    let why = format!("it has cost ${:.2}, and may cost ${cap}", spent.dollars);
    parts.output().warn(format!("{} drains: {why}", job.location));
    control::drain_because(parts, job, &why).await
}

/// What a launch may cost, by prices of now, `types` being what EC2 chooses from; and why prices are unknown.
pub async fn expect(parts: &Parts, cloud: &Cloud, launch: &Launch, types: &[String], zones: &[String]) -> Expected {
    let request = &launch.request;
    let spot = match request.market {
        Market::Spot => request.count - request.on_demand_base,
        Market::OnDemand => 0,
    };
    let machines = Machines {
        counts: [(Market::Spot, spot), (Market::OnDemand, request.count - spot)],
        types: types.to_vec(),
        zones: zones.to_vec(),
        public: request.public_addresses.unwrap_or(true),
        disk_gib: request.machine.disk_gib,
    };
    let now = parts.clock.now().wall;
    let markets = machines.counts.into_iter().filter(|(_, count)| *count > 0).map(|(market, _)| market);
    let wanted = markets.flat_map(|market| types.iter().map(move |kind| (kind.clone(), market))).collect();
    let (tariff, notes) = prices::tariff(cloud, &wanted, now, now).await;
    let work = match request.tags.get(tags::JOB).and_then(|job| job.parse().ok()) {
        Some(job) => work(parts, &job).await.unwrap_or_default(),
        None => Work::default(),
    };
    Expected { estimate: estimate(&tariff, &machines, work, now), notes }
}

/// What is left to do, and how long a machine took over a task so far.
async fn work(parts: &Parts, job: &Location) -> Result<Work> {
    let bucket = parts.job(job, Patience::Brief).await?;
    let left = Observer::new(bucket.clone()).look().await?.left();
    let agents = bucket.agents().await?;
    let done: u64 = agents.iter().map(|agent| agent.done).sum();
    let there: f64 = agents.iter().map(|agent| agent.last_seen.since(agent.born).as_secs_f64()).sum();
    Ok(Work { tasks: left, machine_seconds_a_task: (done > 0).then(|| there / done as f64) })
}
