//! An S3 endpoint of one's own: buckets that are any [`Store`](dayfly_shared::store::Store), such as directories,
//! served over HTTP to dayfly's agents, the AWS tools and everything else that speaks S3.
//!
//! It answers as S3 does where dayfly depends on it: conditional writes are as exact as the store behind them, with
//! AWS's error codes; bodies are checked against every checksum that came with them, and a body that breaks off stores
//! nothing. The `s3s` library parses, routes and checks signatures; what an operation means is said here.
//!
//! The library logs every refused request as an error under the target `s3s`, lost races included: a subscriber turns
//! that off (`s3s=off`); the endpoint's own log is at debug.
//!
//! Not offered: versions, access control lists, encryption settings, tags, and delimiters other than `/`.

mod access;
mod answer;
mod body;
mod buckets;
mod checksums;
mod conditions;
mod copies;
mod directory;
mod listing;
mod objects;
mod parts;
mod server;
mod service;
mod uploads;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dayfly_shared::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use buckets::{BucketInfo, Buckets, BucketsOf, Deleted};
pub use directory::BucketDirectory;

use access::Counters;

/// The largest body of one request: S3's own limit for a put in one piece or a part (S3 user guide, "Multipart upload
/// limits"). The store port takes a body as one piece of memory, so a smaller machine wants a smaller limit.
pub const BODY_LIMIT_BYTES: u64 = 5 << 30;

/// How the endpoint behaves.
#[derive(Clone)]
pub struct EndpointSettings {
    /// The one access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The region that it says it is in. Requests signed for another one are refused as S3 refuses them; with none,
    /// every region will do.
    pub region: Option<String>,
    /// A body larger than this is refused with `EntityTooLarge`.
    pub body_limit_bytes: u64,
    /// For tests and for diagnosis only: behave as stores that ignore `If-Match` and `If-None-Match` on writes.
    pub ignore_conditions: bool,
    /// For tests and for diagnosis only: let some conditional writes through unconditionally, as a store does that
    /// loses races now and then.
    pub lossy_conditions: Option<Lossy>,
}

/// Which conditional writes go through unconditionally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lossy {
    /// One in so many, drawn for each by itself.
    pub one_in: u32,
    /// What the draws come from.
    pub seed: u64,
}

impl EndpointSettings {
    /// With this pair of keys, and no fault.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            region: None,
            body_limit_bytes: BODY_LIMIT_BYTES,
            ignore_conditions: false,
            lossy_conditions: None,
        }
    }
}

/// The S3 endpoint; see the module.
pub struct Endpoint;

impl Endpoint {
    /// Listens on `address` (port 0: any free one) and serves until `shutdown` completes or the handle is stopped.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(
        buckets: impl Buckets,
        address: SocketAddr,
        settings: EndpointSettings,
        clock: Arc<dyn Clock>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<EndpointHandle> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let service = service::build(Arc::new(buckets), settings, Arc::clone(&clock), Arc::clone(&counters));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(server::run(listener, service, clock, shutdown, stopped));
        Ok(EndpointHandle { local, counters, stop, task })
    }
}

/// A running endpoint. Dropping it leaves the endpoint running.
pub struct EndpointHandle {
    local: SocketAddr,
    counters: Arc<Counters>,
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl EndpointHandle {
    /// The address that it listens on, its port filled in.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address as clients want it, such as `http://127.0.0.1:9000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.local)
    }

    /// Requests so far whose signature was good, by S3's name of the operation, such as `PutObject`.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.counters.snapshot()
    }

    /// Takes no more connections, lets requests under way end (for some seconds), and returns when all is closed.
    pub async fn stop(self) {
        // It may have ended by itself, in which case nobody listens.
        let _ = self.stop.send(true);
        self.wait().await;
    }

    /// Returns when the endpoint has ended because its `shutdown` completed.
    pub async fn wait(self) {
        let Self { stop, task, .. } = self;
        if let Err(error) = task.await {
            tracing::error!(%error, "the endpoint broke down");
        }
        drop(stop);
    }
}
