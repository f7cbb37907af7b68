//! The machine that an agent runs on: signals, usage, and, on EC2, its metadata, its notices, its lifetime and its end.

mod console;
mod gauge;
#[cfg(feature = "s3")]
mod imds;
mod lifetime;
mod notice;
mod observer;
mod spot;
mod terminator;
mod wishes;

use async_trait::async_trait;
use dayfly_shared::records::Machine;

pub use console::Console;
pub use gauge::ProcGauge;
#[cfg(feature = "s3")]
pub use imds::Imds;
pub use lifetime::end_in_time;
pub use observer::observe;
pub use spot::SpotWatcher;
pub use terminator::{PowerOffProgram, Stays, Terminator};
pub use wishes::{Wishes, signals};

/// What an agent asks of the instance metadata service; absent values (404) are `None`.
#[async_trait]
pub trait InstanceMetadata: Send + Sync {
    /// The user data.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn user_data(&self) -> Result<Option<String>, String>;

    /// A value under `/latest/meta-data/`, such as `instance-type`.
    ///
    /// # Errors
    /// When the service does not answer, which says nothing about the value.
    async fn value(&self, name: &str) -> Result<Option<String>, String>;
}

/// Where this process runs (EC2 user guide, "Instance metadata categories").
pub async fn machine(metadata: Option<&dyn InstanceMetadata>) -> Machine {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut machine = Machine {
        host,
        pid: std::process::id(),
        cores: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
        memory_bytes: gauge::machine_memory(),
        ..Machine::default()
    };
    if let Some(metadata) = metadata {
        for (name, field) in [
            ("instance-id", &mut machine.instance_id),
            ("instance-type", &mut machine.instance_type),
            ("placement/availability-zone", &mut machine.zone),
            ("placement/region", &mut machine.region),
            ("instance-life-cycle", &mut machine.market),
            ("ami-id", &mut machine.image),
        ] {
            *field = metadata.value(name).await.ok().flatten();
        }
    }
    machine
}
