//! The conformance suite of the stores, through the endpoint and the real S3 client.

use std::sync::Arc;

use dayfly_controller::endpoint::{
    BucketDirectory, Buckets, BucketsOf, Endpoint, EndpointHandle, EndpointSettings, Lossy,
};
use dayfly_shared::rng::StdDice;
use dayfly_shared::store::conformance::{self, Finding, Scope};
use dayfly_shared::store::digest::Digest;
use dayfly_shared::store::{Attributes, Condition, MemoryStore, Outcome, S3Settings, Store, StoreErrorKind, StoreExt};

use crate::rig::*;

async fn serve_buckets(buckets: impl Buckets, settings: EndpointSettings) -> EndpointHandle {
    let any = ([127, 0, 0, 1], 0).into();
    Endpoint::serve(buckets, any, settings, clock(), std::future::pending()).await.unwrap()
}

/// The checks that do not hold.
async fn failures(store: &dyn Store) -> Vec<Finding> {
    let findings = conformance::check(store, &StdDice::from_os(), &Scope::default()).await;
    assert_eq!(findings.len(), conformance::checks().len());
    findings.into_iter().filter(|finding| !finding.verdict.holds()).collect()
}

async fn assert_conforms(endpoint: &EndpointHandle) {
    let store = client(endpoint).await;
    let failures: Vec<String> = failures(&store).await.iter().map(Finding::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(store.list_all("").await.unwrap(), [], "the checks left something behind");
    assert_eq!(store.uploads("").await.unwrap(), [], "the checks left uploads behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_memory() {
    let buckets = BucketsOf::new(|name| Arc::new(MemoryStore::new(name, clock())));
    buckets.create(BUCKET).await.unwrap();
    assert_conforms(&serve_buckets(buckets, keys()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let buckets = BucketDirectory::new(root.path(), clock()).unwrap();
    buckets.create(BUCKET).await.unwrap();
    assert_conforms(&serve_buckets(buckets, keys()).await).await;
}

/// They are hashed two at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_put_at_once_have_their_own_tags() {
    let root = tempfile::tempdir().unwrap();
    let buckets = BucketDirectory::new(root.path(), clock()).unwrap();
    buckets.create(BUCKET).await.unwrap();
    let endpoint = serve_buckets(buckets, keys()).await;
    let store = client(&endpoint).await;
    let bodies: Vec<_> = (0..12).map(|n| (format!("k{n}"), noise(300_000 + n * 170_001))).collect();
    let plain = Attributes::default();
    let puts = bodies.iter().map(|(key, body)| store.put(key, body.clone(), &plain, &Condition::Create));
    let tags = futures::future::join_all(puts).await;
    for ((key, body), tag) in bodies.iter().zip(tags) {
        assert_eq!(tag.unwrap(), Outcome::Applied(Digest::of(body).etag()), "{key}");
        assert_eq!(store.get(key, None).await.unwrap().unwrap().bytes().await.unwrap(), body, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_removed_by_hand_is_gone_until_it_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let buckets = BucketDirectory::new(root.path(), clock()).unwrap();
    buckets.create(BUCKET).await.unwrap();
    let endpoint = serve_buckets(buckets, keys()).await;
    let store = client(&endpoint).await;
    create(&store, "k", "text").await;
    std::fs::remove_dir_all(root.path().join(BUCKET)).unwrap();
    let (plain, body) = (Attributes::default(), noise(300_000));
    let put = store.put("k", body.clone(), &plain, &Condition::Create).await.unwrap_err();
    let get = store.get("k", None).await.map(|_| ()).unwrap_err();
    let list = store.list_all("").await.unwrap_err();
    for error in [put, get, list] {
        assert_eq!(error.kind, StoreErrorKind::NoSuchBucket, "{error}");
    }
    std::fs::create_dir(root.path().join(BUCKET)).unwrap();
    assert!(matches!(store.put("k", body, &plain, &Condition::Create).await.unwrap(), Outcome::Applied(_)));
}

/// The faults that the endpoint offers are ones that the suite finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found() {
    let ignoring = EndpointSettings { ignore_conditions: true, ..keys() };
    let lossy = EndpointSettings { lossy_conditions: Some(Lossy { one_in: 5, seed: 1 }), ..keys() };
    for settings in [ignoring, lossy] {
        let endpoint = serve(settings).await;
        let failures = failures(&client(&endpoint).await).await;
        assert!(failures.iter().any(|finding| finding.needed()), "{failures:#?}");
    }
}

/// Against a server that is told by the environment: `DAYFLY_TEST_S3_URL`, `DAYFLY_TEST_S3_BUCKET`, and credentials as
/// the AWS tools take them. Prints every finding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server, named by DAYFLY_TEST_S3_URL and DAYFLY_TEST_S3_BUCKET"]
async fn over_another_server() {
    let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let settings =
        S3Settings { endpoint_url: Some(told("DAYFLY_TEST_S3_URL")), ..S3Settings::new(told("DAYFLY_TEST_S3_BUCKET")) };
    let store = connect(settings).await;
    let findings = conformance::check(&store, &StdDice::from_os(), &Scope::default()).await;
    for finding in &findings {
        println!("{finding}");
    }
    assert!(findings.iter().all(|finding| finding.verdict.holds() || !finding.needed()));
}
