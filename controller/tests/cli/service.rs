//! Through an S3 endpoint: `dayfly serve`, and stores that do not keep their word.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;

use dayfly_controller::endpoint::{BucketDirectory, Endpoint, EndpointSettings};
use dayfly_shared::clock::SystemClock;

use super::rig::{Ran, Rig, command, files, run};

/// Ended with the test, whatever becomes of it.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves the folder; the environment that the program prints.
fn serve(rig: &Rig) -> (Served, Vec<(String, String)>) {
    let mut command = command(&["serve"]);
    let mut child = command.arg(rig.folder()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let served = Served(child);
    let lines = lines.map(Result::unwrap).take_while(|line| !line.starts_with("# then"));
    let exports: Vec<(String, String)> = lines
        .filter_map(|line| line.strip_prefix("export ")?.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())))
        .collect();
    (served, exports)
}

fn with(environment: &[(String, String)], args: &[&str]) -> Ran {
    run(command(args).envs(environment.iter().cloned()).env("AWS_EC2_METADATA_DISABLED", "true"))
}

#[test]
fn a_served_folder_is_an_s3_service_and_keeps_its_address() {
    let rig = Rig::seeded();
    let (served, environment) = serve(&rig);
    let status = with(&environment, &["status", "s3://dayfly/", "--json"]).ok().json();
    assert_eq!(status["tasks"]["done"], 3);
    with(&environment, &["pause", "s3://dayfly/", "--why", "over http"]).ok();
    assert!(rig.read("control.json").contains("over http"));
    let mut wrong = environment.clone();
    wrong.retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY");
    wrong.push(("AWS_SECRET_ACCESS_KEY".to_owned(), "wrong".to_owned()));
    with(&wrong, &["status", "s3://dayfly/"]).failed(1, &["SignatureDoesNotMatch"]);
    with(&environment, &["status", "s3://no-such-bucket/"]).failed(1, &["NoSuchBucket", "aws s3 mb"]);
    with(&[], &["status", "s3://dayfly/", "--endpoint-url", &environment[0].1]).failed(1, &["AWS_PROFILE"]);
    drop(served);
    let mode = rig.folder().join(".dayfly-endpoint.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (_served, again) = serve(&rig);
    assert_eq!(again, environment);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let rig = Rig::new();
    std::fs::create_dir_all(rig.at("")).unwrap();
    rig.file("data/in1.dat", "x");
    rig.file("data/kernel.dat", "k");
    let settings = EndpointSettings { ignore_conditions: true, ..EndpointSettings::new("access", "secret") };
    let clock = Arc::new(SystemClock);
    let buckets = BucketDirectory::new(&rig.folder(), clock.clone()).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::serve(buckets, address, settings, clock, std::future::pending()).await.unwrap();
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.url()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "access".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let data = rig.beside("data");
    let ran = tokio::task::spawn_blocking(move || with(&environment, &["seed", "s3://dayfly/", "--inputs", &data]));
    ran.await.unwrap().failed(1, &["second object", "If-None-Match", "use Amazon S3", "nothing was written"]);
    endpoint.stop().await;
    assert_eq!(files(&rig.folder()), Vec::<String>::new());
}

#[test]
fn agents_that_fail_are_quoted() {
    let rig = Rig::seeded();
    let agent = rig.file("agent", "#!/bin/sh\necho 'error: the disk is on fire' >&2\nexit 1\n");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    rig.dayfly(&["launch", "-q", "--agent", &agent])
        .failed(1, &["local-1 (exit code 1)", "the disk is on fire", "7 tasks"]);
    rig.dayfly(&["launch", "--agent", "nowhere"]).failed(1, &["no agent program nowhere", "DAYFLY_AGENT"]);
}
