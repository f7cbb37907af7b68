//! A launch on EC2, step by step, so that it can be cut off anywhere.
//!
//! | step | what stands after it | a launch cut off here, run again |
//! |---|---|---|
//! | 1 record, create-only, with the whole request | the intent | goes on with 2 |
//! | 2 CreateLaunchTemplateVersion, token `…-1-template` | a version that costs nothing | finds it by its description, or makes it under the same token |
//! | 3 record, `If-Match`, with the version's number | the request as it will be sent | goes on with 4 |
//! | 4 CreateFleet, token `…-1` | machines, tagged | finds them by their tag; none: sends the same request under the same token |
//! | 5 record, `If-Match`, with the outcome | the launch is closed | is over: another one begins |
//!
//! A request that gave too little is followed by another (on demand for what spot lacks; the same again while the instance
//! profile is not visible yet), token `…-2`: its intent is written with the outcome of the first, in step 5, and 4 and 5 come
//! again. So no token ever goes out before the parameters that belong to it are in the bucket, nor with others.
//!
//! Two who launch the same at the same moment are one launch: the second takes up the first one's record. A launch that is
//! cut off and not run again is closed by `dayfly reap`, with what its tags find.

use std::time::Duration;

use aws_sdk_ec2::operation::create_fleet::CreateFleetError;
use aws_smithy_runtime_api::client::result::SdkError;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::{Launch, LaunchError, Launched, Market, Outcome};

use super::journal::{self, Entry};
use super::{fleet, plan, template};
use crate::cloud::{Cloud, code, explain_fully, is_passing, may_have_gone_through};
use crate::failure::{Failure, Result};
use crate::instances::{Scope, fleets, machine};
use crate::parts::Parts;

/// How long an instance profile may take to be visible to EC2 (IAM user guide, "Changes that I make are not always
/// immediately visible"; seconds as a rule, a minute or more at times).
const PROFILE_PATIENCE: Duration = Duration::from_mins(2);
/// Tries of a call that is throttled or not answered, after those of the SDK: with waits up to 5 s about half a minute.
const TRIES: u32 = 10;

/// Codes that say that spot has no machines to give, not that the request is wrong (EC2 user guide, "Error codes").
const NO_SPOT: [&str; 5] = [
    "InsufficientInstanceCapacity",
    "UnfulfillableCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "InsufficientCapacity",
];

/// Takes up the same launch where it was cut off, or begins this one; and carries it to its outcome.
///
/// # Errors
/// Another launch is open, EC2 refuses, nobody answers.
pub async fn launch(parts: &Parts, cloud: &Cloud, job: &JobBucket, planned: Launch) -> Result<Launch> {
    let mut open: Vec<Entry> = journal::all(job).await?.into_iter().filter(|entry| entry.launch.is_open()).collect();
    // One that asked for the same comes before any other.
    open.sort_by_key(|entry| !plan::same(&entry.launch, &planned));
    let open = open.into_iter().next();
    let (mut entry, resumed) = match open {
        Some(entry) if plan::same(&entry.launch, &planned) => {
            let (id, by, at) = (entry.launch.id, &entry.launch.by, entry.launch.at);
            parts.output().note(format!("the launch {id} that {by} began at {at} was cut off; it goes on"));
            (entry, true)
        }
        Some(entry) => {
            return Err(Failure::new(format!(
                "the launch {} that {} began at {} was cut off, and asked for something else",
                entry.launch.id, entry.launch.by, entry.launch.at
            ))
            .left(format!(
                "it may have started machines; its record is {}",
                job.place(&job.keys.launch(entry.launch.id))
            ))
            .fix(format!(
                "run it again as it was, to go on with it; or close it: dayfly reap {} --grace 0s",
                job.location
            )));
        }
        None => (journal::open(parts, job, planned).await?, false),
    };
    carry(parts, cloud, job, &mut entry, resumed).await?;
    Ok(entry.launch)
}

async fn carry(parts: &Parts, cloud: &Cloud, job: &JobBucket, entry: &mut Entry, resumed: bool) -> Result<()> {
    if entry.launch.request.template.version.is_empty() {
        let version = match template::version(parts, cloud, &entry.launch, resumed).await {
            Ok(version) => version,
            Err(refused) => return Err(close(parts, job, entry, refused).await),
        };
        entry.launch.request.template.version = version;
        journal::save(parts, job, entry).await?;
    }
    let begun = parts.clock.now().at;
    let mut look = resumed;
    let mut waits = Backoff::new(Duration::from_secs(2), Duration::from_secs(10));
    while entry.launch.is_open() {
        let found = if look { found(cloud, &entry.launch, parts.clock.now().wall).await? } else { None };
        look = false;
        let mut outcome = match found {
            Some(outcome) => outcome,
            None => match send(parts, cloud, entry.launch.last(), begun.after(PROFILE_PATIENCE)).await {
                Ok(outcome) => outcome,
                Err(refused) => return Err(close(parts, job, entry, refused).await),
            },
        };
        let last = entry.launch.last_mut();
        let patient = parts.clock.now().at < begun.after(PROFILE_PATIENCE);
        let next = next(last, &outcome, patient, parts.clock.now().wall);
        let again = next.as_ref().is_some_and(|next| next.request.market == last.request.market);
        outcome.fallback = next.map(Box::new);
        last.outcome = Some(outcome);
        journal::save(parts, job, entry).await?;
        if again {
            parts.clock.sleep(waits.next(&*parts.dice)).await;
        }
    }
    Ok(())
}

/// A call that was refused, or that nobody answered.
pub enum Refusal {
    /// EC2 said no: nothing came of it.
    Refused(Failure),
    /// Nobody said anything: something may have come of it.
    Unknown(Failure),
}

/// Closes a launch that EC2 refused; leaves one open that may have gone through.
async fn close(parts: &Parts, job: &JobBucket, entry: &mut Entry, refusal: Refusal) -> Failure {
    let id = entry.launch.id;
    let failure = match refusal {
        Refusal::Unknown(failure) => {
            let again = "then run the same again: it goes on under the same token, and starts nothing twice";
            return failure
                .left(format!("the launch {id} is open, and may have started machines"))
                .and_then(again)
                .or(&format!("close it: dayfly reap {}", job.location));
        }
        Refusal::Refused(failure) => failure,
    };
    let before: usize =
        entry.launch.requests().iter().filter_map(|r| r.outcome.as_ref()).map(|o| o.instances.len()).sum();
    let closed = Some(failure.to_string());
    entry.launch.last_mut().outcome = Some(Outcome { at: parts.clock.now().wall, closed, ..Outcome::default() });
    if let Err(error) = journal::save(parts, job, entry).await {
        return error;
    }
    match before {
        0 => failure.left("nothing was started"),
        n => failure.left(format!("{n} machines of the launch {id} are running, and go on")),
    }
}

/// Sends one request until it is answered: throttled, or while the profile is not visible, again under the same token,
/// which is for the same parameters.
async fn send(
    parts: &Parts,
    cloud: &Cloud,
    launch: &Launch,
    until: dayfly_shared::clock::Moment,
) -> Result<Outcome, Refusal> {
    let mut backoff = Backoff::default();
    let (mut tries, mut unanswered) = (0, false);
    loop {
        // One try a call: what the SDK repeats by itself hides that an earlier try went unanswered.
        let call = fleet::call(cloud, launch).customize().config_override(fleet::one_try());
        let error = match call.send().await {
            Ok(answer) => return Ok(fleet::outcome(&answer, parts.clock.now().wall)),
            Err(error) => error,
        };
        tries += 1;
        unanswered |= may_have_gone_through(&error);
        let patient = parts.clock.now().at < until;
        let again = (is_passing(&error) && tries < TRIES) || (profile_unseen(&error) && patient);
        if !again {
            let about = format!("for the launch {}", launch.id);
            let failure = explain_fully(cloud, "ec2:CreateFleet", &about, &error).await;
            // Who is refused now may have been let through a moment ago.
            return Err(if error.as_service_error().is_some() && !is_passing(&error) && !unanswered {
                Refusal::Refused(failure)
            } else {
                Refusal::Unknown(failure)
            });
        }
        tracing::info!(code = code(&error), tries, "CreateFleet is sent again");
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
}

fn profile_unseen<R>(error: &SdkError<CreateFleetError, R>) -> bool {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
    let message = error.as_service_error().and_then(|said| said.message()).unwrap_or_default();
    is_profile(code(error).unwrap_or_default(), message)
}

/// Whether EC2 does not know the instance profile (yet).
fn is_profile(code: &str, message: &str) -> bool {
    matches!(code, "InvalidParameterValue" | "InvalidIamInstanceProfile" | "InvalidIamInstanceProfileArn.Malformed")
        && message.to_ascii_lowercase().contains("iam instance profile")
}

/// What the tags of a launch that was cut off find: the outcome that its record lacks.
pub async fn found(cloud: &Cloud, launch: &Launch, at: Timestamp) -> Result<Option<Outcome>> {
    let scope = Scope::Launch(launch.id);
    let known: Vec<&str> = launch
        .requests()
        .iter()
        .filter_map(|request| request.outcome.as_ref())
        .flat_map(|outcome| &outcome.instances)
        .map(|instance| instance.id.as_str())
        .collect();
    let instances: Vec<Launched> = machine::list(cloud, &scope)
        .await?
        .into_iter()
        .filter(|machine| !known.contains(&machine.id.as_str()))
        .map(|m| Launched { id: m.id, instance_type: m.instance_type, zone: Some(m.zone), market: m.market })
        .collect();
    let fleet = match launch.request.maintain {
        true => fleets::list(cloud, &scope).await?.into_iter().next().map(|fleet| fleet.id),
        false => None,
    };
    let any = !instances.is_empty() || fleet.is_some();
    Ok(any.then(|| Outcome { at, fleet, instances, ..Outcome::default() }))
}

/// What follows on an outcome: nothing, or one more request for what is missing.
fn next(launch: &Launch, outcome: &Outcome, patient: bool, at: Timestamp) -> Option<Launch> {
    let request = &launch.request;
    let launched = u32::try_from(outcome.instances.len()).unwrap_or(u32::MAX);
    let missing = request.count.saturating_sub(launched);
    // A fleet that replaces what it loses goes on trying by itself.
    if missing == 0 || request.maintain {
        return None;
    }
    let says = |test: fn(&LaunchError) -> bool| outcome.errors.iter().any(test);
    if patient && says(|error| is_profile(&error.code, &error.message)) {
        return Some(plan::further(launch, missing, request.market, at));
    }
    let no_spot = says(|error| NO_SPOT.contains(&error.code.as_str()));
    (request.market == Market::Spot && request.max_price.is_none() && no_spot)
        .then(|| plan::further(launch, missing, Market::OnDemand, at))
}

#[cfg(test)]
#[path = "machines_test.rs"]
mod machines_test;
