//! What the account has of dayfly's: images with an agent in them, and snapshots that publish made.

use aws_sdk_ec2::types::{Filter, Image as DescribedImage, Snapshot as DescribedSnapshot, SnapshotState, Tag};
use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::tags;

use super::explain;
use crate::cloud::{Cloud, code};
use crate::failure::Result;

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// `ami-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The tag [`tags::IMAGE`]; none: somebody else tagged it for launch, and prune leaves it alone.
    pub flavour: Option<String>,
    /// The version of the agent in it.
    pub agent: String,
    /// What it was made from, if publish made it.
    pub source: Option<String>,
    /// `x86_64`.
    pub architecture: String,
    /// `available`.
    pub state: String,
    /// When it was registered: RFC 3339, which sorts.
    pub created: String,
    /// Its snapshots.
    pub snapshots: Vec<String>,
    /// The root volume's size.
    pub gib: Option<i32>,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many of its blocks have certainly arrived, in order; the last ones may have.
    Pending(usize),
    /// All is there.
    Completed,
    /// Nothing will come of it.
    Failed,
}

/// A snapshot that publish made.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `snap-…`.
    pub id: String,
    /// How far it has come.
    pub progress: Progress,
    /// When it was begun.
    pub begun: Option<Timestamp>,
    /// The volume's size.
    pub gib: i32,
    /// What EBS says of its state, if anything.
    pub message: Option<String>,
}

fn tag<'a>(all: &'a [Tag], key: &str) -> Option<&'a str> {
    all.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

impl Image {
    fn read(image: &DescribedImage) -> Self {
        let disks: Vec<_> = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()).collect();
        let of = |key| tag(image.tags(), key).map(str::to_owned);
        Self {
            id: text(image.image_id()),
            name: text(image.name()),
            flavour: of(tags::IMAGE),
            agent: of(tags::AGENT).unwrap_or_default(),
            source: of(tags::SOURCE),
            architecture: image.architecture().map(|a| a.as_str().to_owned()).unwrap_or_default(),
            state: image.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
            created: text(image.creation_date()),
            snapshots: disks.iter().filter_map(|disk| disk.snapshot_id().map(str::to_owned)).collect(),
            gib: disks.first().and_then(|disk| disk.volume_size()),
        }
    }
}

impl Snapshot {
    fn read(snapshot: &DescribedSnapshot) -> Self {
        let written = tag(snapshot.tags(), tags::WRITTEN).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            id: text(snapshot.snapshot_id()),
            progress: match snapshot.state() {
                Some(SnapshotState::Completed) => Progress::Completed,
                Some(SnapshotState::Error) => Progress::Failed,
                _ => Progress::Pending(written),
            },
            begun: snapshot
                .start_time()
                .and_then(|at| at.to_millis().ok()?.try_into().ok())
                .map(Timestamp::from_unix_ms),
            gib: snapshot.volume_size().unwrap_or(0),
            message: snapshot.state_message().filter(|said| !said.is_empty()).map(str::to_owned),
        }
    }
}

async fn images_by(cloud: &Cloud, about: &str, by: Filter) -> Result<Vec<Image>> {
    let mut pages = cloud.ec2().describe_images().owners("self").filters(by).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => all.extend(page.images().iter().map(Image::read)),
            Err(error) => return Err(explain(cloud, "ec2:DescribeImages", about, &error).await),
        }
    }
    Ok(all)
}

/// The account's images with an agent in them.
///
/// # Errors
/// EC2 refuses.
pub async fn images(cloud: &Cloud) -> Result<Vec<Image>> {
    images_by(cloud, "your own images", filter("tag-key", tags::AGENT)).await
}

/// The account's image of this name, whoever made it.
///
/// # Errors
/// EC2 refuses.
pub async fn named(cloud: &Cloud, name: &str) -> Result<Option<Image>> {
    Ok(images_by(cloud, &format!("'{name}'"), filter("name", name)).await?.pop())
}

/// Snapshots that publish made, of one source or of all.
///
/// # Errors
/// EC2 refuses.
pub async fn snapshots(cloud: &Cloud, source: Option<&str>) -> Result<Vec<Snapshot>> {
    let by = match source {
        Some(source) => filter(&format!("tag:{}", tags::SOURCE), source),
        None => filter("tag-key", tags::SOURCE),
    };
    let mut pages = cloud.ec2().describe_snapshots().owner_ids("self").filters(by).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => all.extend(page.snapshots().iter().map(Snapshot::read)),
            Err(error) => return Err(explain(cloud, "ec2:DescribeSnapshots", "your own snapshots", &error).await),
        }
    }
    Ok(all)
}

/// One snapshot; none where EC2 does not know it, or not yet.
///
/// # Errors
/// EC2 refuses.
pub async fn snapshot(cloud: &Cloud, id: &str) -> Result<Option<Snapshot>> {
    match cloud.ec2().describe_snapshots().snapshot_ids(id).send().await {
        Ok(answer) => Ok(answer.snapshots().first().map(Snapshot::read)),
        Err(error) if code(&error) == Some("InvalidSnapshot.NotFound") => Ok(None),
        Err(error) => Err(explain(cloud, "ec2:DescribeSnapshots", id, &error).await),
    }
}

/// Deletes a snapshot; one that is gone already is as good.
///
/// # Errors
/// EC2 refuses, as it does while an image is made of it.
pub async fn delete_snapshot(cloud: &Cloud, id: &str) -> Result<()> {
    match cloud.ec2().delete_snapshot().snapshot_id(id).send().await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some("InvalidSnapshot.NotFound") => Ok(()),
        Err(error) => Err(explain(cloud, "ec2:DeleteSnapshot", id, &error).await),
    }
}
