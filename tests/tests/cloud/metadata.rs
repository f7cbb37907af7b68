//! The metadata service that machines get, held against the user guide.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dayfly_tests::aws::{Account, Machine};
use dayfly_tests::metadata::key_of;
use dayfly_tests::{Kind, Metadata, World, run};

fn ask(service: &Metadata, method: &str, path: &str, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(service.url().trim_start_matches("http://")).expect("the service listens");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n").expect("a request is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("the request is whole");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn get(service: &Metadata, path: &str) -> (u16, String) {
    let (status, token) = ask(service, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n");
    assert_eq!(status, 200);
    ask(service, "GET", path, &format!("X-aws-ec2-metadata-token: {token}\r\n"))
}

fn with_machine(body: impl AsyncFn(&Machine, &Metadata)) {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        account.version(&aws, &serde_json::json!({"job": "s3://b/j/"}), &[("dayfly:job", "s3://b/j/")]);
        account.launch(&aws, &account.request("t", 1));
        let machine = aws.machines().remove(0);
        body(&machine, &Metadata::serve(machine.clone())).await;
    });
}

#[test]
fn nothing_is_said_without_a_token_that_holds() {
    with_machine(async |_, service| {
        let path = "/latest/meta-data/instance-id";
        assert_eq!(ask(service, "GET", path, "").0, 401);
        assert_eq!(ask(service, "PUT", "/latest/api/token", "").0, 400);
        let ttl = "X-aws-ec2-metadata-token-ttl-seconds: ";
        assert_eq!(ask(service, "PUT", "/latest/api/token", &format!("{ttl}21601\r\n")).0, 400);
        assert_eq!(ask(service, "PUT", "/latest/api/token", &format!("{ttl}60\r\nX-Forwarded-For: y\r\n")).0, 403);
        let (_, token) = ask(service, "PUT", "/latest/api/token", &format!("{ttl}60\r\n"));
        let token = format!("X-aws-ec2-metadata-token: {token}\r\n");
        assert_eq!(ask(service, "GET", path, &token).0, 200);
        service.void_tokens();
        assert_eq!(ask(service, "GET", path, &token).0, 401);
        assert_eq!(get(service, path).0, 200);
        service.fail(Some(503));
        assert_eq!(ask(service, "GET", path, &token).0, 503);
    });
}

#[test]
fn it_says_what_the_machine_is() {
    with_machine(async |machine, service| {
        let value = |path: &str| get(service, &format!("/latest/{path}"));
        let says = |text: &str| (200, text.to_owned());
        assert_eq!(value("meta-data/instance-id"), says(&machine.id));
        assert_eq!(value("meta-data/instance-type"), says("m5.large"));
        assert_eq!(value("meta-data/instance-life-cycle"), says("spot"));
        assert_eq!(value("meta-data/placement/availability-zone"), says(&machine.zone));
        assert_eq!(value("user-data"), says(r#"{"job":"s3://b/j/"}"#));
        assert_eq!(value("meta-data/tags/instance/dayfly:job"), says("s3://b/j/"));
        assert_eq!(value("meta-data/iam/security-credentials/"), says("dayfly-test"));
        let (_, credentials) = value("meta-data/iam/security-credentials/dayfly-test");
        assert!(credentials.contains(&key_of(&machine.id)), "{credentials}");
        assert_eq!(value("meta-data/iam/security-credentials/other").0, 404);
        assert!(value("dynamic/instance-identity/document").1.contains(&machine.id));
    });
}

#[test]
fn there_is_no_notice_until_there_is_one() {
    with_machine(async |_, service| {
        let (action, rebalance) =
            ("/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance");
        assert_eq!((get(service, action).0, get(service, rebalance).0), (404, 404));
        service.notice("terminate", Duration::from_secs(120));
        let (status, notice) = get(service, action);
        assert!(status == 200 && notice.contains(r#""action":"terminate""#) && notice.ends_with("Z\"}"), "{notice}");
        assert_eq!(get(service, rebalance).0, 404);
        service.recommend_rebalance();
        assert!(get(service, rebalance).1.contains("noticeTime"));
    });
}
