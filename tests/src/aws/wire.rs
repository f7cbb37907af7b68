//! A request on loopback, and its answer.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::REGION;

/// What tells the double who calls which service. It checks no signature, and neither does moto.
pub(crate) fn scope(key: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// Sends a request; status and body of the answer.
///
/// # Panics
/// If nobody answers.
pub(crate) fn request(url: &str, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> (u16, String) {
    let (status, body) = request_bytes(url, method, path, headers, body);
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The same, for an answer that is no text.
///
/// # Panics
/// If nobody answers.
pub(crate) fn request_bytes(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> (u16, Vec<u8>) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{url} does not listen: {e}"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).expect("a request is taken");
    stream.write_all(body).expect("a request is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{method} {url}{path}: no answer")), body)
}
