//! S3 servers, each a process of its own on loopback that dies with its handle.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use dayfly_shared::clock::SystemClock;
use dayfly_shared::store::{S3Settings, S3Store, S3Timeouts};

/// The access key that servers are told.
pub const ACCESS_KEY: &str = "DAYFLYTESTKEY";
/// Its secret.
pub const SECRET_KEY: &str = "a secret of these tests and of nothing else";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// dayfly's own endpoint over a folder.
    Endpoint,
    /// moto, one request at a time.
    Moto,
    /// dayfly's own endpoint, ignoring `If-Match` and `If-None-Match` as some stores do.
    IgnoresConditions,
}

/// A running server.
pub struct Server {
    kind: Kind,
    url: String,
    buckets: PathBuf,
    child: Child,
}

/// The root of the sources.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

/// A program of this workspace, built before the tests are run.
///
/// # Panics
/// If it is not there; the text says how to build it.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/end_to_end-0123456789abcdef
    let folder = test.parent().and_then(Path::parent).expect("the test lies in cargo's target folder");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not there; build it first: cargo build --workspace --bins", path.display());
    path
}

fn python() -> PathBuf {
    let path = sources().join(".venv/bin/python");
    assert!(path.is_file(), "{} is not there; scripts/test makes it", path.display());
    path
}

impl Server {
    /// Starts a server that keeps its data, if it keeps any, in `folder`, on any free port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(kind: Kind, folder: &Path) -> Self {
        Self::start_on(kind, folder, 0)
    }

    /// The same, on this port: where a server stood before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_on(kind: Kind, folder: &Path, port: u16) -> Self {
        let buckets = folder.join("buckets");
        std::fs::create_dir_all(&buckets).expect("a folder for the buckets");
        let mut command = match kind {
            Kind::Moto => {
                let mut command = Command::new(python());
                command.arg(sources().join("tests/moto_locked.py"));
                command
            }
            Kind::Endpoint | Kind::IgnoresConditions => {
                let mut command = Command::new(program("dayfly-test-endpoint"));
                command.arg(&buckets);
                command
            }
        };
        command.arg(port.to_string());
        if kind == Kind::IgnoresConditions {
            command.arg("--ignore-conditions");
        }
        let log = std::fs::File::create(folder.join("server.log")).expect("the server's log");
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the server starts");
        let mut url = String::new();
        let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url);
        let mut server = Self { kind, url: url.trim().to_owned(), buckets, child };
        if read.is_err() || server.url.is_empty() {
            server.kill();
            let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            panic!("the server {kind:?} did not start:\n{log}");
        }
        server
    }

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Its port.
    ///
    /// # Panics
    /// Never: the server said it.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The folder of a bucket of the endpoint's.
    pub fn folder(&self, bucket: &str) -> PathBuf {
        self.buckets.join(bucket)
    }

    /// Makes a bucket. The endpoint's are folders that are there before it starts, or that it is asked for like any
    /// other; asking moto takes no signature.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn create_bucket(&self, bucket: &str) {
        match self.kind {
            Kind::Moto => {
                let mut stream = TcpStream::connect(self.address()).expect("moto listens");
                let request = format!(
                    "PUT /{bucket} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    self.address()
                );
                stream.write_all(request.as_bytes()).expect("moto takes a request");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("moto answers");
                assert!(answer.starts_with("HTTP/1.1 200"), "moto made no bucket: {answer}");
            }
            Kind::Endpoint | Kind::IgnoresConditions => {
                std::fs::create_dir_all(self.folder(bucket)).expect("a folder for the bucket");
            }
        }
    }

    /// A store of a bucket, straight to the server.
    ///
    /// # Panics
    /// If the SDK refuses the settings.
    pub async fn store(&self, bucket: &str) -> S3Store {
        let settings = S3Settings {
            bucket: bucket.to_owned(),
            region: Some(REGION.to_owned()),
            endpoint_url: Some(self.url.clone()),
            profile: None,
            keys: Some((ACCESS_KEY.to_owned(), SECRET_KEY.to_owned())),
            force_path_style: Some(true),
            timeouts: S3Timeouts::default(),
        };
        S3Store::connect(settings, Arc::new(SystemClock)).await.expect("a store of the server")
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
