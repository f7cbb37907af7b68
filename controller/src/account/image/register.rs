//! A snapshot becomes an image.

use std::time::Duration;

use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, ImdsSupportValues, ResourceType, Tag,
    TagSpecification, VolumeType,
};

use super::account::{self, Image};
use super::wanted::Wanted;
use super::{NEWS, explain, until};
use crate::cloud::{Cloud, code};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// Images made on one day without a name of their own: more is a mistake.
const MOST_A_DAY: u32 = 99;
/// How long an image may take to become available: seconds are usual.
const AVAILABLE: Duration = Duration::from_secs(600);

/// A name, looked up.
pub enum Name {
    /// Nobody has it.
    Free(String),
    /// The image has it already, made from the same.
    Made(Image),
}

/// A name that is free for the image; or the image, if it is there.
///
/// # Errors
/// The name that was given is taken by another image.
pub async fn name(parts: &Parts, cloud: &Cloud, wanted: &Wanted) -> Result<Name> {
    let now = parts.clock.now().wall;
    for nth in 1..=MOST_A_DAY {
        let name = wanted.name(now, nth);
        match account::named(cloud, &name).await? {
            None => return Ok(Name::Free(name)),
            Some(image) if image.source.as_ref() == Some(&wanted.source) => return Ok(Name::Made(image)),
            Some(image) if wanted.named.is_some() => {
                return Err(Failure::usage(format!("there is another image named '{name}' already: {}", image.id))
                    .left("nothing was uploaded")
                    .fix("choose another --name, or leave it out"));
            }
            Some(_) => {}
        }
    }
    Err(Failure::usage(format!("'{}' and {MOST_A_DAY} names like it are taken", wanted.name(now, 1)))
        .left("nothing was uploaded")
        .fix("choose a --name"))
}

/// Registers the image; its id.
///
/// # Errors
/// EC2 refuses; the snapshot stands for the next try.
pub async fn register(cloud: &Cloud, wanted: &Wanted, name: &str, snapshot: &str) -> Result<String> {
    let disk = EbsBlockDevice::builder()
        .snapshot_id(snapshot)
        .volume_type(VolumeType::Gp3)
        .volume_size(i32::try_from(wanted.gib).unwrap_or(i32::MAX))
        .delete_on_termination(true);
    let root = BlockDeviceMapping::builder().device_name(&wanted.root_device).ebs(disk.build());
    let tags = wanted.image_tags(name).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = TagSpecification::builder().resource_type(ResourceType::Image).set_tags(Some(tags.collect()));
    let call = cloud
        .ec2()
        .register_image()
        .name(name)
        .description(format!("dayfly {} {}: boots, works, powers off", wanted.agent, wanted.flavour))
        .architecture(ArchitectureValues::from(wanted.architecture))
        .virtualization_type("hvm")
        .boot_mode(BootModeValues::from(wanted.boot_mode))
        .imds_support(ImdsSupportValues::V20)
        .ena_support(true)
        // The seed's c4 types have Intel's virtual function in ENA's place (EC2 user guide, "Enhanced networking with
        // the Intel 82599 VF interface").
        .sriov_net_support("simple")
        .root_device_name(&wanted.root_device)
        .block_device_mappings(root.build())
        .tag_specifications(tags.build());
    let error = match call.send().await {
        Ok(answer) => {
            let id = answer.image_id().map(str::to_owned);
            return id.ok_or_else(|| Failure::new("ec2:RegisterImage: no image in the answer"));
        }
        Err(error) => error,
    };
    // RegisterImage knows no client token: a try whose answer was lost has taken the name.
    if code(&error) == Some("InvalidAMIName.Duplicate")
        && let Some(image) = account::named(cloud, name).await?
        && image.source.as_ref() == Some(&wanted.source)
    {
        return Ok(image.id);
    }
    let failure = explain(cloud, "ec2:RegisterImage", &format!("'{name}'"), &error).await;
    Err(failure.left(format!("{snapshot} is complete; run it again to go on with the image")))
}

/// Waits until the image can be launched.
///
/// # Errors
/// It fails, or does not become available.
pub async fn available(parts: &Parts, cloud: &Cloud, id: &str, name: &str) -> Result<()> {
    let begun = parts.clock.now().at;
    let seen = until(parts, AVAILABLE, async || {
        let image = account::named(cloud, name).await?;
        match image.as_ref().map(|image| image.state.as_str()) {
            Some("available") => Ok(Some(())),
            Some("pending") => Ok(None),
            None if parts.clock.now().at.since(begun) < NEWS => Ok(None),
            other => Err(Failure::new(format!("the image {id} is {}", other.unwrap_or("gone")))
                .fix("look at it in the console, deregister it, and run it again")),
        }
    });
    match seen.await? {
        Some(()) => Ok(()),
        None => Err(Failure::new(format!("the image {id} is still pending"))
            .left("it is registered")
            .fix("wait for it (dayfly image list), then launch")),
    }
}
