//! Keys that are easy to get wrong: on the way (URLs, headers, XML), and in a file system.

use super::{Check, Scratch, Trouble, applied, expect, expect_same};
use crate::store::rules::KEY_MAX_BYTES;
use crate::store::{Condition, ListQuery, StoreExt};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "names/usual",
        meaning: "keys with spaces, signs and letters of all kinds, up to 1024 bytes, are kept as they are",
        harmless: None,
        run: |s| Box::pin(usual(s)),
    },
    Check {
        name: "names/odd",
        meaning: "keys with empty components, with . and .. and with control characters are kept as they are",
        harmless: Some("dayfly refuses such names, and never makes one"),
        run: |s| Box::pin(odd(s)),
    },
    Check {
        name: "names/folders",
        meaning: "a key may also be the folder of another, whichever comes and goes first",
        harmless: None,
        run: |s| Box::pin(folders(s)),
    },
];

async fn usual(s: &Scratch<'_>) -> Result<String, Trouble> {
    let longest = "n".repeat(KEY_MAX_BYTES.saturating_sub(s.prefix.len()).max(1));
    let wide = "\u{fc}".repeat(200);
    let long = "x".repeat(255);
    let longer = format!("{}/{}.dat", "y".repeat(300), "z".repeat(256));
    let names = [
        "in 3.dat",
        "a+b",
        "a%2Bb",
        "a%20b",
        "100%",
        "%",
        "%%25",
        "a%2Fb",
        "q?x=1&y=2",
        "a#b",
        "a;b",
        "a:b",
        "a@b",
        "a&amp;b",
        "<a>",
        "\"quoted\"",
        "it's",
        "a\\b",
        "a*b",
        "a|b",
        "$(x)",
        "`x`",
        "~",
        "-",
        "_",
        "=",
        ",",
        "()",
        "[x]",
        "{x}",
        "a^b",
        "\u{e4}\u{f6}\u{fc}.dat",
        "\u{65e5}\u{672c}/\u{8a9e}",
        "\u{1f600}",
        "e\u{301}",
        "\u{e9}",
        "UPPER",
        "upper",
        ".hidden",
        "a.",
        "trailing ",
        " leading",
        "...",
        ".dayfly/meta",
        &wide,
        &long,
        &longer,
        &longest,
    ];
    each(s, &names).await
}

async fn odd(s: &Scratch<'_>) -> Result<String, Trouble> {
    let names = [
        "a//b",
        "/a",
        "a/",
        "//",
        "a///",
        "./a",
        "../a",
        "a/./b",
        "a/../b",
        "a/..",
        "a/.",
        ".",
        "..",
        "a\nb",
        "a\tb",
        "\r",
        "a\u{1}b",
        "\u{7f}",
        "a/\u{1b}[0m/b",
    ];
    each(s, &names).await
}

/// Puts all of them, each with its own name as its content; then every one has to be there, and nothing else.
async fn each(s: &Scratch<'_>, names: &[&str]) -> Result<String, Trouble> {
    let mut etags = Vec::new();
    for name in names {
        etags.push(s.create(name, name.as_bytes().to_vec()).await?);
    }
    let mut expected: Vec<String> = names.iter().map(|name| s.key(name)).collect();
    expected.sort();
    let listed: Vec<String> = s.store.list_all(&s.prefix).await?.into_iter().map(|entry| entry.key).collect();
    expect_same("the listing", &listed, &expected)?;
    for (at, key) in expected.iter().enumerate() {
        let page = s.store.list(&ListQuery::under(&s.prefix).after(key)).await?;
        let next = page.entries.first().map(|entry| &entry.key);
        expect_same(&format!("what comes after {key:?}"), &next, &expected.get(at + 1))?;
    }
    for (name, etag) in names.iter().zip(etags) {
        s.expect_content(name, Some(name.as_bytes())).await?;
        let body = format!("again {name}");
        let put = s.put(name, body.clone(), &Condition::Update(etag)).await?;
        let etag = applied(&format!("an update of {name:?}"), put)?;
        s.expect_content(name, Some(body.as_bytes())).await?;
        applied(&format!("a delete of {name:?}"), s.store.delete(&s.key(name), Some(&etag)).await?)?;
        s.expect_content(name, None).await?;
    }
    Ok(format!("{} keys", names.len()))
}

async fn folders(s: &Scratch<'_>) -> Result<String, Trouble> {
    let orders = [["a", "a/b", "a/b/c"], ["a/b/c", "a/b", "a"], ["a/b", "a/b/c", "a"], ["a/b", "a", "a/b/c"]];
    for (number, order) in orders.iter().enumerate() {
        let name = |name: &str| format!("{number}/{name}");
        for put in order {
            s.create(&name(put), put.as_bytes().to_vec()).await?;
        }
        let listed: Vec<String> =
            s.store.list_all(&s.key(&name(""))).await?.into_iter().map(|entry| entry.key).collect();
        expect_same("the listing", &listed, &["a", "a/b", "a/b/c"].map(|key| s.key(&name(key))).to_vec())?;
        for (at, gone) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                s.expect_content(&name(other), (other_at >= at).then_some(other.as_bytes())).await?;
            }
            let etag = s.store.head(&s.key(&name(gone))).await?.map(|meta| meta.etag);
            expect(etag.is_some(), || format!("{gone:?} is absent"))?;
            applied("a delete", s.store.delete(&s.key(&name(gone)), etag.as_ref()).await?)?;
            s.create(&name(gone), "anew").await?;
            s.expect_content(&name(gone), Some(b"anew")).await?;
            applied("a second delete", s.store.delete(&s.key(&name(gone)), None).await?)?;
        }
    }
    Ok(format!("{} orders", orders.len()))
}
