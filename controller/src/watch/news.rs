//! What happened between two looks at a job.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dayfly_shared::ids::{AgentId, ChunkId};
use serde::Serialize;

use crate::gist::{self, Gist};
use crate::human;
use crate::observe::{AgentNow, GivenUp, Snapshot};

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job is in another state.
    State {
        /// Which.
        state: &'static str,
        /// Why.
        why: Option<String>,
    },
    /// An agent reported for the first time.
    AgentCame(Box<AgentNow>),
    /// An agent ended, drains, or was not heard of any more.
    AgentLeft {
        /// Who.
        agent: AgentId,
        /// `ended`, `draining` or `silent`.
        how: &'static str,
        /// Why.
        why: Option<String>,
    },
    /// A chunk was taken over from another agent.
    TakenOver {
        /// The chunk.
        chunk: ChunkId,
        /// The task in hand.
        name: Option<String>,
        /// By whom.
        agent: AgentId,
        /// The how manieth holder that is.
        epoch: u32,
    },
    /// A task was given up.
    GivenUp(GivenUp),
    /// How the job stands now.
    Status(Box<Standing>),
}

/// A snapshot, and what the job has cost by then.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// What it has cost so far, where it runs on EC2 and AWS tells.
    pub dollars: Option<f64>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::State { state, why: Some(why) } => write!(f, "the job is {state}: {}", gist::told(why)),
            Event::State { state, why: None } => write!(f, "the job is {state}"),
            Event::AgentCame(agent) => {
                let slots = human::count(agent.slots.into(), "slot");
                write!(f, "agent {} came, {slots}, on {}", agent.agent, agent.place())
            }
            Event::AgentLeft { agent, how, why: Some(why) } => write!(f, "agent {agent} is {how}: {}", gist::told(why)),
            Event::AgentLeft { agent, how, why: None } => write!(f, "agent {agent} is {how}"),
            Event::TakenOver { chunk, name, agent, epoch } => {
                let what = name.clone().unwrap_or_else(|| format!("chunk {chunk}"));
                write!(f, "{what} was taken over by {agent}, its holder number {epoch}")
            }
            Event::GivenUp(letter) => {
                let (attempts, gist) = (human::count(letter.attempts, "attempt"), Gist::of(&letter.error));
                write!(f, "given up after {attempts}: {}: {gist}", letter.name)
            }
            Event::Status(standing) => write!(f, "{}", crate::status::tally(&standing.snapshot)),
        }
    }
}

/// What is new in `now`; at the first look, what stands.
pub fn between(before: Option<&Snapshot>, now: &Snapshot) -> Vec<Event> {
    let mut events = Vec::new();
    let agents: BTreeMap<&AgentId, &'static str> =
        before.iter().flat_map(|snapshot| &snapshot.agents).map(|agent| (&agent.agent, agent.doing())).collect();
    for agent in &now.agents {
        let was = agents.get(&agent.agent).copied();
        // What had ended before anybody watched is no news; who came and went between two looks is.
        if was.is_none() && (agent.live || before.is_some()) {
            events.push(Event::AgentCame(Box::new(agent.clone())));
        }
        let how = agent.doing();
        let has_changed = before.is_some() && was != Some(how);
        if matches!(how, "ended" | "silent" | "draining") && has_changed {
            events.push(Event::AgentLeft { agent: agent.agent.clone(), how, why: agent.why.clone() });
        }
    }
    let held: BTreeMap<ChunkId, u32> =
        before.iter().flat_map(|snapshot| &snapshot.running).map(|lease| (lease.chunk, lease.epoch)).collect();
    for lease in now.running.iter().filter(|lease| held.get(&lease.chunk).is_some_and(|epoch| lease.epoch > *epoch)) {
        events.push(Event::TakenOver {
            chunk: lease.chunk,
            name: lease.name.clone(),
            agent: lease.agent.clone(),
            epoch: lease.epoch,
        });
    }
    let known: BTreeSet<_> =
        before.iter().flat_map(|snapshot| &snapshot.given_up).map(|letter| (letter.task, letter.at)).collect();
    let new = now.given_up.iter().filter(|letter| !known.contains(&(letter.task, letter.at)));
    events.extend(new.cloned().map(Event::GivenUp));
    if before.is_some_and(|before| before.state != now.state) {
        events.push(Event::State { state: now.state.word(), why: now.why.clone() });
    }
    events
}
