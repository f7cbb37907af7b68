//! Telling an end, once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;

use super::{Address, Notice, NoticeRecord, NoticeState, Told};
use crate::backoff::Backoff;
use crate::bucket::{JobBucket, age};
use crate::clock::{Clock, Moment};
use crate::ids::Nonce;
use crate::job::SCHEMA;
use crate::records::Summary;
use crate::rng::Dice;
use crate::store::{Condition, ETag, ObjectMeta, Outcome, Result};

/// How often somebody is tried to be told: each try may take ten seconds and more, and the machine costs money.
const TRIES: u32 = 4;
/// Between two tries, at most, doubling: a service that restarts is back in some seconds.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// How often the record of what was told is tried to be put.
const PUTS: u32 = 6;

/// No try begins later after the announcement than this: with [`Herald::tell`]'s thirty seconds all is over after eighty.
const LAST_TRY: Duration = Duration::from_secs(50);
/// An announcement this old is a dead teller's: the rest is for the store, which has to take the record.
const STALE: Duration = Duration::from_secs(120);
/// Who has its announcement answered later than this does not tell: even one try could outlast it.
const LATE: Duration = Duration::from_secs(80);

/// Nobody was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Untold {
    /// Why, without what is secret.
    pub why: String,
    /// Whether another try would come to the same.
    pub is_final: bool,
}

/// Tells somebody.
#[async_trait]
pub trait Herald: Send + Sync {
    /// One message, within thirty seconds.
    ///
    /// # Errors
    /// Why nobody was told.
    async fn tell(&self, to: &Address, notice: &Notice) -> std::result::Result<(), Untold>;
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It had been told before.
    Before(Vec<Told>),
    /// It was told now.
    Now(Vec<Told>),
    /// Somebody is about to.
    UnderWay,
}

/// Somebody who tells.
pub struct Teller {
    /// By whom it is told.
    pub herald: Arc<dyn Herald>,
    /// Who this is, for the record.
    pub me: String,
    /// How old a summary has to be before it is told by somebody who did not see the end: who did goes first.
    pub after: Duration,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waits and nonces.
    pub dice: Arc<dyn Dice>,
}

impl Teller {
    /// Tells the end of a job, unless somebody else has or is about to.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn tell(&self, job: &JobBucket, to: &[Address], notice: &Notice) -> Result<Telling> {
        let (key, nonce) = (job.keys.notice(&notice.summary), self.dice.nonce());
        let (condition, before) = match job.notice(&notice.summary).await? {
            Some((record, _)) if record.state == NoticeState::Sent => return Ok(Telling::Before(record.told)),
            Some((record, meta)) if is_stale(&meta) => (Condition::Update(meta.etag), record.told),
            Some(_) => return Ok(Telling::UnderWay),
            None if self.may_begin(job).await? => (Condition::Create, Vec::new()),
            None => return Ok(Telling::UnderWay),
        };
        let record = |state, told| NoticeRecord {
            schema: SCHEMA,
            state,
            by: self.me.clone(),
            at: self.clock.now().wall,
            nonce,
            told,
        };
        let begun = self.clock.now().at;
        let announced = job.put_json(&key, &record(NoticeState::Sending, before.clone()), &condition).await?;
        let etag = match announced {
            Outcome::Applied(etag) => etag,
            Outcome::Rejected(_) => return Ok(Telling::UnderWay),
            // It may stand: then nobody else tells.
            Outcome::Unknown(_) => match self.own(job, &notice.summary, nonce).await? {
                Some(etag) => etag,
                None => return Ok(Telling::UnderWay),
            },
        };
        if self.clock.now().at.since(begun) > LATE {
            return Ok(Telling::UnderWay);
        }
        let known = known(to, before);
        let each = to.iter().zip(&known).map(|(address, known)| async {
            match known {
                Some(told) => told.clone(),
                None => self.tell_one(address, notice, begun).await,
            }
        });
        let told: Vec<Told> = join_all(each).await;
        // Who looks on later may not be able to tell what an agent can: the next one tries those that are left.
        let is_left = !self.after.is_zero() && told.iter().any(|one| one.error.is_some());
        let state = if is_left { NoticeState::Sending } else { NoticeState::Sent };
        self.write_down(job, &key, &record(state, told.clone()), etag, &notice.summary).await?;
        let now = told.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(told, _)| told);
        Ok(Telling::Now(now.collect()))
    }

    async fn may_begin(&self, job: &JobBucket) -> Result<bool> {
        if self.after.is_zero() {
            return Ok(true);
        }
        let meta = job.store().head(&job.keys.summary()).await?;
        Ok(meta.and_then(|meta| age(meta.served, meta.modified)).is_some_and(|age| age >= self.after))
    }

    /// The version of the announcement, where it is this teller's own.
    async fn own(&self, job: &JobBucket, summary: &Summary, nonce: Nonce) -> Result<Option<ETag>> {
        let standing = job.notice(summary).await?;
        Ok(standing.filter(|(record, _)| record.nonce == nonce).map(|(_, meta)| meta.etag))
    }

    async fn tell_one(&self, to: &Address, notice: &Notice, begun: Moment) -> Told {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut error = None;
        for left in (0..TRIES).rev() {
            match self.herald.tell(to, notice).await {
                Ok(()) => {
                    tracing::info!(to = to.shown(), "the job's end was told");
                    error = None;
                    break;
                }
                Err(untold) => {
                    tracing::warn!(to = to.shown(), why = untold.why, left, "the job's end could not be told");
                    error = Some(untold.why);
                    if untold.is_final {
                        break;
                    }
                }
            }
            if left > 0 {
                self.clock.sleep(backoff.next(&*self.dice)).await;
            }
            if self.clock.now().at.since(begun) > LAST_TRY {
                break;
            }
        }
        Told { to: to.shown(), error }
    }

    async fn write_down(
        &self,
        job: &JobBucket,
        key: &str,
        record: &NoticeRecord,
        mut etag: ETag,
        summary: &Summary,
    ) -> Result<()> {
        let mut backoff = Backoff::default();
        for _ in 0..PUTS {
            if let Outcome::Applied(_) = job.put_json(key, record, &Condition::Update(etag)).await? {
                return Ok(());
            }
            self.clock.sleep(backoff.next(&*self.dice)).await;
            match job.notice(summary).await? {
                // A put without an answer was applied.
                Some((standing, _)) if standing.state == NoticeState::Sent || standing == *record => return Ok(()),
                Some((standing, meta)) if standing.nonce == record.nonce => etag = meta.etag,
                // This teller was taken for dead.
                _ => break,
            }
        }
        tracing::warn!(key, "that the job's end was told could not be written down; it may be told again");
        Ok(())
    }
}

/// What a record knows of each who has been told. Addresses that look the same there are told apart by their order, which
/// is the same whoever tells.
fn known(to: &[Address], mut record: Vec<Told>) -> Vec<Option<Told>> {
    let mut known = |address: &Address| {
        let shown = address.shown();
        let at = record.iter().position(|one| one.to == shown)?;
        Some(record.remove(at)).filter(|one| one.error.is_none())
    };
    to.iter().map(&mut known).collect()
}

/// Whether an announcement is so old that its teller is dead. Both times are of the store, out of one answer.
fn is_stale(meta: &ObjectMeta) -> bool {
    age(meta.served, meta.modified).is_some_and(|age| age > STALE)
}
