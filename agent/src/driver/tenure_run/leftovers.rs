//! What a run leaves in the store without need, removed.

use std::sync::PoisonError;
use std::time::Duration;

use dayfly_shared::plan::Task;
use dayfly_shared::store::Upload;

use super::super::agent::Agent;
use super::Running;
use super::maybe::Maybe;
use crate::processor::{OpenUpload, StagedBody};

/// How long dropping an upload may take: `dayfly clean` and the bucket's lifecycle rule remove what is left.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

impl Running<'_> {
    /// What a stopped run, or an output that was not needed, leaves in the store is removed.
    pub(super) async fn clean_up(&mut self) {
        self.agent.tally().running.remove(&self.chunk);
        self.run = Maybe::none();
        self.abort_upload().await;
        if let Some(StagedBody::Parts(upload, _)) = self.staged.take().as_deref().map(|s| &s.body) {
            drop_upload(self.agent, upload).await;
        }
    }

    pub(super) async fn abort_upload(&mut self) {
        let open = self.open_upload.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(upload) = open {
            drop_upload(self.agent, &upload).await;
        }
    }
}

pub(super) async fn abort(agent: &Agent, task: &Task, open_upload: &OpenUpload) {
    let open = open_upload.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(upload) = open {
        tracing::debug!(task = %task.id, "dropping an upload");
        drop_upload(agent, &upload).await;
    }
}

pub(super) async fn drop_upload(agent: &Agent, upload: &Upload) {
    tokio::select! {
        biased;
        dropped = agent.outputs.upload_abort(upload) => {
            if let Err(error) = dropped {
                tracing::warn!(%error, "an upload could not be dropped; dayfly clean removes it");
            }
        }
        () = agent.parts.clock.sleep(ABORT_PATIENCE) => {
            tracing::warn!(key = upload.key, "an upload could not be dropped in time; dayfly clean removes it");
        }
    }
}
