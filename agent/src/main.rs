//! Parses the command line and lives.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use dayfly_agent::life;
use dayfly_agent::options::Options;
use dayfly_agent::processor::wall;
use dayfly_agent::supervisor;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == wall::WORD) {
        return wall::try_metadata();
    }
    let supervises = arguments.get(1).is_some_and(|word| word == supervisor::WORD);
    let mut builder = match supervises {
        // One a task: it is to cost nothing.
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    match builder.enable_all().build() {
        Ok(runtime) if supervises => runtime.block_on(supervisor::supervise()),
        Ok(runtime) => runtime.block_on(agent(arguments)),
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn agent(arguments: Vec<OsString>) -> ExitCode {
    match Options::try_parse_from(&arguments) {
        Ok(options) => life::live(options).await.into(),
        Err(error) if error.use_stderr() => {
            // What cannot be printed cannot be said otherwise.
            let _ = error.print();
            life::end_at_once(&arguments, "the agent's command line is wrong").await.into()
        }
        // Help and version.
        Err(told) => told.exit(),
    }
}
