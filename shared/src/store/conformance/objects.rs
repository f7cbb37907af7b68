//! Whole objects: conditions, content, ranges, what goes with a body.

use super::{Check, Scratch, Trouble, applied, expect, expect_same, rejected};
use crate::store::digest::Digest;
use crate::store::{Attributes, Condition, ETag, Rejection, StoreExt};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "objects/create",
        meaning: "a put with If-None-Match goes through once, and later ones are rejected and change nothing",
        harmless: None,
        run: |s| Box::pin(create(s)),
    },
    Check {
        name: "objects/update",
        meaning: "a put with If-Match goes through on that version only, and never makes an object",
        harmless: None,
        run: |s| Box::pin(update(s)),
    },
    Check {
        name: "objects/overwrite",
        meaning: "a put without a condition goes through, whatever stands there",
        harmless: None,
        run: |s| Box::pin(overwrite(s)),
    },
    Check {
        name: "objects/delete",
        meaning: "a delete removes the object, with If-Match too, and it can be made anew",
        harmless: None,
        run: |s| Box::pin(delete(s)),
    },
    Check {
        name: "objects/stale-delete",
        meaning: "a delete with If-Match removes that version only, and an absent object is told as such",
        harmless: Some("a semaphore goes only when its result stands; deleting the wrong version costs a little work"),
        run: |s| Box::pin(stale_delete(s)),
    },
    Check {
        name: "objects/absent",
        meaning: "what is not there is told as absent, also where a key begins like it",
        harmless: None,
        run: |s| Box::pin(absent(s)),
    },
    Check {
        name: "objects/content",
        meaning: "bodies of all sizes, the empty one included, read back as they were put",
        harmless: None,
        run: |s| Box::pin(content(s)),
    },
    Check {
        name: "objects/ranges",
        meaning: "a range gives just its bytes, and one that goes past the end what there is of it",
        harmless: None,
        run: |s| Box::pin(ranges(s)),
    },
    Check {
        name: "objects/metadata",
        meaning: "user metadata belongs to its version, times are told, and a checksum is that of the content",
        harmless: None,
        run: |s| Box::pin(metadata(s)),
    },
];

async fn create(s: &Scratch<'_>) -> Result<String, Trouble> {
    let etag = s.create("k", "first").await?;
    s.expect_content("k", Some(b"first")).await?;
    let head = s.store.head(&s.key("k")).await?.map(|meta| meta.etag);
    expect_same("the ETag that head tells after a put", &head, &Some(etag))?;
    for body in ["second", "first"] {
        let again = s.put("k", body, &Condition::Create).await?;
        rejected("a second create", again, &[Rejection::Precondition])?;
        s.expect_content("k", Some(b"first")).await?;
    }
    Ok("the first went through, a second and a third were rejected".to_owned())
}

async fn update(s: &Scratch<'_>) -> Result<String, Trouble> {
    let first = s.create("k", "1").await?;
    let second = applied("an update", s.put("k", "two", &Condition::Update(first.clone())).await?)?;
    expect(first != second, || format!("another body has the same ETag {first}"))?;
    s.expect_content("k", Some(b"two")).await?;
    let stale = s.put("k", "three", &Condition::Update(first)).await?;
    rejected("an update of a version that is gone", stale, &[Rejection::Precondition])?;
    s.expect_content("k", Some(b"two")).await?;
    let absent = s.put("absent", "x", &Condition::Update(second.clone())).await?;
    rejected("an update of an absent object", absent, &[Rejection::Missing])?;
    s.expect_content("absent", None).await?;
    applied("a second update", s.put("k", "", &Condition::Update(second)).await?)?;
    s.expect_content("k", Some(b"")).await?;
    Ok("the tag that stands went through; a stale tag and an absent object were rejected".to_owned())
}

async fn overwrite(s: &Scratch<'_>) -> Result<String, Trouble> {
    for body in ["first", "second, longer", "3"] {
        applied("a plain put", s.put("k", body, &Condition::Overwrite).await?)?;
        s.expect_content("k", Some(body.as_bytes())).await?;
    }
    Ok(String::new())
}

async fn delete(s: &Scratch<'_>) -> Result<String, Trouble> {
    let key = s.key("k");
    let first = s.create("k", "1").await?;
    applied("a delete", s.store.delete(&key, Some(&first)).await?)?;
    s.expect_content("k", None).await?;
    let put = s.put("k", "x", &Condition::Update(first)).await?;
    rejected("an update of a deleted object", put, &[Rejection::Missing])?;
    s.create("k", "anew").await?;
    applied("a plain delete", s.store.delete(&key, None).await?)?;
    s.expect_content("k", None).await?;
    // S3 itself does not tell whether a plain delete found anything; so its answer is not judged, and an error is.
    s.store.delete(&key, None).await?;
    Ok("with its tag and without went through; an update of what was deleted was rejected".to_owned())
}

async fn stale_delete(s: &Scratch<'_>) -> Result<String, Trouble> {
    let key = s.key("k");
    let first = s.create("k", "1").await?;
    let second = applied("an update", s.put("k", "2", &Condition::Update(first.clone())).await?)?;
    let stale = s.store.delete(&key, Some(&first)).await?;
    rejected("a delete of a version that is gone", stale, &[Rejection::Precondition])?;
    s.expect_content("k", Some(b"2")).await?;
    applied("a delete", s.store.delete(&key, Some(&second)).await?)?;
    let gone = s.store.delete(&key, Some(&second)).await?;
    rejected("a delete of an absent object", gone, &[Rejection::Missing])?;
    Ok("a stale tag and an absent object were rejected".to_owned())
}

async fn absent(s: &Scratch<'_>) -> Result<String, Trouble> {
    s.expect_content("nothing", None).await?;
    s.create("folder/object", "x").await?;
    for name in ["folder", "folder/", "folder/o", "folder/object/", "folder/object/below"] {
        s.expect_content(name, None).await?;
        let range = s.store.get(&s.key(name), Some(0..1)).await?;
        expect(range.is_none(), || format!("a range of {name:?}, which is absent, was given"))?;
    }
    Ok(String::new())
}

/// Around the sizes at which stores change their ways: empty, one piece, several.
const SIZES: [usize; 8] = [0, 1, 1000, 65_535, 65_537, (256 << 10) - 1, (256 << 10) + 1, (3 << 20) + 7];

async fn content(s: &Scratch<'_>) -> Result<String, Trouble> {
    for size in SIZES {
        let body = s.noise(size);
        let name = format!("{size} bytes");
        s.create(&name, body.clone()).await?;
        s.expect_content(&name, Some(&body)).await?;
    }
    Ok(format!("{} sizes up to {} bytes", SIZES.len(), SIZES[SIZES.len() - 1]))
}

async fn ranges(s: &Scratch<'_>) -> Result<String, Trouble> {
    let mut count = 0;
    for size in [0, 10, 700_001] {
        let body = s.noise(size);
        let name = format!("{size} bytes");
        s.create(&name, body.clone()).await?;
        let end = size as u64;
        let half = end / 2;
        let ranges = [
            (0, 0),
            (0, 1),
            (half, half),
            (half, half + 1),
            (1, end),
            (0, end),
            (end.saturating_sub(1), end),
            (0, end + 5),
            (half, end + 1_000_000),
            (end, end),
            (end, end + 1),
            (end + 7, end + 9),
            (0, u64::MAX),
        ];
        for (from, to) in ranges {
            let object = s.store.get(&s.key(&name), Some(from..to)).await?;
            let Some(object) = object else {
                return Err(Trouble::Violated(format!("bytes {from}..{to} of {end} are told as an absent object")));
            };
            expect_same(&format!("the object's size beside its bytes {from}..{to}"), &object.meta.size, &end)?;
            let seen = object.bytes().await?;
            let inside = |at: u64| usize::try_from(at.min(end)).unwrap_or(size);
            let expected = &body[inside(from)..inside(to)];
            expect(seen == expected, || {
                format!(
                    "bytes {from}..{to} of {end} came as {} bytes, or other ones, instead of {}",
                    seen.len(),
                    expected.len()
                )
            })?;
            count += 1;
        }
    }
    Ok(format!("{count} ranges"))
}

async fn metadata(s: &Scratch<'_>) -> Result<String, Trouble> {
    let key = s.key("k");
    let attributes = Attributes::text().with("attempt", "1-0123456789abcdef-1").with("odd", "a b=\"c\"; d,e%20/+");
    let body = s.noise(5000);
    let put = s.store.put(&key, body.clone(), &attributes, &Condition::Create).await?;
    let etag = applied("a create with metadata", put)?;
    let checked = expect_version(s, &attributes, &etag, &body).await?;
    let plain = Attributes::default().with("other", "2");
    let put = s.store.put(&key, body.slice(1..), &plain, &Condition::Update(etag)).await?;
    let etag = applied("an update with other metadata", put)?;
    expect_version(s, &plain, &etag, &body.slice(1..)).await?;
    Ok(if checked { "with checksums".to_owned() } else { "the store tells no CRC-32".to_owned() })
}

/// Head and get have to tell of this version; whether they told a checksum that could be checked.
async fn expect_version(s: &Scratch<'_>, attributes: &Attributes, etag: &ETag, body: &[u8]) -> Result<bool, Trouble> {
    let key = s.key("k");
    let head = s.store.head(&key).await?;
    let get = s.store.read(&key).await?.map(|(meta, _)| meta);
    let mut checked = true;
    for (how, meta) in [("head", head), ("get", get)] {
        let Some(meta) = meta else { return Err(Trouble::Violated(format!("{how}: absent"))) };
        expect_same(&format!("the metadata that {how} tells"), &meta.metadata, &attributes.metadata)?;
        expect_same(&format!("the ETag that {how} tells"), &meta.etag, etag)?;
        expect(meta.modified.is_some() && meta.served.is_some(), || format!("{how} does not tell the time"))?;
        match meta.checksum.filter(|checksum| checksum.starts_with("crc32:")) {
            Some(checksum) => expect_same("the checksum", &checksum, &Digest::of(body).checksum())?,
            None => checked = false,
        }
    }
    Ok(checked)
}
