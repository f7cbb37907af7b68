//! The metadata service of one instance, version 2 (EC2 user guide, "Use the Instance Metadata Service to access instance
//! metadata", "Instance metadata categories", "Spot Instance interruption notices", "EC2 instance rebalance
//! recommendations").

mod paths;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock, Timestamp};

use crate::Machine;
use crate::listener::{Asked, Said, listen};

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
    pub fn serve(machine: Machine) -> Self {
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
        let url = listen(move |asked| {
            let mut state = lock(&shared);
            let said = state.answer(asked);
            state.asked.push(format!("{} {} {}", asked.method, asked.path, said.status));
            said
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

impl State {
    /// User guide, "Response codes": 400 a PUT without or with a bad time to live, 401 a token that does not hold, or none,
    /// 403 a request that is not allowed, 404 nothing there.
    fn answer(&mut self, request: &Asked) -> Said {
        let refuse = |status: u16| Said::new(status, "");
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
            let ttl = vec![("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl.to_string())];
            return Said { status: 200, headers: ttl, body: token };
        }
        if request.method != "GET" {
            return refuse(403);
        }
        let until = request.headers.get("x-aws-ec2-metadata-token").and_then(|token| self.tokens.get(token));
        if until.is_none_or(|until| *until <= now) {
            return refuse(401);
        }
        match self.value(&request.path) {
            Some(value) => Said::new(200, value),
            None => refuse(404),
        }
    }
}
