//! The S3 store against answers that a good endpoint does not give.

use bytes::Bytes;
use dayfly_shared::store::{
    Attributes, Condition, ETag, Outcome, Part, Rejection, Result, Store, StoreErrorKind, StoreExt, Upload,
};

use crate::rig::*;

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn error(status: &str, code: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>as told</Message></Error>"))
}

async fn put_against(answer: String) -> Result<Outcome<ETag>> {
    let store = connect(settings(&canned(answer).await)).await;
    store.put("k", Bytes::from_static(b"x"), &Attributes::default(), &Condition::Create).await
}

async fn complete_against(answer: String) -> Result<Outcome<ETag>> {
    let store = connect(settings(&canned(answer).await)).await;
    let upload = Upload { key: "k".into(), id: "u".into(), initiated: None };
    let part = Part { number: 1, etag: ETag::new("beef"), checksum: None };
    store.upload_complete(&upload, &[part], &Condition::Create).await
}

#[tokio::test]
async fn a_write_is_tried_once_and_unknown_stays_unknown() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Slow Down", "504 Gateway Timeout"] {
        for body in [answer(status, "", ""), error(status, "SlowDown"), answer(status, "", "<html>proxy</html>")] {
            let outcome = put_against(body).await.unwrap();
            assert!(matches!(outcome, Outcome::Unknown(_)), "{status}: {outcome:?}");
        }
    }
    // An answer that breaks off, and none.
    let cut = "HTTP/1.1 200 OK\r\ncontent-le";
    assert!(matches!(put_against(cut.to_owned()).await, Ok(Outcome::Unknown(_))));
    assert!(matches!(put_against(String::new()).await, Ok(Outcome::Unknown(_))));
}

#[tokio::test]
async fn conflicts_are_no_rejections_for_good() {
    for code in ["ConditionalRequestConflict", "ConcurrentModification", "OperationAborted", "Whatever"] {
        let outcome = put_against(error("409 Conflict", code)).await.unwrap();
        assert_eq!(outcome, Outcome::Rejected(Rejection::Conflict), "{code}");
    }
    assert_eq!(put_against(answer("409 Conflict", "", "")).await, Ok(Outcome::Rejected(Rejection::Conflict)));
    let gone = put_against(error("404 Not Found", "NoSuchKey")).await;
    assert_eq!(gone, Ok(Outcome::Rejected(Rejection::Missing)));
}

#[tokio::test]
async fn an_error_can_come_inside_a_200() {
    let inside = |code| complete_against(error("200 OK", code));
    assert!(matches!(inside("InternalError").await, Ok(Outcome::Unknown(_))));
    assert!(matches!(inside("SlowDown").await, Ok(Outcome::Unknown(_))));
    assert_eq!(inside("PreconditionFailed").await, Ok(Outcome::Rejected(Rejection::Precondition)));
    let gone = complete_against(error("404 Not Found", "NoSuchUpload")).await;
    assert_eq!(gone, Ok(Outcome::Rejected(Rejection::NoSuchUpload)));
    let conflict = complete_against(error("409 Conflict", "ConditionalRequestConflict")).await;
    assert_eq!(conflict, Ok(Outcome::Rejected(Rejection::Conflict)));
}

#[tokio::test]
async fn a_redirect_names_the_region() {
    let moved = answer(
        "301 Moved Permanently",
        "x-amz-bucket-region: ap-south-1\r\n",
        "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.ap-south-1.amazonaws.com</Endpoint></Error>",
    );
    let error = put_against(moved).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::WrongRegion);
    assert!(error.to_string().contains("set the region to ap-south-1"), "{error}");
}

#[tokio::test]
async fn expired_credentials_say_so() {
    let error = put_against(error("400 Bad Request", "ExpiredToken")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::ExpiredCredentials, "{error}");
    assert!(error.to_string().contains("aws sso login"), "{error}");
}

#[tokio::test]
async fn what_is_read_is_what_was_stored() {
    let get = async |answer: String| {
        let store = connect(settings(&canned(answer).await)).await;
        store.read("k").await.map(|object| object.map(|(_, body)| body))
    };
    let headers = |crc: &str| format!("etag: \"beef\"\r\nx-amz-checksum-crc32: {crc}\r\n");
    let whole = answer("200 OK", &headers("y/Q5Jg=="), "123456789");
    assert_eq!(get(whole).await.unwrap().as_deref(), Some(&b"123456789"[..]));
    let changed = answer("200 OK", &headers("y/Q5Jg=="), "123456780");
    assert_eq!(get(changed).await.unwrap_err().kind, StoreErrorKind::Corrupt);
    let cut = "HTTP/1.1 200 OK\r\netag: \"beef\"\r\ncontent-length: 9\r\n\r\n1234".to_owned();
    assert_eq!(get(cut).await.unwrap_err().kind, StoreErrorKind::Transient);
    // Composite checksums, over parts' checksums, cannot be checked, and are no error.
    let composite = answer("200 OK", &headers("y/Q5Jg==-2"), "123456780");
    assert_eq!(get(composite).await.unwrap().as_deref(), Some(&b"123456780"[..]));
}
