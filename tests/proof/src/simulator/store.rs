//! The bucket as one agent reaches it: over a network that loses, delays, repeats and damages.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::planted::Defect;
use dayfly_shared::rng::Dice;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, Object, ObjectMeta, Outcome, Part, Rejection, Result, Store,
    StoreError, StoreErrorKind, Upload,
};
use futures::StreamExt;

use super::bystander::Who;
use super::clock::sleep;
use super::faults::{Call, Fault};
use super::world::{World, trace};

/// The bucket as one agent reaches it.
#[derive(Clone)]
pub struct FaultyStore {
    world: Arc<World>,
    agent: usize,
}

/// A write, whole, so that it can be applied whenever the network likes, also after its sender is gone.
#[derive(Clone)]
enum Write {
    Put(String, Bytes, Attributes, Condition),
    Delete(String, Option<ETag>),
    Complete(Upload, Vec<Part>, Condition),
}

impl Write {
    fn key(&self) -> &str {
        match self {
            Write::Put(key, ..) | Write::Delete(key, _) => key,
            Write::Complete(upload, ..) => &upload.key,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Write::Put(..) => "PUT",
            Write::Delete(..) => "DELETE",
            Write::Complete(..) => "COMPLETE",
        }
    }

    /// 409 is an answer to conditional writes only.
    fn is_conditional(&self) -> bool {
        match self {
            Write::Put(.., condition) | Write::Complete(.., condition) => *condition != Condition::Overwrite,
            Write::Delete(_, only) => only.is_some(),
        }
    }
}

impl FaultyStore {
    /// The bucket as `agent` reaches it.
    pub fn new(world: Arc<World>, agent: usize) -> Self {
        Self { world, agent }
    }

    fn passing(&self, key: &str) -> StoreError {
        StoreError {
            kind: StoreErrorKind::Transient,
            action: "s3:GetObject",
            place: self.place(key),
            detail: "no answer".to_owned(),
        }
    }

    async fn die(&self) -> std::convert::Infallible {
        self.world.kill(self.agent);
        std::future::pending().await
    }

    /// A read: `look` is answered at one moment.
    async fn read<T: Send>(
        &self,
        action: &str,
        key: &str,
        call: Call,
        look: impl AsyncFnOnce() -> Result<T> + Send,
    ) -> Result<(T, Option<Fault>)> {
        let world = &self.world;
        world.gate(self.agent).await;
        let fate = world.fate(call);
        if fate == Some(Fault::CrashBefore) {
            self.die().await;
        }
        world.travel().await;
        match fate {
            Some(Fault::Unavailable) => {
                world.travel().await;
                world.gate(self.agent).await;
                trace!(world, "agent {} {action} {key}: 503", self.agent);
                Err(self.passing(key))
            }
            Some(Fault::LostRequest | Fault::LostAnswer) => {
                world.time_out().await;
                world.gate(self.agent).await;
                trace!(world, "agent {} {action} {key}: no answer", self.agent);
                Err(self.passing(key))
            }
            Some(Fault::CrashDuring | Fault::CrashAfter) => {
                self.die().await;
                unreachable!("the dead do not wake")
            }
            _ => {
                let answer = look().await;
                world.travel().await;
                world.gate(self.agent).await;
                trace!(world, "agent {} {action} {key}", self.agent);
                Ok((answer?, fate))
            }
        }
    }

    async fn write(&self, write: Write) -> Result<Outcome<ETag>> {
        let world = &self.world;
        world.gate(self.agent).await;
        let mut fate = world.fate(Call::Write);
        if fate == Some(Fault::Conflict) && !write.is_conditional() {
            fate = None;
        }
        if fate == Some(Fault::CrashBefore) {
            self.die().await;
        }
        world.travel().await;
        let answer = match fate {
            Some(Fault::Unavailable) => {
                world.travel().await;
                Ok(Outcome::Unknown("503 SlowDown".to_owned()))
            }
            Some(Fault::LostRequest) => {
                world.time_out().await;
                Ok(Outcome::Unknown("no answer".to_owned()))
            }
            Some(Fault::LostAnswer) => {
                let _ = self.apply(&write).await;
                world.time_out().await;
                Ok(Outcome::Unknown("no answer".to_owned()))
            }
            Some(Fault::ErrorInside) => {
                if world.dice.below(2) == 0 {
                    let _ = self.apply(&write).await;
                }
                world.travel().await;
                Ok(Outcome::Unknown("200, with InternalError inside".to_owned()))
            }
            Some(Fault::Late | Fault::LateTwice) => {
                self.apply_late(write.clone(), fate == Some(Fault::LateTwice));
                world.time_out().await;
                Ok(Outcome::Unknown("no answer".to_owned()))
            }
            Some(Fault::Conflict) => {
                world.travel().await;
                Ok(Outcome::Rejected(Rejection::Conflict))
            }
            Some(Fault::CrashDuring) => {
                self.apply_late(write, false);
                self.die().await;
                unreachable!("the dead do not wake")
            }
            Some(Fault::CrashAfter) => {
                let _ = self.apply(&write).await;
                self.die().await;
                unreachable!("the dead do not wake")
            }
            _ => {
                let answer = self.apply(&write).await;
                world.travel().await;
                answer
            }
        };
        world.gate(self.agent).await;
        trace!(world, "agent {} {} {} hears {answer:?}", self.agent, write.action(), write.key());
        answer
    }

    /// The write reaches the store some time after its sender gave up.
    fn apply_late(&self, write: Write, twice: bool) {
        let store = self.clone();
        tokio::spawn(async move {
            let patience = store.world.state().profile.timeout;
            for _ in 0..=u32::from(twice) {
                let late = store.world.lateness();
                sleep(patience + late).await;
                let _ = store.apply(&write).await;
            }
        });
    }

    /// The write takes effect; whoever watches the bucket sees it.
    async fn apply(&self, write: &Write) -> Result<Outcome<ETag>> {
        let store = &self.world.store;
        let answer = match write {
            Write::Put(key, body, attributes, condition) => store.put(key, body.clone(), attributes, condition).await,
            Write::Delete(key, only) => {
                let tag = only.clone().unwrap_or_else(|| ETag::new(""));
                Ok(match store.delete(key, only.as_ref()).await? {
                    Outcome::Applied(()) => Outcome::Applied(tag),
                    Outcome::Rejected(why) => Outcome::Rejected(why),
                    Outcome::Unknown(why) => Outcome::Unknown(why),
                })
            }
            Write::Complete(upload, parts, condition) => store.upload_complete(upload, parts, condition).await,
        };
        trace!(
            self.world,
            "agent {} {} {}: {}",
            self.agent,
            write.action(),
            write.key(),
            match &answer {
                Ok(Outcome::Applied(tag)) => format!("applied {tag}"),
                Ok(Outcome::Rejected(why)) => format!("rejected {why:?}"),
                Ok(Outcome::Unknown(why)) => format!("unknown {why}"),
                Err(error) => error.to_string(),
            }
        );
        if matches!(answer, Ok(Outcome::Applied(_))) {
            let now = self.world.elapsed();
            let who = Who::Agent(self.agent);
            let seen = {
                let bystander = &mut self.world.state().bystander;
                match write {
                    Write::Put(key, body, attributes, _) => bystander.on_put(who, key, body, attributes, now),
                    Write::Delete(key, only) => bystander.on_delete(key, only.as_ref(), now),
                    Write::Complete(upload, ..) => bystander.on_output(&upload.key),
                }
            };
            if let Err(broken) = seen {
                self.world.violated(broken);
            }
        }
        answer
    }

    /// The time that the agent holds `LastModified` against: the store's; as a planted defect, its own.
    fn served(&self, served: Option<Timestamp>) -> Option<Timestamp> {
        if Defect::ExpiryByWallClock.is_planted() {
            let skew = self.world.wall_skew_ms(self.agent);
            return served.map(|t| Timestamp::from_unix_ms(t.unix_ms.saturating_add_signed(skew)));
        }
        served
    }
}

/// A body that breaks off, or is not what was stored; as over S3, the checksum tells.
fn damaged(object: Object, fault: Fault, place: String) -> Object {
    let error = StoreError {
        kind: StoreErrorKind::Corrupt,
        action: "s3:GetObject",
        place,
        detail: match fault {
            Fault::Truncated => "the body broke off".to_owned(),
            _ => "the body is not what was stored".to_owned(),
        },
    };
    let body = object.body.map(move |piece| match (piece, fault) {
        (Ok(piece), Fault::Truncated) => Ok(piece.slice(..piece.len() / 2)),
        (Ok(piece), _) => Ok(piece.iter().map(|byte| byte ^ 0x20).collect()),
        (error, _) => error,
    });
    Object { meta: object.meta, body: body.chain(futures::stream::iter([Err(error)])).boxed() }
}

#[async_trait]
impl Store for FaultyStore {
    fn place(&self, key: &str) -> String {
        format!("s3://bucket/{key}")
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        let (found, fate) = self.read("GET", key, Call::Get, async || self.world.store.get(key, range).await).await?;
        if found.is_some() {
            let now = self.world.elapsed();
            self.world.state().bystander.on_read(self.agent, key, now);
        }
        Ok(found.map(|mut object| {
            object.meta.served = self.served(object.meta.served);
            match fate {
                Some(fault @ (Fault::Truncated | Fault::Corrupted)) => damaged(object, fault, self.place(key)),
                _ => object,
            }
        }))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let (meta, _) = self.read("HEAD", key, Call::Read, async || self.world.store.head(key).await).await?;
        Ok(meta.map(|meta| ObjectMeta { served: self.served(meta.served), ..meta }))
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        let limit = self.world.state().profile.page;
        let query = ListQuery { limit: query.limit.min(limit), ..query.clone() };
        let look = async || {
            let page = self.world.store.list(&query).await?;
            let now = self.world.elapsed();
            self.world.state().bystander.on_list(self.agent, &query, &page, now);
            let from = query.start_after.as_deref().unwrap_or_default();
            let seen: Vec<(&str, u64)> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.size)).collect();
            trace!(self.world, "agent {} looks at {} from {from:?}: {seen:?}", self.agent, query.prefix);
            Ok(page)
        };
        let (page, _) = self.read("LIST", &query.prefix, Call::Read, look).await?;
        Ok(ListPage { served: self.served(page.served), ..page })
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Outcome<ETag>> {
        self.write(Write::Put(key.to_owned(), body, attributes.clone(), condition.clone())).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        Ok(match self.write(Write::Delete(key.to_owned(), only.cloned())).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Rejected(why) => Outcome::Rejected(why),
            Outcome::Unknown(why) => Outcome::Unknown(why),
        })
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        Ok(self.read("BEGIN", key, Call::Read, async || self.world.store.upload_begin(key, attributes).await).await?.0)
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        let send = async || self.world.store.upload_part(upload, number, body).await;
        Ok(self.read("PART", &upload.key, Call::Read, send).await?.0)
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        self.write(Write::Complete(upload.clone(), parts.to_vec(), condition.clone())).await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.read("ABORT", &upload.key, Call::Read, async || self.world.store.upload_abort(upload).await).await?;
        Ok(())
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        Ok(self.read("UPLOADS", prefix, Call::Read, async || self.world.store.uploads(prefix).await).await?.0)
    }
}
