//! A folder of buckets as an S3 endpoint, with the faults that `dayfly serve` does not offer. Keys come from the
//! environment, as for any S3 client; it ends when standard input does.
//!
//! `dayfly-test-endpoint FOLDER PORT [--ignore-conditions | --one-in N]`

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dayfly_controller::endpoint::{BucketInfo, Buckets, Deleted, Endpoint, EndpointSettings};
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::store::{LocalStore, Result, Store};

/// Each folder in `root` is a bucket, also one that is made while this runs.
struct Folders {
    root: PathBuf,
    open: Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

#[async_trait]
impl Buckets for Folders {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Store>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(name) {
            return Ok(Some(Arc::clone(store)));
        }
        let folder = self.root.join(name);
        if !folder.is_dir() {
            return Ok(None);
        }
        let store: Arc<dyn Store> = Arc::new(LocalStore::open(&folder, name, Arc::new(SystemClock))?);
        open.insert(name.to_owned(), Arc::clone(&store));
        Ok(Some(store))
    }

    async fn list(&self) -> Result<Vec<BucketInfo>> {
        let mut names: Vec<String> = std::fs::read_dir(&self.root)
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        Ok(names.into_iter().map(|name| BucketInfo { name, created: None }).collect())
    }

    async fn create(&self, name: &str) -> Result<bool> {
        Ok(std::fs::create_dir(self.root.join(name)).is_ok())
    }

    async fn delete(&self, _name: &str) -> Result<Deleted> {
        Ok(Deleted::NotEmpty)
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, port, faults @ ..] = arguments.as_slice() else { return Err("FOLDER PORT [fault]".into()) };
    let keys = (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
    let mut settings = EndpointSettings::new(keys.0, keys.1);
    match faults {
        [] => {}
        [fault] if fault == "--ignore-conditions" => settings.ignore_conditions = true,
        [fault, n] if fault == "--one-in" => settings.lossy_conditions = Some(n.parse()?),
        other => return Err(format!("unknown fault {other:?}").into()),
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let buckets = Folders { root: PathBuf::from(root), open: Mutex::default() };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let (end, ended) = tokio::sync::oneshot::channel();
    let shutdown = async {
        // Sent, or dropped with the thread: both say that nobody is there any more.
        let _ = ended.await;
    };
    let endpoint = Endpoint::serve(buckets, address, settings, clock, shutdown).await?;
    println!("{}", endpoint.url());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = end.send(());
    });
    endpoint.wait().await;
    Ok(())
}
