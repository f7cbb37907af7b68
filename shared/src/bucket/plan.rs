//! The plan as it is stored, and what is done of it: segments, and what a ledger does not know yet.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use futures::try_join;

use crate::ids::ChunkId;
use crate::plan::{Segment, SegmentText, Source, stored_lines};
use crate::records::ResultRecord;
use crate::store::{Attributes, Condition, ETag, Outcome, Result, StoreExt};
use crate::views::{Ledger, Survey};

use super::{JobBucket, bad_record};

/// User metadata of a segment's text: the version of `tasklist.txt` that its lines come from.
pub const META_SOURCE: &str = "dayfly-source";

impl JobBucket {
    /// The numbers of committed segments, and of a text after them that has no commit, from one listing.
    async fn segment_numbers(&self) -> Result<(u32, bool)> {
        let entries = self.store.list_all(&self.keys.plan()).await?;
        let mut committed = BTreeSet::new();
        let mut texts = BTreeSet::new();
        for (number, commit) in entries.iter().filter_map(|e| self.keys.parse_segment(&e.key)) {
            if commit {
                committed.insert(number)
            } else {
                texts.insert(number)
            };
        }
        let last = (1..).take_while(|n| committed.contains(n)).last().unwrap_or(0);
        Ok((last, texts.contains(&(last + 1))))
    }

    /// The commit of a segment.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn segment(&self, number: u32) -> Result<Option<Segment>> {
        Ok(self.record(&self.keys.segment(number)).await?.map(|(segment, _)| segment))
    }

    /// The commits of the segments after the first `known`.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn segments_after(&self, known: u32) -> Result<Vec<Segment>> {
        let (last, _) = self.segment_numbers().await?;
        self.records((known + 1..=last).map(|n| self.keys.segment(n)).collect()).await
    }

    /// The text of a segment, or a range of it; it is checked against the commit when it is read whole.
    ///
    /// # Errors
    /// A store that refuses, or a text that is not the one committed.
    pub async fn segment_text(&self, segment: &Segment, range: Option<Range<u64>>) -> Result<Bytes> {
        let key = self.keys.segment_text(segment.segment);
        let whole = range.is_none();
        let wanted = range.as_ref().map_or(segment.text_bytes, |r| r.end - r.start);
        let Some((_, bytes)) = self.read_range(&key, range).await? else {
            return Err(bad_record(&*self.store, &key, "it is gone, and the plan needs it"));
        };
        if bytes.len() as u64 != wanted || (whole && crate::plan::text_checksum(&bytes) != segment.text_checksum) {
            return Err(bad_record(&*self.store, &key, "it changed after it was planned; restore it"));
        }
        Ok(bytes)
    }

    /// What plan, results and dead letters hold that `ledger` does not know.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn survey(&self, ledger: &Ledger) -> Result<Survey> {
        let (last, lone) = self.segment_numbers().await?;
        let segments = async {
            let mut segments = Vec::new();
            for number in ledger.segment_count() + 1..=last {
                let key = self.keys.segment(number);
                let Some((segment, _)) = self.record::<Segment>(&key).await? else { break };
                let text = self.segment_text(&segment, None).await?;
                let names = stored_lines(&String::from_utf8_lossy(&text)).map(str::to_owned).collect();
                segments.push((segment, names));
            }
            Ok(segments)
        };
        let lone_text = async {
            let text = if lone { self.read(&self.keys.segment_text(last + 1)).await? } else { None };
            Ok(text.map(|(meta, bytes)| SegmentText {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                source: meta.metadata.get(META_SOURCE).and_then(|source| Source::parse(source)),
            }))
        };
        let decided = async {
            // What no segment plans has neither.
            if last == 0 {
                return Ok((Vec::new(), Vec::new()));
            }
            let closed = self.closed_after(ledger).await?.into_iter().map(|(chunk, _)| chunk).collect();
            // After the results: a task's dead letter is put before its chunk's result.
            let entries = self.store.list_all(&self.keys.dead_letters()).await?;
            let dead = entries.iter().filter_map(|e| self.keys.parse_dead_letter(&e.key));
            Ok((closed, dead.filter(|t| !ledger.has_dead_letter(*t)).collect()))
        };
        let (segments, lone_text, (closed, dead_letters)) = try_join!(segments, lone_text, decided)?;
        Ok(Survey { segments, lone_text, closed, dead_letters })
    }

    /// Chunks with a result that `ledger` does not know, and the results' keys.
    async fn closed_after(&self, ledger: &Ledger) -> Result<Vec<(ChunkId, String)>> {
        let entries = self.store.list_all(&self.keys.results()).await?;
        let closed = entries.into_iter().filter_map(|e| Some((self.keys.parse_chunk(&e.key)?, e.key)));
        Ok(closed.filter(|(chunk, _)| !ledger.is_closed(*chunk)).collect())
    }

    /// Brings `ledger` up to date with all figures, reading every new result; for readers that write nothing. The new
    /// results.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn catch_up(&self, ledger: &mut Ledger) -> Result<Vec<ResultRecord>> {
        let closed = self.closed_after(ledger).await?;
        let results: Vec<ResultRecord> = self.records(closed.into_iter().map(|(_, key)| key).collect()).await?;
        let survey = Survey { closed: Vec::new(), ..self.survey(ledger).await? };
        ledger.take_in(survey);
        for result in &results {
            ledger.add_result(result);
        }
        Ok(results)
    }

    /// Puts a segment's text, if there is none: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_segment_text(&self, number: u32, text: impl Into<SegmentText>) -> Result<Outcome<ETag>> {
        let SegmentText { text, source } = text.into();
        let mut attributes = Attributes::text();
        if let Some(source) = source {
            attributes = attributes.with(META_SOURCE, source.to_string());
        }
        let key = self.keys.segment_text(number);
        self.store.put(&key, text.into(), &attributes, &Condition::Create).await
    }

    /// Puts a segment's commit, if there is none: one try.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn put_segment(&self, segment: &Segment) -> Result<Outcome<ETag>> {
        self.put_json(&self.keys.segment(segment.segment), segment, &Condition::Create).await
    }
}
