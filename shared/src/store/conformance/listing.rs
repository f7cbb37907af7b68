//! Listings: order, pages, folders.

use std::collections::BTreeMap;

use super::{Check, Scratch, Trouble, applied, expect, expect_same};
use crate::store::{Condition, Entry, ListPage, ListQuery, StoreExt};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "listing/order",
        meaning: "keys come in the order of their UTF-8 bytes, each with its size and ETag",
        harmless: None,
        run: |s| Box::pin(order(s)),
    },
    Check {
        name: "listing/pages",
        meaning: "pages of any size give every key once, and start after any key, present or not",
        harmless: None,
        run: |s| Box::pin(pages(s)),
    },
    Check {
        name: "listing/prefix",
        meaning: "only keys that begin with the prefix come, and the prefix need not end at a folder",
        harmless: None,
        run: |s| Box::pin(prefix(s)),
    },
    Check {
        name: "listing/folders",
        meaning: "folded, each folder comes once whatever the page size, and only keys right under the prefix beside them",
        harmless: None,
        run: |s| Box::pin(folders(s)),
    },
    Check {
        name: "listing/fresh",
        meaning: "a listing shows every write and delete that was applied before it",
        harmless: None,
        run: |s| Box::pin(fresh(s)),
    },
];

/// In no order. Beside `/` sort `.` and `0`; the last two sort otherwise by UTF-16.
const NAMES: [&str; 21] = [
    "b",
    "a/b",
    "a0",
    "a.b",
    "a",
    "a/",
    "A",
    "a/b/c",
    "a b",
    "aa",
    "a-",
    "\u{e9}",
    "z",
    "e\u{301}",
    "a/0",
    "Z/y",
    "~",
    "b/c/d/e",
    "b/c.d",
    "\u{ff5e}",
    "\u{1f600}",
];

async fn fill(s: &Scratch<'_>) -> Result<Vec<String>, Trouble> {
    for name in NAMES {
        s.create(name, name.as_bytes().to_vec()).await?;
    }
    let mut keys: Vec<String> = NAMES.iter().map(|name| s.key(name)).collect();
    keys.sort();
    Ok(keys)
}

fn keys(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.key.clone()).collect()
}

async fn order(s: &Scratch<'_>) -> Result<String, Trouble> {
    let expected = fill(s).await?;
    let entries = s.store.list_all(&s.prefix).await?;
    expect_same("the listing", &keys(&entries), &expected)?;
    for entry in &entries {
        let head = s.store.head(&entry.key).await?;
        let told = head.map(|meta| (meta.etag, meta.size, meta.modified));
        let listed = Some((entry.etag.clone(), entry.size, entry.modified));
        expect_same(&format!("ETag, size and time of {:?}", entry.key), &listed, &told)?;
    }
    Ok(format!("{} keys", entries.len()))
}

async fn page(s: &Scratch<'_>, after: Option<&str>, limit: usize, fold: bool) -> Result<ListPage, Trouble> {
    let query = ListQuery { prefix: s.prefix.clone(), start_after: after.map(str::to_owned), limit, fold };
    let page = s.store.list(&query).await?;
    expect(page.entries.len() + page.folders.len() <= limit, || format!("a page of {limit} is larger"))?;
    Ok(page)
}

/// All pages of this size, and how many there were.
async fn every_page(s: &Scratch<'_>, limit: usize, fold: bool, most: usize) -> Result<(Vec<ListPage>, usize), Trouble> {
    let mut pages = vec![page(s, None, limit, fold).await?];
    while let Some(next) = pages.last().and_then(|page| page.next.clone()) {
        expect(pages.len() <= most, || format!("pages of {limit} do not end"))?;
        pages.push(page(s, Some(&next), limit, fold).await?);
    }
    let count = pages.len();
    Ok((pages, count))
}

async fn pages(s: &Scratch<'_>) -> Result<String, Trouble> {
    let expected = fill(s).await?;
    for limit in [1, 2, 3, 7, expected.len() - 1, expected.len(), 1000] {
        let (pages, count) = every_page(s, limit, false, expected.len() + 1).await?;
        let seen: Vec<String> = pages.iter().flat_map(|page| keys(&page.entries)).collect();
        expect_same(&format!("all pages of {limit}"), &seen, &expected)?;
        // A last page that is empty is allowed, if wasteful.
        expect(count <= expected.len().div_ceil(limit) + 1, || format!("{count} pages of {limit}"))?;
    }
    let between = ["", "0", "a", "a!", "a/b", "a/b!", "a/zz", "b/c", "\u{ff5e}", "\u{10ffff}"].map(|name| s.key(name));
    for after in &between {
        let seen = keys(&page(s, Some(after), 1000, false).await?.entries);
        let rest: Vec<String> = expected.iter().filter(|key| *key > after).cloned().collect();
        expect_same(&format!("the listing after {after:?}"), &seen, &rest)?;
    }
    let behind = page(s, Some("\u{10ffff}"), 1000, false).await?;
    expect(behind.entries.is_empty() && behind.next.is_none(), || "keys come after all others".to_owned())?;
    Ok(format!("{} keys", expected.len()))
}

async fn prefix(s: &Scratch<'_>) -> Result<String, Trouble> {
    let expected = fill(s).await?;
    for part in ["a", "a/", "a/b", "b/c", "b/c/", "z", "none", "a/b/c/", "\u{e9}", "A"] {
        let prefix = s.key(part);
        let seen = keys(&s.store.list_all(&prefix).await?);
        let wanted: Vec<String> = expected.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
        expect_same(&format!("the listing of {part:?}"), &seen, &wanted)?;
    }
    Ok(String::new())
}

async fn folders(s: &Scratch<'_>) -> Result<String, Trouble> {
    let keys = fill(s).await?;
    // Each line of a folded listing, by its text: a folder or a key.
    let mut expected = BTreeMap::new();
    for key in keys {
        match key[s.prefix.len()..].find('/') {
            Some(slash) => expected.insert(key[..s.prefix.len() + slash + 1].to_owned(), true),
            None => expected.insert(key, false),
        };
    }
    for limit in [1, 2, 5, expected.len(), 1000] {
        let (pages, _) = every_page(s, limit, true, expected.len() + 1).await?;
        let mut seen = BTreeMap::new();
        for page in pages {
            let entries = page.entries.into_iter().map(|entry| (entry.key, false));
            for (text, folder) in entries.chain(page.folders.into_iter().map(|folder| (folder, true))) {
                expect(!seen.contains_key(&text), || format!("{text:?} comes twice in pages of {limit}"))?;
                seen.insert(text, folder);
            }
        }
        expect_same(&format!("what pages of {limit} fold to"), &seen, &expected)?;
    }
    Ok(format!("{} folders and keys", expected.len()))
}

async fn fresh(s: &Scratch<'_>) -> Result<String, Trouble> {
    for round in 0..s.rounds {
        let name = format!("{round:05}");
        let etag = s.create(&name, "x").await?;
        let seen = keys(&s.store.list_all(&s.prefix).await?);
        expect_same("the listing after a create", &seen, &vec![s.key(&name)])?;
        let longer = applied("an update", s.put(&name, "longer", &Condition::Update(etag)).await?)?;
        let seen: Vec<_> =
            s.store.list_all(&s.prefix).await?.into_iter().map(|entry| (entry.etag, entry.size)).collect();
        expect_same("the listing after an update", &seen, &vec![(longer.clone(), 6)])?;
        applied("a delete", s.store.delete(&s.key(&name), Some(&longer)).await?)?;
        expect_same("the listing after a delete", &keys(&s.store.list_all(&s.prefix).await?), &Vec::new())?;
    }
    Ok(format!("{} rounds", s.rounds))
}
