//! Building the job's image: once for all machines of a kind. The agent that holds the build's semaphore builds, and puts
//! the image as an archive into the job's place, create-only: that object, whole and with its checksum, is the commit. The
//! others wait for it. The semaphore only saves work; should two build all the same, one archive stands, and both use it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::bucket::age;
use dayfly_shared::clock::Moment;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::to_json;
use dayfly_shared::store::{Attributes, Condition, ETag, ObjectMeta, Outcome, StoreExt as _};
use dayfly_shared::work::ContentHash;
use serde::{Deserialize, Serialize};

use super::engine::Kind;
use super::image::{SharedContext, Source};
use super::registry::bases;
use crate::processor::Failure;
use crate::processor::aside::next_piece;
use crate::processor::put::{fetch_file, put_file_new};

/// What the archive says of itself: the SHA-256 of its content.
const META_SHA256: &str = "dayfly-sha256";
/// … and who built it.
const META_BUILDER: &str = "dayfly-agent";

/// Between two looks at whether the image is there: a build takes minutes.
const LOOK: Duration = Duration::from_secs(2);
/// How long an agent waits for others before it gives up: large images are built and sent in less, and it costs money.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A build that failed is not tried again by the agents that started with it; by those that are started after so long, it is.
const FAILURE_STANDS: Duration = Duration::from_secs(120);
/// Transfers that broke off, before they are given up.
const TRIES: u32 = 5;

/// How long a semaphore is held without a sign of life.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// As long as its holder counts on it.
    pub ttl: Duration,
    /// From when on others may take it over.
    pub expiry: Duration,
}

/// The semaphore of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Semaphore {
    schema: u32,
    /// Who holds it.
    builder: String,
    /// Differs from write to write, so that each is a version of its own.
    write: u64,
    /// Why nothing came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// What a try for the semaphore came to.
enum Turn {
    Ours(ETag),
    Others,
}

/// What an agent has seen of somebody else's semaphore, on its own clock.
struct Sighting {
    etag: ETag,
    since: Moment,
}

/// The build of an image.
pub struct Build<'a> {
    /// Where images come from.
    pub source: &'a Source<'a>,
    /// The folder to build from.
    pub context: SharedContext<'a>,
    /// Where the image is pushed to as well.
    pub push: Option<&'a str>,
}

impl Build<'_> {
    /// Builds the image, or waits for whoever does; a name that the engine knows it by.
    ///
    /// # Errors
    /// A build that fails, here or there; a store that refuses.
    pub async fn image(&self) -> Result<String, Failure> {
        let clock = &*self.source.workshop.clock;
        let until = clock.now().at.after(PATIENCE);
        let mut seen = None;
        loop {
            if let Some(image) = self.load().await? {
                return Ok(image);
            }
            if let Turn::Ours(etag) = self.take_turn(&mut seen).await? {
                if let Some(image) = self.hold(etag).await? {
                    return Ok(image);
                }
                continue;
            }
            if clock.now().at >= until {
                return Err(Failure::Refused(format!(
                    "another agent has been building the job's image for {} minutes ({}); look at its log",
                    PATIENCE.as_secs() / 60,
                    self.source.job.place(&self.semaphore_key())
                )));
            }
            clock.sleep(LOOK).await;
        }
    }

    /// One folder and one kind of machine make one image.
    fn name(&self) -> String {
        format!("{}-{}", &self.context.sha256()[..16.min(self.context.sha256().len())], std::env::consts::ARCH)
    }

    fn image_key(&self) -> String {
        self.source.job.keys.image(&self.name())
    }

    fn semaphore_key(&self) -> String {
        self.source.job.keys.build(&self.name())
    }

    fn archive(&self) -> PathBuf {
        self.source.folder.join("files").join("image.tar")
    }

    /// Loads the archive that somebody has put; none if nobody has.
    async fn load(&self) -> Result<Option<String>, Failure> {
        let (store, key, archive) = (self.source.job.store(), self.image_key(), self.archive());
        let Some(meta) = store.head(&key).await? else { return Ok(None) };
        make_folder_of(&archive)?;
        let mut tries = 1;
        loop {
            let fetched = match fetch_file(store, &key, &archive).await {
                Ok(true) => sha256_of(&archive).await,
                Ok(false) => return Ok(None),
                Err(failure) => Err(failure),
            };
            match fetched {
                Ok(sha256) if meta.metadata.get(META_SHA256) == Some(&sha256) => break,
                Ok(_) if tries >= TRIES => {
                    return Err(Failure::Refused(format!(
                        "{} is not what its builder put there: its SHA-256 is another; remove it, and it is built again",
                        self.source.job.place(&key)
                    )));
                }
                Err(failure @ Failure::Refused(_)) => return Err(failure),
                Err(failure) if tries >= TRIES => return Err(failure),
                _ => tries += 1,
            }
        }
        let image = self.source.engine.load(&archive).await?;
        tracing::info!(builder = meta.metadata.get(META_BUILDER), "loaded the image that was built for the job");
        Ok(Some(image))
    }

    /// Takes the semaphore if it is free, or if its holder has not renewed it for too long.
    async fn take_turn(&self, seen: &mut Option<Sighting>) -> Result<Turn, Failure> {
        let (store, key) = (self.source.job.store(), self.semaphore_key());
        let condition = match store.read(&key).await? {
            None => Condition::Create,
            Some((meta, body)) => {
                let semaphore: Option<Semaphore> = serde_json::from_slice(&body).ok();
                let failed = semaphore.as_ref().and_then(|semaphore| semaphore.failed.clone());
                let ours = semaphore.as_ref().is_some_and(|one| one.builder == self.me());
                if ours && failed.is_none() {
                    // From a try that nobody answered.
                    return Ok(Turn::Ours(meta.etag));
                }
                let idle = self.idle(&meta, seen);
                match failed {
                    Some(why) if idle < FAILURE_STANDS => {
                        return Err(Failure::Refused(format!("another agent could not build the job's image: {why}")));
                    }
                    None if idle <= self.source.lease.expiry => return Ok(Turn::Others),
                    _ => Condition::Update(meta.etag),
                }
            }
        };
        let taken = store.put(&key, self.record(0, None), &Attributes::json(), &condition).await?;
        Ok(match taken {
            Outcome::Applied(etag) => {
                tracing::info!(taken_over = condition != Condition::Create, "building the job's image");
                Turn::Ours(etag)
            }
            Outcome::Rejected(_) | Outcome::Unknown(_) => Turn::Others,
        })
    }

    /// For how long this version has stood: by the store's clock, or by how long it has been seen.
    fn idle(&self, meta: &ObjectMeta, seen: &mut Option<Sighting>) -> Duration {
        let now = self.source.workshop.clock.now().at;
        let since = match seen {
            Some(sighting) if sighting.etag == meta.etag => sighting.since,
            _ => seen.insert(Sighting { etag: meta.etag.clone(), since: now }).since,
        };
        now.since(since).max(age(meta.served, meta.modified).unwrap_or_default())
    }

    /// Builds while the semaphore is renewed; none if it was lost, or somebody else's image stands.
    async fn hold(&self, etag: ETag) -> Result<Option<String>, Failure> {
        let held = Mutex::new(etag);
        let made = tokio::select! {
            biased;
            made = self.make() => made,
            () = self.renew(&held) => {
                tracing::warn!("another agent took the build over; waiting for it");
                return Ok(None);
            }
        };
        let failed = match &made {
            // The others need not find out one by one.
            Err(Failure::Refused(why)) => Some(why.clone()),
            _ => None,
        };
        self.release(held.into_inner().unwrap_or_else(PoisonError::into_inner), failed).await;
        made
    }

    /// Gives the semaphore back, or leaves in it why nothing came of the build. A renewal that was cut off may have made
    /// another version of it.
    async fn release(&self, mut etag: ETag, failed: Option<String>) {
        let (store, key) = (self.source.job.store(), self.semaphore_key());
        for _ in 0..TRIES {
            let outcome = match &failed {
                Some(why) => {
                    let record = self.record(u64::MAX, Some(why.clone()));
                    let put = store.put(&key, record, &Attributes::json(), &Condition::Update(etag.clone())).await;
                    put.map(|outcome| matches!(outcome, Outcome::Applied(_)))
                }
                None => store.delete(&key, Some(&etag)).await.map(|outcome| matches!(outcome, Outcome::Applied(()))),
            };
            match (outcome, store.read(&key).await) {
                (Ok(true), _) => return,
                (Ok(false), Ok(Some((meta, body)))) if self.is_ours(&body) => etag = meta.etag,
                (Ok(false), Ok(_)) => return,
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, "the build's semaphore stays until it expires");
                    return;
                }
            }
        }
    }

    fn is_ours(&self, body: &[u8]) -> bool {
        serde_json::from_slice::<Semaphore>(body).is_ok_and(|semaphore| semaphore.builder == self.me())
    }

    /// Renews the semaphore until it is somebody else's.
    async fn renew(&self, held: &Mutex<ETag>) {
        let (store, key) = (self.source.job.store(), self.semaphore_key());
        for write in 1.. {
            self.source.workshop.clock.sleep(self.source.lease.ttl / 3).await;
            let etag = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let put = store.put(&key, self.record(write, None), &Attributes::json(), &Condition::Update(etag)).await;
            let now = match put {
                Ok(Outcome::Applied(etag)) => Some(etag),
                // It may be one's own write that stands.
                _ => match store.read(&key).await {
                    Ok(Some((meta, body))) => self.is_ours(&body).then_some(meta.etag),
                    Ok(None) => None,
                    Err(_) => continue,
                },
            };
            match now {
                Some(etag) => *held.lock().unwrap_or_else(PoisonError::into_inner) = etag,
                None => return,
            }
        }
    }

    fn me(&self) -> &str {
        &self.source.workshop.containers.builder
    }

    fn record(&self, write: u64, failed: Option<String>) -> bytes::Bytes {
        to_json(&Semaphore { schema: SCHEMA, builder: self.me().to_owned(), write, failed }).into()
    }

    /// Builds, pushes and puts the image; none if somebody else's stands by now.
    async fn make(&self) -> Result<Option<String>, Failure> {
        let folder = self.context.unpack().await?;
        let id = self.build(&folder).await?;
        if let Some(repository) = self.push {
            self.push(&id, repository).await?;
        }
        let archive = self.archive();
        make_folder_of(&archive)?;
        let file = archive.display().to_string();
        let words: &[&str] = match self.source.engine.kind {
            Kind::Podman => &["save", "--quiet", "--format", "docker-archive", "-o", &file, &id],
            Kind::Docker => &["save", "-o", &file, &id],
        };
        self.source.engine.tool(words).run("saving the image").await?;
        let attributes = Attributes::default()
            .with(META_SHA256, sha256_of(&archive).await?)
            .with(META_BUILDER, self.me().to_owned());
        let key = self.image_key();
        for _ in 1..TRIES {
            match put_file_new(self.source.job.store(), &key, &archive, &attributes).await {
                Ok(true) => return Ok(Some(id)),
                // Whoever it was: what stands is what all use.
                Ok(false) => return Ok(None),
                Err(Failure::Interrupted(why)) => tracing::warn!(why, "sending the image again"),
                Err(failure) => return Err(failure),
            }
        }
        put_file_new(self.source.job.store(), &key, &archive, &attributes).await.map(|ours| ours.then_some(id))
    }

    async fn build(&self, folder: &Path) -> Result<String, Failure> {
        let dockerfile = std::fs::read_to_string(folder.join("Dockerfile")).map_err(|e| {
            Failure::Refused(format!("the folder to build from has no Dockerfile that can be read: {e}"))
        })?;
        let login = self.source.login(bases(&dockerfile)).await?;
        let id_file = self.source.folder.join("image-id");
        let _ = std::fs::remove_file(&id_file);
        let (ids, folder) = (id_file.display().to_string(), folder.display().to_string());
        let words: &[&str] = match self.source.engine.kind {
            // As an archive has it, so that the image is the same one everywhere.
            Kind::Podman => &["build", "--format", "docker", "--iidfile", &ids, &folder],
            Kind::Docker => &["build", "--iidfile", &ids, &folder],
        };
        self.source.engine.tool_with(login.as_ref(), words).run("building the job's image").await?;
        let id = std::fs::read_to_string(&id_file);
        let id = id.map_err(|e| Failure::Refused(format!("the engine did not say which image it built: {e}")))?;
        Ok(id.trim().to_owned())
    }

    async fn push(&self, id: &str, repository: &str) -> Result<(), Failure> {
        let login = self.source.login(std::iter::once(repository)).await?;
        let to = match repository.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            true => repository.to_owned(),
            false => format!("{repository}:{}", self.name()),
        };
        self.source.engine.tool(&["tag", id, &to]).run("naming the image").await?;
        let push = self.source.engine.tool_with(login.as_ref(), &["push", "--quiet", &to]);
        push.run(&format!("pushing the image to {to}")).await?;
        tracing::info!(to, "pushed the image");
        Ok(())
    }
}

fn make_folder_of(file: &Path) -> Result<(), Failure> {
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.map_err(|e| Failure::Refused(format!("the folder of {} cannot be made: {e}", file.display())))
}

async fn sha256_of(file: &Path) -> Result<String, Failure> {
    let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be read: {e}", file.display()));
    let mut content = tokio::fs::File::open(file).await.map_err(broken)?;
    let mut hash = ContentHash::default();
    while let Some(piece) = next_piece(&mut content).await.map_err(broken)? {
        hash.update(&piece);
    }
    Ok(hash.finish())
}
