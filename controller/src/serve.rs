//! A folder of buckets as an S3 endpoint on this machine: for `dayfly serve`, and for agents that work on a folder.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{from_json, to_json};
use dayfly_shared::store::{ListQuery, S3Settings, S3Store, Store as _, StoreErrorKind};
use serde::{Deserialize, Serialize};

use crate::cli::ServeArgs;
use crate::endpoint::{BucketDirectory, Endpoint, EndpointHandle, EndpointSettings};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::stop::Stop;

/// In the folder that is served: a restarted endpoint is found again by agents that lived on.
const FILE: &str = ".dayfly-endpoint.json";
/// What agents and tools have to say when asked for a region; the endpoint takes any.
pub const REGION: &str = "us-east-1";
/// How often it is tried to take over the port from another process that serves the folder.
const TAKEOVER: Duration = Duration::from_secs(1);

/// `.dayfly-endpoint.json`, readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    schema: u32,
    port: u16,
    access_key: String,
    secret_key: String,
}

/// A folder being served, by this process or another.
pub struct Service {
    dir: PathBuf,
    record: Record,
    handle: Option<EndpointHandle>,
    takeover: Option<tokio::task::JoinHandle<()>>,
}

impl Service {
    /// Serves `dir` on the loopback interface: on `port`, else the port used before, else a free one. Where another
    /// process serves it already, that one does the work, and this one stands by to take over.
    ///
    /// # Errors
    /// A folder that is not there, a port that something else uses.
    pub async fn start(parts: &Parts, dir: &Path, port: Option<u16>) -> Result<Self> {
        let meta = fs::metadata(dir).map_err(|e| match e.kind() {
            // Not made by itself: a typing error would be served, empty.
            io::ErrorKind::NotFound => Failure::new(format!("there is no folder {}", dir.display()))
                .fix(format!("make it (mkdir -p {}), or correct the path", dir.display())),
            _ => Failure::io("serving", dir, &e),
        })?;
        if !meta.is_dir() {
            return Err(Failure::new(format!("{} is not a folder", dir.display())).fix("name a folder of buckets"));
        }
        let path = dir.join(FILE);
        let known = read(&path)?;
        let keys = known.clone().unwrap_or_else(|| Record {
            schema: SCHEMA,
            port: 0,
            access_key: format!("DAYFLY{}", parts.dice.nonce()),
            secret_key: format!("{}{}", parts.dice.nonce(), parts.dice.nonce()),
        });
        let wanted = port.unwrap_or(keys.port);
        match bind(dir, wanted, &keys, &parts.clock).await {
            Ok(handle) => {
                let record = Record { port: handle.local_addr().port(), ..keys };
                if known.as_ref() != Some(&record) {
                    match write(&path, &record, known.is_some()) {
                        Ok(()) => {}
                        // Another process was quicker: its port and keys are the ones that agents know.
                        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                            handle.stop().await;
                            return Box::pin(Self::start(parts, dir, port)).await;
                        }
                        Err(e) => return Err(Failure::io("writing", &path, &e)),
                    }
                }
                Ok(Self { dir: dir.to_owned(), record, handle: Some(handle), takeover: None })
            }
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                let record = Record { port: wanted, ..keys };
                if known.is_none() || !answers(parts, &record).await {
                    return Err(Failure::new(format!("port {wanted} is used by another program")).fix(format!(
                        "choose another with --port, or end that program, or delete {}",
                        path.display()
                    )));
                }
                let takeover = tokio::spawn(take_over(dir.to_owned(), record.clone(), Arc::clone(&parts.clock)));
                Ok(Self { dir: dir.to_owned(), record, handle: None, takeover: Some(takeover) })
            }
            Err(e) => Err(Failure::new(format!("listening on port {wanted}: {e}")).fix("choose another with --port")),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.record.port)
    }

    /// What clients need in their environment, and what would mislead them.
    pub fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("AWS_ENDPOINT_URL", Some(self.url())),
            ("AWS_REGION", Some(REGION.to_owned())),
            ("AWS_ACCESS_KEY_ID", Some(self.record.access_key.clone())),
            ("AWS_SECRET_ACCESS_KEY", Some(self.record.secret_key.clone())),
            ("AWS_SESSION_TOKEN", None),
            ("AWS_PROFILE", None),
            ("AWS_ENDPOINT_URL_S3", None),
        ]
    }

    /// Ends it, once requests under way have their answer.
    pub async fn stop(self) {
        if let Some(takeover) = self.takeover {
            takeover.abort();
        }
        if let Some(handle) = self.handle {
            handle.stop().await;
        }
    }
}

async fn bind(dir: &Path, port: u16, keys: &Record, clock: &Arc<dyn Clock>) -> io::Result<EndpointHandle> {
    let buckets = BucketDirectory::new(dir, Arc::clone(clock)).map_err(io::Error::other)?;
    let settings = EndpointSettings::new(&keys.access_key, &keys.secret_key);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Endpoint::serve(buckets, address, settings, Arc::clone(clock), std::future::pending()).await
}

/// Serves as soon as the process that does so now has ended, until aborted.
async fn take_over(dir: PathBuf, record: Record, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(TAKEOVER).await;
        if let Ok(handle) = bind(&dir, record.port, &record, &clock).await {
            tracing::info!(port = record.port, "serving the folder in place of a process that ended");
            handle.wait().await;
            return;
        }
    }
}

/// Whether whoever listens there takes these keys: then it serves this folder.
async fn answers(parts: &Parts, record: &Record) -> bool {
    // A bucket that need not be there: "no such bucket" is an answer to a good signature.
    let settings = S3Settings {
        endpoint_url: Some(format!("http://127.0.0.1:{}", record.port)),
        region: Some(REGION.to_owned()),
        keys: Some((record.access_key.clone(), record.secret_key.clone())),
        ..S3Settings::new("dayfly")
    };
    let Ok(store) = S3Store::connect(settings, Arc::clone(&parts.clock)).await else { return false };
    match store.list(&ListQuery { limit: 1, ..ListQuery::under("") }).await {
        Ok(_) => true,
        Err(error) => error.kind == StoreErrorKind::NoSuchBucket,
    }
}

fn read(path: &Path) -> Result<Option<Record>> {
    match fs::read(path) {
        Ok(bytes) => from_json(&bytes).map(Some).map_err(|e| {
            Failure::new(format!("{} is not the record it should be: {e}", path.display()))
                .fix("delete it; agents that still run lose their endpoint with it")
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::io("reading", path, &e)),
    }
}

/// Writes the record, whole or not at all; a first one only if there still is none.
fn write(path: &Path, record: &Record, replace: bool) -> io::Result<()> {
    let temporary = path.with_extension(format!("json.{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&to_json(record))?;
    let moved = if replace { fs::rename(&temporary, path) } else { fs::hard_link(&temporary, path) };
    let _ = fs::remove_file(&temporary);
    moved
}

/// `dayfly serve`.
///
/// # Errors
/// As [`Service::start`].
pub async fn command(parts: &Parts, args: &ServeArgs) -> Result<Exit> {
    let mut stop = Stop::listen()?;
    let service = Service::start(parts, &args.dir, args.port).await?;
    parts.output().line(&ServeReport(&service));
    parts.output().note("serving until Ctrl-C");
    stop.asked().await;
    service.stop().await;
    Ok(Exit::Done)
}

/// The lines to paste into a shell.
struct ServeReport<'a>(&'a Service);

impl Serialize for ServeReport<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            url: String,
            dir: PathBuf,
            environment: BTreeMap<&'static str, Option<String>>,
        }
        let environment = self.0.environment().into_iter().collect();
        Fields { url: self.0.url(), dir: self.0.dir.clone(), environment }.serialize(serializer)
    }
}

impl fmt::Display for ServeReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {} at {}", self.0.dir.display(), self.0.url())?;
        for (name, value) in self.0.environment() {
            match value {
                Some(value) => writeln!(f, "export {name}={value}")?,
                None => writeln!(f, "unset {name}")?,
            }
        }
        write!(f, "# then, for instance: aws s3 ls")
    }
}
