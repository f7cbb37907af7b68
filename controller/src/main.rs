//! `dayfly`: the controller's command line.

use std::process::ExitCode;

use clap::Parser;
use dayfly_controller::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match dayfly_controller::run(cli).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure:#}");
            failure.exit().into()
        }
    }
}
