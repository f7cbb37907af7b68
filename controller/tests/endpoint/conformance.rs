//! The conformance suite of the stores, through the endpoint and the real S3 client.

use std::sync::Arc;

use dayfly_controller::endpoint::{
    BucketDirectory, Buckets, BucketsOf, Endpoint, EndpointHandle, EndpointSettings, Lossy,
};
use dayfly_shared::rng::StdDice;
use dayfly_shared::store::conformance::{self, Finding, Scope};
use dayfly_shared::store::{MemoryStore, S3Settings, Store, StoreExt};

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
