//! Parses the command line and lives.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use dayfly_agent::life;
use dayfly_agent::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
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
