//! Where buckets are in a test: S3 servers, each a process of its own on loopback that dies with its handle; or a folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use dayfly_shared::clock::SystemClock;
use dayfly_shared::store::{LocalStore, S3Settings, S3Store, Store};

/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `dayfly serve` on a folder.
    Endpoint,
    /// moto, one request at a time.
    Moto,
    /// All of AWS that dayfly calls: moto with what it lacks (tests/aws_double.py).
    Aws,
    /// dayfly's endpoint, made to ignore `If-Match` and `If-None-Match` as some stores do.
    IgnoresConditions,
    /// dayfly's endpoint, made to let one conditional write in 200 through, as a store does that loses races now and then.
    Lossy,
    /// s3rver, which ignores them by itself.
    S3rver,
    /// No server: a folder, for `--local`.
    Folder,
}

/// Access key and secret.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The access key.
    pub access: String,
    /// Its secret.
    pub secret: String,
}

/// A running server; or a folder, which needs none.
pub struct Server {
    kind: Kind,
    url: String,
    keys: Keys,
    buckets: PathBuf,
    child: Option<Child>,
}

/// The root of the sources.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

/// A program of this workspace, built before the tests are run; of the agent the one that `DAYFLY_TEST_AGENT` names, if it does.
///
/// # Panics
/// If it is not there; the text says how to build it.
pub fn program(name: &str) -> PathBuf {
    if name == "dayfly-agent"
        && let Some(released) = std::env::var_os("DAYFLY_TEST_AGENT")
    {
        return released.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/end_to_end-0123456789abcdef
    let folder = test.parent().and_then(Path::parent).expect("the test lies in cargo's target folder");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not there; build it first: cargo build --workspace --bins", path.display());
    path
}

pub(crate) fn python() -> PathBuf {
    let path = sources().join(".venv/bin/python");
    assert!(path.is_file(), "{} is not there; scripts/test makes it", path.display());
    path
}

/// s3rver, where scripts/test could install it.
pub fn s3rver() -> Option<PathBuf> {
    Some(sources().join(".venv/s3rver/node_modules/.bin/s3rver")).filter(|path| path.is_file())
}

/// The command of a server, and the keys that it takes if it does not say them itself.
fn command(kind: Kind, buckets: &Path, port: u16) -> Option<(Command, Keys)> {
    // Of these tests and of nothing else; moto takes any.
    let mut keys = Keys { access: "DAYFLYTESTKEY".to_owned(), secret: "a secret of these tests".to_owned() };
    let mut command;
    match kind {
        Kind::Endpoint => {
            command = Command::new(program("dayfly"));
            command.arg("serve").arg(buckets).args(["--port", &port.to_string()]);
        }
        Kind::Moto | Kind::Aws => {
            let script = if kind == Kind::Aws { "tests/aws_double.py" } else { "tests/moto_locked.py" };
            command = Command::new(python());
            command.arg(sources().join(script)).arg(port.to_string());
            // Setup attaches one of AWS's own policies, which moto knows only if told so.
            command.env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true");
        }
        Kind::IgnoresConditions | Kind::Lossy => {
            command = Command::new(program("dayfly-test-endpoint"));
            command.arg(buckets).arg(port.to_string());
            match kind {
                Kind::Lossy => command.args(["--one-in", "200"]),
                _ => command.arg("--ignore-conditions"),
            };
        }
        Kind::S3rver => {
            command = Command::new(s3rver()?);
            command.args([
                "-a",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "--configure-bucket",
                crate::world::BUCKET,
                "-d",
            ]);
            command.arg(buckets);
            keys = Keys { access: "S3RVER".to_owned(), secret: "S3RVER".to_owned() };
        }
        Kind::Folder => return None,
    }
    command.env("AWS_ACCESS_KEY_ID", &keys.access).env("AWS_SECRET_ACCESS_KEY", &keys.secret);
    Some((command, keys))
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
        let Some((mut command, keys)) = command(kind, &buckets, port) else {
            let keys = Keys { access: String::new(), secret: String::new() };
            return Self { kind, url: String::new(), keys, buckets, child: None };
        };
        let log = std::fs::File::create(folder.join("server.log")).expect("the server's log");
        command.env("HOME", folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut server = Self { kind, url: String::new(), keys, buckets, child: Some(child) };
        while let Some(Ok(line)) = lines.next() {
            if server.take_in(&line) {
                // Some go on talking, and end when nobody listens.
                std::thread::spawn(move || lines.for_each(drop));
                return server;
            }
        }
        server.kill();
        let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        panic!("the server {kind:?} did not start:\n{log}");
    }

    /// Takes in a line that the server says at its start; whether it was the last one.
    fn take_in(&mut self, line: &str) -> bool {
        match self.kind {
            Kind::Endpoint => {
                for (name, into) in [
                    ("AWS_ENDPOINT_URL", &mut self.url),
                    ("AWS_ACCESS_KEY_ID", &mut self.keys.access),
                    ("AWS_SECRET_ACCESS_KEY", &mut self.keys.secret),
                ] {
                    if let Some(value) = line.strip_prefix(&format!("export {name}=")) {
                        value.clone_into(into);
                    }
                }
                line.starts_with("# then")
            }
            Kind::S3rver => match line.rsplit_once(" listening on ") {
                Some((_, address)) => {
                    self.url = format!("http://{address}");
                    true
                }
                None => false,
            },
            _ => {
                line.clone_into(&mut self.url);
                true
            }
        }
    }

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The keys that it takes.
    pub fn keys(&self) -> &Keys {
        &self.keys
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

    /// The folder that the endpoint's buckets lie in, or those of `--local`.
    pub fn root(&self) -> &Path {
        &self.buckets
    }

    /// The folder of one of these buckets.
    pub fn folder(&self, bucket: &str) -> PathBuf {
        self.buckets.join(bucket)
    }

    /// Makes a bucket: a folder for the endpoint, a request for moto, which takes no signature.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn create_bucket(&self, bucket: &str) {
        match self.kind {
            Kind::Moto | Kind::Aws => {
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
            Kind::Endpoint | Kind::IgnoresConditions | Kind::Lossy | Kind::Folder => {
                std::fs::create_dir_all(self.folder(bucket)).expect("a folder for the bucket");
            }
            // It was told at its start.
            Kind::S3rver => {}
        }
    }

    /// A store of a bucket, straight to where it is.
    ///
    /// # Panics
    /// If there is no store to be had of it.
    pub async fn store(&self, bucket: &str) -> Arc<dyn Store> {
        if self.kind == Kind::Folder {
            let folder = self.folder(bucket);
            return Arc::new(LocalStore::create(&folder, bucket, Arc::new(SystemClock)).expect("a folder"));
        }
        let settings = S3Settings {
            region: Some(REGION.to_owned()),
            endpoint_url: Some(self.url.clone()),
            keys: Some((self.keys.access.clone(), self.keys.secret.clone())),
            force_path_style: Some(true),
            ..S3Settings::new(bucket)
        };
        Arc::new(S3Store::connect(settings, Arc::new(SystemClock)).await.expect("a store of the server"))
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
