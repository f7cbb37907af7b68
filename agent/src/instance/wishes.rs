//! Everybody who can tell an agent to stop, in one line: signals, notices, the end of the instance's lifetime.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::driver::Stop;

/// Takes wishes to stop; of several the one with the earliest deadline holds.
#[derive(Clone)]
pub struct Wishes(Arc<watch::Sender<Option<Stop>>>);

impl Default for Wishes {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl Wishes {
    /// Where the agent sees them.
    pub fn receiver(&self) -> watch::Receiver<Option<Stop>> {
        self.0.subscribe()
    }

    /// The agent is to stop.
    pub fn wish(&self, stop: Stop) {
        self.0.send_if_modified(|standing| {
            let earlier = standing.as_ref().is_none_or(|s| stop.deadline < s.deadline);
            if earlier {
                *standing = Some(stop);
            }
            earlier
        });
    }
}

/// Turns SIGTERM and SIGINT into wishes to stop: running tasks get `grace`; a second signal takes it away.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn signals(wishes: &Wishes, clock: Arc<dyn Clock>, grace: Duration) -> std::io::Result<()> {
    let wishes = wishes.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut grace = grace;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            wishes.wish(Stop { why: format!("told to stop by {name}"), deadline: clock.now().at.after(grace) });
            grace = Duration::ZERO;
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayfly_shared::clock::Moment;

    fn stop(why: &str, seconds: u64) -> Stop {
        Stop { why: why.to_owned(), deadline: Moment(Duration::from_secs(seconds)) }
    }

    #[test]
    fn the_earliest_deadline_holds() {
        let wishes = Wishes::default();
        let mut seen = wishes.receiver();
        wishes.wish(stop("a signal", 90));
        wishes.wish(stop("the lifetime", 300));
        assert_eq!(*seen.borrow_and_update(), Some(stop("a signal", 90)));
        wishes.wish(stop("a spot notice", 60));
        assert!(seen.has_changed().unwrap());
        assert_eq!(*seen.borrow_and_update(), Some(stop("a spot notice", 60)));
        wishes.wish(stop("later", 60));
        assert!(!seen.has_changed().unwrap());
    }
}
