//! Requests made by hand, for what the SDK does not send: wrong checksums, trailers, links that are signed.

use std::fmt::Write as _;

use dayfly_controller::endpoint::EndpointHandle;
use dayfly_shared::store::{Store, StoreExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::*;

/// The CRC32 of `123456789`, and that of nothing.
const CRC32: &str = "y/Q5Jg==";
const WRONG: &str = "AAAAAA==";

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key))
    } else {
        block[..key.len()].copy_from_slice(key)
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `20260131T120000Z`.
fn amz_date() -> String {
    let now = clock().now().wall.to_string();
    format!("{}Z", now[..19].replace(['-', ':'], ""))
}

/// A signature of version 4 over these headers, which are in order of their names (S3 API reference, "Authenticating
/// Requests (AWS Signature Version 4)").
fn sign(method: &str, path: &str, query: &str, headers: &[(String, String)], hash: &str, date: &str) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let request = format!("{method}\n{path}\n{query}\n{lines}\n{}\n{hash}", names(headers));
    let day = &date[..8];
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/us-east-1/s3/aws4_request\n{}", hex(&Sha256::digest(request)));
    let steps = [day, "us-east-1", "s3", "aws4_request"];
    let key = steps.iter().fold(format!("AWS4{SECRET}").into_bytes(), |key, step| hmac(&key, step));
    hex(&hmac(&key, &text))
}

fn names(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

/// Sends a signed PUT and gives the answer's status and text. `hash` goes into `x-amz-content-sha256`.
async fn put(endpoint: &EndpointHandle, key: &str, hash: &str, extra: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let date = amz_date();
    let host = endpoint.local_addr().to_string();
    let mut headers: Vec<(String, String)> =
        [("host", host.as_str()), ("x-amz-content-sha256", hash), ("x-amz-date", &date)]
            .iter()
            .chain(extra)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    headers.sort();
    let signature = sign("PUT", &format!("/{BUCKET}/{key}"), "", &headers, hash, &date);
    let scope = format!("{ACCESS}/{}/us-east-1/s3/aws4_request", &date[..8]);
    let names = names(&headers);
    let mut request =
        format!("PUT /{BUCKET}/{key} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(
        request,
        "authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}\r\n\r\n"
    );
    send(endpoint, &[request.as_bytes(), body].concat()).await
}

async fn send(endpoint: &EndpointHandle, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn refused(answer: &(u16, String), status: u16, code: &str) {
    assert!(answer.0 == status && answer.1.contains(&format!("<Code>{code}</Code>")), "{answer:?}");
}

#[tokio::test]
async fn checksums_in_headers_are_held_against_the_body() {
    let (endpoint, store) = pair().await;
    let body = b"123456789";
    let right = put(&endpoint, "right", "UNSIGNED-PAYLOAD", &[("x-amz-checksum-crc32", CRC32)], body).await;
    assert!(right.0 == 200 && right.1.contains(CRC32), "{right:?}");
    let wrong = put(&endpoint, "crc", "UNSIGNED-PAYLOAD", &[("x-amz-checksum-crc32", WRONG)], body).await;
    refused(&wrong, 400, "BadDigest");
    let md5 = ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    refused(&put(&endpoint, "md5", "UNSIGNED-PAYLOAD", &[md5], body).await, 400, "BadDigest");
    let other = hex(&Sha256::digest(b"something else"));
    refused(&put(&endpoint, "sha", &other, &[], body).await, 400, "XAmzContentSHA256Mismatch");
    let own = hex(&Sha256::digest(body));
    assert_eq!(put(&endpoint, "signed", &own, &[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")], body).await.0, 200);
    let keys: Vec<String> = store.list_all("").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["right", "signed"]);
}

#[tokio::test]
async fn checksums_behind_the_body_are_held_against_it() {
    let (endpoint, store) = pair().await;
    let upload = async |key: &str, body: &str| {
        let extra = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        put(&endpoint, key, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", &extra, body.as_bytes()).await
    };
    let chunked = |crc: &str| format!("4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
    let right = upload("right", &chunked(CRC32)).await;
    assert!(right.0 == 200 && right.1.contains(CRC32), "{right:?}");
    refused(&upload("wrong", &chunked(WRONG)).await, 400, "BadDigest");
    refused(&upload("missing", "9\r\n123456789\r\n0\r\n\r\n").await, 400, "MalformedTrailerError");
    refused(&upload("short", "4\r\n1234\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n").await, 400, "IncompleteBody");
    refused(&upload("cut", "9\r\n1234").await, 400, "IncompleteBody");
    assert_eq!(text(&store, "right").await.as_deref(), Some("123456789"));
    assert_eq!(store.list_all("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_signed_link_opens_what_it_names_and_nothing_else() {
    let (endpoint, store) = pair().await;
    create(&store, "k", "for all who have the link").await;
    create(&store, "other", "not for them").await;
    let date = amz_date();
    let host = [("host".to_owned(), endpoint.local_addr().to_string())];
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS}%2F{}%2Fus-east-1%2Fs3%2Faws4_request&\
         X-Amz-Date={date}&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
        &date[..8]
    );
    let signature = sign("GET", &format!("/{BUCKET}/k"), &query, &host, "UNSIGNED-PAYLOAD", &date);
    let get = async |key: &str, extra: &str| {
        let line = format!("GET /{BUCKET}/{key}?{query}&X-Amz-Signature={signature} HTTP/1.1");
        let request = format!("{line}\r\nhost: {}\r\nconnection: close\r\n{extra}\r\n", host[0].1);
        send(&endpoint, request.as_bytes()).await
    };
    let opened = get("k", "").await;
    assert!(opened.0 == 200 && opened.1.ends_with("for all who have the link"), "{opened:?}");
    refused(&get("other", "").await, 403, "SignatureDoesNotMatch");

    // And what a browser asks when it has it already.
    let tag = store.head("k").await.unwrap().unwrap().etag.quoted();
    let known = get("k", &format!("if-none-match: {tag}\r\n")).await;
    assert!(known.0 == 304 && known.1.contains(&format!("etag: {tag}")) && known.1.ends_with("\r\n\r\n"), "{known:?}");
    refused(&get("k", "if-match: \"other\"\r\n").await, 412, "PreconditionFailed");
}
