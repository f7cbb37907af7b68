//! What else bears dayfly's tags and may cost money: listed, left alone.

use std::fmt;

use aws_sdk_ec2::types::{Filter, VolumeState};
use serde::Serialize;

use super::machine::Scope;
use crate::cloud::{Cloud, explain};
use crate::failure::Result;

/// Something that was left.
#[derive(Clone, Debug, Serialize)]
pub struct Leftover {
    kind: &'static str,
    id: String,
    said: String,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.kind, self.id, self.said)
    }
}

/// Volumes that no instance has, snapshots, addresses, launch templates.
///
/// # Errors
/// EC2 refuses.
pub async fn list(cloud: &Cloud, scope: &Scope) -> Result<Vec<Leftover>> {
    let (ec2, about) = (cloud.ec2(), format!("of {scope}"));
    let mut all = Vec::new();
    let loose = Filter::builder().name("status").values(VolumeState::Available.as_str()).build();
    let mut pages = ec2.describe_volumes().filters(scope.filter()).filters(loose).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeVolumes", &about, &e))?;
        all.extend(page.volumes().iter().map(|volume| Leftover {
            kind: "volume",
            id: volume.volume_id().unwrap_or_default().to_owned(),
            said: format!("{} GiB, of no instance", volume.size().unwrap_or(0)),
        }));
    }
    let mut pages = ec2.describe_snapshots().owner_ids("self").filters(scope.filter()).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeSnapshots", &about, &e))?;
        all.extend(page.snapshots().iter().map(|snapshot| Leftover {
            kind: "snapshot",
            id: snapshot.snapshot_id().unwrap_or_default().to_owned(),
            said: format!("{} GiB", snapshot.volume_size().unwrap_or(0)),
        }));
    }
    let answer = ec2.describe_addresses().filters(scope.filter()).send().await;
    let answer = answer.map_err(|e| explain("ec2:DescribeAddresses", &about, &e))?;
    all.extend(answer.addresses().iter().map(|address| Leftover {
        kind: "address",
        id: address.allocation_id().or(address.public_ip()).unwrap_or_default().to_owned(),
        said: match address.association_id() {
            Some(_) => "in use".to_owned(),
            None => "not in use, and it costs".to_owned(),
        },
    }));
    let mut pages = ec2.describe_launch_templates().filters(scope.filter()).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeLaunchTemplates", &about, &e))?;
        all.extend(page.launch_templates().iter().map(|template| Leftover {
            kind: "launch template",
            id: template.launch_template_id().unwrap_or_default().to_owned(),
            said: format!(
                "{}, {} versions, costs nothing; dayfly teardown removes it",
                template.launch_template_name().unwrap_or_default(),
                template.latest_version_number().unwrap_or(0)
            ),
        }));
    }
    Ok(all)
}
