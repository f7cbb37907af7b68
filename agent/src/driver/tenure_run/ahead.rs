//! The input of the next task, fetched while the output of the present one goes up; of a chunk's first, while it is found out
//! whether the chunk is closed.

use std::sync::Arc;

use dayfly_shared::ids::TaskId;
use dayfly_shared::plan::Task;
use dayfly_shared::store::Object;
use futures::StreamExt as _;
use futures::future::{FutureExt as _, MaybeDone, maybe_done};
use tokio::sync::Semaphore;

use super::super::agent::Agent;
use crate::processor::EarlyInput;

/// So much of what was fetched ahead is in memory at once, of all slots together: four parts of large objects, and a
/// thousand times what hides the way of small ones. What finds no room is read when it is its turn.
const ROOM_KIB: usize = 32 << 10;

/// Room for what is fetched ahead, shared by an agent's slots.
pub struct AheadRoom(Arc<Semaphore>);

impl Default for AheadRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB)))
    }
}

/// What is fetched ahead, if anything is. Dropped, it is given up.
#[derive(Default)]
pub(super) struct Ahead(Option<(TaskId, MaybeDone<EarlyInput>)>);

impl Ahead {
    /// Begins to fetch the input of a task; once.
    pub(super) fn begin(&mut self, agent: &Arc<Agent>, task: &Task) {
        if self.0.as_ref().is_none_or(|(id, _)| *id != task.id) {
            self.0 = Some((task.id, maybe_done(fetch(Arc::clone(agent), task.clone()).boxed())));
        }
    }

    /// Completes when it has come: nobody need poll it any more.
    pub(super) async fn come(&mut self) {
        match &mut self.0 {
            Some((_, coming @ MaybeDone::Future(_))) => coming.await,
            _ => std::future::pending().await,
        }
    }

    /// The task's input, on its way or there. That of any other is dropped.
    pub(super) fn take(&mut self, task: TaskId) -> Option<EarlyInput> {
        match self.0.take()? {
            (id, _) if id != task => None,
            (_, MaybeDone::Future(coming)) => Some(coming),
            (_, MaybeDone::Done(object)) => Some(futures::future::ready(object).boxed()),
            (_, MaybeDone::Gone) => None,
        }
    }
}

/// The input, in memory if it is small and there is room. None where that went wrong: whoever runs the task asks again, and
/// hears why.
async fn fetch(agent: Arc<Agent>, task: Task) -> Option<Object> {
    let place = agent.input(&task);
    let Object { meta, mut body } = place.store.get(&place.key, None).await.ok()??;
    let is_small = meta.size <= agent.settings.part_bytes as u64;
    let kib = u32::try_from(meta.size.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
    let room = Arc::clone(&agent.ahead_room.0).try_acquire_many_owned(kib);
    let (true, Ok(room)) = (is_small, room) else { return Some(Object { meta, body }) };
    let mut pieces = Vec::new();
    while let Some(piece) = body.next().await {
        pieces.push(piece.ok()?);
    }
    let kept = futures::stream::iter(pieces).map(move |piece| {
        let _until_read = &room;
        Ok(piece)
    });
    Some(Object { meta, body: kept.boxed() })
}
