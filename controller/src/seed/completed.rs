//! `completed.txt` as `seed` writes it: the inputs whose output stands.

use std::collections::HashSet;

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::{clean_lines, join_lines};
use dayfly_shared::store::{Attributes, Condition};
use dayfly_shared::views::{MARK, ViewRead};

use super::objects::Listing;
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::write::{self, Settled};

/// As for the task list.
const TRIES: u32 = 40;

/// Brings `completed.txt` up to date: `done` are added, `redo` taken out.
///
/// # Errors
/// A store that refuses.
pub async fn update(
    parts: &Parts,
    job: &JobBucket,
    settings: &JobSettings,
    outputs: &Listing,
    done: &[String],
    redo: &HashSet<String>,
) -> Result<()> {
    let key = job.keys.view(View::Completed);
    for _ in 0..TRIES {
        let read = job.view(View::Completed).await?;
        let Some(text) = wanted(read.as_ref(), settings, outputs, done, redo) else { return Ok(()) };
        let condition = read.map_or(Condition::Create, |view| Condition::Update(view.etag));
        // Every line of it was checked, which is what the mark says.
        let attributes = Attributes::text().with(MARK, "1");
        match write::put(parts, &**job.store(), &key, Bytes::from(text), &attributes, &condition).await? {
            Settled::Applied(_) => return Ok(()),
            Settled::Rejected => tracing::debug!("completed.txt changed meanwhile; reading it again"),
        }
    }
    Err(Failure::new(format!("{} changed each time it was read", job.place(&key)))
        .left("inputs, kernel and job.json are in place, the task list is not")
        .fix("run it again"))
}

/// The text to write, or none if it stands. Lines of a version that dayfly did not write count only if their output is
/// there.
fn wanted(
    read: Option<&ViewRead>,
    settings: &JobSettings,
    outputs: &Listing,
    done: &[String],
    redo: &HashSet<String>,
) -> Option<String> {
    let (mut lines, marked) = read.map_or((Vec::new(), false), |view| (clean_lines(&view.text), view.marked));
    let before = lines.len();
    lines.retain(|name| !redo.contains(name) && (marked || outputs.contains_key(&settings.commit_name(name))));
    let changed = lines.len() != before;
    let have: HashSet<&str> = lines.iter().map(String::as_str).collect();
    let new: Vec<&String> = done.iter().filter(|n| !redo.contains(*n) && !have.contains(n.as_str())).collect();
    if marked && !changed && new.is_empty() {
        return None;
    }
    Some(join_lines(lines.iter().chain(new)))
}

#[cfg(test)]
mod tests {
    use dayfly_shared::store::{ETag, Entry};

    use super::*;

    fn view(text: &str, marked: bool) -> ViewRead {
        ViewRead { etag: ETag::new("e"), modified: None, marked, text: text.as_bytes().to_vec() }
    }

    fn outputs(names: &[&str]) -> Listing {
        let entry = |name: &str| Entry { key: name.to_owned(), etag: ETag::new("e"), size: 1, modified: None };
        names.iter().map(|name| ((*name).to_owned(), entry(name))).collect()
    }

    #[test]
    fn lines_stay_and_done_names_are_added() {
        let (none, outputs) = (HashSet::new(), outputs(&["out0.dat", "out1.dat"]));
        let done = ["in0.dat".to_owned(), "in1.dat".to_owned()];
        assert_eq!(
            wanted(None, &JobSettings::default(), &outputs, &done, &none).as_deref(),
            Some("in0.dat\nin1.dat\n")
        );
        let read = view("old\nin1.dat\n", true);
        assert_eq!(
            wanted(Some(&read), &JobSettings::default(), &outputs, &done, &none).as_deref(),
            Some("old\nin1.dat\nin0.dat\n")
        );
        assert_eq!(
            wanted(Some(&view("in0.dat\nin1.dat\n", true)), &JobSettings::default(), &outputs, &done, &none),
            None
        );
    }

    #[test]
    fn a_line_put_by_hand_counts_if_its_output_stands() {
        let read = view("in0.dat\nin9.dat\n", false);
        let text = wanted(Some(&read), &JobSettings::default(), &outputs(&["out0.dat"]), &[], &HashSet::new());
        assert_eq!(text.as_deref(), Some("in0.dat\n"));
    }

    #[test]
    fn what_is_done_again_is_taken_out() {
        let redo = HashSet::from(["in0.dat".to_owned()]);
        let (read, done) = (view("in0.dat\nin1.dat\n", true), ["in0.dat".to_owned(), "in1.dat".to_owned()]);
        assert_eq!(
            wanted(Some(&read), &JobSettings::default(), &outputs(&[]), &done, &redo).as_deref(),
            Some("in1.dat\n")
        );
    }
}
