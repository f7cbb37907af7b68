//! One lease object: a chunk's semaphore, or a standby seat.

use crate::clock::{Moment, Now};
use crate::ids::{AgentId, Nonce};
use crate::job::SCHEMA;
use crate::planted::Defect;
use crate::records::{AttemptEnd, AttemptRecord, LeaseState, Semaphore, TenureEnd, TenureRecord};
use crate::store::{Condition, ETag};

use super::{Policy, Reply, retry_wait};

/// A request of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseAsk {
    /// Write the lease object.
    Put {
        /// What to write.
        record: Box<Semaphore>,
        /// Under which condition.
        condition: Condition,
    },
    /// Read it.
    Get,
    /// Delete it if it is this version.
    Delete {
        /// The version.
        etag: ETag,
    },
}

/// What a reply changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseNews {
    /// The lease is one's own now.
    Acquired,
    /// Somebody else was faster; choose again.
    NotOurs,
    /// A renewal went through.
    Renewed,
    /// It is no longer one's own: begin nothing more.
    Lost,
    /// It was given back.
    Released,
    /// It was deleted, or is gone, or nobody says and a later sweep will see to it.
    Deleted,
}

/// What stood there before a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prior {
    /// The lease object that was judged.
    pub record: Semaphore,
    /// Its version.
    pub etag: ETag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Acquiring,
    Held,
    Releasing,
    Deleting,
    Over,
}

/// Where a write stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// A try is under way.
    Sent,
    /// Reading the object to find out whose write stands.
    Looking,
    /// Waiting to send the same again.
    Waiting { until: Moment, look: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writing {
    record: Box<Semaphore>,
    condition: Condition,
    /// Of the first try: what is proven of the lease is never younger than this.
    sent_at: Moment,
    /// Whether a try went unanswered: only then can a rejection hide one's own write.
    doubtful: bool,
    tries: u32,
    step: Step,
}

/// One's own side of a lease object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    policy: Policy,
    /// What the next write will say; the tenure notes its progress here.
    pub draft: Semaphore,
    /// The last version of one's own, if any.
    etag: Option<ETag>,
    /// What that version says.
    written: Option<Box<Semaphore>>,
    /// When ownership was last proven: the time at which the proving write was first sent.
    proven_at: Moment,
    phase: Phase,
    writing: Option<Writing>,
    /// A delete under way: tries so far and, between tries, until when to wait.
    deleting: Option<(u32, Option<Moment>)>,
    /// What is wanted as soon as the write under way is settled.
    renew_again: bool,
    release_next: bool,
    delete_next: bool,
}

/// After so many unanswered tries a delete is left to the sweep at the job's end: it frees nobody.
const DELETE_TRIES: u32 = 5;

impl Lease {
    /// Claims a lease: creates its object, or takes over `prior`, which the caller has judged released or expired.
    /// `tenure` is a nonce never used before; `name` is what the object says of its one task. The request to send comes
    /// with it.
    pub fn claim(
        me: AgentId,
        tenure: Nonce,
        policy: Policy,
        prior: Option<Prior>,
        name: Option<String>,
        now: Now,
    ) -> (Self, LeaseAsk) {
        let mut draft = Semaphore {
            schema: SCHEMA,
            agent: me,
            tenure: if Defect::BodyWithoutNonce.is_planted() { Nonce(0) } else { tenure },
            write: 0,
            epoch: 1,
            ttl_seconds: u32::try_from(policy.ttl.as_secs()).unwrap_or(u32::MAX),
            state: LeaseState::Held,
            since: now.wall,
            name,
            decided: 0,
            running: None,
            attempts: Vec::new(),
            losses: 0,
            tenures: Vec::new(),
        };
        let mut condition = Condition::Create;
        if let Some(Prior { record, etag }) = prior {
            inherit(&mut draft, record, now);
            condition = Condition::Update(etag);
        }
        let mut lease = Self {
            policy,
            draft,
            etag: None,
            written: None,
            proven_at: now.at,
            phase: Phase::Acquiring,
            writing: None,
            deleting: None,
            renew_again: false,
            release_next: false,
            delete_next: false,
        };
        let ask = lease.write(condition, now.at);
        (lease, ask)
    }

    fn write(&mut self, condition: Condition, now: Moment) -> LeaseAsk {
        if !Defect::BodyWithoutNonce.is_planted() {
            self.draft.write += 1;
        }
        let record = Box::new(self.draft.clone());
        self.writing = Some(Writing {
            record: record.clone(),
            condition: condition.clone(),
            sent_at: now,
            doubtful: false,
            tries: 1,
            step: Step::Sent,
        });
        LeaseAsk::Put { record, condition }
    }

    /// Whether the lease is one's own as far as is known.
    pub fn is_held(&self) -> bool {
        self.phase == Phase::Held
    }

    /// Since when ownership is proven; what others count from is never earlier.
    pub fn proven_at(&self) -> Moment {
        self.proven_at
    }

    /// What the last version of one's own says.
    pub fn written(&self) -> Option<&Semaphore> {
        self.written.as_deref()
    }

    /// Whether something new may be begun without a renewal.
    pub fn is_fresh(&self, now: Moment) -> bool {
        now.since(self.proven_at) <= self.policy.fresh()
    }

    /// Renews now, with what the draft says. While a write is under way, another follows it.
    pub fn renew(&mut self, now: Moment) -> Option<LeaseAsk> {
        match (self.phase, &self.writing, &self.etag) {
            (Phase::Held, None, Some(etag)) => {
                let condition = Condition::Update(etag.clone());
                Some(self.write(condition, now))
            }
            (Phase::Held, Some(_), _) => {
                self.renew_again = true;
                None
            }
            _ => None,
        }
    }

    /// Gives the lease back: its object stays, released, so that its epoch goes on counting.
    pub fn release(&mut self, now: Now) -> Option<LeaseAsk> {
        if self.phase != Phase::Held {
            return None;
        }
        if self.writing.is_some() {
            self.release_next = true;
            return None;
        }
        let etag = self.etag.clone()?;
        self.phase = Phase::Releasing;
        self.draft.state = LeaseState::Released;
        self.draft.running = None;
        self.draft.tenures.push(TenureRecord {
            agent: self.draft.agent.clone(),
            epoch: self.draft.epoch,
            tenure: self.draft.tenure,
            from: self.draft.since,
            to: now.wall,
            end: TenureEnd::Released,
        });
        Some(self.write(Condition::Update(etag), now.at))
    }

    /// Deletes the lease object, if it still is one's own last version.
    pub fn delete(&mut self) -> Option<LeaseAsk> {
        if self.phase != Phase::Held {
            return None;
        }
        if self.writing.is_some() {
            self.delete_next = true;
            return None;
        }
        let etag = self.etag.clone()?;
        self.phase = Phase::Deleting;
        self.deleting = Some((1, None));
        Some(LeaseAsk::Delete { etag })
    }

    /// When [`Lease::on_tick`] next has something to do.
    pub fn wake_at(&self) -> Option<Moment> {
        if let Some((_, Some(until))) = self.deleting {
            return Some(until);
        }
        match &self.writing {
            Some(Writing { step: Step::Waiting { until, .. }, .. }) => Some(*until),
            Some(_) => None,
            None if self.phase == Phase::Held => Some(self.proven_at.after(self.policy.heartbeat())),
            None => None,
        }
    }

    /// Time has passed: a heartbeat, or another try, if one is due.
    pub fn on_tick(&mut self, now: Moment) -> Option<LeaseAsk> {
        if let Some((tries, Some(until))) = self.deleting {
            if now < until {
                return None;
            }
            self.deleting = Some((tries + 1, None));
            return self.etag.clone().map(|etag| LeaseAsk::Delete { etag });
        }
        match &mut self.writing {
            Some(writing) => match writing.step {
                Step::Waiting { until, look } if now >= until => {
                    writing.tries += 1;
                    if look {
                        writing.step = Step::Looking;
                        Some(LeaseAsk::Get)
                    } else {
                        writing.step = Step::Sent;
                        if Defect::RetryWithNewNonce.is_planted() {
                            writing.record.write += 1;
                        }
                        Some(LeaseAsk::Put { record: writing.record.clone(), condition: writing.condition.clone() })
                    }
                }
                _ => None,
            },
            None if self.phase == Phase::Held && now >= self.proven_at.after(self.policy.heartbeat()) => {
                self.renew(now)
            }
            None => None,
        }
    }

    /// The answer to the last request. What it changed, and the request that follows.
    pub fn on_reply(&mut self, reply: Reply, now: Now) -> (Option<LeaseNews>, Option<LeaseAsk>) {
        match self.phase {
            Phase::Over => (None, None),
            Phase::Deleting => (self.on_delete_reply(&reply, now.at), None),
            Phase::Acquiring | Phase::Held | Phase::Releasing => self.on_write_reply(reply, now),
        }
    }

    fn on_delete_reply(&mut self, reply: &Reply, now: Moment) -> Option<LeaseNews> {
        let tries = self.deleting.map_or(1, |(tries, _)| tries);
        // Never a plain delete after a rejected one: whatever stands there now is not ours to remove.
        if matches!(reply, Reply::Unknown | Reply::Conflict) && tries < DELETE_TRIES {
            self.deleting = Some((tries, Some(now.after(retry_wait(tries)))));
            return None;
        }
        self.deleting = None;
        self.phase = Phase::Over;
        Some(LeaseNews::Deleted)
    }

    fn on_write_reply(&mut self, reply: Reply, now: Now) -> (Option<LeaseNews>, Option<LeaseAsk>) {
        let Some(mut writing) = self.writing.take() else { return (None, None) };
        let looking = writing.step == Step::Looking;
        let again = |mut writing: Writing, look: bool| {
            let until = now.at.after(retry_wait(writing.tries));
            writing.step = Step::Waiting { until, look };
            Some(writing)
        };
        match reply {
            Reply::Applied(etag) if !looking => return self.on_applied(writing, etag, now),
            Reply::Unknown if !looking => {
                writing.doubtful = true;
                self.writing = again(writing, false);
            }
            // Not applied, and not "taken": the same again; a concurrent write that won shows as a 412 then.
            Reply::Conflict if !looking => self.writing = again(writing, false),
            Reply::Rejected | Reply::Missing if !looking && writing.doubtful => {
                writing.step = Step::Looking;
                self.writing = Some(writing);
                return (None, Some(LeaseAsk::Get));
            }
            Reply::Semaphore(found, etag) if looking => {
                let ours = found.tenure == writing.record.tenure && found.write == writing.record.write;
                if ours || (Defect::AdoptByName.is_planted() && found.agent.name() == writing.record.agent.name()) {
                    return self.on_applied(writing, etag, now);
                }
                return (Some(self.over()), None);
            }
            Reply::Unknown if looking => self.writing = again(writing, true),
            // Rejected at the first try, gone, somebody else's, or refused for good.
            _ => return (Some(self.over()), None),
        }
        (None, None)
    }

    /// The lease is not one's own: never was, or no longer.
    fn over(&mut self) -> LeaseNews {
        let news = match self.phase {
            Phase::Acquiring => LeaseNews::NotOurs,
            _ => LeaseNews::Lost,
        };
        self.phase = Phase::Over;
        news
    }

    fn on_applied(&mut self, writing: Writing, etag: ETag, now: Now) -> (Option<LeaseNews>, Option<LeaseAsk>) {
        self.etag = Some(etag);
        self.written = Some(writing.record);
        self.proven_at = writing.sent_at;
        let news = match self.phase {
            Phase::Releasing => {
                self.phase = Phase::Over;
                return (Some(LeaseNews::Released), None);
            }
            Phase::Acquiring => {
                self.phase = Phase::Held;
                LeaseNews::Acquired
            }
            _ => LeaseNews::Renewed,
        };
        let ask = if std::mem::take(&mut self.delete_next) {
            self.delete()
        } else if std::mem::take(&mut self.release_next) {
            self.release(now)
        } else if std::mem::take(&mut self.renew_again) {
            self.renew(now.at)
        } else {
            None
        };
        (Some(news), ask)
    }
}

/// Carries over what the next tenure must know of the ones before it.
fn inherit(draft: &mut Semaphore, prior: Semaphore, now: Now) {
    draft.epoch = prior.epoch.saturating_add(1);
    draft.attempts = prior.attempts;
    draft.losses = prior.losses;
    draft.tenures = prior.tenures;
    if prior.state == LeaseState::Released {
        return;
    }
    draft.losses += 1;
    draft.tenures.push(TenureRecord {
        agent: prior.agent.clone(),
        epoch: prior.epoch,
        tenure: prior.tenure,
        from: prior.since,
        to: now.wall,
        end: TenureEnd::Expired,
    });
    if let Some(running) = prior.running {
        draft.attempts.push(AttemptRecord {
            task: running.task,
            attempt: running.attempt,
            agent: prior.agent,
            from: running.from,
            to: now.wall,
            end: if running.alone { AttemptEnd::VanishedAlone } else { AttemptEnd::Vanished },
            error: None,
            usage: None,
        });
    }
}
