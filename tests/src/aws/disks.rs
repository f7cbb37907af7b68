//! Snapshots and images as EBS and EC2 have them, looked at past the API; and blocks, read through it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::call::{maybe, text};
use super::machine::{list, tags};
use super::{Aws, TEST, wire};

/// A snapshot that was made by the EBS direct APIs.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `snap-…`.
    pub id: String,
    /// `pending`, `sealed` (on its way), `completed`, `error`.
    pub state: String,
    /// The volume's size.
    pub gib: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// By which key.
    pub key: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The indexes of its blocks, in order.
    pub blocks: Vec<u64>,
}

/// An image of the account's own.
#[derive(Clone, Debug)]
pub struct DiskImage {
    /// `ami-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `x86_64`.
    pub architecture: String,
    /// Whether ENA is on.
    pub ena: bool,
    /// `v2.0`.
    pub imds: String,
    /// `simple` where Intel's virtual function is on.
    pub sriov: String,
    /// `uefi-preferred`.
    pub boot_mode: String,
    /// `hvm`.
    pub virtualization: String,
    /// `/dev/xvda`.
    pub root_device: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its volumes: device, and what EC2 says of it.
    pub disks: Vec<(String, Value)>,
}

impl Aws {
    /// All snapshots that were made by the EBS direct APIs and are there.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let seen = self.control("GET", "snapshots", None);
        let read = list(&seen).map(|seen| Snapshot {
            id: text(&seen["id"]),
            state: text(&seen["state"]),
            gib: seen["gib"].as_u64().unwrap_or_default(),
            encrypted: seen["encrypted"].as_bool().unwrap_or_default(),
            key: maybe(&seen["key"]),
            tags: tags(&seen["tags"]),
            blocks: list(&seen["blocks"]).filter_map(Value::as_u64).collect(),
        });
        read.collect()
    }

    /// The account's own images.
    pub fn disk_images(&self) -> Vec<DiskImage> {
        let seen = self.control("GET", "disk-images", None);
        let read = list(&seen).map(|seen| DiskImage {
            id: text(&seen["id"]),
            name: text(&seen["name"]),
            architecture: text(&seen["architecture"]),
            ena: seen["ena"].as_bool().unwrap_or_default(),
            imds: text(&seen["imds"]),
            sriov: text(&seen["sriov"]),
            boot_mode: text(&seen["boot_mode"]),
            virtualization: text(&seen["virtualization"]),
            root_device: text(&seen["root_device"]),
            tags: tags(&seen["tags"]),
            disks: list(&seen["disks"]).map(|disk| (text(&disk["DeviceName"]), disk["Ebs"].clone())).collect(),
        });
        read.collect()
    }

    /// A call of the EBS direct APIs by the test itself: `ebs("GET", "/snapshots/snap-1/blocks/0", …)`.
    pub fn ebs(&self, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> (u16, Vec<u8>) {
        let mut all = vec![("Authorization", wire::scope(TEST, "ebs"))];
        all.extend(headers.iter().cloned());
        wire::request_bytes(&self.url, method, path, &all, body)
    }
}
