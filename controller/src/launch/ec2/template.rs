//! The version of the deployment's launch template that one launch is made by.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMetadataEndpointState,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType, ShutdownBehavior, Tag, VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::launch::Launch;

use super::machines::Refusal;
use crate::cloud::{Cloud, explain, explain_fully, is_passing};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// Tries of a call that is throttled or not answered, after those of the SDK.
const TRIES: u32 = 10;

/// Makes the version, or finds the one that an earlier try made: EC2 forgets tokens after a time, and a description stays.
///
/// # Errors
/// EC2 refuses, or does not answer.
pub async fn version(parts: &Parts, cloud: &Cloud, launch: &Launch, look_first: bool) -> Result<String, Refusal> {
    if look_first && let Some(version) = made(cloud, launch).await.map_err(Refusal::Unknown)? {
        return Ok(version);
    }
    let template = &launch.request.template.id;
    let mut backoff = Backoff::default();
    let mut tries = 0;
    loop {
        let call = cloud
            .ec2()
            .create_launch_template_version()
            .launch_template_id(template)
            .client_token(format!("{}-template", launch.client_token))
            .version_description(description(launch))
            .launch_template_data(data(launch));
        let error = match call.send().await {
            Ok(answer) => {
                if let Some(said) = answer.warning().map(|w| w.errors()).and_then(|errors| errors.first()) {
                    tracing::warn!(message = said.message(), "the template's version was taken with a warning");
                }
                let number = answer.launch_template_version().and_then(|version| version.version_number());
                return number.map(|number| number.to_string()).ok_or_else(|| {
                    Refusal::Unknown(Failure::new(format!(
                        "ec2:CreateLaunchTemplateVersion {template}: no version in the answer"
                    )))
                });
            }
            Err(error) => error,
        };
        tries += 1;
        if !is_passing(&error) {
            return Err(Refusal::Refused(
                explain_fully(cloud, "ec2:CreateLaunchTemplateVersion", template, &error).await,
            ));
        }
        if tries >= TRIES {
            return Err(Refusal::Unknown(explain("ec2:CreateLaunchTemplateVersion", template, &error)));
        }
        parts.clock.sleep(backoff.next(&*parts.dice)).await;
    }
}

fn description(launch: &Launch) -> String {
    format!("dayfly launch {}", launch.id)
}

async fn made(cloud: &Cloud, launch: &Launch) -> Result<Option<String>> {
    let template = &launch.request.template.id;
    let mut pages =
        cloud.ec2().describe_launch_template_versions().launch_template_id(template).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeLaunchTemplateVersions", template, &e))?;
        let found = page
            .launch_template_versions()
            .iter()
            .find(|version| version.version_description() == Some(description(launch).as_str()));
        if let Some(number) = found.and_then(|version| version.version_number()) {
            return Ok(Some(number.to_string()));
        }
    }
    Ok(None)
}

/// Tags in EC2's form.
pub fn tag_list(launch: &Launch) -> Vec<Tag> {
    launch.request.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn data(launch: &Launch) -> RequestLaunchTemplateData {
    let (request, machine) = (&launch.request, &launch.request.machine);
    let disk = LaunchTemplateEbsBlockDeviceRequest::builder()
        .encrypted(true)
        .delete_on_termination(true)
        .volume_type(VolumeType::Gp3)
        .set_volume_size(machine.disk_gib.and_then(|gib| i32::try_from(gib).ok()));
    // One hop: no container on the machine gets at the role by the metadata service.
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::Enabled)
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled);
    let tags = [ResourceType::Instance, ResourceType::Volume].map(|kind| {
        LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(Some(tag_list(launch))).build()
    });
    let profile = LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(&machine.instance_profile);
    RequestLaunchTemplateData::builder()
        .image_id(&request.template.image)
        .iam_instance_profile(profile.build())
        .block_device_mappings(
            LaunchTemplateBlockDeviceMappingRequest::builder()
                .device_name(&machine.root_device)
                .ebs(disk.build())
                .build(),
        )
        .metadata_options(metadata.build())
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .set_security_group_ids(Some(machine.security_groups.clone()))
        .set_tag_specifications(Some(tags.to_vec()))
        .user_data(STANDARD.encode(&machine.user_data))
        .build()
}
