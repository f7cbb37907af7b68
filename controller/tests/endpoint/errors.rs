//! Errors as people read them.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dayfly_controller::endpoint::EndpointSettings;
use dayfly_shared::store::{
    Attributes, Condition, Outcome, S3Settings, S3Store, S3Timeouts, Store, StoreError, StoreErrorKind,
};

use crate::odd_stores::Broken;
use crate::rig::*;

/// The error of a get and of a put, which must be the same but for what each could do.
async fn both(settings: S3Settings) -> (StoreError, StoreError) {
    let store = connect(settings).await;
    let get = store.get("job/k", None).await.map(|_| ()).unwrap_err();
    let put =
        store.put("job/k", Bytes::from_static(b"x"), &Attributes::default(), &Condition::Create).await.unwrap_err();
    (get, put)
}

fn says(error: &StoreError, kind: StoreErrorKind, words: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error:#} lacks {word:?}");
    }
}

#[tokio::test]
async fn a_missing_bucket() {
    let endpoint = serve(keys()).await;
    let missing = S3Settings { bucket: "nowhere".to_owned(), ..settings(&endpoint.url()) };
    let (get, put) = both(missing).await;
    says(&get, StoreErrorKind::NoSuchBucket, &["s3:GetObject", "s3://nowhere/job/k", "aws s3 mb s3://nowhere"]);
    says(&put, StoreErrorKind::NoSuchBucket, &["s3:PutObject", "s3://nowhere/job/k"]);
}

#[tokio::test]
async fn wrong_keys() {
    let endpoint = serve(keys()).await;
    let with = |access: &str, secret: &str| S3Settings {
        keys: Some((access.to_owned(), secret.to_owned())),
        ..settings(&endpoint.url())
    };
    let (get, put) = both(with(ACCESS, "another secret")).await;
    says(&get, StoreErrorKind::Denied, &["SignatureDoesNotMatch", "secret key"]);
    says(&put, StoreErrorKind::Denied, &["SignatureDoesNotMatch"]);
    let (get, _) = both(with("somebody", SECRET)).await;
    says(&get, StoreErrorKind::Denied, &["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
    let head = connect(with(ACCESS, "another secret")).await.head("k").await.unwrap_err();
    says(&head, StoreErrorKind::Denied, &["403"]);
}

#[tokio::test]
async fn a_wrong_region() {
    let endpoint = serve(EndpointSettings { region: Some("eu-north-1".to_owned()), ..keys() }).await;
    let (get, put) = both(settings(&endpoint.url())).await;
    says(&get, StoreErrorKind::WrongRegion, &["eu-north-1", "us-east-1"]);
    says(&put, StoreErrorKind::WrongRegion, &["set the region to eu-north-1"]);
    let store = connect(settings(&endpoint.url())).await;
    says(&store.head("k").await.unwrap_err(), StoreErrorKind::WrongRegion, &["eu-north-1"]);
    let right = S3Settings { region: Some("eu-north-1".to_owned()), ..settings(&endpoint.url()) };
    create(&connect(right).await, "k", "x").await;
}

#[tokio::test]
async fn nobody_listens() {
    let endpoint = serve(keys()).await;
    let url = endpoint.url();
    endpoint.stop().await;
    let store = connect(settings(&url)).await;
    let get = store.get("k", None).await.map(|_| ()).unwrap_err();
    says(&get, StoreErrorKind::Transient, &[&url, "refused"]);
    let put = put(&store, "k", "x", &Condition::Create).await;
    assert!(matches!(&put, Outcome::Unknown(text) if text.contains(&url)), "{put:?}");
}

#[tokio::test]
async fn nobody_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let timeouts = S3Timeouts { answer: Duration::from_millis(300), ..S3Timeouts::default() };
    let store = connect(S3Settings { timeouts, ..settings(&url) }).await;
    says(&store.head("k").await.unwrap_err(), StoreErrorKind::Transient, &["no answer within", &url]);
    assert!(matches!(put(&store, "k", "x", &Condition::Create).await, Outcome::Unknown(_)));
}

#[tokio::test]
async fn what_is_no_endpoint_is_refused_at_once() {
    let refused = S3Store::connect(settings("localhost:9000"), clock()).await;
    says(&refused.err().unwrap(), StoreErrorKind::Unsupported, &["localhost:9000", "http://"]);
}

/// Credentials come from the environment too, so this asks in a process that has none.
#[test]
fn no_credentials() {
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "errors::no_credentials_inside", "--ignored", "--nocapture"])
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&inner.stdout), String::from_utf8_lossy(&inner.stderr));
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by no_credentials, in a process without an environment"]
async fn no_credentials_inside() {
    let endpoint = serve(keys()).await;
    let none = S3Settings { keys: None, ..settings(&endpoint.url()) };
    let (get, put) = both(none).await;
    says(
        &get,
        StoreErrorKind::NoCredentials,
        &["s3:GetObject", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "a machine with a role"],
    );
    says(&put, StoreErrorKind::NoCredentials, &["s3:PutObject"]);
}

/// Endpoint and keys as the AWS tools take them, in a process with that environment and no settings.
#[tokio::test]
async fn an_endpoint_out_of_the_environment() {
    let endpoint = serve(keys()).await;
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "errors::an_endpoint_out_of_the_environment_inside", "--ignored", "--nocapture"])
            .env_clear()
            .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent"), ("AWS_REGION", "us-west-2")])
            .envs([("AWS_ACCESS_KEY_ID", ACCESS), ("AWS_SECRET_ACCESS_KEY", SECRET), (variable, &endpoint.url())]);
        let inner = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&inner.stdout), String::from_utf8_lossy(&inner.stderr));
        assert!(inner.status.success() && said.contains("1 passed"), "{variable}: {said}");
    }
    assert_eq!(endpoint.requests().get("PutObject"), Some(&2));
}

#[tokio::test]
#[ignore = "run by an_endpoint_out_of_the_environment, in a process that is told one"]
async fn an_endpoint_out_of_the_environment_inside() {
    let store = connect(S3Settings::new(BUCKET)).await;
    assert!(store.endpoint_url().is_some_and(|url| url.starts_with("http://127.0.0.1:")));
    assert_eq!(store.region(), "us-west-2");
    assert!(matches!(put(&store, "k", "x", &Condition::Overwrite).await, Outcome::Applied(_)));
}

/// Without CA certificates, a request over TLS fails with a text, where the SDK's own client would panic.
#[test]
fn no_ca_certificates() {
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "errors::no_ca_certificates_inside", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&inner.stdout), String::from_utf8_lossy(&inner.stderr));
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by no_ca_certificates, in a process that finds none"]
async fn no_ca_certificates_inside() {
    let refused = S3Store::connect(settings("https://127.0.0.1:1"), clock()).await;
    says(&refused.err().unwrap(), StoreErrorKind::Unsupported, &["ca-certificates", "SSL_CERT_FILE"]);
    // Plain http needs none.
    let endpoint = serve(keys()).await;
    create(&client(&endpoint).await, "k", "x").await;
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_one() {
    let full = serve_store(keys(), Arc::new(Broken(StoreErrorKind::Full, "no space left on device"))).await;
    let error = refused(&full.url()).await;
    says(&error, StoreErrorKind::Full, &["InsufficientStorage (507)", "no space left on device", "free some space"]);
    let read_only = serve_store(keys(), Arc::new(Broken(StoreErrorKind::ReadOnly, "read-only file system"))).await;
    let error = refused(&read_only.url()).await;
    says(&error, StoreErrorKind::Denied, &["AccessDenied", "read-only file system"]);
    let busy = serve_store(keys(), Arc::new(Broken(StoreErrorKind::Transient, "busy"))).await;
    let store = connect(settings(&busy.url())).await;
    let outcome = put(&store, "k", "x", &Condition::Create).await;
    assert!(matches!(&outcome, Outcome::Unknown(text) if text.contains("busy")), "{outcome:?}");
}

async fn refused(url: &str) -> StoreError {
    let store = connect(settings(url)).await;
    store.put("k", Bytes::from_static(b"x"), &Attributes::default(), &Condition::Create).await.unwrap_err()
}
