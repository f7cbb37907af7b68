//! What an instance is told in its user data.

use serde::{Deserialize, Serialize};

use crate::ids::Nonce;
use crate::job::Location;

/// The user data of an instance, as JSON: what its agent is to do. Whoever launches writes it, the agent reads it through
/// the instance metadata service; an unknown field is an error, as it was meant to change something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstanceSettings {
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Location>,
    /// The agent's name in keys and logs; else the instance's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tasks at once; else one a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Wait for more lines instead of ending.
    #[serde(skip_serializing_if = "is_false")]
    pub linger: bool,
    /// Where S3 and the other services are, if they are not AWS's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The bucket's region; else the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The launch that the instance belongs to (`launches/<launch>.json`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<Nonce>,
    /// The launch made a fleet that replaces what it loses: the first agent that finds no free chunk deletes the fleet,
    /// without ending its instances.
    #[serde(skip_serializing_if = "is_false")]
    pub shut_off_fleet: bool,
    /// The instance powers off after this long, whatever happens (seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u64>,
    /// How long an agent that is done waits before it powers off, for somebody who watches (seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe_seconds: Option<u64>,
    /// Drain at a rebalance recommendation already, not only at an interruption notice.
    #[serde(skip_serializing_if = "is_false")]
    pub drain_on_rebalance: bool,
    /// The group of CloudWatch Logs that the agent's log goes to as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
    /// The topic of SNS that is told when the job is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_topic: Option<String>,
    /// The version of the controller that launched the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_version: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
