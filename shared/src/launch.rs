//! The record of a launch: what was meant, written before anything is asked of EC2, and what came of it.
//!
//! `launches/<launch>.json` is put create-only with the intent; then `If-Match` with the number of the template's version
//! that was made for it, and then with the outcome. A launch that was cut off in between is found by its record and its
//! tags, and asked for again under the same client token and with the same request, so that no second fleet comes of it
//! (EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests").

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::Nonce;

/// Tags of everything that a launch makes.
pub mod tags {
    /// The deployment's name.
    pub const DEPLOYMENT: &str = "dayfly:deployment";
    /// On a deployment's launch template: the place that its jobs lie below.
    pub const PLACE: &str = "dayfly:place";
    /// The job, as `s3://bucket/prefix/`.
    pub const JOB: &str = "dayfly:job";
    /// The launch.
    pub const LAUNCH: &str = "dayfly:launch";
    /// On an instance that `dayfly reap` means to end at its next look: since when.
    pub const CONDEMNED: &str = "dayfly:condemned";
    /// Whose it is.
    pub const OWNER: &str = "Owner";
    /// What it is for.
    pub const PROJECT: &str = "Project";
    /// On an image: the version of the agent in it.
    pub const AGENT: &str = "dayfly:agent";
    /// On an image and its snapshots: its flavour, such as `minimal`.
    pub const IMAGE: &str = "dayfly:image";
    /// On an image and its snapshot: a digest of what it was made from.
    pub const SOURCE: &str = "dayfly:source";
    /// On a snapshot that is being written: how many of its blocks have arrived.
    pub const WRITTEN: &str = "dayfly:written";
    /// On an image: that it has drivers for GPUs.
    pub const GPU: &str = "dayfly:gpu";
    /// What the console shows.
    pub const NAME: &str = "Name";
}

/// A launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The version of this format.
    pub schema: u32,
    /// Its id, also in the tags of what it made.
    pub id: Nonce,
    /// The client token of its requests: used with this request and no other.
    pub client_token: String,
    /// Who launched.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What was asked for.
    pub request: Request,
    /// The most that the job is to cost, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<String>,
    /// What came of it; absent until EC2 has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// A launch's request, complete: sent again it is the same to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Machines wanted.
    pub count: u32,
    /// Machines that are to be on demand whatever happens; the rest is of the market.
    pub on_demand_base: u32,
    /// The market of the rest.
    pub market: Market,
    /// Whether the fleet replaces what it loses (type `maintain`), or is a single answer (`instant`).
    pub maintain: bool,
    /// The launch template, and the version that was made for this launch.
    pub template: Template,
    /// Instance types, in order of preference; empty where needs stand instead.
    pub instance_types: Vec<String>,
    /// What the template's version says of each machine.
    #[serde(default)]
    pub machine: Blueprint,
    /// What a machine has to have, for EC2 to choose types by (attribute-based selection).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// Subnets, of all zones.
    pub subnets: Vec<String>,
    /// The most to pay for a spot machine, dollars an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<String>,
    /// Whether machines get a public IPv4 address each, for its price; absent where it depends on the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_addresses: Option<bool>,
    /// Tags of instances and volumes.
    pub tags: std::collections::BTreeMap<String, String>,
}

impl Launch {
    /// Whether something of it has not been answered yet: it was cut off, or is under way.
    pub fn is_open(&self) -> bool {
        match &self.outcome {
            None => true,
            Some(outcome) => outcome.fallback.as_ref().is_some_and(|further| further.is_open()),
        }
    }

    /// The last of its requests.
    pub fn last(&self) -> &Launch {
        match self.outcome.as_ref().and_then(|outcome| outcome.fallback.as_deref()) {
            Some(further) => further.last(),
            None => self,
        }
    }

    /// The last of its requests, to be changed.
    pub fn last_mut(&mut self) -> &mut Launch {
        let mut last = self;
        while last.outcome.as_ref().is_some_and(|outcome| outcome.fallback.is_some()) {
            match last.outcome.as_mut().and_then(|outcome| outcome.fallback.as_deref_mut()) {
                Some(further) => last = further,
                None => unreachable!("it was there a line ago"),
            }
        }
        last
    }

    /// It and the requests after it, in order.
    pub fn requests(&self) -> Vec<&Launch> {
        let mut all = vec![self];
        while let Some(further) =
            all.last().and_then(|last| last.outcome.as_ref()).and_then(|outcome| outcome.fallback.as_deref())
        {
            all.push(further);
        }
        all
    }
}

/// Spot or on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// Spot.
    Spot,
    /// On demand.
    OnDemand,
}

/// A version of a launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// `lt-…`.
    pub id: String,
    /// The version's number; empty until it is made.
    pub version: String,
    /// The image in it.
    pub image: String,
    /// The image's architecture, as EC2 says it (`x86_64`, `arm64`).
    pub architecture: String,
}

/// What each machine of a launch is made by: all of a template's version but the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// The user data, as the machine sees it.
    pub user_data: String,
    /// The root volume's device name, as the image says it.
    pub root_device: String,
    /// The root volume's size in GiB; else the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u32>,
    /// The instance profile's name.
    pub instance_profile: String,
    /// The security groups' ids.
    pub security_groups: Vec<String>,
    /// How long a machine may live, in seconds. No machine of a fleet is replaced after that either.
    pub lifetime_seconds: u64,
}

/// What a machine has to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Virtual CPUs, at least.
    pub vcpus: u32,
    /// Memory in MiB, at least.
    pub memory_mib: u32,
    /// GPUs, at least.
    pub gpus: u32,
}

/// What came of a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When EC2 answered.
    pub at: Timestamp,
    /// Why there is no answer of EC2's: the call was refused, or `dayfly reap` closed a launch that was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// The fleet, `fleet-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// Machines that came up at once.
    #[serde(default)]
    pub instances: Vec<Launched>,
    /// Why others did not: the code, the text, and how many of the answer's pools said so.
    #[serde(default)]
    pub errors: Vec<LaunchError>,
    /// A further request, for what this one did not give: on demand what spot could not, or the same again where the
    /// instance profile was not visible yet. It has its own token, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Box<Launch>>,
}

impl Market {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Market::Spot => "spot",
            Market::OnDemand => "on-demand",
        }
    }
}

/// A machine that was launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// `i-…`.
    pub id: String,
    /// Its type.
    pub instance_type: String,
    /// Its zone, where the answer tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its market.
    pub market: Market,
}

/// Why machines did not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchError {
    /// EC2's code.
    pub code: String,
    /// EC2's words.
    pub message: String,
    /// Where: types and zones, as far as the answer tells.
    #[serde(default)]
    pub pools: Vec<String>,
}
