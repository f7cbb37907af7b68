//! A reverse proxy in front of an S3 server that breaks requests by rule.
//!
//! Host and all other headers pass as they are, since clients sign them. Rules are tried in the order in which they were
//! added, and every one that matches is applied: holds and delays let the request go on to the next, whatever ends the
//! request ends it. Chance comes from a seed, so that a run can be repeated.

mod body;
mod gate;
mod rule;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::rng::StdDice;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use body::Body;
pub use gate::Gate;
pub use rule::{Fault, Rule};

/// A request, as rules see it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// The bucket.
    pub bucket: String,
    /// The key; empty for requests about the bucket.
    pub key: String,
    /// The query, as it was sent.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// A request that came by, and the status it was answered with, if it was.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request.
    pub asked: Asked,
    /// What the server said, also where the client was not told.
    pub status: Option<u16>,
}

struct Shared {
    upstream: SocketAddr,
    rules: Mutex<Vec<Arc<Rule>>>,
    dice: StdDice,
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    faults: Mutex<BTreeMap<&'static str, usize>>,
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// In front of the server at `upstream` (`127.0.0.1:40123`); `seed` decides what is left to chance.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(upstream: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.parse().expect("an address such as 127.0.0.1:40123"),
            rules: Mutex::default(),
            dice: StdDice::seeded(seed),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            faults: Mutex::default(),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// Where it is, as a client's endpoint URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(Arc::new(rule));
    }

    /// Adds a rule that holds requests, and gives its gate.
    pub fn hold(&self, rule: Rule) -> Gate {
        let gate = Gate::default();
        self.add(rule.then(Fault::Hold(gate.clone())));
        gate
    }

    /// Drops all rules; what is held stays held until its gate opens.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// The requests so far, in the order in which they came in.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The requests so far with this method whose key holds `part`.
    pub fn seen_of(&self, method: &Method, part: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| s.asked.method == *method && s.asked.key.contains(part)).collect()
    }

    /// How many faults requests have met so far.
    pub fn faults(&self) -> usize {
        lock(&self.shared.faults).values().sum()
    }

    /// The same by what was done to them.
    pub fn faults_by_kind(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.faults).clone()
    }

    /// How many requests are on their way.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A connection that cannot be hurried is only slower.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| pass(Arc::clone(&shared), request));
            // An error here is a connection that a rule, or the client, broke off.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, why.to_owned())
}

fn asked(request: &Request<Incoming>) -> Asked {
    let decoded = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let path = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    Asked {
        method: request.method().clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().clone(),
    }
}

/// Counts a request for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&shared));
    let asked = asked(&request);
    let index = {
        let mut seen = lock(&shared.seen);
        seen.push(Seen { asked: asked.clone(), status: None });
        seen.len() - 1
    };
    let rules: Vec<Arc<Rule>> = lock(&shared.rules).clone();
    let empty = request.body().is_end_stream();
    let drawn = rules.iter().filter_map(|rule| Some((rule.draw(&asked, &shared.dice)?, rule.counted)));
    // Where there is no body to break off in, the connection breaks before it.
    let mut faults = Vec::new();
    for (fault, counted) in drawn {
        let fault = if empty && matches!(fault, Fault::CutUpload(_)) { Fault::Cut } else { fault };
        if counted {
            *lock(&shared.faults).entry(fault.kind()).or_default() += 1;
        }
        faults.push(fault);
    }

    let mut upload = body::whole(request.into_parts());
    for fault in &faults {
        match fault {
            Fault::Hold(gate) => gate.pass().await,
            Fault::Delay(wait) => SystemClock.sleep(*wait).await,
            Fault::Cut => return Err(broken("cut before it went through")),
            Fault::Answer(status, code) => return Ok(answer(*status, code)),
            Fault::CutUpload(bytes) => {
                let (parts, inner) = upload.into_parts();
                upload = Request::from_parts(parts, body::cut(inner, *bytes));
            }
            Fault::HoldAnswer(_)
            | Fault::HoldDownload(..)
            | Fault::CutAnswer
            | Fault::CutDownload(_)
            | Fault::AnswerAfter(..) => {}
        }
    }
    let mut response = forward(shared.upstream, upload).await?;
    lock(&shared.seen)[index].status = Some(response.status().as_u16());
    for fault in faults {
        match fault {
            Fault::HoldAnswer(gate) => gate.pass().await,
            Fault::CutAnswer => {
                // Read to its end first: the server must be through with it.
                let _ = response.into_body().collect().await;
                return Err(broken("cut after it went through"));
            }
            Fault::AnswerAfter(status, code) => {
                let _ = response.into_body().collect().await;
                return Ok(answer(status, &code));
            }
            Fault::CutDownload(bytes) => response = response.map(|inner| body::cut(inner, bytes)),
            Fault::HoldDownload(bytes, gate) => response = response.map(|inner| body::hold(inner, bytes, gate)),
            Fault::Hold(_) | Fault::Delay(_) | Fault::Cut | Fault::Answer(..) | Fault::CutUpload(_) => {}
        }
    }
    Ok(response)
}

async fn forward(upstream: SocketAddr, request: Request<Body>) -> io::Result<Response<Body>> {
    let stream = TcpStream::connect(upstream).await?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    debug_assert!(request.headers().contains_key(HOST), "S3 clients sign the host");
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (mut parts, body) = response.into_parts();
    // The connection upstream is another than the client's, and older servers speak HTTP/1.0.
    parts.version = Version::HTTP_11;
    parts.headers.remove(CONNECTION);
    parts.headers.remove("keep-alive");
    Ok(Response::from_parts(parts, body.map_err(io::Error::other).boxed_unsync()))
}

/// An S3 error document.
fn answer(status: u16, code: &str) -> Response<Body> {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by rule of the test</Message></Error>");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).header("content-type", "application/xml").body(body).expect("a response")
}
