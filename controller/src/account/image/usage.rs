//! What uses an image: instances, and launch templates that new instances may come from.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, InstanceStateName, LaunchTemplate};
use dayfly_shared::launch::tags;

use super::account::Image;
use super::explain;
use crate::cloud::Cloud;
use crate::failure::Result;

/// Values that one filter takes (EC2 API reference, "Filter": 200).
const VALUES: usize = 200;

/// By image: what uses it, in words.
#[derive(Debug, Default)]
pub struct Usage {
    by: BTreeMap<String, BTreeSet<String>>,
}

impl Usage {
    /// Looks at the whole account, in the region.
    ///
    /// # Errors
    /// EC2 refuses: nothing can be said then, and nothing removed.
    pub async fn look(cloud: &Cloud, images: &[Image]) -> Result<Self> {
        let mut usage = Self::default();
        if !images.is_empty() {
            usage.instances(cloud, images).await?;
            usage.templates(cloud).await?;
        }
        Ok(usage)
    }

    /// What uses an image.
    pub fn of(&self, image: &str) -> Vec<String> {
        self.by.get(image).into_iter().flatten().cloned().collect()
    }

    fn note(&mut self, image: Option<&str>, by: String) {
        if let Some(image) = image {
            self.by.entry(image.to_owned()).or_default().insert(by);
        }
    }

    /// Instances that have not ended; a stopped one may start again.
    async fn instances(&mut self, cloud: &Cloud, images: &[Image]) -> Result<()> {
        use InstanceStateName::{Pending, Running, ShuttingDown, Stopped, Stopping};
        let alive = [Pending, Running, ShuttingDown, Stopping, Stopped].map(|state| state.as_str().to_owned());
        let alive = Filter::builder().name("instance-state-name").set_values(Some(alive.to_vec())).build();
        for some in images.chunks(VALUES) {
            let ids = some.iter().map(|image| image.id.clone()).collect();
            let ids = Filter::builder().name("image-id").set_values(Some(ids)).build();
            let mut pages =
                cloud.ec2().describe_instances().filters(ids).filters(alive.clone()).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = match page {
                    Ok(page) => page,
                    Err(e) => return Err(explain(cloud, "ec2:DescribeInstances", "of the images", &e).await),
                };
                for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
                    self.note(instance.image_id(), instance.instance_id().unwrap_or_default().to_owned());
                }
            }
        }
        Ok(())
    }

    async fn templates(&mut self, cloud: &Cloud) -> Result<()> {
        let fleets = fleets(cloud).await?;
        let mut templates = Vec::new();
        let mut pages = cloud.ec2().describe_launch_templates().into_paginator().send();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => templates.extend(page.launch_templates().to_vec()),
                Err(e) => return Err(explain(cloud, "ec2:DescribeLaunchTemplates", "of the account", &e).await),
            }
        }
        for template in &templates {
            self.versions(cloud, template, &fleets).await?;
        }
        Ok(())
    }

    /// Every version of somebody else's template may be launched again. Of a deployment's only some will: each launch
    /// leaves a version of its own there, and if those counted, no image would ever go.
    async fn versions(
        &mut self,
        cloud: &Cloud,
        template: &LaunchTemplate,
        fleets: &BTreeMap<(String, String), String>,
    ) -> Result<()> {
        let id = template.launch_template_id().unwrap_or_default();
        let name = template.launch_template_name().unwrap_or(id);
        let of_dayfly = template.tags().iter().any(|tag| tag.key() == Some(tags::DEPLOYMENT));
        let mut pages = cloud.ec2().describe_launch_template_versions().launch_template_id(id).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(e) => return Err(explain(cloud, "ec2:DescribeLaunchTemplateVersions", name, &e).await),
            };
            for version in page.launch_template_versions() {
                let number = version.version_number();
                let image = version.launch_template_data().and_then(|data| data.image_id());
                let said = format!("version {} of the launch template {name}", number.unwrap_or(0));
                let fleet = number.and_then(|number| fleets.get(&(id.to_owned(), number.to_string())));
                if let Some(fleet) = fleet {
                    self.note(image, format!("{said} ({fleet})"));
                } else if !of_dayfly
                    || number == template.latest_version_number()
                    || number == template.default_version_number()
                {
                    self.note(image, said);
                }
            }
        }
        Ok(())
    }
}

/// The versions of templates that fleets launch from to replace what they lose, with the fleet.
async fn fleets(cloud: &Cloud) -> Result<BTreeMap<(String, String), String>> {
    let alive = ["submitted", "active", "modifying"].map(str::to_owned).to_vec();
    let alive = Filter::builder().name("fleet-state").set_values(Some(alive)).build();
    let mut pages = cloud.ec2().describe_fleets().filters(alive).into_paginator().send();
    let mut used = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(e) => return Err(explain(cloud, "ec2:DescribeFleets", "of the account", &e).await),
        };
        for fleet in page.fleets() {
            let specifications = fleet.launch_template_configs().iter();
            for of in specifications.filter_map(|config| config.launch_template_specification()) {
                if let (Some(template), Some(version)) = (of.launch_template_id(), of.version()) {
                    let fleet = fleet.fleet_id().unwrap_or_default().to_owned();
                    used.insert((template.to_owned(), version.to_owned()), fleet);
                }
            }
        }
    }
    Ok(used)
}
