//! The machine that an agent runs on: signals, usage, and, on EC2, its metadata, its notices, its lifetime and its end.

mod console;
mod engine;
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
use futures::try_join;
use serde::Deserialize;

pub use console::Console;
pub use engine::Engine;
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

    /// The instance identity document: JSON.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn identity(&self) -> Result<Option<String>, String>;

    /// A value under `/latest/meta-data/`, such as `instance-type`.
    ///
    /// # Errors
    /// When the service does not answer, which says nothing about the value.
    async fn value(&self, name: &str) -> Result<Option<String>, String>;
}

/// The instance identity document, as far as it is used (EC2 user guide, "Instance identity documents for Amazon EC2
/// instances").
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    instance_id: Option<String>,
    instance_type: Option<String>,
    availability_zone: Option<String>,
    region: Option<String>,
    image_id: Option<String>,
}

/// Where this process runs, as far as this machine knows by itself.
pub fn here() -> Machine {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Machine {
        host,
        engine: Engine::here().map(|engine| engine.words),
        pid: std::process::id(),
        cores: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
        memory_bytes: gauge::machine_memory(),
        ..Machine::default()
    }
}

/// Where this process runs, in two requests at once.
///
/// # Errors
/// When the service does not answer.
pub async fn machine(metadata: &dyn InstanceMetadata) -> Result<Machine, String> {
    let (identity, market) = try_join!(metadata.identity(), metadata.value("instance-life-cycle"))?;
    // A document that is none says nothing, and nothing depends on it.
    let identity: Identity = identity.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(Machine {
        instance_id: identity.instance_id,
        instance_type: identity.instance_type,
        zone: identity.availability_zone,
        region: identity.region,
        market,
        image: identity.image_id,
        ..here()
    })
}
