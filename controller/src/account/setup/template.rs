//! The launch template: what holds for every instance of the deployment. Launches add versions of their own.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceMetadataTagsState, LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData,
    ResourceType, ResponseLaunchTemplateData, ShutdownBehavior, Tag, TagSpecification, VolumeType,
};
use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;

use super::role::{ec2_tags, not_own};
use super::work::Work;
use crate::cloud::{code, explain};
use crate::failure::Result;

/// The root device of Amazon Linux 2023's images. A launch puts its own image's in its place.
const ROOT: &str = "/dev/xvda";
/// Instance metadata answers the machine itself and nothing behind it (EC2 user guide, "Instance metadata options").
const HOPS: i32 = 1;

/// The longest value of a tag (EC2 user guide, "Tag restrictions").
const TAG_MAX: usize = 256;

/// The base version.
pub fn data(deployment: &Deployment) -> RequestLaunchTemplateData {
    let profile =
        LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(&deployment.instance_profile.name).build();
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::Required)
        .http_put_response_hop_limit(HOPS)
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
        .build();
    let volume = LaunchTemplateEbsBlockDeviceRequest::builder()
        .encrypted(true)
        .volume_type(VolumeType::Gp3)
        .delete_on_termination(true)
        .build();
    let root = LaunchTemplateBlockDeviceMappingRequest::builder().device_name(ROOT).ebs(volume).build();
    RequestLaunchTemplateData::builder()
        .iam_instance_profile(profile)
        .set_security_group_ids(Some(groups(deployment)))
        .metadata_options(metadata)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .block_device_mappings(root)
        // Whoever launches from it by hand makes nothing that would not be found again.
        .set_tag_specifications(Some(carried(deployment)))
        .build()
}

fn carried(deployment: &Deployment) -> Vec<LaunchTemplateTagSpecificationRequest> {
    let tags = ec2_tags(deployment, &format!("dayfly {}", deployment.name));
    let of = |kind| LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(Some(tags.clone()));
    [ResourceType::Instance, ResourceType::Volume].map(|kind| of(kind).build()).to_vec()
}

fn groups(deployment: &Deployment) -> Vec<String> {
    deployment.security_groups.iter().map(|group| group.id.clone()).collect()
}

/// Whether a version says what the base is to say.
fn is_good(standing: &ResponseLaunchTemplateData, deployment: &Deployment) -> bool {
    let metadata = standing.metadata_options();
    standing.iam_instance_profile().and_then(|profile| profile.name()) == Some(&deployment.instance_profile.name)
        && standing.security_group_ids() == groups(deployment)
        && metadata.and_then(|m| m.http_tokens()) == Some(&LaunchTemplateHttpTokensState::Required)
        && metadata.and_then(|m| m.http_put_response_hop_limit()) == Some(HOPS)
        && standing.instance_initiated_shutdown_behavior() == Some(&ShutdownBehavior::Terminate)
        && standing.tag_specifications().iter().any(|carried| {
            carried.resource_type() == Some(&ResourceType::Instance)
                && carried.tags().iter().any(|tag| tag.value() == Some(&deployment.name))
        })
        && standing.block_device_mappings().iter().any(|device| {
            device.ebs().is_some_and(|ebs| ebs.encrypted() == Some(true) && ebs.volume_type() == Some(&VolumeType::Gp3))
        })
}

/// Makes the template, or brings its base version up to date.
///
/// # Errors
/// What EC2 does not allow; a template of that name that is somebody else's.
pub async fn make(work: &mut Work<'_>, deployment: &mut Deployment) -> Result<()> {
    let (ec2, name) = (work.cloud.ec2(), deployment.launch_template.name.clone());
    let standing = match ec2.describe_launch_templates().launch_template_names(&name).send().await {
        Ok(found) => found.launch_templates().first().cloned(),
        // EC2 says the former, and moto the latter.
        Err(error)
            if matches!(
                code(&error),
                Some("InvalidLaunchTemplateName.NotFoundException" | "InvalidLaunchTemplateId.NotFound")
            ) =>
        {
            None
        }
        Err(error) => return Err(explain("ec2:DescribeLaunchTemplates", &name, &error)),
    };
    let Some(standing) = standing else {
        let mut own = ec2_tags(deployment, &name);
        // Who knows nothing but the account finds the jobs by it.
        let place = deployment.place.to_string();
        if place.len() <= TAG_MAX {
            own.push(Tag::builder().key(tags::PLACE).value(place).build());
        }
        let carried =
            TagSpecification::builder().resource_type(ResourceType::LaunchTemplate).set_tags(Some(own)).build();
        let made = ec2
            .create_launch_template()
            .launch_template_name(&name)
            .version_description("base")
            .launch_template_data(data(deployment))
            .tag_specifications(carried)
            .send()
            .await
            .map_err(|e| explain("ec2:CreateLaunchTemplate", &name, &e))?;
        deployment.launch_template.id =
            made.launch_template().and_then(|t| t.launch_template_id()).unwrap_or_default().to_owned();
        work.made("launch template", &name);
        return Ok(());
    };
    let own = |tag: &Tag| tag.key() == Some(tags::DEPLOYMENT) && tag.value() == Some(deployment.name.as_str());
    if !standing.tags().iter().any(own) {
        return Err(not_own("launch template", &name, deployment));
    }
    let id = standing.launch_template_id().unwrap_or_default().to_owned();
    deployment.launch_template.id.clone_from(&id);
    let versions = ec2.describe_launch_template_versions().launch_template_id(&id).versions("$Default").send().await;
    let versions = versions.map_err(|e| explain("ec2:DescribeLaunchTemplateVersions", &name, &e))?;
    let base = versions.launch_template_versions().first().and_then(|version| version.launch_template_data());
    if base.is_some_and(|base| is_good(base, deployment)) {
        work.there("launch template", &name);
        return Ok(());
    }
    let version = ec2
        .create_launch_template_version()
        .launch_template_id(&id)
        .version_description("base")
        .launch_template_data(data(deployment))
        .send()
        .await
        .map_err(|e| explain("ec2:CreateLaunchTemplateVersion", &name, &e))?;
    let number = version.launch_template_version().and_then(|v| v.version_number()).unwrap_or_default();
    let put = ec2.modify_launch_template().launch_template_id(&id).default_version(number.to_string()).send().await;
    put.map_err(|e| explain("ec2:ModifyLaunchTemplate", &name, &e).left(format!("version {number} was made")))?;
    work.changed("launch template", &name, &format!("version {number} is its base"));
    Ok(())
}
