//! Bodies that break on their way.

use bytes::Bytes;
use dayfly_controller::endpoint::EndpointSettings;
use dayfly_shared::store::{Attributes, Condition, Outcome, Store, StoreErrorKind, StoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::*;

#[tokio::test]
async fn a_body_that_is_cut_off_stores_nothing() {
    let endpoint = serve(keys()).await;
    // The head of the request and some of the body pass.
    let cut = meddler(&endpoint, |piece, before| before + piece.len() < 200_000).await;
    let store = connect(settings(&cut)).await;
    let put = store.put("k", noise(1 << 20), &Attributes::default(), &Condition::Create).await.unwrap();
    assert!(matches!(put, Outcome::Unknown(_)), "{put:?}");
    let upload = client(&endpoint).await.upload_begin("m", &Attributes::default()).await.unwrap();
    let part = store.upload_part(&upload, 1, noise(1 << 20)).await.unwrap_err();
    assert!(part.is_transient(), "{part}");
    let direct = client(&endpoint).await;
    assert_eq!(direct.list_all("").await.unwrap(), []);
}

#[tokio::test]
async fn a_body_that_is_changed_stores_nothing() {
    let endpoint = serve(keys()).await;
    let flip = meddler(&endpoint, |piece, before| {
        if before > 100_000 {
            piece[0] ^= 1;
        }
        true
    });
    let store = connect(settings(&flip.await)).await;
    let put = store.put("k", noise(1 << 20), &Attributes::default(), &Condition::Create).await.unwrap_err();
    assert_eq!(put.kind, StoreErrorKind::Corrupt, "{put}");
    assert_eq!(client(&endpoint).await.head("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_large_body_goes_there_and_back() {
    let (_endpoint, store) = pair().await;
    let body = noise(20 << 20);
    store.put("k", body.clone(), &Attributes::default(), &Condition::Create).await.unwrap();
    let (meta, back) = store.read("k").await.unwrap().unwrap();
    assert_eq!(meta.size, body.len() as u64);
    assert_eq!(back, body);
    let tail = store.get("k", Some(body.len() as u64 - 10..u64::MAX)).await.unwrap().unwrap();
    assert_eq!(tail.bytes().await.unwrap(), body.slice(body.len() - 10..));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let endpoint = serve(EndpointSettings { body_limit_bytes: 1000, ..keys() }).await;
    let store = client(&endpoint).await;
    store.put("fits", noise(1000), &Attributes::default(), &Condition::Create).await.unwrap();
    let refused = store.put("k", noise(1001), &Attributes::default(), &Condition::Create).await.unwrap_err();
    assert!(refused.to_string().contains("EntityTooLarge"), "{refused}");
    assert_eq!(store.list_all("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let (endpoint, store) = pair().await;
    create(&store, "k", "x").await;
    for request in ["GET /bucket/k", "DELETE /bucket/k", "GET /", "PUT /bucket/new"] {
        let mut stream = TcpStream::connect(endpoint.local_addr()).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("AccessDenied"), "{request}: {answer}");
    }
    assert_eq!(store.list_all("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_empty_body_is_an_object() {
    let (_endpoint, store) = pair().await;
    store.put("k", Bytes::new(), &Attributes::default(), &Condition::Create).await.unwrap();
    let (meta, body) = store.read("k").await.unwrap().unwrap();
    assert_eq!((meta.size, body.len(), meta.checksum.as_deref()), (0, 0, Some("crc32:AAAAAA==")));
}
