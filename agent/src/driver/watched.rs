//! A value that tasks watch, as tokio's watch channel, but that wakes who waits in the order of their coming: the channel
//! draws lots, and a simulation has to be the same each time.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

struct Shared<T> {
    value: Mutex<(T, u64)>,
    news: Notify,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, (T, u64)> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that tasks watch.
pub struct Watched<T>(Arc<Shared<T>>);

/// One who watches it, and what it has seen so far.
pub struct Watcher<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T: Clone> Watched<T> {
    /// That begins as `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared { value: Mutex::new((value, 0)), news: Notify::new() }))
    }

    /// As it is now.
    pub fn get(&self) -> T {
        self.0.lock().0.clone()
    }

    /// Changes it if `change` says that it did, and wakes who waits.
    pub fn change_if(&self, change: impl FnOnce(&mut T) -> bool) {
        let changed = {
            let mut value = self.0.lock();
            let changed = change(&mut value.0);
            value.1 += u64::from(changed);
            changed
        };
        if changed {
            self.0.news.notify_waiters();
        }
    }

    /// Somebody who has seen it as it is now.
    pub fn watch(&self) -> Watcher<T> {
        Watcher { shared: Arc::clone(&self.0), seen: self.0.lock().1 }
    }
}

impl<T: Clone> Watcher<T> {
    /// As it is now, which is seen by that.
    pub fn see(&mut self) -> T {
        let value = self.shared.lock();
        self.seen = value.1;
        value.0.clone()
    }

    /// Whether it has changed since it was seen.
    pub fn has_changed(&self) -> bool {
        self.shared.lock().1 != self.seen
    }

    /// Takes what stands for news.
    pub fn mark_changed(&mut self) {
        self.seen = u64::MAX;
    }

    /// Completes when it has changed since it was seen, and takes it for seen.
    pub async fn changed(&mut self) {
        loop {
            let mut news = pin!(self.shared.news.notified());
            // Before the look, so that nothing falls between.
            news.as_mut().enable();
            let now = self.shared.lock().1;
            if now != self.seen {
                self.seen = now;
                return;
            }
            news.await;
        }
    }

    /// Completes when it is as wanted.
    pub async fn wait_for(&mut self, wanted: impl Fn(&T) -> bool) -> T {
        loop {
            let value = self.see();
            if wanted(&value) {
                return value;
            }
            self.changed().await;
        }
    }
}
