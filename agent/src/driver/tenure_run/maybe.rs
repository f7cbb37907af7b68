//! What is under way, if anything is.

use std::future::{Future, pending};

use futures::future::BoxFuture;

/// A future that may be absent: then it never completes.
pub(super) struct Maybe<T>(Option<BoxFuture<'static, T>>);

impl<T> Maybe<T> {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn set(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0 = Some(Box::pin(future));
    }

    pub(super) async fn done(&mut self) -> T {
        match &mut self.0 {
            Some(future) => {
                let value = future.await;
                self.0 = None;
                value
            }
            None => pending().await,
        }
    }
}
