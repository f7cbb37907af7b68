//! `job.json`: what the command line wants of the job, held against what stands.

use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::store::{Attributes, Condition};

use super::program::Program;
use crate::cli::{InputsArg, SeedArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::write::{self, Settled};

/// What stands of a job's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    /// In `job.json`.
    pub stored: Option<&'a JobSettings>,
    /// In the plan.
    pub frozen: Option<&'a JobSettings>,
}

/// The job's settings: what stands, else the defaults, with what the command line says.
///
/// # Errors
/// A value out of range, or one that differs from what stands.
pub fn settle(
    standing: Standing<'_>,
    args: &SeedArgs,
    program: Option<&Program>,
    job: &Location,
    place: &str,
) -> Result<JobSettings> {
    let base = standing.stored.or(standing.frozen).cloned().unwrap_or_default();
    let wanted = with_flags(&base, args, program, job)?;
    wanted.check().map_err(|e| Failure::usage(format!("{e}")))?;
    if let (Some(stored), Some(frozen)) = (standing.stored, standing.frozen)
        && stored != frozen
    {
        return Err(Failure::new(format!(
            "{place} is not what the job's plan was made with (job.json / plan): {}",
            stored.differences(frozen).join(", ")
        ))
        .left("nothing was changed")
        .fix("put job.json back as it was, or seed another job under a new prefix"));
    }
    if (standing.stored.is_some() || standing.frozen.is_some()) && wanted != base {
        return Err(Failure::new(format!(
            "the job has other settings than the command line (job / command line): {}",
            base.differences(&wanted).join(", ")
        ))
        .left("nothing was changed: a job keeps the settings it was seeded with")
        .fix("leave these options out, or seed another job under a new prefix"));
    }
    Ok(wanted)
}

fn with_flags(base: &JobSettings, args: &SeedArgs, program: Option<&Program>, job: &Location) -> Result<JobSettings> {
    let mut wanted = base.clone();
    if let Some(program) = program {
        program.apply(&mut wanted);
    }
    let elsewhere = |place: &Location| (place != job).then(|| place.clone());
    if let Some(InputsArg::Objects(place)) = &args.inputs {
        wanted.inputs = elsewhere(place);
    }
    if let Some(place) = &args.outputs {
        wanted.outputs = elsewhere(place);
    }
    if let Some(agents) = args.agents {
        wanted.agents = agents;
    }
    if let Some(attempts) = args.max_attempts {
        wanted.max_attempts = attempts;
    }
    if let Some(ttl) = args.lease_ttl {
        wanted.lease_ttl_seconds = seconds("--lease-ttl", ttl)?;
    }
    if let Some(limit) = args.task_time_limit {
        wanted.task_time_limit_seconds = seconds("--task-time-limit", limit)?;
    }
    if !args.notify.is_empty() {
        wanted.notify.clone_from(&args.notify);
    }
    Ok(wanted)
}

fn seconds(option: &str, time: Duration) -> Result<u32> {
    u32::try_from(time.as_secs())
        .ok()
        .filter(|s| *s > 0)
        .ok_or_else(|| Failure::usage(format!("{option} is {} s, and must be at least 1 s", time.as_secs())))
}

/// Puts `job.json`, if there is none.
///
/// # Errors
/// A store that refuses, or another seed that was quicker and wants something else.
pub async fn put(parts: &Parts, job: &JobBucket, settings: &JobSettings) -> Result<()> {
    let (key, body) = (job.keys.job(), Bytes::from(settings.to_json()));
    match write::put(parts, &**job.store(), &key, body, &Attributes::json(), &Condition::Create).await? {
        Settled::Applied(_) => Ok(()),
        Settled::Rejected => {
            let stands = job.job_settings().await?;
            if stands.as_ref() == Some(settings) {
                return Ok(());
            }
            let differences = stands.map(|s| s.differences(settings).join(", ")).unwrap_or_default();
            Err(Failure::new(format!("{} was written by somebody else meanwhile: {differences}", job.place(&key)))
                .left("inputs and kernel are in place, the task list is not")
                .fix("agree on the settings, or seed under another prefix"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Location {
        "s3://bucket/job".parse().unwrap()
    }

    #[test]
    fn flags_change_the_defaults_and_nothing_that_stands() {
        let args = SeedArgs {
            agents: Some(7),
            lease_ttl: Some(Duration::from_secs(5)),
            inputs: Some("s3://bucket/job".parse().unwrap()),
            outputs: Some("s3://bucket/out".parse().unwrap()),
            ..SeedArgs::default()
        };
        let fresh = settle(Standing::default(), &args, None, &job(), "job.json").unwrap();
        assert_eq!((fresh.agents, fresh.lease_ttl_seconds, fresh.inputs.as_ref()), (7, 5, None));
        assert_eq!(fresh.outputs.as_ref().map(ToString::to_string).as_deref(), Some("s3://bucket/out/"));
        let standing = Standing { stored: Some(&fresh), frozen: Some(&fresh) };
        assert_eq!(settle(standing, &SeedArgs::default(), None, &job(), "job.json").unwrap(), fresh);
        let other = SeedArgs { agents: Some(8), ..SeedArgs::default() };
        let refused = settle(standing, &other, None, &job(), "job.json").unwrap_err().to_string();
        assert!(refused.contains("agents: 7 / 8") && !refused.contains("lease"), "{refused}");
    }

    #[test]
    fn a_job_json_that_left_the_plan_is_named() {
        let frozen = JobSettings::default();
        let stored = JobSettings { max_attempts: 9, ..JobSettings::default() };
        let standing = Standing { stored: Some(&stored), frozen: Some(&frozen) };
        let refused = settle(standing, &SeedArgs::default(), None, &job(), "there/job.json").unwrap_err().to_string();
        assert!(refused.contains("there/job.json") && refused.contains("max_attempts: 9 / 3"), "{refused}");
    }

    #[test]
    fn no_time_is_no_limit() {
        let args = SeedArgs { task_time_limit: Some(Duration::ZERO), ..SeedArgs::default() };
        assert!(
            settle(Standing::default(), &args, None, &job(), "").unwrap_err().to_string().contains("--task-time-limit")
        );
    }
}
