//! A slot's tenures: one that runs its chunk's tasks and, behind it, some of which only the last output is still going up.
//!
//! A chunk is claimed when the one before has nothing left to run, and begun at once: the next one's claim and download go on
//! beside the last upload and the close, and no agent sits on a chunk that another could begin.

use std::sync::Arc;

use dayfly_shared::claim::Prior;
use dayfly_shared::ids::ChunkId;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

use super::agent::Agent;
use super::{slot, tenure_run};

/// So many tenures of a slot may have their last output going up, or be closing, while another runs. From the claim to the
/// last byte that comes in takes two requests' time, from there to the end three: with two behind it a slot always fetches.
pub const BEHIND: usize = 2;

/// Told once: the slot is free for another chunk.
pub struct Baton(Option<oneshot::Sender<()>>);

impl Baton {
    /// Whether it has not been told yet.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// The slot is free for another chunk.
    pub fn pass(&mut self) {
        // Nobody listens at an agent's end.
        let _ = self.0.take().map(|baton| baton.send(()));
    }
}

/// A slot's tenures. Dropped, it stops them.
#[derive(Default)]
pub struct Relay(JoinSet<()>);

impl Relay {
    /// Claims the chunk and works on it; comes back when the slot is free for another one.
    pub async fn run(&mut self, agent: &Arc<Agent>, chunk: ChunkId, prior: Option<Box<Prior>>) {
        let (baton, passed) = oneshot::channel();
        let mine = Arc::clone(agent);
        self.0.spawn(async move {
            let mut baton = Baton(Some(baton));
            let over = tenure_run::run(&mine, chunk, prior, &mut baton).await;
            slot::settle(&mine, chunk, over);
            baton.pass();
        });
        // Without a word it has stopped: that is told where it is joined.
        let _ = passed.await;
        while self.0.len() > BEHIND {
            self.join(agent).await;
        }
        // What is left of the plan takes a search: one is enough, when this chunk is closed.
        if !agent.board().is_next_at_hand(agent.now().at) {
            self.end(agent).await;
        }
    }

    /// Waits until all are over.
    pub async fn end(&mut self, agent: &Agent) {
        while !self.0.is_empty() {
            self.join(agent).await;
        }
    }

    async fn join(&mut self, agent: &Agent) {
        let ended: Option<Result<(), JoinError>> = self.0.join_next().await;
        if let Some(Err(error)) = ended {
            // A defect; the others give their chunks back, and the lease of this one expires.
            agent.fail(format!("a slot stopped: {error}"));
        }
    }
}
