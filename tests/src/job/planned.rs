//! A plan made by hand, where a test wants chunks of several tasks in a small job.

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::plan::{Frozen, Segment, Span, join_lines};
use dayfly_shared::store::Outcome;

use super::Job;

impl Job<'_> {
    /// Plans these tasks, so many to a chunk.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn plan(&self, names: &[String], per_chunk: usize) {
        let text = join_lines(names);
        let frozen = Frozen {
            settings: Some(self.settings.clone()),
            source: None,
            by: "nobody-00000000".parse().expect("an agent's id"),
            at: SystemClock.now().wall,
        };
        let mut segment = Segment::cut(1, &text, 1, frozen);
        let together = |spans: &[Span]| Span {
            tasks: spans.iter().map(|span| span.tasks).sum(),
            bytes: spans.iter().map(|span| span.bytes).sum(),
        };
        segment.chunks = segment.chunks.chunks(per_chunk).map(together).collect();
        assert!(matches!(self.bucket.put_segment_text(1, text).await, Ok(Outcome::Applied(_))));
        assert!(matches!(self.bucket.put_segment(&segment).await, Ok(Outcome::Applied(_))));
    }
}
