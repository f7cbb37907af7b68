//! A small HTTP service of a test's own: whoever asks is answered by a function, connection by connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, `PUT`, `POST`.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// Headers besides the body's length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Said {
    /// With no headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

/// Listens on a free port of this machine; the URL. Its threads end with the process.
///
/// # Panics
/// If there is no port to be had.
pub fn listen(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
    let url = format!("http://{}", listener.local_addr().expect("a port"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    url
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
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
    Some(Asked { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Said) {
    let Ok(other) = stream.try_clone() else { return };
    let mut reader = BufReader::new(other);
    while let Some(asked) = read(&mut reader) {
        let said = answer(&asked);
        let headers: String = said.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {} Said\r\nContent-Type: text/plain\r\n{headers}Content-Length: {}\r\n\r\n",
            said.status,
            said.body.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(said.body.as_bytes())).is_err() {
            return;
        }
    }
}
