//! `dayfly image`: the way of a disk image to AWS, and out of it again. A raw file becomes a snapshot by the EBS direct APIs,
//! and the snapshot an image, tagged so that `dayfly launch` finds it.
//!
//! Nothing is remembered here: a snapshot carries in its tags what it is made from and how far it has come, so that a
//! publish that was cut off goes on from any machine, and prune finds what nobody took up again.

mod account;
mod disk;
mod list;
mod prune;
mod publish;
mod register;
mod usage;
mod wanted;
mod write;

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::exit::Exit;

use crate::cli::{ImageArgs, ImageCommand};
use crate::cloud::{Cloud, code, explain_fully};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// How long an unfinished snapshot waits for more blocks before EBS cancels it (StartSnapshot, Timeout: 10 minutes to 3
/// days): until the next day, for who was cut off in the evening.
const UNFINISHED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long EBS and EC2 may take to know a snapshot or an image everywhere that they have just made.
const NEWS: Duration = Duration::from_secs(120);

/// `dayfly image`.
///
/// # Errors
/// As the command does.
pub async fn command(parts: &Parts, args: &ImageArgs) -> Result<Exit> {
    match &args.command {
        ImageCommand::Publish(args) => publish::command(parts, args).await,
        ImageCommand::List => list::command(parts).await,
        ImageCommand::Prune(args) => prune::command(parts, args).await,
    }
}

/// As the cloud explains it; who lacks a right is told of the policy for images.
async fn explain<E, R>(cloud: &Cloud, action: &str, about: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let failure = explain_fully(cloud, action, about, error).await;
    match code(error) {
        Some("AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation") => failure.fix(format!(
            "the caller may not do {action}: give it the policy that dayfly image publish --print-policy shows, then run \
             it again"
        )),
        _ => failure,
    }
}

/// Looks again and again until there is something to be seen; none when that takes longer than `patience`.
async fn until<T>(
    parts: &Parts,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let begun = parts.clock.now().at;
    // Snapshots take seconds to minutes: looked at often at first, then seldom enough for the API's limits.
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));
    loop {
        if let Some(seen) = look().await? {
            return Ok(Some(seen));
        }
        if parts.clock.now().at.since(begun) >= patience {
            return Ok(None);
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
}
