//! Parses the command line, builds the parts, runs, prints what went wrong.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use dayfly_agent::instance::{ProcGauge, signals};
use dayfly_agent::log::Log;
use dayfly_agent::options::Options;
use dayfly_agent::stores::S3Stores;
use dayfly_agent::{driver, processor};
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::exit::Exit;
use dayfly_shared::rng::{Dice, StdDice};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed.into()
        }
    }
}

async fn run(options: Options) -> Result<Exit, Box<dyn std::error::Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dice: Arc<dyn Dice> = Arc::new(StdDice::from_os());
    let resolved = options.resolve(&*dice).await?;
    let log = Log::open(&resolved.settings.work_dir, resolved.quiet)?;
    let stores = S3Stores::connect(resolved.store, Arc::clone(&clock), Arc::clone(&dice)).await?;
    let parts = driver::Parts {
        stores: Arc::new(stores),
        stop: signals(Arc::clone(&clock), resolved.drain_grace)?,
        clock,
        dice,
        processors: Arc::new(processor::of),
        gauge: Arc::new(ProcGauge::default()),
        journal: Arc::new(log),
    };
    Ok(driver::run(parts, resolved.settings).await?.exit)
}
