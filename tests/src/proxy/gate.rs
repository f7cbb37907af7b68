//! Where requests are held.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds whoever comes to it until it is opened; open, it lets everybody through.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    open: watch::Sender<bool>,
    came: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner { open: watch::Sender::new(false), came: watch::Sender::new(0) }))
    }
}

impl Gate {
    /// How many came so far, gone or still held.
    pub fn came(&self) -> usize {
        *self.0.came.borrow()
    }

    /// Lets all go on that are held, and all that come.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        self.0.came.send_modify(|n| *n += 1);
        // The sender lives as long as this handle.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}
