//! S3's rules that the memory and the directory store keep alike: what a condition means, what a key may be, which
//! parts make an object, how a listing folds and breaks into pages.

use std::collections::BTreeMap;

use super::digest::Digest;
use super::{Condition, ETag, Entry, ListPage, ListQuery, Part, Rejection, Result, StoreError, StoreErrorKind};
use crate::clock::Timestamp;

/// The longest key, in bytes (S3 user guide, "Naming Amazon S3 objects").
pub(crate) const KEY_MAX_BYTES: usize = 1024;
/// Every part but the last has at least so many bytes (S3 user guide, "Multipart upload limits").
pub(crate) const PART_MIN_BYTES: u64 = 5 << 20;
/// Part numbers go from 1 to this (the same page).
pub(crate) const PART_NUMBER_MAX: u32 = 10_000;
/// What a listing gives at most (the same guide, `ListObjectsV2`).
pub(crate) const LIST_MAX: usize = 1000;

/// Why a write under `condition` does not go through where `current` stands; none if it does.
pub(crate) fn judge(condition: &Condition, current: Option<&ETag>) -> Option<Rejection> {
    match (condition, current) {
        (Condition::Overwrite, _) | (Condition::Create, None) => None,
        (Condition::Create, Some(_)) => Some(Rejection::Precondition),
        (Condition::Update(_), None) => Some(Rejection::Missing),
        (Condition::Update(expected), Some(current)) => (expected != current).then_some(Rejection::Precondition),
    }
}

/// Refuses keys that S3 refuses.
pub(crate) fn check_key(action: &'static str, place: impl FnOnce() -> String, key: &str) -> Result<()> {
    let detail = if key.is_empty() {
        "a key must not be empty".to_owned()
    } else if key.len() > KEY_MAX_BYTES {
        format!("KeyTooLongError: the key has {} bytes, and {KEY_MAX_BYTES} is the most", key.len())
    } else {
        return Ok(());
    };
    Err(unsupported(action, place(), detail))
}

/// Refuses part numbers that S3 refuses.
pub(crate) fn check_part_number(place: impl FnOnce() -> String, number: u32) -> Result<()> {
    if (1..=PART_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    let detail = format!("InvalidArgument: part {number} is not between 1 and {PART_NUMBER_MAX}");
    Err(unsupported("s3:UploadPart", place(), detail))
}

/// The digests of the parts that are to make an object, in order, if S3 would take them: at least one, numbers that rise, each one
/// stored with this ETag (`stored` looks it up), none but the last too small.
pub(crate) fn check_parts(
    place: impl Fn() -> String,
    parts: &[Part],
    least_bytes: u64,
    stored: impl Fn(u32) -> Option<Digest>,
) -> Result<Vec<Digest>> {
    let refuse = |detail: String| Err(unsupported("s3:CompleteMultipartUpload", place(), detail));
    if parts.is_empty() {
        return refuse("MalformedXML: an upload needs at least one part".to_owned());
    }
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return refuse("InvalidPartOrder: part numbers must rise".to_owned());
    }
    let mut digests = Vec::with_capacity(parts.len());
    for part in parts {
        match stored(part.number) {
            Some(digest) if digest.etag() == part.etag => digests.push(digest),
            _ => return refuse(format!("InvalidPart: part {} with ETag {} is not there", part.number, part.etag)),
        }
    }
    for (part, digest) in parts.iter().zip(&digests).take(parts.len() - 1) {
        if digest.size < least_bytes {
            return refuse(format!(
                "EntityTooSmall: part {} has {} bytes, and every part but the last needs {least_bytes}",
                part.number, digest.size
            ));
        }
    }
    Ok(digests)
}

/// An error that another try would meet again.
pub(crate) fn unsupported(action: &'static str, place: String, detail: String) -> StoreError {
    StoreError { kind: StoreErrorKind::Unsupported, action, place, detail }
}

/// In whole seconds, as S3 keeps `LastModified`.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(time.unix_ms / 1000 * 1000)
}

/// What became of a key that was offered to a [`Pager`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It belongs on the page: push its entry.
    Wanted,
    /// It is (now) in the page's last folder, with all keys that begin as that folder does.
    Folded,
    /// Before `start_after`, or not under the prefix.
    Outside,
    /// The page is full, and there is more: stop.
    Full,
}

/// Makes one page out of keys that are offered in order.
pub(crate) struct Pager<'a> {
    query: &'a ListQuery,
    page: ListPage,
    last_is_folder: bool,
}

impl<'a> Pager<'a> {
    /// For this query.
    pub(crate) fn new(query: &'a ListQuery) -> Self {
        Self { query, page: ListPage::default(), last_is_folder: false }
    }

    /// Where in the page `key` belongs.
    pub(crate) fn offer(&mut self, key: &str) -> Offered {
        let Some(rest) = key.strip_prefix(&self.query.prefix) else { return Offered::Outside };
        if self.query.start_after.as_deref().is_some_and(|after| key <= after) {
            return Offered::Outside;
        }
        let folder = match rest.find('/') {
            Some(slash) if self.query.fold => Some(&key[..self.query.prefix.len() + slash + 1]),
            _ => None,
        };
        if folder.is_some() && self.page.folders.last().map(String::as_str) == folder {
            return Offered::Folded;
        }
        if self.page.entries.len() + self.page.folders.len() >= self.query.limit.clamp(1, LIST_MAX) {
            self.page.next = self.resume_from();
            return Offered::Full;
        }
        let Some(folder) = folder else { return Offered::Wanted };
        self.page.folders.push(folder.to_owned());
        self.last_is_folder = true;
        Offered::Folded
    }

    /// The entry of a key that was [`Offered::Wanted`].
    pub(crate) fn push(&mut self, entry: Entry) {
        self.page.entries.push(entry);
        self.last_is_folder = false;
    }

    /// The folder that came onto the page last.
    pub(crate) fn last_folder(&self) -> &str {
        self.page.folders.last().map_or("", String::as_str)
    }

    /// The page.
    pub(crate) fn finish(mut self, served: Timestamp) -> ListPage {
        self.page.served = Some(served);
        self.page
    }

    fn resume_from(&self) -> Option<String> {
        if self.last_is_folder {
            self.page.folders.last().map(|folder| past(folder))
        } else {
            self.page.entries.last().map(|entry| entry.key.clone())
        }
    }
}

/// A text that sorts after all keys that begin with `folder`: listing resumes behind the folder without naming it
/// again. (But for keys that go on with the last code point there is, which no text is.)
pub(crate) fn past(folder: &str) -> String {
    format!("{folder}{}", char::MAX)
}

/// The part of an object of `size` bytes that a range asks for; the whole without one, nothing for an empty one.
pub(crate) fn clip(range: Option<std::ops::Range<u64>>, size: u64) -> std::ops::Range<u64> {
    let Some(range) = range else { return 0..size };
    let start = range.start.min(size);
    start..range.end.clamp(start, size)
}

/// The error of a part for an upload that was completed or aborted.
pub(crate) fn no_such_upload(action: &'static str, place: String, id: &str) -> StoreError {
    StoreError {
        kind: StoreErrorKind::NoSuchUpload,
        action,
        place,
        detail: format!("NoSuchUpload: upload {id} was completed or aborted"),
    }
}

/// The stored form of user metadata: S3 keeps names in lower case.
pub(crate) fn lower_case_names(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    metadata.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}
