//! The agent's settings from an instance metadata service (IMDSv2), served by the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const TOKEN: &str = "a-session-token";

/// Serves metadata, and refuses every S3 request; notes what was asked.
struct Service {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start(user_data: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || answer(stream, user_data, at, &notes));
            }
        });
        Self { at, asked }
    }

    fn run_agent(&self, arguments: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dayfly-agent"));
        for name in ["DAYFLY_JOB", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"] {
            command.env_remove(name);
        }
        command
            .arg("--metadata")
            .args(arguments)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", self.at))
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("DAYFLY_WORK_DIR", folder.path())
            .env("HOME", folder.path())
            .output()
            .unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, user_data: Option<&str>, at: SocketAddr, notes: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line.to_lowercase());
        }
        let length = lines.iter().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = lines[0].split(" http").next().unwrap().to_owned();
        let has_token = lines.contains(&format!("x-aws-ec2-metadata-token: {TOKEN}"));
        let user_data = user_data.map(|text| text.replace("ENDPOINT", &format!("http://{at}")));
        let (status, text) = match (request.as_str(), user_data) {
            ("put /latest/api/token", _) => ("200 OK", TOKEN.to_owned()),
            (path, _) if path.starts_with("get /latest") && !has_token => ("401 Unauthorized", String::new()),
            ("get /latest/user-data", Some(text)) => ("200 OK", text),
            ("get /latest/dynamic/instance-identity/document", _) => {
                ("200 OK", r#"{"instanceId": "i-0123456789abcdef0", "version": "2017-09-30"}"#.to_owned())
            }
            (path, _) if path.starts_with("get /latest") => ("404 Not Found", String::new()),
            _ => ("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned()),
        };
        notes.lock().unwrap().push(request);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn user_data_names_the_job_and_its_store() {
    let service = Service::start(Some(
        r#"{"job": "s3://the-bucket/the-job", "region": "eu-west-1", "endpoint_url": "ENDPOINT"}"#,
    ));
    let output = service.run_agent(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("s3:GetObject s3://the-bucket/the-job/plan/"), "{text}");
    assert!(service.asked().iter().any(|r| r.starts_with("get /the-bucket/the-job/plan/")), "{:?}", service.asked());
    assert!(service.asked().contains(&"get /latest/dynamic/instance-identity/document".to_owned()));
}

#[test]
fn flags_outrank_user_data() {
    let service = Service::start(Some(r#"{"job": "s3://the-bucket/the-job", "endpoint_url": "ENDPOINT"}"#));
    let output = service.run_agent(&["--job", "s3://other/job", "--region", "eu-west-1"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("s3://other/job/plan/"), "{text}");
}

#[test]
fn user_data_that_is_something_else_is_said() {
    let service = Service::start(Some("#!/bin/bash\necho hello\n"));
    let output = service.run_agent(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("user data is not what the agent reads"), "{text}");
}

#[test]
fn without_a_job_anywhere_the_agent_says_where_to_put_one() {
    let service = Service::start(None);
    let output = service.run_agent(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("--job s3://BUCKET/PREFIX"), "{text}");
}
