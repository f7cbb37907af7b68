//! The controller: what `dayfly` does. It seeds a job into a bucket, launches agents, watches, fetches, and tidies up.
//!
//! It holds no state that a job needs: the bucket is all there is, and every command can be run again, elsewhere, or by
//! somebody else.

pub mod cli;
pub mod endpoint;
pub mod failure;
pub mod fleet;
pub mod human;
pub mod observe;
pub mod output;
pub mod parts;
pub mod settings;

mod ask;
mod cap;
mod clean;
mod cloud;
mod control;
mod cost;
mod doctor;
mod fetch;
mod host;
mod instances;
mod jobs;
mod launch;
mod merge;
mod names;
mod policy;
mod progress;
mod remote;
mod retry;
mod run;
mod seed;
mod serve;
mod setup;
mod status;
mod stop;
mod watch;
mod write;

use dayfly_shared::exit::Exit;

use cli::{Cli, Command};
use failure::Result;
use parts::Parts;
use settings::Settings;

/// Does what the command line says.
///
/// # Errors
/// When it cannot: the failure says what, what was left behind, and the fix.
pub async fn run(cli: Cli) -> Result<Exit> {
    let settings = Settings::resolve(&cli.global)?;
    settings::log_to_stderr(&settings);
    let parts = Parts::new(&settings);
    match &cli.command {
        Command::Seed(args) => seed::command(&parts, args).await,
        Command::Launch(args) => launch::command(&parts, args).await,
        Command::Run(args) => run::command(&parts, args).await,
        Command::Status(args) => status::command(&parts, args).await,
        Command::Watch(args) => watch::command(&parts, args).await,
        Command::Fetch(args) => fetch::command(&parts, args).await,
        Command::Retry(args) => retry::command(&parts, args).await,
        Command::Pause(args) => control::pause(&parts, args).await,
        Command::Drain(args) => control::drain(&parts, args).await,
        Command::Resume(args) => control::resume(&parts, args).await,
        Command::Cancel(args) => control::cancel(&parts, args).await,
        Command::Jobs(args) => jobs::command(&parts, args).await,
        Command::Clean(args) => clean::command(&parts, args).await,
        Command::Doctor(args) => doctor::command(&parts, args).await,
        Command::Setup(args) => setup::setup(&parts, args).await,
        Command::Teardown(args) => setup::teardown(&parts, args).await,
        Command::Ps(args) => instances::ps(&parts, args).await,
        Command::Stop(args) => instances::stop(&parts, args).await,
        Command::Start(args) => instances::start(&parts, args).await,
        Command::Terminate(args) => instances::terminate(&parts, args).await,
        Command::Reap(args) => instances::reap(&parts, args).await,
        Command::Exec(args) => remote::exec(&parts, args).await,
        Command::Connect(args) => remote::connect(&parts, args).await,
        Command::Cost(args) => cost::cost(&parts, args).await,
        Command::Serve(args) => serve::command(&parts, args).await,
    }
}
