use super::*;

const CALL: Call<'_> = Call {
    action: "s3:PutObject",
    bucket: "b",
    key: Some("job/out 3.dat"),
    region: "eu-west-1",
    endpoint: None,
    profile: None,
};

fn answer(status: u16, code: &str) -> Failure {
    Failure { status: Some(status), code: code.to_owned(), ..Failure::default() }
}

#[test]
fn answers_mean_what_the_table_says() {
    use Rejection::{Conflict, Missing, NoSuchUpload, Precondition};
    let rejected = |why| Ok(Outcome::<()>::Rejected(why));
    let write = |status, code| answer(status, code).of_write::<()>(&CALL);
    assert_eq!(write(412, "PreconditionFailed"), rejected(Precondition));
    assert_eq!(write(412, ""), rejected(Precondition));
    // An error inside a 200, and a 409 under a code of some other store.
    assert_eq!(write(200, "PreconditionFailed"), rejected(Precondition));
    assert_eq!(write(409, "ConcurrentModification"), rejected(Conflict));
    assert_eq!(write(409, "ConditionalRequestConflict"), rejected(Conflict));
    assert_eq!(write(409, ""), rejected(Conflict));
    assert_eq!(write(409, "NoSuchUpload"), rejected(NoSuchUpload));
    assert_eq!(write(404, "NoSuchUpload"), rejected(NoSuchUpload));
    assert_eq!(write(404, "NoSuchKey"), rejected(Missing));
    assert_eq!(write(404, ""), rejected(Missing));
    for (status, code) in [
        (500, "InternalError"),
        (200, "InternalError"),
        (200, ""),
        (502, ""),
        (503, "SlowDown"),
        (503, ""),
        (504, ""),
        (400, "RequestTimeout"),
        (429, ""),
    ] {
        assert!(matches!(write(status, code), Ok(Outcome::Unknown(_))), "{status} {code}");
        assert_eq!(
            answer(status, code).of_read(&CALL).map_err(|e| e.kind),
            Err(StoreErrorKind::Transient),
            "{status} {code}"
        );
    }
}

#[test]
fn refusals_say_what_to_do() {
    use StoreErrorKind as Kind;
    let fails = |failure: Failure, kind: Kind, words: &[&str]| {
        let error = failure.of_write::<()>(&CALL).expect_err("refused");
        assert_eq!(error.kind, kind, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error} lacks {word}");
        }
    };
    fails(answer(403, "AccessDenied"), Kind::Denied, &["s3:PutObject", "s3://b/job/out 3.dat", "allow"]);
    fails(answer(403, ""), Kind::Denied, &["status 403", "allow s3:PutObject"]);
    fails(answer(403, "SignatureDoesNotMatch"), Kind::Denied, &["secret key"]);
    fails(answer(403, "RequestTimeTooSkewed"), Kind::Denied, &["clock"]);
    fails(answer(400, "ExpiredToken"), Kind::ExpiredCredentials, &["log in"]);
    fails(answer(404, "NoSuchBucket"), Kind::NoSuchBucket, &["aws s3 mb s3://b"]);
    fails(answer(507, ""), Kind::Full, &["space"]);
    fails(answer(501, "NotImplemented"), Kind::Unsupported, &["NotImplemented"]);
    fails(answer(400, "EntityTooSmall"), Kind::Unsupported, &["EntityTooSmall"]);
    fails(answer(301, "PermanentRedirect"), Kind::WrongRegion, &["get-bucket-location"]);
    let told = |status, code| Failure { region: Some("us-east-2".into()), ..answer(status, code) };
    fails(told(301, "PermanentRedirect"), Kind::WrongRegion, &["set the region to us-east-2"]);
    fails(told(400, "AuthorizationHeaderMalformed"), Kind::WrongRegion, &["us-east-2", "eu-west-1"]);
    fails(told(400, ""), Kind::WrongRegion, &["us-east-2"]);
}

#[test]
fn a_region_is_read_from_an_error_document() {
    let body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>";
    assert_eq!(element(body, "Region").as_deref(), Some("eu-central-1"));
    assert_eq!(element(b"<Error/>", "Region"), None);
}
