//! Multipart uploads: what the endpoint remembers of their parts.
//!
//! The store port keeps parts but does not list them, so the list (`ListParts`) and the check of the whole object's
//! checksum rest on this memory. It is gone after a restart; uploads then still complete, unlisted and less checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::store::{ETag, Part};
use s3s::dto::{self, CompletedPart};
use s3s::{S3Error, S3Result, s3_error};

use super::answer::{etag, size, timestamp};

/// What is known of a stored part.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) etag: ETag,
    pub(super) size: u64,
    pub(super) checksum: Option<String>,
    pub(super) stored: Timestamp,
}

impl Known {
    fn crc32(&self) -> Option<u32> {
        let value = self.checksum.as_deref()?.strip_prefix("crc32:")?;
        Some(u32::from_be_bytes(BASE64.decode(value).ok()?.try_into().ok()?))
    }
}

/// The parts of all uploads under way, by bucket and upload.
#[derive(Default)]
pub(super) struct Ledger(Mutex<HashMap<(String, String), BTreeMap<u32, Known>>>);

impl Ledger {
    /// An upload has begun.
    pub(super) fn begin(&self, bucket: &str, id: &str) {
        self.uploads().entry(named(bucket, id)).or_default();
    }

    /// A part has been stored.
    pub(super) fn stored(&self, bucket: &str, id: &str, number: u32, part: Known) {
        self.uploads().entry(named(bucket, id)).or_default().insert(number, part);
    }

    /// The parts of an upload; none if it is not known here.
    pub(super) fn parts(&self, bucket: &str, id: &str) -> Option<BTreeMap<u32, Known>> {
        self.uploads().get(&named(bucket, id)).cloned()
    }

    /// An upload has ended.
    pub(super) fn end(&self, bucket: &str, id: &str) {
        self.uploads().remove(&named(bucket, id));
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<(String, String), BTreeMap<u32, Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(bucket: &str, id: &str) -> (String, String) {
    (bucket.to_owned(), id.to_owned())
}

/// A part's number, 1 to 10,000.
pub(super) fn number(number: i32) -> S3Result<u32> {
    match u32::try_from(number) {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")),
    }
}

/// The parts that a client wants to complete with, held against those known.
pub(super) fn chosen(parts: Vec<CompletedPart>, known: &BTreeMap<u32, Known>) -> S3Result<Vec<Part>> {
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let mut chosen: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = number(part.part_number.unwrap_or(0))?;
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        let tag = part.e_tag.ok_or_else(|| s3_error!(MalformedXML, "Part {number} has no ETag"))?;
        let etag = ETag::new(tag.value());
        let known = known.get(&number);
        if known.is_some_and(|known| known.etag != etag) {
            return Err(invalid_part(number));
        }
        let checksum = part.checksum_crc32.map(|crc32| format!("crc32:{crc32}"));
        if let (Some(claimed), Some(kept)) = (&checksum, known.and_then(|known| known.checksum.as_ref()))
            && claimed != kept
        {
            return Err(invalid_part(number));
        }
        chosen.push(Part { number, etag, checksum });
    }
    Ok(chosen)
}

fn invalid_part(number: u32) -> S3Error {
    s3_error!(InvalidPart, "Part {number} was not found, or its ETag or checksum is not the one that was uploaded.")
}

/// Size and CRC32 of the object that the parts make, if every one of them is known here.
pub(super) fn whole(parts: &[Part], known: &BTreeMap<u32, Known>) -> Option<(u64, String)> {
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0;
    for part in parts {
        let known = known.get(&part.number)?;
        crc.combine(&crc32fast::Hasher::new_with_initial_len(known.crc32()?, known.size));
        size += known.size;
    }
    Some((size, BASE64.encode(crc.finalize().to_be_bytes())))
}

/// A page of parts behind number `after`, and whether there are more.
pub(super) fn page(known: &BTreeMap<u32, Known>, after: u32, limit: usize) -> (Vec<dto::Part>, bool) {
    let mut rest = known.range(after.saturating_add(1)..);
    let page = rest
        .by_ref()
        .take(limit)
        .map(|(number, part)| dto::Part {
            part_number: i32::try_from(*number).ok(),
            e_tag: Some(etag(&part.etag)),
            size: Some(size(part.size)),
            last_modified: Some(timestamp(part.stored)),
            checksum_crc32: part.checksum.as_deref().and_then(|kept| kept.strip_prefix("crc32:")).map(str::to_owned),
            ..dto::Part::default()
        })
        .collect();
    (page, rest.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &[u8]) -> Known {
        let crc = BASE64.encode(crc32fast::hash(text).to_be_bytes());
        Known {
            etag: ETag::new("tag"),
            size: text.len() as u64,
            checksum: Some(format!("crc32:{crc}")),
            stored: Timestamp::default(),
        }
    }

    fn completed(number: i32, tag: &str) -> CompletedPart {
        let e_tag = Some(dto::ETag::Strong(tag.to_owned()));
        CompletedPart { part_number: Some(number), e_tag, ..CompletedPart::default() }
    }

    #[test]
    fn parts_must_be_those_stored_and_in_order() {
        let known = BTreeMap::from([(1, known(b"12345")), (2, known(b"6789"))]);
        let code = |parts| chosen(parts, &known).map(drop).map_err(|error| error.code().as_str().to_owned());
        assert_eq!(code(vec![completed(1, "tag"), completed(2, "tag")]), Ok(()));
        assert_eq!(code(vec![completed(1, "other")]), Err("InvalidPart".into()));
        assert_eq!(code(vec![completed(2, "tag"), completed(1, "tag")]), Err("InvalidPartOrder".into()));
        assert_eq!(code(vec![completed(0, "tag")]), Err("InvalidArgument".into()));
        assert_eq!(code(vec![]), Err("MalformedXML".into()));
    }

    #[test]
    fn the_whole_has_the_crc_of_all_bytes() {
        let known = BTreeMap::from([(1, known(b"12345")), (2, known(b"6789"))]);
        let parts = chosen(vec![completed(1, "tag"), completed(2, "tag")], &known).unwrap();
        assert_eq!(whole(&parts, &known), Some((9, "y/Q5Jg==".to_owned())));
    }

    #[test]
    fn parts_are_listed_in_pages() {
        let known: BTreeMap<u32, Known> = (1..=5).map(|number| (number, known(b"x"))).collect();
        let numbers = |page: &[dto::Part]| page.iter().filter_map(|part| part.part_number).collect::<Vec<_>>();
        let (first, more) = page(&known, 0, 3);
        assert_eq!((numbers(&first), more), (vec![1, 2, 3], true));
        let (last, more) = page(&known, 3, 3);
        assert_eq!((numbers(&last), more), (vec![4, 5], false));
    }
}
