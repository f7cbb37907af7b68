//! A small HTTP service: an instance's metadata (IMDSv2) by path, and answers to whoever posts, in turn.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const TOKEN: &str = "a-session-token";

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

#[derive(Default)]
struct State {
    values: BTreeMap<String, String>,
    failing: bool,
    answers: VecDeque<(u16, String)>,
    asked: Vec<Asked>,
}

/// A running service; its thread ends with the process.
pub struct Service {
    url: String,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// One that knows nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("a port"));
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    /// The metadata of a spot instance.
    pub fn of_instance() -> Self {
        let service = Self::start();
        for (name, value) in [
            ("instance-id", "i-0123456789abcdef0"),
            ("instance-type", "c7i.large"),
            ("placement/availability-zone", "us-east-1a"),
            ("placement/region", "us-east-1"),
            ("instance-life-cycle", "spot"),
            ("ami-id", "ami-0123456789abcdef0"),
        ] {
            service.set(&format!("meta-data/{name}"), value);
        }
        service
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What stands under `/latest/` from now on; what does not is 404.
    pub fn set(&self, path: &str, value: &str) {
        lock(&self.state).values.insert(format!("/latest/{path}"), value.to_owned());
    }

    /// Whether every answer is 503.
    pub fn fail(&self, failing: bool) {
        lock(&self.state).failing = failing;
    }

    /// The answer to the next post that has none yet; without one it is 200 and empty.
    pub fn answer(&self, status: u16, body: &str) {
        lock(&self.state).answers.push_back((status, body.to_owned()));
    }

    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// What was posted.
    pub fn posted(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.line.starts_with("POST ")).collect()
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers: BTreeMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Asked { line: lines.swap_remove(0), headers, body })
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Ok(other) = stream.try_clone() else { return };
    let mut reader = BufReader::new(other);
    while let Some(asked) = read(&mut reader) {
        let (status, body) = {
            let mut state = lock(state);
            state.asked.push(asked.clone());
            state.reply(&asked)
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Said\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nContent-Length: {length}\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

impl State {
    fn reply(&mut self, asked: &Asked) -> (u16, String) {
        let mut words = asked.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if self.failing {
            return (503, String::new());
        }
        match method {
            "POST" => self.answers.pop_front().unwrap_or((200, String::new())),
            "PUT" if path == "/latest/api/token" => (200, TOKEN.to_owned()),
            _ if asked.headers.get("x-aws-ec2-metadata-token").map(String::as_str) != Some(TOKEN) => {
                (401, String::new())
            }
            _ => self.values.get(path).map_or((404, String::new()), |value| (200, value.clone())),
        }
    }
}
