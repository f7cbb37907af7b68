//! What overlaps within an agent: tasks at work, chunks held, inputs fetched ahead. How many there may be is a guarantee; that
//! there are any, and that agents die of them, shows that the schedules try it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use dayfly_agent::driver::BEHIND;
use dayfly_shared::ids::ChunkId;

use super::bystander::Broken;

/// How often it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    /// Chunks claimed beside the last upload of another, by a slot that had one.
    pub claimed_beside: u64,
    /// Inputs that were there before their tasks began.
    pub fetched_ahead: u64,
    /// Inputs that were there, and whose tasks the agent never began: it died, was told to stop, or lost the lease.
    pub dropped: u64,
}

impl AddAssign for Overlaps {
    fn add_assign(&mut self, other: Self) {
        self.claimed_beside += other.claimed_beside;
        self.fetched_ahead += other.fetched_ahead;
        self.dropped += other.dropped;
    }
}

/// What each agent has in hand.
#[derive(Default)]
pub struct InHand {
    slots: BTreeMap<usize, usize>,
    at_work: BTreeSet<(usize, String)>,
    fetched: BTreeSet<(usize, String)>,
    holds: BTreeMap<ChunkId, usize>,
    /// What was seen so far.
    pub seen: Overlaps,
}

impl InHand {
    /// An agent of so many slots.
    pub fn on_launch(&mut self, agent: usize, slots: u32) {
        self.slots.insert(agent, slots as usize);
    }

    fn slots(&self, agent: usize) -> usize {
        self.slots.get(&agent).copied().unwrap_or(usize::MAX / 2)
    }

    /// A task begins.
    ///
    /// # Errors
    /// More at once than the agent has slots.
    pub fn on_run(&mut self, agent: usize, name: &str) -> Result<(), Broken> {
        self.seen.fetched_ahead += u64::from(self.fetched.remove(&(agent, name.to_owned())));
        self.at_work.insert((agent, name.to_owned()));
        let at_work = self.at_work.iter().filter(|(other, _)| *other == agent).count();
        match at_work <= self.slots(agent) {
            true => Ok(()),
            false => Err(format!("agent {agent} runs {at_work} tasks at once, on {} slots", self.slots(agent))),
        }
    }

    /// It ended, or was stopped.
    pub fn on_run_end(&mut self, agent: usize, name: &str) {
        self.at_work.remove(&(agent, name.to_owned()));
    }

    /// An agent got an input.
    pub fn on_input(&mut self, agent: usize, name: &str) {
        let input = (agent, name.to_owned());
        if !self.at_work.contains(&input) {
            self.fetched.insert(input);
        }
    }

    /// An agent holds the chunk; `new`: since just now.
    ///
    /// # Errors
    /// More than one at work and [`BEHIND`] behind it for each slot. (`closed` ones are nobody's.)
    pub fn on_held(
        &mut self,
        agent: usize,
        chunk: ChunkId,
        new: bool,
        closed: impl Fn(&ChunkId) -> bool,
    ) -> Result<(), Broken> {
        self.holds.insert(chunk, agent);
        let held = self.holds.iter().filter(|(chunk, holder)| **holder == agent && !closed(chunk)).count();
        let slots = self.slots(agent);
        self.seen.claimed_beside += u64::from(new && held > slots);
        match held <= (1 + BEHIND) * slots {
            true => Ok(()),
            false => Err(format!("agent {agent} holds {held} chunks, with {slots} slots")),
        }
    }

    /// Nobody holds it any more.
    pub fn on_free(&mut self, chunk: ChunkId) {
        self.holds.remove(&chunk);
    }

    /// All agents are gone.
    pub fn on_end(&mut self) {
        self.seen.dropped += self.fetched.len() as u64;
        self.fetched.clear();
    }
}
