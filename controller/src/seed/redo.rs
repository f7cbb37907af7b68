//! Doing again what is done.
//!
//! An output that the job committed is on record: its result stands, write-once, and says done, with the output's
//! checksum; agents trim its line from the list wherever they see it. To remove such an output would make the record a
//! lie and completed.txt name what is not there, and nothing would make the output anew. So a name that the plan knows is
//! refused: it is done again in a job of its own, under a new prefix, where nothing is on record.
//!
//! A name that the plan does not know is another matter: its output stood before the job, and no record speaks of it. It
//! is taken out of completed.txt first (so that completed.txt never names an absent output), its output is then deleted,
//! under the version judged, and its line is put on the list last. Agents at work meanwhile do no harm: a refresh
//! between these steps starts over when its version of completed.txt is gone, and the line, when it comes, is one that
//! no segment knows and no view has as completed: a new task.

use std::collections::HashSet;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::store::Store;
use dayfly_shared::views::Ledger;

use super::objects::Listing;
use crate::failure::{Failure, Result};
use crate::human;
use crate::names::Wanted;
use crate::parts::Parts;
use crate::write;

/// The names to do again: inputs that are meant and whose output stands.
///
/// # Errors
/// A text that no input answers to, and a name that the plan knows.
pub fn choose(
    texts: &[String],
    inputs: &[String],
    outputs: &Listing,
    settings: &JobSettings,
    ledger: &Ledger,
    job: &Location,
) -> Result<HashSet<String>> {
    let wanted = Wanted::new(texts)?;
    let matched: Vec<&str> = inputs.iter().map(String::as_str).filter(|n| wanted.has(n)).collect();
    let unmatched = wanted.unmatched(&matched);
    if !unmatched.is_empty() {
        return Err(Failure::usage(format!("no input is called {}", human::some(&unmatched)))
            .left("nothing was changed")
            .fix("name inputs, such as in3.dat, not outputs"));
    }
    let done = matched.into_iter().filter(|name| outputs.contains_key(&settings.commit_name(name)));
    let (known, free): (Vec<&str>, Vec<&str>) = done.partition(|name| ledger.fate(name).is_some());
    if !known.is_empty() {
        return Err(Failure::new(format!(
            "{} cannot be done again in this job: its plan knows {}, the outputs are on record, and committed outputs are \
             never replaced",
            human::some(&known),
            if known.len() == 1 { "it" } else { "them" }
        ))
        .left("nothing was changed")
        .fix(format!(
            "seed a new job for it, with a place of its own: dayfly seed s3://{}/NEW --inputs {job} --glob '{}' --kernel …",
            job.bucket(),
            if known.len() == 1 { known[0].to_owned() } else { "…".to_owned() },
        )));
    }
    Ok(free.into_iter().map(str::to_owned).collect())
}

/// Deletes the outputs of these names. Their lines have left completed.txt before.
///
/// # Errors
/// A store that refuses, or an output that changed meanwhile.
pub async fn delete_outputs(
    parts: &Parts,
    job: &JobBucket,
    store: &dyn Store,
    settings: &JobSettings,
    outputs: &Listing,
    names: &HashSet<String>,
) -> Result<()> {
    let mut deleted: u64 = 0;
    for name in names {
        let Some(entry) = outputs.get(&settings.commit_name(name)) else { continue };
        if !write::delete(parts, store, &entry.key, &entry.etag).await? && store.head(&entry.key).await?.is_some() {
            return Err(Failure::new(format!("{} changed meanwhile", store.place(&entry.key)))
                .left(format!("{} deleted before; the task list is as it was", human::count(deleted, "output")))
                .fix(format!("find out who writes there, and run it again for {}", job.location)));
        }
        deleted += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dayfly_shared::clock::Timestamp;
    use dayfly_shared::plan::{Frozen, Segment};
    use dayfly_shared::store::{ETag, Entry};

    use super::*;

    #[test]
    fn only_names_that_the_plan_does_not_know_are_done_again() {
        let frozen =
            Frozen { settings: None, source: None, by: "x-00000001".parse().unwrap(), at: Timestamp::default() };
        let mut ledger = Ledger::default();
        ledger.add_segment(Segment::cut(1, "in3.dat\n", 1, frozen), vec!["in3.dat".to_owned()]);
        let entry = |name: &str| Entry { key: name.to_owned(), etag: ETag::new("e"), size: 1, modified: None };
        let outputs: Listing = ["out0.dat", "out3.dat"].iter().map(|name| ((*name).to_owned(), entry(name))).collect();
        let inputs = ["in0.dat", "in3.dat", "in5.dat"].map(str::to_owned);
        let job = "s3://bucket/job".parse().unwrap();
        let choose = |texts: &[&str]| {
            choose(
                &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(),
                &inputs,
                &outputs,
                &JobSettings::default(),
                &ledger,
                &job,
            )
        };
        assert_eq!(choose(&["in0.dat", "in5.dat"]).unwrap(), HashSet::from(["in0.dat".to_owned()]));
        let refused = format!("{:#}", choose(&["in*.dat"]).unwrap_err());
        assert!(refused.starts_with("in3.dat cannot") && refused.contains("--glob 'in3.dat'"), "{refused}");
        assert!(choose(&["in7.dat"]).unwrap_err().to_string().contains("in7.dat"));
    }
}
