//! What an agent asks of its job before anything else, in one round trip.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Moment;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::Segment;
use dayfly_shared::store::{Result, StoreErrorKind};
use futures::join;

use super::keeper::Control;

/// What an agent sees of its job at first.
pub struct FirstLook {
    /// The plan's first segment.
    pub(super) first: Option<Segment>,
    /// Whether there is a job: a plan, or a `tasklist.txt`.
    pub(super) exists: bool,
    /// `job.json`, as far as it can be read.
    pub(super) seeded: Result<Option<JobSettings>>,
    /// Whether the store was tried before.
    pub(super) checked: bool,
    /// `control.json`.
    pub(super) control: Control,
    /// When it was asked for.
    pub(super) at: Moment,
}

impl FirstLook {
    /// Looks at `now`; `endpoint` is what the store is called in its record.
    ///
    /// # Errors
    /// A store that refuses, or does not answer.
    pub async fn take(bucket: &JobBucket, endpoint: &str, now: Moment) -> Result<Self> {
        let (first, listed, seeded, checked, control) = join!(
            bucket.segment(1),
            bucket.has_view(View::Tasklist),
            bucket.job_settings(),
            bucket.store_is_checked(endpoint),
            bucket.control(),
        );
        let first = first?;
        // Where there is a plan, the list is not asked for anything.
        let exists = first.is_some() || listed?;
        // The list before the settings: whoever seeds writes them the other way round, so a list that is there has its
        // settings beside it. Absent ones may have come while the list was looked for.
        let seeded = match seeded {
            Ok(None) => bucket.job_settings().await,
            seeded => seeded,
        };
        match seeded {
            // What cannot be used matters only where there is a job.
            Err(error) if error.kind != StoreErrorKind::BadRecord => Err(error),
            seeded => Ok(Self { first, exists, seeded, checked, control, at: now }),
        }
    }
}
