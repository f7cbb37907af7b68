//! A standby seat: the right to wait at the end of a job for chunks that come free.

use std::time::Duration;

use dayfly_shared::bucket::{age, reply_to_error, reply_to_write, semaphore_body};
use dayfly_shared::claim::{Lease, LeaseAsk, LeaseNews, Prior, Reply};
use dayfly_shared::clock::Moment;
use dayfly_shared::planted::Defect;
use dayfly_shared::records::LeaseState;
use dayfly_shared::store::{Attributes, ETag, Outcome, Rejection, Store};

use super::agent::Agent;

/// Of the expected agents one in so many may wait, and always at least one.
const AGENTS_A_SEAT: u32 = 100;

/// Never more seats than this: who has one goes all the way round at each look, and five find what thousands of agents
/// have missed (`scripts/bench scale`).
const MOST_SEATS: u32 = 5;

/// How many seats an agent tries before it takes them all for taken.
const TRIES: u32 = 3;

/// How long leaving a seat may take; one that is not left expires.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);

/// What came of the wish for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// One is held.
    Held,
    /// Others that are alive hold them.
    Taken,
    /// Nobody can say whether who holds them is alive: look again.
    Doubtful,
}

/// The seat that this agent holds, if any. Whoever waits for one of its calls may drop it half-way, when there are orders to
/// end: the next call finds out what became of the request.
#[derive(Default)]
pub struct Seat {
    held: Option<(String, Lease)>,
    /// Something was asked for, and nothing has come of it yet.
    under_way: bool,
}

impl Seat {
    /// Takes a seat, or keeps the one held. Who has one searches thoroughly.
    pub async fn take(&mut self, agent: &Agent) -> Take {
        let take = self.try_to_take(agent).await;
        agent.board().stand_by(take == Take::Held);
        take
    }

    async fn try_to_take(&mut self, agent: &Agent) -> Take {
        if self.keep(agent).await {
            return Take::Held;
        }
        let mut doubt = false;
        let seats = (agent.job.agents / AGENTS_A_SEAT).clamp(1, MOST_SEATS);
        let first = u32::try_from(agent.parts.dice.below(seats.into())).unwrap_or(0);
        for n in 0..seats.min(TRIES) {
            let key = agent.bucket.keys.seat((first + n) % seats + 1);
            let prior = match agent.bucket.semaphore(&key).await {
                Ok(None) => None,
                Ok(Some((record, meta))) => {
                    let ttl = Duration::from_secs(record.ttl_seconds.into());
                    let old = age(meta.served, meta.modified).is_some_and(|a| a > ttl + agent.policy.slack);
                    if record.state != LeaseState::Released && !old {
                        // One that missed a heartbeat may be a dead agent's: it is not left to guard the end. A search all
                        // the way round may come between two, hence the half.
                        let late = agent.policy.heartbeat() * 3 / 2 + agent.policy.slack;
                        doubt |= age(meta.served, meta.modified).is_none_or(|a| a > late);
                        continue;
                    }
                    Some(Prior { record, etag: meta.etag })
                }
                Err(error) => {
                    tracing::warn!(%error, "looking for a standby seat");
                    doubt = true;
                    continue;
                }
            };
            let nonce = agent.parts.dice.nonce();
            let (mut lease, ask) =
                Lease::claim(agent.settings.me.clone(), nonce, agent.policy, prior, None, agent.now());
            // A seat has no tasks to lose: what earlier holders left in it only grows.
            lease.draft.tenures.clear();
            self.held = Some((key, lease));
            if self.drive(agent, Some(ask)).await == Some(LeaseNews::Acquired) {
                if let Some((key, _)) = &self.held {
                    tracing::info!(seat = key, "waiting on standby");
                }
                return Take::Held;
            }
            self.held = None;
            doubt = true;
        }
        if doubt { Take::Doubtful } else { Take::Taken }
    }

    /// Renews the seat when that is due. Whether it is still held.
    pub async fn keep(&mut self, agent: &Agent) -> bool {
        self.find_out(agent).await;
        let ask = self.held.as_mut().and_then(|(_, lease)| lease.on_tick(agent.now().at));
        if ask.is_some() {
            self.drive(agent, ask).await;
        }
        self.held.take_if(|(_, lease)| !lease.is_held());
        agent.board().stand_by(self.held.is_some());
        self.held.is_some()
    }

    /// When the seat that is held has to be renewed.
    pub fn due(&self) -> Option<Moment> {
        self.held.as_ref().and_then(|(_, lease)| lease.wake_at())
    }

    /// Leaves the seat to somebody else.
    pub async fn leave(&mut self, agent: &Agent) {
        agent.board().stand_by(false);
        let leaving = async {
            self.find_out(agent).await;
            let ask = self.held.as_mut().and_then(|(_, lease)| lease.delete());
            if ask.is_some() {
                self.drive(agent, ask).await;
            }
            self.held = None;
        };
        tokio::select! {
            biased;
            () = leaving => {}
            () = agent.parts.clock.sleep(LEAVE_PATIENCE) => {}
        }
    }

    /// What became of a request whose answer nobody waited for.
    async fn find_out(&mut self, agent: &Agent) {
        if !self.under_way {
            return;
        }
        let Some((_, lease)) = &mut self.held else { return };
        let (news, ask) = lease.on_reply(Reply::Unknown, agent.now());
        self.under_way = news.is_none();
        if self.under_way {
            self.drive(agent, ask).await;
        }
    }

    /// Sends what the lease asks for until something comes of it.
    async fn drive(&mut self, agent: &Agent, mut ask: Option<LeaseAsk>) -> Option<LeaseNews> {
        let Self { held, under_way } = self;
        let (key, lease) = held.as_mut()?;
        *under_way = true;
        loop {
            let request = match ask.take() {
                Some(request) => request,
                None => {
                    let now = agent.now().at;
                    agent.parts.clock.sleep(lease.wake_at()?.since(now)).await;
                    match lease.on_tick(agent.now().at) {
                        Some(request) => request,
                        None => continue,
                    }
                }
            };
            let reply = answer(&**agent.bucket.store(), key, request).await;
            let (news, next) = lease.on_reply(reply, agent.now());
            if news.is_some() {
                *under_way = false;
                return news;
            }
            ask = next;
        }
    }
}

/// Carries out a lease's request.
pub async fn answer(store: &dyn Store, key: &str, ask: LeaseAsk) -> Reply {
    match ask {
        LeaseAsk::Put { record, condition } => {
            reply_to_write(store.put(key, semaphore_body(&record), &Attributes::json(), &condition).await)
        }
        LeaseAsk::Get => match store.get(key, None).await {
            Ok(None) => Reply::Absent,
            Ok(Some(object)) => {
                let etag = object.meta.etag.clone();
                match object.bytes().await {
                    Ok(bytes) => match dayfly_shared::records::from_json(&bytes) {
                        Ok(record) => Reply::Semaphore(Box::new(record), etag),
                        // Somebody wrote over it by hand: not one's own any more.
                        Err(_) => Reply::Absent,
                    },
                    Err(error) => reply_to_error(&error),
                }
            }
            Err(error) => reply_to_error(&error),
        },
        LeaseAsk::Delete { etag } => match store.delete(key, only(&etag)).await {
            Ok(Outcome::Applied(())) => Reply::Applied(etag),
            Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Conflict,
            Ok(Outcome::Rejected(Rejection::Missing)) => Reply::Missing,
            Ok(Outcome::Rejected(_)) => Reply::Rejected,
            Ok(Outcome::Unknown(_)) => Reply::Unknown,
            Err(error) => reply_to_error(&error),
        },
    }
}

/// The condition of a delete: this version and no other.
fn only(etag: &ETag) -> Option<&ETag> {
    (!Defect::DeleteWithoutCondition.is_planted()).then_some(etag)
}
