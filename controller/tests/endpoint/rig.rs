//! What the tests stand on: an endpoint over memory stores, clients for it, and servers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dayfly_controller::endpoint::{BucketsOf, Endpoint, EndpointHandle, EndpointSettings};
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::store::{Attributes, Condition, ETag, MemoryStore, Outcome, S3Settings, S3Store, Store, StoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const ACCESS: &str = "dayflytest";
pub const SECRET: &str = "not a secret";
pub const BUCKET: &str = "bucket";

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub fn keys() -> EndpointSettings {
    EndpointSettings::new(ACCESS, SECRET)
}

/// An endpoint with these settings and one bucket, this store.
pub async fn serve_store(settings: EndpointSettings, store: Arc<dyn Store>) -> EndpointHandle {
    let buckets = BucketsOf::new(|name| Arc::new(MemoryStore::new(name, clock()))).with(BUCKET, store);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::serve(buckets, any, settings, clock(), std::future::pending()).await.unwrap()
}

/// An endpoint with these settings and one empty bucket.
pub async fn serve(settings: EndpointSettings) -> EndpointHandle {
    serve_store(settings, Arc::new(MemoryStore::new(BUCKET, clock()))).await
}

/// The settings of a client of `url`.
pub fn settings(url: &str) -> S3Settings {
    S3Settings {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(url.to_owned()),
        keys: Some((ACCESS.to_owned(), SECRET.to_owned())),
        ..S3Settings::new(BUCKET)
    }
}

pub async fn connect(settings: S3Settings) -> S3Store {
    S3Store::connect(settings, clock()).await.unwrap()
}

pub async fn client(endpoint: &EndpointHandle) -> S3Store {
    connect(settings(&endpoint.url())).await
}

/// Both, for a test that needs no more.
pub async fn pair() -> (EndpointHandle, S3Store) {
    let endpoint = serve(keys()).await;
    let store = client(&endpoint).await;
    (endpoint, store)
}

/// Puts a text under a condition.
pub async fn put(store: &dyn Store, key: &str, text: &str, condition: &Condition) -> Outcome<ETag> {
    store.put(key, Bytes::copy_from_slice(text.as_bytes()), &Attributes::text(), condition).await.unwrap()
}

/// Puts a text and gives its tag.
pub async fn create(store: &dyn Store, key: &str, text: &str) -> ETag {
    match put(store, key, text, &Condition::Create).await {
        Outcome::Applied(etag) => etag,
        other => panic!("{key}: {other:?}"),
    }
}

/// The text of an object.
pub async fn text(store: &dyn Store, key: &str) -> Option<String> {
    store.read(key).await.unwrap().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap())
}

/// Bytes in which every position matters.
pub fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(byte).take(length).collect()
}

/// A server that answers every request with these bytes and closes. Gives its URL.
pub async fn canned(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 64 << 10];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                // What is left of the request is read, or the close would be a reset that swallows the answer.
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    url
}

/// What [`meddler`] does with each piece that a client sends, told how many bytes came before it. False: it hangs up.
pub type Meddle = fn(&mut [u8], usize) -> bool;

/// A server between client and endpoint. Gives its URL.
pub async fn meddler(endpoint: &EndpointHandle, meddle: Meddle) -> String {
    let target = endpoint.local_addr();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target).await.unwrap();
            tokio::spawn(relay(client, server, meddle));
        }
    });
    url
}

async fn relay(client: TcpStream, server: TcpStream, meddle: Meddle) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut piece = vec![0; 16 << 10];
    let mut before = 0;
    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
        if !meddle(&mut piece[..length], before) {
            back.abort();
            return;
        }
        before += length;
        if to_server.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    let _ = back.await;
}
