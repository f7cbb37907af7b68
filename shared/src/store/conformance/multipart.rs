//! Multipart uploads: an object that is made of parts appears at once, and under a condition.

use bytes::Bytes;

use super::{Check, Scratch, Trouble, applied, expect, expect_same, rejected};
use crate::store::rules::PART_MIN_BYTES;
use crate::store::{Attributes, Condition, Outcome, Part, Rejection, StoreErrorKind, Upload};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "multipart/create",
        meaning: "parts become one object at completion, and with If-None-Match only where there is none",
        harmless: None,
        run: |s| Box::pin(create(s)),
    },
    Check {
        name: "multipart/taken",
        meaning: "a completion with If-None-Match over an object is rejected, and leaves the object and the upload as they are",
        harmless: None,
        run: |s| Box::pin(taken(s)),
    },
    Check {
        name: "multipart/twice",
        meaning: "an upload that is completed a second time with If-None-Match changes nothing",
        harmless: None,
        run: |s| Box::pin(twice(s)),
    },
    Check {
        name: "multipart/abort",
        meaning: "an aborted upload is gone with its parts, and no object comes of it",
        harmless: None,
        run: |s| Box::pin(abort(s)),
    },
    Check {
        name: "multipart/late",
        meaning: "what is asked of an upload after its end is refused as NoSuchUpload",
        harmless: Some(
            "dayfly asks nothing more of an upload that it aborted, and a completion without a clear answer is found out by reading",
        ),
        run: |s| Box::pin(late(s)),
    },
    Check {
        name: "multipart/list",
        meaning: "uploads under way are listed by the prefix of their keys, until they end",
        harmless: None,
        run: |s| Box::pin(list(s)),
    },
    Check {
        name: "multipart/refused",
        meaning: "parts that are too small, out of order or never sent make no object",
        harmless: Some("dayfly sends its parts whole and in order"),
        run: |s| Box::pin(refused(s)),
    },
];

const FIRST_BYTES: usize = PART_MIN_BYTES as usize;

async fn begin(s: &Scratch<'_>, name: &str, attributes: &Attributes) -> Result<Upload, Trouble> {
    let upload = s.store.upload_begin(&s.key(name), attributes).await?;
    expect_same("the upload's key", &upload.key, &s.key(name))?;
    Ok(upload)
}

async fn part(s: &Scratch<'_>, upload: &Upload, number: u32, body: impl Into<Bytes>) -> Result<Part, Trouble> {
    let part = s.store.upload_part(upload, number, body.into()).await?;
    expect_same("the part's number", &part.number, &number)?;
    Ok(part)
}

async fn create(s: &Scratch<'_>) -> Result<String, Trouble> {
    let attributes = Attributes::default().with("attempt", "1-0123456789abcdef-1");
    let upload = begin(s, "k", &attributes).await?;
    let (first, second) = (s.noise(FIRST_BYTES), s.noise(300_000));
    // The second part is sent first, and the first twice: numbers give the order, and the last one sent counts.
    let part2 = part(s, &upload, 2, second.clone()).await?;
    part(s, &upload, 1, s.noise(FIRST_BYTES)).await?;
    let part1 = part(s, &upload, 1, first.clone()).await?;
    s.expect_content("k", None).await?;
    let parts = [part1, part2];
    let etag = applied("a completion", s.store.upload_complete(&upload, &parts, &Condition::Create).await?)?;
    let whole = [&first[..], &second].concat();
    s.expect_content("k", Some(&whole)).await?;
    let head = s.store.head(&s.key("k")).await?;
    let told = head.map(|meta| (meta.etag, meta.metadata));
    expect_same("ETag and metadata", &told, &Some((etag.clone(), attributes.metadata)))?;
    let update = s.put("k", "by its ETag", &Condition::Update(etag)).await?;
    applied("an update of an object made of parts", update)?;
    s.expect_content("k", Some(b"by its ETag")).await?;
    Ok(format!("{} bytes in 2 parts", whole.len()))
}

async fn taken(s: &Scratch<'_>) -> Result<String, Trouble> {
    let upload = begin(s, "k", &Attributes::default()).await?;
    let parts = [part(s, &upload, 1, "late").await?];
    s.create("k", "early").await?;
    let late = s.store.upload_complete(&upload, &parts, &Condition::Create).await?;
    rejected("a completion over an object", late, &[Rejection::Precondition])?;
    s.expect_content("k", Some(b"early")).await?;
    let uploads = s.store.uploads(&s.prefix).await?;
    expect(uploads.iter().any(|other| other.id == upload.id), || "the rejected upload is gone".to_owned())?;
    let over = s.store.upload_complete(&upload, &parts, &Condition::Overwrite).await?;
    applied("a completion without a condition", over)?;
    s.expect_content("k", Some(b"late")).await?;
    Ok("rejected; the object and the upload stood as before".to_owned())
}

/// Where one's own object stands, a store may say again that it went through; where another's does, it must not.
async fn twice(s: &Scratch<'_>) -> Result<String, Trouble> {
    let upload = begin(s, "k", &Attributes::default()).await?;
    let parts = [part(s, &upload, 1, "own").await?];
    let etag = applied("a completion", s.store.upload_complete(&upload, &parts, &Condition::Create).await?)?;
    let told = match s.store.upload_complete(&upload, &parts, &Condition::Create).await? {
        Outcome::Rejected(_) => "rejected",
        Outcome::Applied(again) => {
            expect_same("the ETag after a second completion", &again, &etag)?;
            "answered as the first was"
        }
        Outcome::Unknown(_) => "answered without saying",
    };
    s.expect_content("k", Some(b"own")).await?;
    applied("an update", s.put("k", "another's", &Condition::Update(etag)).await?)?;
    let third = s.store.upload_complete(&upload, &parts, &Condition::Create).await?;
    expect(!matches!(third, Outcome::Applied(_)), || "a completion over another's object went through".to_owned())?;
    s.expect_content("k", Some(b"another's")).await?;
    Ok(format!("over its own object {told}, over another's not applied; nothing changed"))
}

async fn abort(s: &Scratch<'_>) -> Result<String, Trouble> {
    let upload = begin(s, "k", &Attributes::default()).await?;
    let parts = [part(s, &upload, 1, "x").await?];
    s.store.upload_abort(&upload).await?;
    s.store.upload_abort(&upload).await?;
    let completed = s.store.upload_complete(&upload, &parts, &Condition::Create).await?;
    expect(!matches!(completed, Outcome::Applied(_)), || "a completion after the abort went through".to_owned())?;
    s.expect_content("k", None).await?;
    expect_same("the list of uploads", &s.store.uploads(&s.prefix).await?.len(), &0)?;
    Ok("a completion after it made no object".to_owned())
}

async fn late(s: &Scratch<'_>) -> Result<String, Trouble> {
    let upload = begin(s, "k", &Attributes::default()).await?;
    let parts = [part(s, &upload, 1, "x").await?];
    s.store.upload_abort(&upload).await?;
    match s.store.upload_complete(&upload, &parts, &Condition::Create).await? {
        Outcome::Rejected(Rejection::NoSuchUpload) => {}
        other => return Err(Trouble::Violated(format!("a completion after the abort came to {other:?}"))),
    }
    let part = s.store.upload_part(&upload, 1, Bytes::from_static(b"y")).await;
    expect(part.is_err(), || "a part was taken after the abort".to_owned())?;
    Ok("a completion and a part after an abort were".to_owned())
}

async fn list(s: &Scratch<'_>) -> Result<String, Trouble> {
    let one = begin(s, "a/one", &Attributes::default()).await?;
    let two = begin(s, "a/two", &Attributes::default()).await?;
    let again = begin(s, "a/two", &Attributes::default()).await?;
    let odd = begin(s, "odd +%20\u{fc}", &Attributes::default()).await?;
    expect(two.id != again.id, || "two uploads have one id".to_owned())?;
    let parts = [part(s, &two, 1, "x").await?];
    applied("a completion", s.store.upload_complete(&two, &parts, &Condition::Create).await?)?;
    for (prefix, expected) in [
        ("", vec![&one, &again, &odd]),
        ("a/", vec![&one, &again]),
        ("a/o", vec![&one]),
        ("odd ", vec![&odd]),
        ("b", vec![]),
    ] {
        let mut seen: Vec<_> =
            s.store.uploads(&s.key(prefix)).await?.into_iter().map(|upload| (upload.key, upload.id)).collect();
        let mut expected: Vec<_> = expected.into_iter().map(|upload| (upload.key.clone(), upload.id.clone())).collect();
        seen.sort();
        expected.sort();
        expect_same(&format!("the list of uploads under {prefix:?}"), &seen, &expected)?;
    }
    Ok(String::new())
}

async fn refused(s: &Scratch<'_>) -> Result<String, Trouble> {
    let upload = begin(s, "k", &Attributes::default()).await?;
    let first = part(s, &upload, 1, s.noise(1000)).await?;
    let second = part(s, &upload, 2, "end").await?;
    let stranger = Part { number: 1, ..second.clone() };
    for (what, parts) in [
        ("a small part before the last", vec![first.clone(), second.clone()]),
        ("a wrong order", vec![second.clone(), first.clone()]),
        ("a part with another's ETag", vec![stranger]),
        ("a part that was never sent", vec![Part { number: 7, ..first.clone() }]),
        ("no parts", vec![]),
    ] {
        match s.store.upload_complete(&upload, &parts, &Condition::Create).await {
            Err(error) if error.kind == StoreErrorKind::Unsupported => {}
            Err(error) => return Err(error.into()),
            Ok(Outcome::Unknown(why)) => return Err(Trouble::Open(why)),
            Ok(outcome) => return Err(Trouble::Violated(format!("{what}: {outcome:?} instead of an error"))),
        }
        s.expect_content("k", None).await?;
    }
    let fine = s.store.upload_complete(&upload, &[second], &Condition::Create).await?;
    applied("a completion with fewer parts than were sent", fine)?;
    s.expect_content("k", Some(b"end")).await?;
    Ok(String::new())
}
