//! The bucket of the model: S3's rules for conditions, tags that are hashes of bodies, and what may never happen there.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_shared::bucket::{reply_to_delete, reply_to_write, semaphore_body};
use dayfly_shared::claim::{Board, LeaseAsk, Reply, Stood, WorkAsk};
use dayfly_shared::ids::{Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::planted::Defect;
use dayfly_shared::records::{DeadLetter, LeaseState, Semaphore};
use dayfly_shared::store::{Condition, ETag, Outcome, Rejection};

use super::super::pooled::{Shared, fingerprint};
use super::Fleet;
use super::world::Broken;

/// A semaphore as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// What it says.
    pub record: Semaphore,
    /// Its tag: a hash of its bytes.
    pub etag: ETag,
    /// What its size hints at in a listing.
    pub hint: bool,
    /// Who wrote it, whatever the body says: the model's own nonce of the tenure.
    pub author: Nonce,
    /// When, in half-seconds of the store's clock.
    pub at: u16,
}

/// The objects. Semaphores and results go by the number of their key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// By key.
    pub semaphores: BTreeMap<u8, Shared<Standing>>,
    /// By key.
    pub results: BTreeSet<u8>,
    /// Outputs and the attempt that committed each.
    pub outputs: BTreeMap<TaskId, Attempt>,
    /// Dead letters.
    pub letters: BTreeMap<TaskId, Box<DeadLetter>>,
}

/// What is asked of the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// By a lease.
    Lease(LeaseAsk),
    /// By a tenure, beside its lease.
    Work(WorkAsk),
    /// Delete a semaphore whose result stands, at the job's end.
    Sweep(ETag),
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The chunk it is about.
    pub chunk: ChunkId,
    /// The tenure that sent it.
    pub author: Nonce,
    /// What it asks for.
    pub ask: Ask,
}

impl Request {
    /// Whether it may change anything.
    pub fn is_write(&self) -> bool {
        match &self.ask {
            Ask::Lease(LeaseAsk::Get) => false,
            Ask::Lease(_) | Ask::Sweep(_) => true,
            Ask::Work(ask) => {
                matches!(ask, WorkAsk::Commit(..) | WorkAsk::PutDeadLetter(_) | WorkAsk::PutResult(_))
            }
        }
    }
}

fn judge(condition: &Condition, standing: Option<&ETag>) -> Option<Rejection> {
    match (condition, standing) {
        (Condition::Create, Some(_)) => Some(Rejection::Precondition),
        (Condition::Update(_), None) => Some(Rejection::Missing),
        (Condition::Update(wanted), Some(tag)) if wanted != tag => Some(Rejection::Precondition),
        _ => None,
    }
}

fn created(free: bool) -> Reply {
    reply_to_write(Ok(match free {
        true => Outcome::Applied(ETag::new("new")),
        false => Outcome::Rejected(Rejection::Precondition),
    }))
}

impl Bucket {
    /// Whether the task is decided.
    pub fn is_decided(&self, task: TaskId) -> bool {
        self.outputs.contains_key(&task) || self.letters.contains_key(&task)
    }

    /// The semaphore under a key.
    pub fn standing(&self, key: u8) -> Option<&Standing> {
        self.semaphores.get(&key).map(|s| &**s)
    }

    /// Whether anybody may claim the chunk under this key without waiting for an expiry.
    pub fn is_free(&self, key: u8) -> bool {
        let released = |s: &Standing| s.record.state == LeaseState::Released;
        !self.results.contains(&key) && self.standing(key).is_none_or(released)
    }

    /// Carries out a request; what it answers.
    pub fn carry_out(&mut self, fleet: &Fleet, request: &Request, at: u16, broken: &mut Broken) -> Reply {
        let key = fleet.key(request.chunk);
        match &request.ask {
            Ask::Lease(LeaseAsk::Put { record, condition }) => {
                if let Some(why) = judge(condition, self.standing(key).map(|s| &s.etag)) {
                    return reply_to_write(Ok(Outcome::Rejected(why)));
                }
                let etag = self.put_semaphore(key, record, request.author, at);
                reply_to_write(Ok(Outcome::Applied(etag)))
            }
            Ask::Lease(LeaseAsk::Get) => match self.standing(key) {
                Some(standing) => Reply::Semaphore(Box::new(standing.record.clone()), standing.etag.clone()),
                None => Reply::Absent,
            },
            Ask::Lease(LeaseAsk::Delete { etag }) => {
                let whatever = Defect::DeleteWithoutCondition.is_planted();
                reply_to_delete(self.delete(key, etag, whatever, broken), etag.clone())
            }
            Ask::Sweep(etag) => reply_to_delete(self.delete(key, etag, false, broken), etag.clone()),
            Ask::Work(WorkAsk::HeadResult) => match self.results.contains(&key) {
                true => Reply::Present,
                false => Reply::Absent,
            },
            Ask::Work(WorkAsk::HeadOutput(task)) => match self.outputs.get(task) {
                Some(attempt) => Reply::Output(Stood { bytes: 1, checksum: None, attempt: Some(*attempt) }),
                None => Reply::Absent,
            },
            Ask::Work(WorkAsk::GetDeadLetter(task)) => match self.letters.get(task) {
                Some(letter) => Reply::DeadLetter(letter.clone()),
                None => Reply::Absent,
            },
            Ask::Work(WorkAsk::Commit(task, attempt)) => {
                let stood = self.outputs.contains_key(task);
                if stood && !Defect::OutputWithoutCondition.is_planted() {
                    return created(false);
                }
                if stood {
                    broken.set(Broken::OUTPUT_REPLACED);
                }
                self.outputs.insert(*task, *attempt);
                created(true)
            }
            Ask::Work(WorkAsk::PutDeadLetter(letter)) => {
                let free = !self.letters.contains_key(&letter.task);
                if free {
                    self.letters.insert(letter.task, letter.clone());
                }
                created(free)
            }
            Ask::Work(WorkAsk::PutResult(_)) => {
                let free = self.results.insert(key);
                if free && !fleet.tasks(request.chunk).iter().all(|t| self.is_decided(t.id)) {
                    broken.set(Broken::RESULT_EARLY);
                }
                created(free)
            }
        }
    }

    /// Puts a semaphore; its tag.
    pub fn put_semaphore(&mut self, key: u8, record: &Semaphore, author: Nonce, at: u16) -> ETag {
        let body = semaphore_body(record);
        let etag = ETag::new(&format!("{:x}", fingerprint(&&*body)));
        let hint = Board::released_hint(body.len() as u64);
        let standing = Standing { record: record.clone(), etag: etag.clone(), hint, author, at };
        self.semaphores.insert(key, Shared::new(standing));
        etag
    }

    fn delete(
        &mut self,
        key: u8,
        etag: &ETag,
        whatever: bool,
        broken: &mut Broken,
    ) -> dayfly_shared::store::Result<Outcome<()>> {
        let Some(standing) = self.standing(key) else { return Ok(Outcome::Rejected(Rejection::Missing)) };
        let judged = standing.etag == *etag;
        if !judged && !whatever {
            return Ok(Outcome::Rejected(Rejection::Precondition));
        }
        if !judged || !self.results.contains(&key) {
            broken.set(Broken::SEMAPHORE_DELETED);
        }
        self.semaphores.remove(&key);
        Ok(Outcome::Applied(()))
    }
}
