//! The evaluator against the examples and rules of the IAM user guide.

use serde_json::{Value, json};

use super::{Decision, Judge, Principal};
use crate::aws::Check;

fn policy(statements: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn judge(statements: Value) -> Judge {
    Judge::of(Principal::role("agents")).identity("p", &policy(statements))
}

/// Whether a check passes under one condition on an otherwise unlimited allow.
fn holds(condition: Value, context: &[(&str, &str)]) -> bool {
    let judge = judge(json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}));
    let check = context.iter().fold(Check::new("s3:GetObject", "arn:aws:s3:::b/k"), |c, (k, v)| c.with(k, v));
    matches!(judge.decide(&check), Decision::Allowed(_))
}

#[test]
fn nothing_is_allowed_that_no_statement_allows() {
    let judge = judge(json!({"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/job/*"}));
    let decide = |action: &str, resource: &str| judge.decide(&Check::new(action, resource));
    assert_eq!(decide("s3:GetObject", "arn:aws:s3:::b/job/x"), Decision::Allowed(vec!["p/0".to_owned()]));
    assert_eq!(decide("S3:getobject", "arn:aws:s3:::b/job/x/y"), Decision::Allowed(vec!["p/0".to_owned()]));
    assert_eq!(decide("s3:PutObject", "arn:aws:s3:::b/job/x"), Decision::Implicit);
    assert_eq!(decide("s3:GetObject", "arn:aws:s3:::b/jobs/x"), Decision::Implicit);
    assert_eq!(decide("s3:GetObject", "arn:aws:s3:::b/Job/x"), Decision::Implicit);
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let bucket = policy(json!([
        {"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::b/*"},
        {"Sid": "yes", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/agents"},
         "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"},
        {"Sid": "others", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::123456789012:role/others"]},
         "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*"},
    ]));
    let judge = judge(json!({"Effect": "Allow", "Action": "s3:Delete*", "Resource": "*"})).resource("bucket", &bucket);
    let decide = |action: &str| judge.decide(&Check::new(action, "arn:aws:s3:::b/k"));
    assert_eq!(decide("s3:DeleteObject"), Decision::Denied(vec!["bucket/no".to_owned()]));
    assert_eq!(decide("s3:GetObject"), Decision::Allowed(vec!["bucket/yes".to_owned()]));
    assert_eq!(decide("s3:PutObject"), Decision::Implicit);
}

#[test]
fn not_action_not_resource_and_not_principal_are_all_the_others() {
    let bucket = policy(json!({"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/agents"},
        "Action": "s3:*", "NotResource": "arn:aws:s3:::b/public/*"}));
    let allow = policy(json!({"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}));
    let of = |role: &str| Judge::of(Principal::role(role)).identity("i", &allow).resource("b", &bucket);
    let get = |key: &str| Check::new("s3:GetObject", &format!("arn:aws:s3:::b/{key}"));
    of("agents").expect_allowed(&[get("x")]);
    of("agents").expect_denied(&[Check::new("s3:DeleteObject", "arn:aws:s3:::b/x")]);
    of("others").expect_denied(&[get("x")]);
    of("others").expect_allowed(&[get("public/x")]);
}

#[test]
fn an_absent_key_matches_nothing() {
    assert!(!holds(json!({"StringEquals": {"s3:prefix": "a"}}), &[]));
    assert!(holds(json!({"StringNotEquals": {"s3:prefix": "a"}}), &[]));
    assert!(holds(json!({"StringEqualsIfExists": {"s3:prefix": "a"}}), &[]));
    assert!(!holds(json!({"StringEqualsIfExists": {"s3:prefix": "a"}}), &[("s3:prefix", "b")]));
    assert!(!holds(json!({"Bool": {"s3:ObjectCreationOperation": "false"}}), &[]));
    assert!(!holds(json!({"NumericLessThan": {"s3:max-keys": "10"}}), &[]));
    assert!(holds(json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:iam::1:role/x"}}), &[]));
}

#[test]
fn null_asks_whether_a_key_is_absent() {
    assert!(holds(json!({"Null": {"s3:if-none-match": "true"}}), &[]));
    assert!(!holds(json!({"Null": {"s3:if-none-match": "true"}}), &[("s3:if-none-match", "*")]));
    assert!(holds(json!({"Null": {"s3:if-none-match": false}}), &[("s3:If-None-Match", "*")]));
    assert!(!holds(json!({"Null": {"s3:if-none-match": "false"}}), &[]));
}

#[test]
fn several_conditions_all_hold_and_of_several_values_one() {
    let both = json!({"StringEquals": {"a:x": ["1", "2"], "a:y": "3"}});
    assert!(holds(both.clone(), &[("a:x", "2"), ("a:y", "3")]));
    assert!(!holds(both, &[("a:x", "2"), ("a:y", "4")]));
    let neither = json!({"StringNotEquals": {"a:x": ["1", "2"]}});
    assert!(!holds(neither.clone(), &[("a:x", "2")]));
    assert!(holds(neither, &[("a:x", "3")]));
}

#[test]
fn sets_are_compared_member_by_member() {
    let all = json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Owner", "Name"]}});
    assert!(holds(all.clone(), &[("aws:TagKeys", "Owner"), ("aws:TagKeys", "Name")]));
    assert!(!holds(all.clone(), &[("aws:TagKeys", "Owner"), ("aws:TagKeys", "Other")]));
    assert!(holds(all, &[]));
    let any = json!({"ForAnyValue:StringLike": {"aws:TagKeys": "dayfly:*"}});
    assert!(holds(any.clone(), &[("aws:TagKeys", "Owner"), ("aws:TagKeys", "dayfly:job")]));
    assert!(!holds(any.clone(), &[("aws:TagKeys", "Owner")]));
    assert!(!holds(any, &[]));
    let none = json!({"ForAllValues:StringNotEquals": {"aws:TagKeys": "Owner"}});
    assert!(!holds(none, &[("aws:TagKeys", "Owner"), ("aws:TagKeys", "Name")]));
}

#[test]
fn wildcards_mean_something_only_where_operators_know_them() {
    assert!(!holds(json!({"StringEquals": {"s3:prefix": "job/*"}}), &[("s3:prefix", "job/x")]));
    assert!(holds(json!({"StringLike": {"s3:prefix": "job/*"}}), &[("s3:prefix", "job/x")]));
    assert!(holds(json!({"StringLike": {"s3:prefix": ["", "j?b/*z"]}}), &[("s3:prefix", "job/xyzyz")]));
    assert!(!holds(json!({"StringLike": {"s3:prefix": "job/*"}}), &[("s3:prefix", "Job/x")]));
    assert!(holds(json!({"StringEqualsIgnoreCase": {"s3:prefix": "JOB"}}), &[("s3:prefix", "job")]));
    let arn = json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:b*"}});
    assert!(holds(arn.clone(), &[("aws:SourceArn", "arn:aws:s3:::bucket")]));
    assert!(!holds(arn, &[("aws:SourceArn", "arn:aws:sns:::bucket")]));
    // A star of one part does not reach into the next.
    assert!(!holds(json!({"ArnEquals": {"a:n": "arn:aws:*:role/x"}}), &[("a:n", "arn:aws:iam::1:role/x")]));
}

#[test]
fn numbers_dates_addresses_and_truth() {
    assert!(holds(json!({"NumericLessThanEquals": {"s3:max-keys": 10}}), &[("s3:max-keys", "10")]));
    assert!(!holds(json!({"NumericGreaterThan": {"s3:max-keys": "9.5"}}), &[("s3:max-keys", "9")]));
    let before = json!({"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}});
    assert!(holds(before.clone(), &[("aws:CurrentTime", "2025-12-31T23:59:59Z")]));
    assert!(!holds(before, &[("aws:CurrentTime", "1767225600")]));
    assert!(holds(json!({"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}}), &[("aws:SourceIp", "10.1.255.1")]));
    assert!(!holds(json!({"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}}), &[("aws:SourceIp", "10.2.0.1")]));
    assert!(holds(json!({"NotIpAddress": {"aws:SourceIp": "10.1.0.0/16"}}), &[("aws:SourceIp", "10.2.0.1")]));
    assert!(holds(json!({"Bool": {"aws:SecureTransport": true}}), &[("aws:SecureTransport", "true")]));
}

#[test]
fn variables_stand_for_the_request_s_values_and_nothing_more() {
    let mine = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"});
    let of = |principal| Judge::of(principal).identity("p", &policy(mine.clone()));
    let get = |key: &str| Check::new("s3:GetObject", &format!("arn:aws:s3:::b/{key}"));
    of(Principal::role("r").tagged("team", "red")).expect_allowed(&[get("red/x")]);
    of(Principal::role("r").tagged("team", "red")).expect_denied(&[get("blue/x")]);
    // A value with a star is that star, and a variable without a value is no resource.
    of(Principal::role("r").tagged("team", "*")).expect_denied(&[get("blue/x")]);
    of(Principal::role("r")).expect_denied(&[get("/x"), get("x")]);
    assert!(holds(json!({"StringEquals": {"a:x": "${a:y, 'none'}"}}), &[("a:x", "none")]));
    assert!(holds(json!({"StringLike": {"a:x": "1${*}"}}), &[("a:x", "1*")]));
    assert!(!holds(json!({"StringLike": {"a:x": "1${*}"}}), &[("a:x", "12")]));
}

#[test]
fn what_is_not_understood_is_no_policy() {
    let wrong = [
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEqual": {"a:x": "1"}}}),
        json!({"Effect": "Allow", "Actions": "*", "Resource": "*"}),
        json!({"Effect": "allow", "Action": "*", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "*"}),
        json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Null": {"a:x": "yes"}}}),
    ];
    for statement in wrong {
        assert!(super::document::read("p", &policy(statement.clone()), false).is_err(), "{statement}");
    }
    assert!(super::document::read("p", &json!({"Statement": []}), false).is_err());
}

/// The example of "Enforce conditional writes on Amazon S3 buckets", in our words: puts need `If-None-Match`, but for the
/// beginning and the parts of a multipart upload.
#[test]
fn conditional_writes_are_enforced() {
    let judge = judge(json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})).resource(
        "bucket",
        &policy(json!({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}})),
    );
    let put =
        |creates: &str| Check::new("s3:PutObject", "arn:aws:s3:::b/k").with("s3:ObjectCreationOperation", creates);
    judge.expect_allowed(&[put("true").with("s3:if-none-match", "*"), put("false")]);
    judge.expect_denied(&[put("true"), put("true").with("s3:if-match", "\"e\"")]);
}

#[test]
fn recordings_show_what_was_refused_and_what_was_never_used() {
    let judge = judge(json!([
        {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
        {"Sid": "Write", "Effect": "Allow", "Action": "s3:Put*", "Resource": "arn:aws:s3:::b/job/*"},
    ]));
    let call = |check: Check| crate::aws::Call {
        service: "s3".to_owned(),
        action: check.action.clone(),
        key: None,
        region: "us-east-1".to_owned(),
        request: String::new(),
        token: None,
        dry_run: false,
        status: Some(200),
        code: None,
        checks: vec![check],
    };
    let calls = [
        call(Check::new("s3:GetObject", "arn:aws:s3:::b/k")),
        call(Check::new("s3:PutObject", "arn:aws:s3:::b/other/k")),
    ];
    let refused = judge.refused(&calls);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("s3:PutObject on arn:aws:s3:::b/other/k"), "{refused:?}");
    assert_eq!(judge.unused(&calls), ["p/Read: s3:ListBucket", "p/Write: s3:Put*"]);
}
