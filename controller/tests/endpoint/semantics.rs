//! What S3 promises, kept over the wire.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dayfly_controller::endpoint::{BucketsOf, Endpoint, EndpointSettings, Lossy};
use dayfly_shared::clock::{Clock, Now};
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListQuery, MemoryStore, Outcome, Part, Rejection, Store, StoreErrorKind, StoreExt,
};
use futures::future::BoxFuture;

use crate::odd_stores::Slow;
use crate::rig::*;

#[tokio::test]
async fn conditions_hold() {
    let (_endpoint, store) = pair().await;
    let first = create(&store, "k", "one").await;
    assert_eq!(put(&store, "k", "two", &Condition::Create).await, Outcome::Rejected(Rejection::Precondition));
    let Outcome::Applied(second) = put(&store, "k", "two", &Condition::Update(first.clone())).await else {
        panic!("the tag was right")
    };
    let stale = put(&store, "k", "three", &Condition::Update(first.clone())).await;
    assert_eq!(stale, Outcome::Rejected(Rejection::Precondition));
    let gone = put(&store, "other", "x", &Condition::Update(first.clone())).await;
    assert_eq!(gone, Outcome::Rejected(Rejection::Missing));
    assert_eq!(store.delete("k", Some(&first)).await.unwrap(), Outcome::Rejected(Rejection::Precondition));
    assert_eq!(text(&store, "k").await.as_deref(), Some("two"));
    assert_eq!(store.delete("k", Some(&second)).await.unwrap(), Outcome::Applied(()));
    assert_eq!(store.delete("k", Some(&second)).await.unwrap(), Outcome::Rejected(Rejection::Missing));
    assert_eq!(text(&store, "k").await, None);
    assert_eq!(store.head("k").await.unwrap(), None);
}

#[tokio::test]
async fn an_object_is_described_as_it_was_put() {
    let (_endpoint, store) = pair().await;
    let attributes = Attributes::json().with("attempt", "1-abc-1").with("odd", "a = b; c, \"d\" %41+");
    store.put("k", Bytes::from_static(b"123456789"), &attributes, &Condition::Create).await.unwrap();
    let head = store.head("k").await.unwrap().unwrap();
    let object = store.get("k", None).await.unwrap().unwrap();
    assert_eq!((head.size, &head.metadata), (9, &attributes.metadata));
    assert_eq!(head.checksum.as_deref(), Some("crc32:y/Q5Jg=="));
    assert_eq!((&object.meta.metadata, &object.meta.checksum), (&head.metadata, &head.checksum));
    for meta in [&head, &object.meta] {
        let (modified, served) = (meta.modified.unwrap(), meta.served.unwrap());
        assert!(served >= modified && served.since(modified).as_secs() < 60, "{served} {modified}");
    }
    assert!(store.list(&ListQuery::under("")).await.unwrap().served.is_some());
}

#[tokio::test]
async fn odd_keys_go_round() {
    let (_endpoint, store) = pair().await;
    let long = "x".repeat(1000);
    let keys = [
        "a b",
        "a+b",
        "a%b",
        "a%20b",
        "a%2Fb",
        "é/ü/日本",
        "🦀",
        "..",
        "../up",
        "a/../b",
        "./a",
        "a//b",
        "/lead",
        "trail/",
        "a?b=c",
        "a#b",
        "a&b",
        "a=b",
        "<xml>&amp;",
        "quote\"'",
        "~!@$^*()_-{}|\\:;`,",
        "tab\there",
        "ctl\u{1}\u{7f}",
        "new\nline",
        &long,
    ];
    for key in keys {
        create(&store, key, key).await;
    }
    for key in keys {
        assert_eq!(text(&store, key).await.as_deref(), Some(key), "{key:?}");
        assert!(store.head(key).await.unwrap().is_some(), "{key:?}");
    }
    let listed: Vec<String> = store.list_all("").await.unwrap().into_iter().map(|entry| entry.key).collect();
    let expected: Vec<String> = BTreeSet::from(keys).into_iter().map(str::to_owned).collect();
    assert_eq!(listed, expected);
    for key in keys {
        let page = store.list(&ListQuery { limit: 1, ..ListQuery::under(key) }).await.unwrap();
        assert_eq!(page.entries.first().map(|entry| entry.key.as_str()), Some(key), "{key:?} as a prefix");
        assert_eq!(store.delete(key, None).await.unwrap(), Outcome::Applied(()), "{key:?}");
    }
    assert_eq!(store.list_all("").await.unwrap(), []);
}

#[tokio::test]
async fn listings_come_in_pages_and_folders() {
    let (_endpoint, store) = pair().await;
    for key in ["a/1", "a/2", "b", "c/1", "c/d/2", "e"] {
        create(&store, key, "x").await;
    }
    let mut query = ListQuery { limit: 2, fold: true, ..ListQuery::under("") };
    let mut pages = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        let keys: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
        pages.push((page.folders, keys));
        match page.next {
            Some(next) => query.start_after = Some(next),
            None => break,
        }
    }
    let of = |folders: &[&str], keys: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        (own(folders), own(keys))
    };
    assert_eq!(pages, [of(&["a/"], &["b"]), of(&["c/"], &["e"])]);
    let inside = store.list(&ListQuery { fold: true, ..ListQuery::under("c/") }).await.unwrap();
    assert_eq!((inside.folders, inside.entries.len()), (vec!["c/d/".to_owned()], 1));
    let after = store.list(&ListQuery::under("").after("b")).await.unwrap();
    assert_eq!(after.entries.first().map(|entry| entry.key.as_str()), Some("c/1"));
}

#[tokio::test]
async fn ranges_are_read() {
    let (_endpoint, store) = pair().await;
    create(&store, "k", "0123456789").await;
    create(&store, "empty", "").await;
    let read = async |key: &str, range| {
        let object = store.get(key, Some(range)).await.unwrap().unwrap();
        let size = object.meta.size;
        (String::from_utf8(object.bytes().await.unwrap().to_vec()).unwrap(), size)
    };
    assert_eq!(read("k", 2..5).await, ("234".into(), 10));
    assert_eq!(read("k", 8..100).await, ("89".into(), 10));
    assert_eq!(read("k", 4..4).await, (String::new(), 10));
    assert_eq!(read("k", 10..20).await, (String::new(), 10));
    assert_eq!(read("empty", 0..5).await, (String::new(), 0));
    assert!(store.get("absent", Some(0..5)).await.unwrap().is_none());
}

#[tokio::test]
async fn one_of_many_creators_wins() {
    let endpoint = serve(keys()).await;
    for round in 0..10 {
        let key = format!("semaphores/{round}");
        let tries = (0..20).map(|agent| {
            let (url, key) = (endpoint.url(), key.clone());
            tokio::spawn(async move {
                let store = connect(settings(&url)).await;
                put(&store, &key, &agent.to_string(), &Condition::Create).await
            })
        });
        let outcomes = futures::future::join_all(tries).await;
        let won = outcomes.iter().filter(|it| matches!(it, Ok(Outcome::Applied(_)))).count();
        let lost = Outcome::Rejected(Rejection::Precondition);
        let refused = outcomes.iter().filter(|it| it.as_ref().is_ok_and(|it| *it == lost)).count();
        assert_eq!((won, refused), (1, 19), "{outcomes:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_becomes_one_object() {
    let (_endpoint, store) = pair().await;
    let body = noise((6 << 20) + 1000);
    let upload = store.upload_begin("big", &Attributes::default().with("attempt", "7")).await.unwrap();
    let listed = store.uploads("bi").await.unwrap();
    assert_eq!(listed.iter().map(|it| (&it.key, &it.id)).collect::<Vec<_>>(), [(&upload.key, &upload.id)]);
    assert!(listed[0].initiated.is_some());
    let mut parts = Vec::new();
    for (number, piece) in (1..).zip(body.chunks(5 << 20)) {
        parts.push(store.upload_part(&upload, number, Bytes::copy_from_slice(piece)).await.unwrap());
    }
    assert!(parts.iter().all(|part| part.checksum.as_ref().is_some_and(|sum| sum.starts_with("crc32:"))));
    assert_eq!(store.head("big").await.unwrap(), None);
    let wrong = [Part { etag: ETag::new("beef"), checksum: None, ..parts[0].clone() }, parts[1].clone()];
    let refused = store.upload_complete(&upload, &wrong, &Condition::Create).await.unwrap_err();
    assert!(refused.to_string().contains("InvalidPart"), "{refused}");

    let complete = async || store.upload_complete(&upload, &parts, &Condition::Create).await.unwrap();
    assert!(matches!(complete().await, Outcome::Applied(_)));
    assert_eq!(complete().await, Outcome::Rejected(Rejection::NoSuchUpload));
    let (meta, stored) = store.read("big").await.unwrap().unwrap();
    assert_eq!(stored, body);
    assert_eq!(meta.metadata.get("attempt").map(String::as_str), Some("7"));
    assert!(meta.checksum.is_some(), "of the whole object");

    let again = store.upload_begin("big", &Attributes::default()).await.unwrap();
    let part = store.upload_part(&again, 1, Bytes::from_static(b"x")).await.unwrap();
    let lost = store.upload_complete(&again, &[part], &Condition::Create).await.unwrap();
    assert_eq!(lost, Outcome::Rejected(Rejection::Precondition));
    store.upload_abort(&again).await.unwrap();
    store.upload_abort(&again).await.unwrap();
    assert_eq!(store.uploads("").await.unwrap(), []);
    let dead = store.upload_part(&again, 1, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(dead.to_string().contains("NoSuchUpload"), "{dead}");
}

#[tokio::test]
async fn parts_that_are_too_small_are_refused() {
    let (_endpoint, store) = pair().await;
    let upload = store.upload_begin("k", &Attributes::default()).await.unwrap();
    let mut parts = Vec::new();
    for number in 1..=2 {
        parts.push(store.upload_part(&upload, number, Bytes::from_static(b"small")).await.unwrap());
    }
    let refused = store.upload_complete(&upload, &parts, &Condition::Create).await.unwrap_err();
    assert!(refused.to_string().contains("EntityTooSmall (400)"), "{refused}");
}

#[tokio::test]
async fn a_faulty_endpoint_is_as_faulty_as_asked() {
    let endpoint = serve(EndpointSettings { ignore_conditions: true, ..keys() }).await;
    let store = client(&endpoint).await;
    let first = create(&store, "k", "one").await;
    create(&store, "k", "two").await;
    assert_eq!(store.delete("k", Some(&first)).await.unwrap(), Outcome::Applied(()));

    let lossy = Lossy { one_in: 3, seed: 1 };
    let endpoint = serve(EndpointSettings { lossy_conditions: Some(lossy), ..keys() }).await;
    let store = client(&endpoint).await;
    create(&store, "k", "first").await;
    let mut through = 0;
    for _ in 0..60 {
        through += usize::from(matches!(put(&store, "k", "x", &Condition::Create).await, Outcome::Applied(_)));
    }
    assert!((5..40).contains(&through), "{through} of 60 at one in 3");
}

#[tokio::test]
async fn buckets_share_a_client_and_requests_are_counted() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(BUCKET, clock()));
    let endpoint = serve_store(keys(), memory).await;
    let store = client(&endpoint).await;
    create(&store, "k", "here").await;
    let other = store.with_bucket("elsewhere");
    assert_eq!(other.get("k", None).await.map(|_| ()).unwrap_err().kind, StoreErrorKind::NoSuchBucket);
    assert_eq!(store.place("k"), "s3://bucket/k");
    let counts = endpoint.requests();
    assert_eq!((counts.get("PutObject"), counts.get("GetObject")), (Some(&1), Some(&1)), "{counts:?}");
    endpoint.stop().await;
    assert!(store.head("k").await.unwrap_err().is_transient());
}

/// A clock on which waits are a thousandth of what they say.
struct Hasty;

impl Clock for Hasty {
    fn now(&self) -> Now {
        clock().now()
    }
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        clock().sleep(wait / 1000)
    }
}

/// A completion that takes long is answered by 200 before it is known how it ends, as on S3.
#[tokio::test]
async fn a_slow_completion_tells_its_end_inside_a_200() {
    let store = MemoryStore::new(BUCKET, clock());
    let slow = Slow { store: store.clone(), wait: Duration::from_millis(300) };
    let buckets = BucketsOf::new(|_| unreachable!()).with(BUCKET, Arc::new(slow));
    let any = ([127, 0, 0, 1], 0).into();
    let endpoint = Endpoint::serve(buckets, any, keys(), Arc::new(Hasty), std::future::pending()).await.unwrap();
    let client = client(&endpoint).await;
    let complete = async || {
        let upload = client.upload_begin("k", &Attributes::default()).await.unwrap();
        let part = client.upload_part(&upload, 1, Bytes::from_static(b"x")).await.unwrap();
        client.upload_complete(&upload, &[part], &Condition::Create).await.unwrap()
    };
    assert!(matches!(complete().await, Outcome::Applied(_)));
    let second = complete().await;
    assert!(matches!(second, Outcome::Rejected(Rejection::Precondition) | Outcome::Unknown(_)), "{second:?}");
    assert_eq!(text(&store, "k").await.as_deref(), Some("x"));
}
