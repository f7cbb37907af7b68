//! The stand-in for AWS as a test holds it (tests/aws_double.py): faults to set, calls that were made, machines that run,
//! and calls of the test's own.

mod account;
mod call;
mod disks;
mod machine;
mod policies;
mod trouble;
pub(crate) mod wire;

use std::path::Path;
use std::process::Command;

use dayfly_shared::job::Location;
use dayfly_shared::launch::tags;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::server::{Kind, REGION, Server};

pub use account::{Account, FleetRequest, base64};
pub use call::{Call, Check};
pub use disks::{DiskImage, Snapshot};
pub use machine::{Machine, Volume};
pub use trouble::{Set, Trouble};

/// The one account there is.
pub const ACCOUNT: &str = "123456789012";
/// The access key of the person who runs dayfly, unless a test says otherwise.
pub const OPERATOR: &str = "DAYFLYTESTKEY";
/// The test's own access key: what it asks is left out where calls are judged.
pub const TEST: &str = "THETESTITSELF";

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It powers off; its shutdown behaviour decides whether it stops or is terminated.
    PowerOff,
    /// EC2 takes a spot machine back.
    Reclaim,
    /// It breaks.
    Kill,
}

/// An answer to a call of the test's own.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The text between the first `<name>` and its end.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).into_iter().next()
    }

    /// The same, of every such element.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        self.body.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(inner, _)| inner).collect()
    }

    /// The body, as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.body))
    }
}

/// The stand-in.
pub struct Aws {
    url: String,
    /// Where this handle started it.
    _server: Option<Server>,
}

impl Aws {
    /// Starts one, its log in `folder`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(folder: &Path) -> Self {
        let server = Server::start(Kind::Aws, folder);
        Self { url: server.url().to_owned(), _server: Some(server) }
    }

    /// The one that runs at `url`: a world's.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), _server: None }
    }

    /// Where it is: the `AWS_ENDPOINT_URL` of all services.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets what a program needs to call as the holder of this access key, and nothing else of AWS's.
    pub fn identify(&self, command: &mut Command, key: &str) {
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", "a secret of these tests")
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }

    /// Asks the control path.
    ///
    /// # Panics
    /// If the double refuses: the test asked for something that is not there.
    fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, text) = wire::request(&self.url, method, &format!("/_double/{path}"), &[], body.as_bytes());
        assert_eq!(status, 200, "{method} /_double/{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("/_double/{path} says no JSON ({e}): {text}"))
    }

    /// Sets a fault. It stays until it is taken back, or the double ends.
    ///
    /// # Panics
    /// If the double does not take it.
    pub fn set(&self, trouble: Trouble) -> Set {
        let answer = self.control("POST", "rules", Some(&trouble.into_json()));
        Set::new(&self.url, answer["number"].as_u64().expect("a rule's number"))
    }

    /// Every call so far, in order; calls of the test itself ([`TEST`]) left out.
    pub fn calls(&self) -> Vec<Call> {
        let calls = self.control("GET", "calls", None);
        let calls = calls.as_array().expect("a list of calls").iter().map(Call::read);
        calls.filter(|call| call.key.as_deref() != Some(TEST)).collect()
    }

    /// Calls of one kind.
    pub fn calls_of(&self, service: &str, action: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.service == service && call.action == action).collect()
    }

    /// Calls signed with one access key.
    pub fn calls_by(&self, key: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.key.as_deref() == Some(key)).collect()
    }

    /// All machines, those that have ended too.
    pub fn machines(&self) -> Vec<Machine> {
        let machines = self.control("GET", "instances", None);
        machines.as_array().expect("a list of machines").iter().map(Machine::read).collect()
    }

    /// Machines with this tag.
    pub fn machines_tagged(&self, tag: &str, value: &str) -> Vec<Machine> {
        self.machines().into_iter().filter(|machine| machine.tags.get(tag).is_some_and(|v| v == value)).collect()
    }

    /// The machines of a job, by its tag.
    pub fn machines_of(&self, job: &Location) -> Vec<Machine> {
        self.machines_tagged(tags::JOB, &job.to_string())
    }

    /// One machine.
    ///
    /// # Panics
    /// If there is none of that id.
    pub fn machine(&self, id: &str) -> Machine {
        let found = self.machines().into_iter().find(|machine| machine.id == id);
        found.unwrap_or_else(|| panic!("there is no machine {id}"))
    }

    /// Ends a machine, not through the API.
    pub fn end(&self, id: &str, how: End) {
        let how = match how {
            End::PowerOff => "power-off",
            End::Reclaim => "reclaim",
            End::Kill => "kill",
        };
        self.control("POST", "end", Some(&json!({"id": id, "how": how})));
    }

    /// What `ec2:GetConsoleOutput` says of a machine from now on.
    pub fn set_console(&self, id: &str, text: &str) {
        self.control("POST", "console", Some(&json!({"id": id, "text": text})));
    }

    /// A machine was launched, an image registered or a snapshot begun that many seconds earlier than it was.
    pub fn age(&self, id: &str, seconds: u64) {
        self.control("POST", "settings", Some(&json!({"age": {id: seconds}})));
    }

    /// Instance profiles made from now on are not seen by that many of EC2's next launches (IAM is eventually consistent).
    pub fn hide_new_profiles(&self, launches: u32) {
        self.control("POST", "settings", Some(&json!({"profile_unseen": launches})));
    }

    /// Sets a quota of EC2: `L-1216C47A` is vCPUs on demand, `L-34B43A08` on spot.
    pub fn set_quota(&self, code: &str, value: f64) {
        self.control("POST", "settings", Some(&json!({"quotas": {code: value}})));
    }

    /// An image of the account's own with these tags; its id.
    ///
    /// # Panics
    /// If the double says no id.
    pub fn add_image(&self, name: &str, architecture: &str, tags: &[(&str, &str)]) -> String {
        let tags: serde_json::Map<_, _> = tags.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let image = json!({"name": name, "architecture": architecture, "tags": tags, "region": REGION});
        self.control("POST", "images", Some(&image))["id"].as_str().expect("an image's id").to_owned()
    }

    /// An image with an agent of this version in it, for x86-64; its id.
    pub fn add_dayfly_image(&self, version: &str) -> String {
        self.add_image(&format!("dayfly-{version}"), "x86_64", &[("dayfly:agent", version)])
    }

    /// A public parameter of Systems Manager, such as one that names a stock image.
    pub fn set_parameter(&self, name: &str, value: &str) {
        self.control("POST", "parameters", Some(&json!({"name": name, "value": value})));
    }

    /// A machine registers with Systems Manager: commands reach it from now on.
    pub fn register_with_ssm(&self, id: &str) {
        self.control("POST", "ssm", Some(&json!({"id": id, "region": REGION})));
    }

    /// A call of a Query service (`ec2`, `iam`, `sts`) by the test itself.
    pub fn query(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        self.query_as(TEST, service, action, parameters)
    }

    /// The same, by the holder of an access key.
    pub fn query_as(&self, key: &str, service: &str, action: &str, parameters: &[(&str, &str)]) -> Reply {
        let version = match service {
            "ec2" => "2016-11-15",
            "iam" => "2010-05-08",
            _ => "2011-06-15",
        };
        let mut body = format!("Action={action}&Version={version}");
        for (name, value) in parameters {
            body += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        let form = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8".to_owned());
        let headers = [form, ("Authorization", wire::scope(key, service))];
        let (status, body) = wire::request(&self.url, "POST", "/", &headers, body.as_bytes());
        Reply { status, body }
    }

    /// A call of S3 by the test itself: `s3("PUT", "/bucket?policy", …)`.
    pub fn s3(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("Authorization", wire::scope(TEST, "s3"))];
        let (status, body) = wire::request(&self.url, method, path, &headers, body.as_bytes());
        Reply { status, body }
    }

    /// Makes a bucket in a region, or in [`REGION`].
    ///
    /// # Panics
    /// If the double refuses.
    pub fn make_bucket(&self, bucket: &str, region: Option<&str>) {
        let body = region.map(|region| {
            format!("<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>")
        });
        let reply = self.s3("PUT", &format!("/{bucket}"), &body.unwrap_or_default());
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// A call of a JSON service by the test itself: `ask("ssm", "AmazonSSM.SendCommand", …)`.
    pub fn ask(&self, service: &str, target: &str, body: &Value) -> Reply {
        let headers = [
            ("Content-Type", "application/x-amz-json-1.1".to_owned()),
            ("X-Amz-Target", target.to_owned()),
            ("Authorization", wire::scope(TEST, service)),
        ];
        let (status, body) = wire::request(&self.url, "POST", "/", &headers, body.to_string().as_bytes());
        Reply { status, body }
    }
}
