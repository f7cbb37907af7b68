//! The views, read and put.

use crate::keys::View;
use crate::store::{Attributes, Condition, ETag, Outcome, Result, StoreError};
use crate::views::{MARK, ViewRead, ViewsRead};

use super::JobBucket;

impl JobBucket {
    /// A view, with its version and mark.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn view(&self, view: View) -> Result<Option<ViewRead>> {
        Ok(self.read(&self.keys.view(view)).await?.map(|(meta, bytes)| ViewRead {
            etag: meta.etag,
            modified: meta.modified,
            marked: meta.metadata.contains_key(MARK),
            text: bytes.to_vec(),
        }))
    }

    /// Whether the view is there.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn has_view(&self, view: View) -> Result<bool> {
        Ok(self.store.head(&self.keys.view(view)).await?.is_some())
    }

    /// The three views.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn views(&self) -> Result<ViewsRead> {
        let reads = View::ALL.map(|view| async move { Ok::<_, StoreError>((view, self.view(view).await?)) });
        let reads = futures::future::try_join_all(reads).await?;
        Ok(reads.into_iter().filter_map(|(view, read)| Some((view, read?))).collect())
    }

    /// Puts a view, marked as dayfly's: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_view(&self, view: View, text: String, condition: &Condition) -> Result<Outcome<ETag>> {
        let attributes = Attributes::text().with(MARK, "1");
        self.store.put(&self.keys.view(view), text.into(), &attributes, condition).await
    }
}
