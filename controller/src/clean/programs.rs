//! What programs leave: checkpoints that nobody asks for any more, and files of attempts that were not committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::bucket::age;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::Attempt;
use dayfly_shared::keys::manifest_name;
use dayfly_shared::manifest::Manifest;
use dayfly_shared::records::from_json;
use dayfly_shared::store::{Entry, ListQuery, Store, StoreExt as _};
use dayfly_shared::views::{Fate, Ledger};
use dayfly_shared::work::OutputKind;

use crate::failure::Result;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};

/// Of one task, the files of each of its attempts.
type Attempts = BTreeMap<Attempt, Vec<(Entry, Option<Duration>)>>;

/// Checkpoints of tasks for which nothing more is done: a task that is tried again is another one, with its own.
pub async fn checkpoints(observer: &Observer) -> Result<Vec<Entry>> {
    let (job, ledger) = (observer.job(), observer.ledger());
    let all = job.store().list_all(&job.keys.checkpoints()).await?;
    let decided = |e: &Entry| job.keys.parse_checkpoint(&e.key).is_some_and(|task| ledger.is_decided(task));
    Ok(all.into_iter().filter(decided).collect())
}

/// Files of attempts that will never be committed: where a manifest stands, those of all others than it names, as it is
/// write-once; where none does, those of tasks that were given up, once the job is over, nobody works on it, and an
/// attempt that put them would have come to its end.
pub async fn attempt_files(
    parts: &Parts,
    observer: &Observer,
    snapshot: &Snapshot,
    older_than: Duration,
) -> Result<Vec<(Arc<dyn Store>, Entry)>> {
    if snapshot.settings.program.output != OutputKind::Folder {
        return Ok(Vec::new());
    }
    let (job, ledger) = (observer.job(), observer.ledger());
    let outputs = snapshot.settings.outputs(&job.location);
    let store = match outputs.bucket() == job.location.bucket() {
        true => Arc::clone(job.store()),
        false => parts.bucket(outputs.bucket(), Patience::Brief).await?,
    };
    // Elsewhere another job may have tasks of the same names, and its attempts may still be at work.
    let own = outputs.bucket() == job.location.bucket() && outputs.prefix().starts_with(job.location.prefix());
    let lasts = snapshot.settings.task_time_limit() + snapshot.settings.program.stop_grace();
    let old = older_than.max(lasts);
    let over = snapshot.state == JobState::Over && snapshot.live_agents() == 0;

    let (tasks, manifests) = tasks(&*store, &outputs.key("out/"), ledger).await?;
    let mut rubbish = Vec::new();
    for (name, attempts) in tasks {
        let key = outputs.key(&manifest_name(&name));
        if let Some(manifest) = manifests.get(&key) {
            // One attempt and a manifest: it is that one's.
            if attempts.len() > 1
                && let Some(committed) = committed(&*store, manifest).await?
            {
                rubbish.extend(attempts.into_iter().filter(|(attempt, _)| *attempt != committed).flat_map(|(_, f)| f));
            }
        } else if own && over && ledger.fate(&name) == Some(Fate::Failed) {
            let is_old = |(_, age): &(Entry, Option<Duration>)| age.is_some_and(|age| age >= old);
            rubbish.extend(attempts.into_values().filter(|files| files.iter().all(is_old)).flatten());
        }
    }
    Ok(rubbish.into_iter().map(|(entry, _)| (Arc::clone(&store), entry)).collect())
}

/// The attempt whose files a manifest names; none if it is no manifest, or gone by now: then nothing is known.
async fn committed(store: &dyn Store, manifest: &Entry) -> Result<Option<Attempt>> {
    let Some((_, body)) = store.read(&manifest.key).await? else { return Ok(None) };
    match from_json::<Manifest>(&body) {
        Ok(manifest) => Ok(Some(manifest.attempt)),
        Err(error) => {
            tracing::warn!(key = manifest.key, %error, "not a manifest; the files beside it stay");
            Ok(None)
        }
    }
}

/// The attempts of each planned task that has files below `prefix`, and the manifests there, by key.
async fn tasks(
    store: &dyn Store,
    prefix: &str,
    ledger: &Ledger,
) -> Result<(BTreeMap<String, Attempts>, HashMap<String, Entry>)> {
    let (mut tasks, mut manifests) = (BTreeMap::<String, Attempts>::new(), HashMap::new());
    let mut query = ListQuery::under(prefix);
    loop {
        let page = store.list(&query).await?;
        let served: Option<Timestamp> = page.served;
        for entry in page.entries {
            let rest = entry.key.strip_prefix(prefix).unwrap_or_default();
            if rest.strip_suffix("/manifest.json").is_some_and(|name| ledger.fate(name).is_some()) {
                manifests.insert(entry.key.clone(), entry);
            } else if let Some((name, attempt)) = attempt_of(rest, ledger) {
                let age = age(served, entry.modified);
                tasks.entry(name).or_default().entry(attempt).or_default().push((entry, age));
            }
        }
        match page.next {
            Some(next) => query.start_after = Some(next),
            None => return Ok((tasks, manifests)),
        }
    }
}

/// Of `NAME/ATTEMPT/PATH`, where the name is a planned task's, the first two. Names may have slashes.
fn attempt_of(rest: &str, ledger: &Ledger) -> Option<(String, Attempt)> {
    rest.match_indices('/').find_map(|(at, _)| {
        let (name, rest) = (&rest[..at], &rest[at + 1..]);
        let (attempt, _) = rest.split_once('/')?;
        let attempt = attempt.parse().ok()?;
        ledger.fate(name).map(|_| (name.to_owned(), attempt))
    })
}
