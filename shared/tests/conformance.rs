//! The conformance suite against the stores that need nothing else, and against stores with a fault each: a check that
//! no fault makes fail would check nothing.

#[path = "conformance/faulty.rs"]
mod faulty;
#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeSet;
use std::sync::Arc;

use dayfly_shared::clock::SystemClock;
use dayfly_shared::rng::StdDice;
use dayfly_shared::store::conformance::{self, Finding, Scope, Verdict};
use dayfly_shared::store::{Counted, LocalStore, MemoryStore, Patient, Store, StoreExt};

use faulty::{FAULTS, Faulty};

fn memory() -> MemoryStore {
    MemoryStore::new("conformance", Arc::new(SystemClock))
}

async fn run(store: &dyn Store, scope: &Scope) -> Vec<Finding> {
    let findings = conformance::check(store, &StdDice::from_os(), scope).await;
    for finding in &findings {
        println!("{finding}");
    }
    findings
}

fn assert_all_hold(findings: &[Finding]) {
    let failed: Vec<String> = findings.iter().filter(|f| !f.verdict.holds()).map(Finding::to_string).collect();
    assert!(failed.is_empty() && findings.len() == conformance::checks().len(), "{failed:#?}");
}

#[tokio::test]
async fn memory_store() {
    let store = memory();
    assert_all_hold(&run(&store, &Scope { rounds: 200, ..Scope::default() }).await);
    assert!(store.list_all("").await.unwrap().is_empty(), "the checks left something behind");
    assert!(store.uploads("").await.unwrap().is_empty(), "the checks left uploads behind");
}

#[tokio::test]
async fn wrapped_store() {
    let (clock, dice) = (Arc::new(SystemClock), Arc::new(StdDice::from_os()));
    let shared: Arc<dyn Store> = Arc::new(memory());
    assert_all_hold(&run(&Patient::new(Counted::new(shared), clock, dice), &Scope::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), "conformance", Arc::new(SystemClock)).unwrap();
    assert_all_hold(&run(&store, &Scope { prefix: String::new(), rounds: 100, ..Scope::default() }).await);
    assert!(store.list_all("").await.unwrap().is_empty(), "the checks left something behind");
    for private in ["tmp", "uploads"] {
        let left: Vec<_> = std::fs::read_dir(dir.path().join(".dayfly").join(private)).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Whatever store is named, such as `s3:BUCKET`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a store, in DAYFLY_TEST_STORE"]
async fn named_store() {
    let spec: rig::Spec = std::env::var(rig::STORE).unwrap().parse().unwrap();
    assert_all_hold(&run(&*spec.open().await, &Scope::default()).await);
}

/// Each fault is found by the checks that it is meant for.
#[tokio::test]
async fn faults_are_found() {
    let mut found = BTreeSet::new();
    for (fault, names) in FAULTS {
        let store = Faulty::new(memory(), *fault);
        for name in *names {
            let check = conformance::checks().into_iter().find(|check| check.name == *name).unwrap();
            let finding = check.run(&store, &StdDice::seeded(3), &Scope::default()).await;
            assert!(matches!(finding.verdict, Verdict::Violated(_)), "{fault:?}: {finding}");
            found.insert(*name);
        }
    }
    let all: BTreeSet<&str> = conformance::checks().iter().map(|check| check.name).collect();
    assert_eq!(found, all, "each check needs a fault that it finds");
}

/// A store that answers with errors is not called faulty, and not called fine.
#[tokio::test]
async fn errors_leave_a_check_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::create(&dir.path().join("gone"), "gone", Arc::new(SystemClock)).unwrap();
    std::fs::remove_dir(store.dir()).unwrap();
    for finding in run(&store, &Scope::default()).await {
        let Verdict::Open(why) = &finding.verdict else { panic!("{finding}") };
        assert!(why.contains("the bucket's directory is not there"), "{finding}");
    }
}
