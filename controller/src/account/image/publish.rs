//! `dayfly image publish`: from a file to an image that `dayfly launch` finds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dayfly_shared::exit::Exit;
use serde::Serialize;

use super::account::{self, Image, Progress, Snapshot};
use super::disk::Disk;
use super::register::{self, Name};
use super::wanted::Wanted;
use super::write::Writing;
use crate::account::setup::region_said;
use crate::cli::PublishArgs;
use crate::cloud::Cloud;
use crate::cost;
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;
use crate::policy;

/// `dayfly image publish`.
///
/// # Errors
/// A file that is no disk, no credentials, EBS or EC2 refuse.
pub async fn command(parts: &Parts, args: &PublishArgs) -> Result<Exit> {
    if args.print_policy {
        return print_policy(parts, args);
    }
    let Some(path) = args.file.clone() else { return Err(Failure::usage("no file was named")) };
    // Credentials and region are looked for before the file is read: that may take a while.
    let cloud = Cloud::connect(parts).await?;
    let disk = Arc::new(survey(path).await?);
    let wanted = Wanted::new(args, &disk)?;
    if !disk.bootable() {
        let path = disk.path().display();
        parts
            .output()
            .warn(format!("{path} has neither boot sector nor partition table: no machine will boot from it"));
    }
    if args.dry_run {
        parts.output().result(&rehearse(parts, &cloud, &disk, &wanted).await?);
    } else {
        parts.output().result(&publish(parts, &cloud, &disk, &wanted).await?);
    }
    Ok(Exit::Done)
}

fn print_policy(parts: &Parts, args: &PublishArgs) -> Result<Exit> {
    let Some(region) = region_said(parts) else {
        return Err(
            Failure::usage("a policy is for one region, and none is named").fix("pass --region, or set AWS_REGION")
        );
    };
    parts.output().result(&Policy(policy::image(&region, args.kms_key.as_deref())));
    Ok(Exit::Done)
}

async fn survey(path: PathBuf) -> Result<Disk> {
    let read = tokio::task::spawn_blocking(move || Disk::survey(&path)).await;
    read.map_err(|e| Failure::new(format!("reading the image: {e}")))?
}

async fn publish(parts: &Parts, cloud: &Cloud, disk: &Arc<Disk>, wanted: &Wanted) -> Result<Published> {
    let output = parts.output();
    let name = match there(parts, cloud, wanted).await? {
        Name::Free(name) => name,
        Name::Made(image) => {
            output.note(format!("there is  {} ('{}'), made from the same", image.id, image.name));
            return Ok(Published::of(image, disk));
        }
    };
    let snapshot = snapshot(parts, cloud, disk, wanted).await?;
    let image = register::register(cloud, wanted, &name, &snapshot).await?;
    output.note(format!("registered {image} '{name}'"));
    register::available(parts, cloud, &image, &name).await?;
    Ok(Published { image, name, snapshot, bytes: disk.bytes(), blocks: disk.blocks().len() })
}

/// The name that the image will have; or the image, if it has been made from the same before.
async fn there(parts: &Parts, cloud: &Cloud, wanted: &Wanted) -> Result<Name> {
    if wanted.named.is_none() {
        let same =
            account::images(cloud).await?.into_iter().find(|image| image.source.as_ref() == Some(&wanted.source));
        if let Some(image) = same {
            return Ok(Name::Made(image));
        }
    }
    register::name(parts, cloud, wanted).await
}

/// The snapshot of the disk: one that is there, one that was begun, or a new one.
async fn snapshot(parts: &Parts, cloud: &Cloud, disk: &Arc<Disk>, wanted: &Wanted) -> Result<String> {
    let output = parts.output();
    let (mut completed, mut pending) = (None, None);
    for there in account::snapshots(cloud, Some(&wanted.source)).await? {
        match there.progress {
            Progress::Completed => completed = Some(there),
            // The one that has come farthest.
            Progress::Pending(written) => {
                let before = pending.replace((there, written));
                if let Some(other) = before.filter(|(_, other)| *other > written) {
                    pending = Some(other);
                }
            }
            Progress::Failed => remove_failed(parts, cloud, &there).await,
        }
    }
    if let Some(there) = completed {
        output.note(format!("there is  {}, complete and made from the same", there.id));
        return Ok(there.id);
    }
    let blocks = disk.blocks().len();
    let writing = match pending {
        Some((there, written)) => {
            output.note(format!(
                "going on  with {}, which was cut off: {} of {} are there",
                there.id,
                human::thousands(written as u64),
                human::count(blocks as u64, "block"),
            ));
            Writing::resume(parts, cloud, Arc::clone(disk), there.id, written)
        }
        None => {
            let writing = Writing::begin(parts, cloud, Arc::clone(disk), wanted).await?;
            output.note(format!(
                "begun     {} ({} GiB): {} to send, in {}",
                writing.id,
                wanted.gib,
                human::bytes(disk.bytes_to_send()),
                human::count(blocks as u64, "block"),
            ));
            writing
        }
    };
    let id = writing.id.clone();
    writing.finish().await?;
    Ok(id)
}

async fn remove_failed(parts: &Parts, cloud: &Cloud, there: &Snapshot) {
    match account::delete_snapshot(cloud, &there.id).await {
        Ok(()) => parts.output().note(format!("removed   {}, which had failed", there.id)),
        Err(why) => parts.output().warn(format!("{} has failed, and stands: {why:#}", there.id)),
    }
}

async fn rehearse(parts: &Parts, cloud: &Cloud, disk: &Disk, wanted: &Wanted) -> Result<Rehearsal> {
    let (name, there) = match there(parts, cloud, wanted).await? {
        Name::Free(name) => (name, None),
        Name::Made(image) => (image.name, Some(image.id)),
    };
    let price = cost::snapshot_month(cloud).await;
    // The price is of a GiB and a month ("GB-Mo"), of what is stored: zeros are not.
    let stored = disk.bytes_to_send() as f64 / (1_u64 << 30) as f64;
    let (month_dollars, month_unknown) = match price {
        Ok(Some(price)) => (Some(price * stored), None),
        Ok(None) => (None, Some("the price list has none for snapshots in this region".to_owned())),
        Err(failure) => (None, Some(failure.to_string())),
    };
    Ok(Rehearsal {
        name,
        region: cloud.region().to_owned(),
        there,
        bytes: disk.bytes(),
        volume_gib: wanted.gib,
        blocks: disk.total_blocks(),
        blocks_to_send: disk.blocks().len(),
        bytes_to_send: disk.bytes_to_send(),
        month_dollars,
        month_unknown,
    })
}

/// What publish came to. As text it is the id alone, for scripts.
#[derive(Debug, Serialize)]
struct Published {
    image: String,
    name: String,
    snapshot: String,
    bytes: u64,
    blocks: usize,
}

impl Published {
    fn of(image: Image, disk: &Disk) -> Self {
        let snapshot = image.snapshots.into_iter().next().unwrap_or_default();
        Self { image: image.id, name: image.name, snapshot, bytes: disk.bytes(), blocks: disk.blocks().len() }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.image)
    }
}

/// What publish would do.
#[derive(Debug, Serialize)]
struct Rehearsal {
    name: String,
    region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<String>,
    bytes: u64,
    volume_gib: u32,
    blocks: u32,
    blocks_to_send: usize,
    bytes_to_send: u64,
    month_dollars: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    month_unknown: Option<String>,
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = &self.there {
            writeln!(f, "'{}' is there already: {image}; nothing would be uploaded", self.name)?;
        } else {
            writeln!(f, "'{}' would be registered in {}", self.name, self.region)?;
        }
        writeln!(f, "disk      {}, a volume of {} GiB", human::bytes(self.bytes), self.volume_gib)?;
        writeln!(
            f,
            "to send   {}: {} of {}; the others are zeros",
            human::bytes(self.bytes_to_send),
            human::thousands(self.blocks_to_send as u64),
            human::count(self.blocks.into(), "block"),
        )?;
        match (self.month_dollars, &self.month_unknown) {
            (Some(dollars), _) => writeln!(f, "snapshot  ${dollars:.4} a month")?,
            (None, why) => writeln!(f, "snapshot  a month costs an unknown sum: {}", why.as_deref().unwrap_or("?"))?,
        }
        write!(f, "nothing was changed")
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Policy(serde_json::Value);

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Plain data with text keys: serialising it cannot fail.
        f.write_str(&serde_json::to_string_pretty(&self.0).unwrap_or_default())
    }
}
