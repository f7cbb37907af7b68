//! A deployment: what `dayfly setup` made in an account for the jobs below one place of a bucket.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::{Location, SCHEMA};

/// The deployment's own folder, below its place.
pub const FOLDER: &str = "dayfly";
/// The record's key, below the deployment's place.
const KEY: &str = "dayfly/deployment.json";
/// Where agent programs for stock images lie, below the deployment's place. No folder of a job's own has that name: agents
/// may write to theirs in every folder below the place (`agents/`), and not to this.
const PROGRAMS: &str = "dayfly/programs/";

/// Where the record of the deployment at `place` lies.
pub fn key(place: &Location) -> String {
    place.key(KEY)
}

/// Where the agent program of a version for an architecture (`x86_64`, `arm64`) lies in the deployment at `place`.
pub fn agent_key(place: &Location, version: &str, architecture: &str) -> String {
    place.key(&format!("{PROGRAMS}{version}/{architecture}/dayfly-agent"))
}

/// The record of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The version of this format.
    pub schema: u32,
    /// Its name: part of the names of all that was made for it.
    pub name: String,
    /// The jobs below this place are its own.
    pub place: Location,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Who made it, and with which version.
    pub by: String,
    /// The controller's version.
    pub version: String,
    /// When it was set up last.
    pub at: Timestamp,
    /// The agents' role.
    pub role: Resource,
    /// The instance profile that hands it to instances.
    pub instance_profile: Resource,
    /// The launch template whose versions instances are launched from.
    pub launch_template: Resource,
    /// The virtual network.
    pub vpc: String,
    /// Subnets to launch into, one a zone or more.
    pub subnets: Vec<Subnet>,
    /// Security groups of instances, none with an inbound rule of dayfly's making.
    pub security_groups: Vec<Resource>,
    /// Whether dayfly made the bucket.
    pub made_bucket: bool,
    /// Whether the place is one job, and its policies have no wildcard for more.
    #[serde(default)]
    pub isolate: bool,
    /// After how many days S3 removes logs of the jobs; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_logs_days: Option<u32>,
    /// The bucket's customer key (SSE-KMS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Whether instances can be reached through SSM.
    #[serde(default)]
    pub ssm: bool,
    /// Whether the role may shut fleets off.
    #[serde(default)]
    pub fleet_shut_off: bool,
    /// The group of CloudWatch Logs that agents may write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
    /// The topic of SNS that agents may tell when a job is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_topic: Option<String>,
    /// Secrets that agents may read: names, or beginnings of names that end with `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The container repository that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecr_repository: Option<String>,
    /// Whether agents may also push to it.
    #[serde(default)]
    pub ecr_push: bool,
    /// Agent programs in the bucket, for stock images.
    #[serde(default)]
    pub agents: Vec<AgentProgram>,
    /// The value of the tag Owner.
    pub owner: String,
    /// The value of the tag Project.
    pub project: String,
}

impl Deployment {
    /// One of which nothing is known but where it is: the names of all that setup makes follow from its own.
    pub fn named(name: &str, place: Location, account: &str, region: &str) -> Self {
        let made = |name: String| Resource { name, id: String::new(), made: true };
        let role = format!("dayfly-{name}-{region}");
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            place,
            account: account.to_owned(),
            region: region.to_owned(),
            by: String::new(),
            version: String::new(),
            at: Timestamp::default(),
            role: made(role.clone()),
            instance_profile: made(role),
            launch_template: made(format!("dayfly-{name}")),
            vpc: String::new(),
            subnets: Vec::new(),
            security_groups: vec![made(format!("dayfly-{name}"))],
            made_bucket: true,
            isolate: false,
            keep_logs_days: None,
            kms_key: None,
            ssm: false,
            fleet_shut_off: false,
            log_group: None,
            notify_topic: None,
            secrets: Vec::new(),
            ecr_repository: None,
            ecr_push: false,
            agents: Vec::new(),
            owner: String::new(),
            project: String::new(),
        }
    }
}

/// Something in the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name, where it has one.
    pub name: String,
    /// Its id or ARN, as the API takes it.
    pub id: String,
    /// Whether dayfly made it; what it did not make it never removes.
    pub made: bool,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Its availability zone, such as `us-east-1a`.
    pub zone: String,
    /// Whether instances in it get a public IPv4 address.
    pub public: bool,
}

/// An agent program in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProgram {
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// What it says of itself.
    pub version: String,
    /// Its key in the deployment's bucket.
    pub key: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}
