//! Launches that were cut off before they had made anything: no machine's tag leads to their job, so the jobs of the
//! deployments are looked through.

use aws_sdk_ec2::types::{Filter, LaunchTemplate};
use dayfly_shared::job::Location;
use dayfly_shared::keys::is_own;
use dayfly_shared::launch::tags;

use super::machine::Scope;
use crate::cloud::{Cloud, explain};
use crate::failure::Result;
use crate::jobs;
use crate::launch::ec2::journal;
use crate::parts::{Parts, Patience};

/// How many folders below a deployment's place jobs are looked for: one more than `dayfly jobs` does by itself.
const DEPTH: u32 = 4;

/// The places of the account's deployments in this region, by the tags of their launch templates; and which do not tell.
///
/// # Errors
/// EC2 refuses.
pub async fn places(cloud: &Cloud) -> Result<(Vec<Location>, Vec<String>)> {
    let filter = Filter::builder().name("tag-key").values(tags::DEPLOYMENT).build();
    let mut pages = cloud.ec2().describe_launch_templates().filters(filter).into_paginator().send();
    let (mut places, mut silent) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeLaunchTemplates", &format!("of {}", Scope::Account), &e))?;
        for template in page.launch_templates() {
            match tag(template, tags::PLACE).and_then(|place| place.parse().ok()) {
                Some(place) => places.push(place),
                None => silent.extend(tag(template, tags::DEPLOYMENT).map(str::to_owned)),
            }
        }
    }
    Ok((places, silent))
}

fn tag<'a>(template: &'a LaunchTemplate, key: &str) -> Option<&'a str> {
    template.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
}

/// The jobs at a place and below it that have a launch which is open.
///
/// # Errors
/// A store that refuses.
pub async fn jobs(parts: &Parts, place: &Location) -> Result<Vec<Location>> {
    let store = parts.bucket(place.bucket(), Patience::Brief).await?;
    let mut all = jobs::find(&*store, place, DEPTH).await?;
    if all == [place.clone()] {
        // A job at the very place does not hide those below it.
        for folder in jobs::folders(&*store, place).await? {
            let name = folder.strip_prefix(place.prefix()).unwrap_or(&folder);
            if !is_own(name)
                && let Ok(below) = Location::new(place.bucket(), &folder)
            {
                all.extend(jobs::find(&*store, &below, DEPTH - 1).await?);
            }
        }
    }
    let mut open = Vec::new();
    for job in all {
        let entries = journal::all(&parts.job(&job, Patience::Brief).await?).await?;
        if entries.iter().any(|entry| entry.launch.is_open()) {
            open.push(job);
        }
    }
    Ok(open)
}
