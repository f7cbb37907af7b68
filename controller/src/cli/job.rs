//! The job on the command line.

use clap::Args;
use dayfly_shared::job::Location;

use crate::failure::{Failure, Result};

/// The place of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct JobArg {
    /// The job, as s3://BUCKET/PREFIX (with --local: s3://dayfly/ unless named)
    #[arg(value_name = "JOB", env = "DAYFLY_JOB")]
    pub job: Option<Location>,
}

/// Takes the job off the front of words that may begin with one.
///
/// # Errors
/// A first word that means to be a place and is none.
pub fn split_job(words: &[String]) -> Result<(Option<Location>, &[String])> {
    match words.split_first() {
        Some((first, rest)) if first.starts_with("s3://") => {
            let job = first.parse().map_err(|e| Failure::usage(format!("{e}")))?;
            Ok((Some(job), rest))
        }
        _ => Ok((None, words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_is_the_first_word_if_it_is_a_place() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let both = words(&["s3://bucket/job", "dir"]);
        let (job, rest) = split_job(&both).unwrap();
        assert_eq!((job.unwrap().to_string().as_str(), rest), ("s3://bucket/job/", &both[1..]));
        let one = words(&["dir"]);
        assert_eq!(split_job(&one).unwrap(), (None, &one[..]));
        assert!(split_job(&words(&["s3://B"])).is_err());
    }
}
