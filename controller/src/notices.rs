//! The notice at a job's end, where no agent has given it: whoever looks at a job that has been over for a while does.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::notice::{Address, Notice, Teller, Telling, Told, is_loopback};
use dayfly_shared::records::Summary;
use dayfly_shared::services::{Account, Heralds, Vault};
use dayfly_shared::store::{S3Store, StoreError};

use crate::host;
use crate::human;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::Parts;
use crate::settings::Place;

/// The agent that sees the end tells at once; one that has not within this has died.
const AFTER: Duration = Duration::from_secs(60);

/// Tells that a job is over, if nobody has; says what came of it. What goes wrong here is no failure of the command.
pub async fn catch_up(parts: &Parts, observer: &Observer, snapshot: &Snapshot) {
    if snapshot.state != JobState::Over {
        return;
    }
    match tell(parts, observer, snapshot).await {
        Ok(None | Some(Telling::UnderWay)) => {}
        Ok(Some(Telling::Now(told))) => {
            let (good, bad) = apart(&told);
            if !good.is_empty() {
                parts.output().note(format!("told that the job is over, as nobody had: {}", human::some(&good)));
            }
            warn(parts, &bad);
        }
        Ok(Some(Telling::Before(told))) => warn(parts, &apart(&told).1),
        // A watcher may have no right to write.
        Err(error) => tracing::info!(%error, "looking whether the job's end was told"),
    }
}

fn apart(told: &[Told]) -> (Vec<String>, Vec<String>) {
    let bad = |one: &Told| one.error.as_ref().map(|error| format!("{}: {error}", one.to));
    let good = told.iter().filter(|one| one.error.is_none()).map(|one| one.to.clone());
    (good.collect(), told.iter().filter_map(bad).collect())
}

fn warn(parts: &Parts, bad: &[String]) {
    for one in bad {
        parts.output().warn(format!("it could not be told that the job is over, to {one}"));
    }
}

async fn tell(parts: &Parts, observer: &Observer, snapshot: &Snapshot) -> Result<Option<Telling>, StoreError> {
    let job = observer.job();
    let on_ec2 = snapshot.agents.iter().any(|agent| agent.instance_id.is_some());
    let mut to = snapshot.settings.notify.clone();
    if to.is_empty() && !on_ec2 {
        return Ok(None);
    }
    let Some(summary) = job.summary().await?.filter(|end| end.segments == observer.ledger().segment_count()) else {
        return Ok(None);
    };
    if on_ec2 {
        to.extend(topic(parts, job, &summary).await);
    }
    if to.is_empty() {
        return Ok(None);
    }
    to.sort();
    to.dedup();
    let account = Arc::new(Account::new(parts.s3_settings(job.location.bucket()), None, Arc::clone(&parts.clock)));
    let vault = Arc::new(Vault::new(Arc::clone(&account)));
    let heralds = Heralds::new(account, vault);
    // Whoever can write to a bucket elsewhere would choose what this machine posts to its own services.
    let heralds = if is_here(parts, job.location.bucket()).await { heralds } else { heralds.but_not_here() };
    let teller = Teller {
        herald: Arc::new(heralds),
        me: host::who(),
        after: AFTER,
        clock: Arc::clone(&parts.clock),
        dice: Arc::clone(&parts.dice),
    };
    let console = parts.console(snapshot.settings.outputs(&job.location)).await;
    Ok(Some(teller.tell(job, &to, &Notice::new(&summary, console)).await?))
}

/// Whether a bucket is this machine's own: a folder, or an endpoint on loopback.
async fn is_here(parts: &Parts, bucket: &str) -> bool {
    if matches!(parts.settings.place, Place::Local(_)) {
        return true;
    }
    let store = S3Store::connect(parts.s3_settings(bucket), Arc::clone(&parts.clock)).await;
    store.is_ok_and(|store| store.endpoint_url().is_some_and(is_loopback))
}

/// The deployment's topic: its machines' agents were to tell it.
#[cfg(feature = "ec2")]
async fn topic(parts: &Parts, job: &JobBucket, summary: &Summary) -> Option<Address> {
    let told = job.notice(summary).await.ok().flatten();
    if told.is_some_and(|(record, _)| record.state == dayfly_shared::notice::NoticeState::Sent) {
        return None;
    }
    let deployment = crate::cloud::find(parts, &job.location).await.ok().flatten()?;
    deployment.notify_topic.map(Address::Topic)
}

#[cfg(not(feature = "ec2"))]
async fn topic(_: &Parts, _: &JobBucket, _: &Summary) -> Option<Address> {
    None
}
