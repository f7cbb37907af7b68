//! The metadata service of one instance, version 2 (EC2 user guide, "Use the Instance Metadata Service to access instance
//! metadata", "Instance metadata categories", "Spot Instance interruption notices", "EC2 instance rebalance
//! recommendations").

mod paths;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock, Timestamp};

use crate::Machine;

/// The longest life of a session token (seconds), as the user guide has it.
const LONGEST_TOKEN: u64 = 21_600;

/// What the service says now.
struct State {
    machine: Machine,
    /// The access key of the machine's role.
    key: String,
    /// Tokens that hold, and until when.
    tokens: BTreeMap<String, Moment>,
    issued: u64,
    /// `spot/instance-action`: the action and its time.
    notice: Option<(String, Timestamp)>,
    /// `events/recommendations/rebalance`: when it was made.
    rebalance: Option<Timestamp>,
    /// Answers that are to be this status instead.
    failing: Option<u16>,
    /// Other values of paths under `/latest/`, or their absence.
    changed: BTreeMap<String, Option<String>>,
    asked: Vec<String>,
}

/// A running service; the thread ends with the process.
#[derive(Clone)]
pub struct Metadata {
    url: String,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The access key that a machine's role has on this machine: every call by it is its agent's.
pub fn key_of(machine: &str) -> String {
    format!("ASIA{}", machine.trim_start_matches("i-").to_uppercase())
}

impl Metadata {
    /// Serves the metadata of this machine.
    ///
    /// # Panics
    /// If there is no port to be had.
    pub fn serve(machine: Machine) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the metadata service");
        let url = format!("http://{}", listener.local_addr().expect("a port"));
        let state = State {
            key: key_of(&machine.id),
            machine,
            tokens: BTreeMap::new(),
            issued: 0,
            notice: None,
            rebalance: None,
            failing: None,
            changed: BTreeMap::new(),
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    /// Where it is: `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The access key that it hands out.
    pub fn key(&self) -> String {
        lock(&self.state).key.clone()
    }

    /// A spot notice: the machine is taken (`terminate`, `stop`, `hibernate`) that long from now; two minutes on EC2.
    pub fn notice(&self, action: &str, ahead: Duration) {
        let at = SystemClock.now().wall.unix_ms + u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
        lock(&self.state).notice = Some((action.to_owned(), Timestamp::from_unix_ms(at)));
    }

    /// A rebalance recommendation, made now.
    pub fn recommend_rebalance(&self) {
        lock(&self.state).rebalance = Some(SystemClock.now().wall);
    }

    /// All tokens are void: 401 until a client gets a new one.
    pub fn void_tokens(&self) {
        lock(&self.state).tokens.clear();
    }

    /// Every answer is this status; none ends that.
    pub fn fail(&self, status: Option<u16>) {
        lock(&self.state).failing = status;
    }

    /// What a path under `/latest/` says from now on; none is 404.
    pub fn set(&self, path: &str, value: Option<&str>) {
        lock(&self.state).changed.insert(path.to_owned(), value.map(str::to_owned));
    }

    /// What was asked so far: method, path, status.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }
}

/// A request, as far as the service looks at it.
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut first = lines.first()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers })
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Ok(other) = stream.try_clone() else { return };
    let mut reader = BufReader::new(other);
    while let Some(request) = read(&mut reader) {
        let (status, body, ttl) = {
            let mut state = lock(state);
            let answer = state.answer(&request);
            state.asked.push(format!("{} {} {}", request.method, request.path, answer.0));
            answer
        };
        let ttl = ttl.map(|ttl| format!("X-Aws-Ec2-Metadata-Token-Ttl-Seconds: {ttl}\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: text/plain\r\n{ttl}Content-Length: {}\r\n\r\n",
            if status == 200 { "OK" } else { "Refused" },
            body.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

impl State {
    /// Status, body, and the time to live of a new token. User guide, "Response codes": 400 a PUT without or with a bad time
    /// to live, 401 a token that does not hold, or none, 403 a request that is not allowed, 404 nothing there.
    fn answer(&mut self, request: &Request) -> (u16, String, Option<u64>) {
        let refuse = |status: u16| (status, String::new(), None);
        if let Some(status) = self.failing {
            return refuse(status);
        }
        let now = SystemClock.now().at;
        if request.method == "PUT" && request.path == "/latest/api/token" {
            if request.headers.contains_key("x-forwarded-for") {
                return refuse(403);
            }
            let ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds").and_then(|ttl| ttl.parse().ok());
            let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TOKEN).contains(ttl)) else { return refuse(400) };
            self.issued += 1;
            let token = format!("TOKEN-{}-{}", self.machine.id, self.issued);
            self.tokens.insert(token.clone(), now.after(Duration::from_secs(ttl)));
            return (200, token, Some(ttl));
        }
        if request.method != "GET" {
            return refuse(403);
        }
        let until = request.headers.get("x-aws-ec2-metadata-token").and_then(|token| self.tokens.get(token));
        if until.is_none_or(|until| *until <= now) {
            return refuse(401);
        }
        match self.value(&request.path) {
            Some(value) => (200, value, None),
            None => refuse(404),
        }
    }
}
