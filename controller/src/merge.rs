//! `tasklist.txt` as the controller writes it: lines are added under the version that was read, and nobody's are lost.

use std::collections::HashSet;

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::keys::View;
use dayfly_shared::plan::{Source, clean_lines, join_lines};
use dayfly_shared::store::{Attributes, Condition};
use dayfly_shared::views::{Fate, Ledger, ViewRead};

use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::write::{self, Settled};

/// Rejected so often in a row, something rewrites the list without a pause: a fleet of any size refreshes it about once a
/// second.
const TRIES: u32 = 40;

/// What adding lines came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// Lines that were there before.
    pub kept: usize,
    /// Lines added.
    pub added: usize,
    /// Repeated lines that were there and are one now.
    pub repeated: usize,
    /// Whether anything was written.
    pub written: bool,
}

/// Adds lines to `tasklist.txt`; makes it if there is none.
///
/// The version written lacks dayfly's mark, as a person's would: that is what makes a line that names a given-up task a
/// new task. Given-up names that nobody asks for, and that only stand in the list because no refresh has taken them out
/// yet, are therefore left out, as long as they stand in `failed.txt`.
///
/// # Errors
/// A store that refuses.
pub async fn add_lines(parts: &Parts, job: &JobBucket, ledger: &Ledger, lines: &[String]) -> Result<Merged> {
    for _ in 0..TRIES {
        let failed = match ledger.totals().failed {
            0 => HashSet::new(),
            _ => job.view(View::Failed).await?.map(|v| clean_lines(&v.text)).unwrap_or_default().into_iter().collect(),
        };
        let read = job.view(View::Tasklist).await?;
        let (merged, text) = merge(read.as_ref(), ledger, &failed, lines);
        let Some(text) = text else { return Ok(merged) };
        let condition = read.map_or(Condition::Create, |view| Condition::Update(view.etag));
        let key = job.keys.view(View::Tasklist);
        match write::put(parts, &**job.store(), &key, Bytes::from(text), &Attributes::text(), &condition).await? {
            Settled::Applied(_) => return Ok(merged),
            Settled::Rejected => tracing::debug!("tasklist.txt changed meanwhile; reading it again"),
        }
    }
    Err(Failure::new(format!("{} changed each time it was read", job.place(&job.keys.view(View::Tasklist))))
        .left("no line was added")
        .fix("run it again"))
}

/// The text to write, or none if all is there.
fn merge(
    read: Option<&ViewRead>,
    ledger: &Ledger,
    failed: &HashSet<String>,
    lines: &[String],
) -> (Merged, Option<String>) {
    let wanted: HashSet<&str> = lines.iter().map(String::as_str).collect();
    let (mut have, mut repeated, mut taken_up) = (Vec::new(), 0, false);
    if let Some(view) = read {
        have = clean_lines(&view.text);
        let written = String::from_utf8_lossy(&view.text).lines().filter(|l| !l.trim().is_empty()).count();
        repeated = written.saturating_sub(have.len());
        let source = Source { etag: view.etag.as_str().to_owned(), modified: view.modified };
        taken_up = view.marked || ledger.took_up(&source);
    }
    let given_up = |name: &str| ledger.fate(name) == Some(Fate::Failed);
    // In a version that dayfly wrote or took up, a given-up name is an old line; it counts only in a new version.
    let stale = |name: &String| taken_up && given_up(name);
    let known: HashSet<&str> = have.iter().filter(|n| !stale(n)).map(String::as_str).collect();
    let mut seen = HashSet::new();
    let new: Vec<&String> = lines.iter().filter(|n| !known.contains(n.as_str()) && seen.insert(n.as_str())).collect();
    let merged = Merged { kept: have.len(), added: new.len(), repeated, written: false };
    if new.is_empty() && read.is_some() {
        return (merged, None);
    }
    let stays = |name: &&String| !(stale(name) && (wanted.contains(name.as_str()) || failed.contains(*name)));
    let text = join_lines(have.iter().filter(stays).chain(new.iter().copied()));
    (Merged { written: true, ..merged }, Some(text))
}

#[cfg(test)]
mod tests {
    use dayfly_shared::clock::Timestamp;
    use dayfly_shared::ids::TaskId;
    use dayfly_shared::plan::{Frozen, Segment};
    use dayfly_shared::store::ETag;

    use super::*;

    /// A plan of a, b and c, where b was given up.
    fn ledger() -> Ledger {
        let frozen =
            Frozen { settings: None, source: None, by: "x-00000001".parse().unwrap(), at: Timestamp::default() };
        let mut ledger = Ledger::default();
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        ledger.add_segment(Segment::cut(1, "a\nb\nc\n", 1, frozen), names);
        ledger.add_dead_letter(TaskId { segment: 1, line: 2 });
        ledger
    }

    fn view(text: &str, marked: bool) -> ViewRead {
        ViewRead { etag: ETag::new("e"), modified: None, marked, text: text.as_bytes().to_vec() }
    }

    fn lines(list: &[&str]) -> Vec<String> {
        list.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn lines_are_added_behind_those_that_stand() {
        let read = view("x\r\ny\n\ny\n", false);
        let (merged, text) = merge(Some(&read), &Ledger::default(), &HashSet::new(), &lines(&["y", "z", "z"]));
        assert_eq!(text.as_deref(), Some("x\ny\nz\n"));
        assert_eq!(merged, Merged { kept: 2, added: 1, repeated: 1, written: true });
    }

    #[test]
    fn nothing_is_written_where_all_is_there() {
        let read = view("x\ny\n", true);
        let (merged, text) = merge(Some(&read), &Ledger::default(), &HashSet::new(), &lines(&["y"]));
        assert_eq!((text, merged.written), (None, false));
        let (_, text) = merge(None, &Ledger::default(), &HashSet::new(), &[]);
        assert_eq!(text.as_deref(), Some(""), "an empty list is made, so that the job is seen to be finished");
    }

    #[test]
    fn a_given_up_task_is_listed_anew_though_its_old_line_still_stands() {
        let (merged, text) = merge(Some(&view("b\nc\n", true)), &ledger(), &HashSet::new(), &lines(&["b"]));
        assert_eq!(text.as_deref(), Some("c\nb\n"));
        assert_eq!(merged.added, 1);
    }

    #[test]
    fn a_given_up_task_that_nobody_asks_for_is_not_made_a_new_one() {
        let in_failed = HashSet::from(["b".to_owned()]);
        let (_, text) = merge(Some(&view("b\nc\n", true)), &ledger(), &in_failed, &lines(&["d"]));
        assert_eq!(text.as_deref(), Some("c\nd\n"));
        // Not in failed.txt yet: its line is the only one it has.
        let (_, text) = merge(Some(&view("b\nc\n", true)), &ledger(), &HashSet::new(), &lines(&["d"]));
        assert_eq!(text.as_deref(), Some("b\nc\nd\n"));
        // Put there by a person: it is asked for.
        let (_, text) = merge(Some(&view("b\nc\n", false)), &ledger(), &in_failed, &lines(&["d"]));
        assert_eq!(text.as_deref(), Some("b\nc\nd\n"));
    }
}
