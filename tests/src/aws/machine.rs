//! A machine as EC2 has it, looked at past the API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::{maybe, text};

/// An instance.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// `i-…`.
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Its subnet.
    pub subnet: String,
    /// Its type.
    pub instance_type: String,
    /// Its image.
    pub image: String,
    /// `spot` or `on-demand`.
    pub market: String,
    /// `running`, `stopped`, `terminated`.
    pub state: String,
    /// Why it ended (`Client.InstanceInitiatedShutdown`).
    pub reason: String,
    /// What powering off does: `terminate` or `stop`.
    pub shutdown: String,
    /// Its instance profile.
    pub profile: Option<String>,
    /// The role in that profile.
    pub role: Option<String>,
    /// Its user data, decoded.
    pub user_data: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its key pair.
    pub key_name: Option<String>,
    /// `required` where only IMDSv2 is served.
    pub http_tokens: String,
    /// How many hops the metadata service's answers go.
    pub hop_limit: u64,
    /// Whether the metadata service shows its tags.
    pub metadata_tags: bool,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// A volume of a machine.
#[derive(Clone, Debug)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// `gp3`.
    pub kind: String,
    /// Its size (GiB).
    pub size: u64,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

pub(crate) fn tags(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Machine {
    /// A spot machine of no account, for a metadata service that stands by itself.
    pub fn made_up() -> Self {
        let made_up = json!({
            "id": "i-0123456789abcdef0",
            "type": "c7i.large",
            "zone": "us-east-1a",
            "region": "us-east-1",
            "market": "spot",
            "image": "ami-0123456789abcdef0",
            "state": "running",
        });
        Self::read(&made_up)
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running" || self.state == "pending"
    }

    pub(crate) fn read(value: &Value) -> Self {
        Self {
            id: text(&value["id"]),
            region: text(&value["region"]),
            zone: text(&value["zone"]),
            subnet: text(&value["subnet"]),
            instance_type: text(&value["type"]),
            image: text(&value["image"]),
            market: text(&value["market"]),
            state: text(&value["state"]),
            reason: text(&value["reason"]),
            shutdown: text(&value["shutdown"]),
            profile: maybe(&value["profile"]),
            role: maybe(&value["role"]),
            user_data: maybe(&value["user_data"]),
            tags: tags(&value["tags"]),
            key_name: maybe(&value["key_name"]),
            http_tokens: text(&value["http_tokens"]),
            hop_limit: value["hop_limit"].as_u64().unwrap_or_default(),
            metadata_tags: value["metadata_tags"].as_bool().unwrap_or_default(),
            groups: list(&value["groups"]).map(text).collect(),
            volumes: list(&value["volumes"])
                .map(|volume| Volume {
                    id: text(&volume["id"]),
                    encrypted: volume["encrypted"].as_bool().unwrap_or_default(),
                    kind: text(&volume["type"]),
                    size: volume["size"].as_u64().unwrap_or_default(),
                    tags: tags(&volume["tags"]),
                })
                .collect(),
        }
    }
}
