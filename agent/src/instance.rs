//! The machine that an agent runs on: signals, usage, and, on EC2, its metadata.

mod gauge;
#[cfg(feature = "s3")]
mod imds;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::clock::Clock;
use dayfly_shared::records::Machine;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::driver::Stop;

pub use gauge::ProcGauge;
#[cfg(feature = "s3")]
pub use imds::Imds;

/// What an agent asks of the instance metadata service; absent values are `None`.
#[async_trait]
pub trait InstanceMetadata: Send + Sync {
    /// The user data.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn user_data(&self) -> Result<Option<String>, String>;

    /// A value under `/latest/meta-data/`, such as `instance-type`.
    async fn value(&self, name: &str) -> Option<String>;
}

/// Where this process runs.
pub async fn machine(metadata: Option<&dyn InstanceMetadata>) -> Machine {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut machine = Machine { host, pid: std::process::id(), ..Machine::default() };
    if let Some(metadata) = metadata {
        machine.instance_id = metadata.value("instance-id").await;
        machine.instance_type = metadata.value("instance-type").await;
        machine.zone = metadata.value("placement/availability-zone").await;
        machine.market = metadata.value("instance-life-cycle").await;
    }
    machine
}

/// Turns SIGTERM and SIGINT into a wish to stop: running tasks get `grace`; a second signal takes it away.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn signals(clock: Arc<dyn Clock>, grace: Duration) -> std::io::Result<watch::Receiver<Option<Stop>>> {
    let (wish, wishes) = watch::channel(None);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut grace = grace;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            let stop = Stop { why: format!("told to stop by {name}"), deadline: clock.now().at.after(grace) };
            if wish.send(Some(stop)).is_err() {
                return;
            }
            grace = Duration::ZERO;
        }
    });
    Ok(wishes)
}
