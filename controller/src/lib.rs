//! The controller: what `dayfly` does. It seeds a job into a bucket, launches agents, watches, fetches, and tidies up.
//!
//! It holds no state that a job needs: the bucket is all there is, and every command can be run again, elsewhere, or by
//! somebody else.

pub mod cli;
pub mod endpoint;
pub mod failure;
pub mod fleet;
pub mod history;
pub mod human;
pub mod observe;
pub mod output;
pub mod parts;
mod plain;
pub mod report;
pub mod settings;

#[cfg(feature = "ec2")]
mod account;
mod ask;
mod clean;
mod config;
mod control;
mod describe;
mod doctor;
mod fetch;
mod gist;
mod host;
mod jobs;
mod launch;
mod logs;
mod manual;
mod merge;
mod names;
mod notices;
mod object;
mod progress;
mod retry;
mod run;
mod seed;
mod serve;
mod status;
mod stop;
mod watch;
mod write;

use dayfly_shared::exit::Exit;

#[cfg(feature = "ec2")]
use account::{cap, cloud, cost, instances, policy};
use cli::{Cli, Command};
use failure::Result;
use output::Output;
use parts::Parts;
use settings::Settings;

/// Does what the command line says.
///
/// # Errors
/// When it cannot: the failure says what, what was left behind, and the fix.
pub async fn run(mut cli: Cli) -> Result<Exit> {
    // Neither needs settings, which may be what somebody is about to mend with the manual's help.
    match &cli.command {
        Command::Completions(args) => return manual::completions(args),
        Command::Man(args) => return manual::pages(&Output::of(&cli.global), args),
        _ => {}
    }
    let failure = match with_settings(&cli).await {
        Err(failure) if !failure.profiles().is_empty() => failure,
        outcome => return outcome,
    };
    // Nothing was done: the job was not known yet.
    let Some(profile) = ask::choose("Which profile of settings?", failure.profiles(), &cli.global)? else {
        return Err(failure);
    };
    cli.global.settings = Some(profile);
    with_settings(&cli).await
}

async fn with_settings(cli: &Cli) -> Result<Exit> {
    let settings = Settings::resolve(&cli.global)?;
    settings::log_to_stderr(&settings);
    let parts = Parts::new(&settings);
    command(&parts, &cli.command).await.map_err(|failure| failure.for_profile(settings.profile().as_deref()))
}

async fn command(parts: &Parts, command: &Command) -> Result<Exit> {
    #[cfg(feature = "ec2")]
    if let Some(outcome) = account::command(parts, command).await {
        return outcome;
    }
    match command {
        Command::Seed(args) => seed::command(parts, args).await,
        Command::Launch(args) => launch::command(parts, args).await,
        Command::Run(args) => run::command(parts, args).await,
        Command::Status(args) => status::command(parts, args).await,
        Command::Watch(args) => watch::command(parts, args).await,
        Command::Logs(args) => logs::command(parts, args).await,
        Command::Describe(args) => describe::command(parts, args).await,
        Command::Report(args) => report::command(parts, args).await,
        Command::Fetch(args) => fetch::command(parts, args).await,
        Command::Retry(args) => retry::command(parts, args).await,
        Command::Pause(args) => control::pause(parts, args).await,
        Command::Drain(args) => control::drain(parts, args).await,
        Command::Resume(args) => control::resume(parts, args).await,
        Command::Cancel(args) => control::cancel(parts, args).await,
        Command::Jobs(args) => jobs::command(parts, args).await,
        Command::Clean(args) => clean::command(parts, args).await,
        Command::Doctor(args) => doctor::command(parts, args).await,
        Command::Setup(_)
        | Command::Teardown(_)
        | Command::Ps(_)
        | Command::Stop(_)
        | Command::Start(_)
        | Command::Terminate(_)
        | Command::Reap(_)
        | Command::Exec(_)
        | Command::Connect(_)
        | Command::Cost(_)
        | Command::Image(_) => Err(without_ec2()),
        Command::Serve(args) => serve::command(parts, args).await,
        Command::Config(args) => config::command(parts, args),
        Command::Completions(_) | Command::Man(_) => Ok(Exit::Done),
    }
}

/// This program was built without the feature `ec2`.
fn without_ec2() -> failure::Failure {
    failure::Failure::usage("this dayfly was built without machines on EC2")
        .left("nothing was done")
        .fix("build it whole: cargo build -p dayfly-controller")
}
