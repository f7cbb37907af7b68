//! What speaks to an AWS account besides the bucket's objects: deployments, machines, what they cost. Under the feature `ec2`,
//! with the launches on EC2 (`launch/ec2`).

pub mod cap;
pub mod cloud;
pub mod cost;
pub mod image;
pub mod instances;
pub mod policy;
pub mod remote;
pub mod setup;

use dayfly_shared::exit::Exit;

use crate::cli::Command;
use crate::failure::Result;
use crate::parts::Parts;

/// Does what the command line says, if it is one of the commands for an account; none if it is another.
///
/// # Errors
/// As the command.
pub async fn command(parts: &Parts, command: &Command) -> Option<Result<Exit>> {
    Some(match command {
        Command::Setup(args) => setup::setup(parts, args).await,
        Command::Teardown(args) => setup::teardown(parts, args).await,
        Command::Ps(args) => instances::ps(parts, args).await,
        Command::Stop(args) => instances::stop(parts, args).await,
        Command::Start(args) => instances::start(parts, args).await,
        Command::Terminate(args) => instances::terminate(parts, args).await,
        Command::Reap(args) => instances::reap(parts, args).await,
        Command::Exec(args) => remote::exec(parts, args).await,
        Command::Connect(args) => remote::connect(parts, args).await,
        Command::Cost(args) => cost::cost(parts, args).await,
        Command::Image(args) => image::command(parts, args).await,
        _ => return None,
    })
}
