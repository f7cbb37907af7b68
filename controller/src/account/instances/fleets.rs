//! Fleets that replace what they lose: found by their tags, asked how they stand, deleted.

use aws_sdk_ec2::types::{DescribeFleetError, FleetData, FleetStateCode, FleetType};
use dayfly_shared::job::Location;
use dayfly_shared::launch::tags;
use serde::Serialize;

use super::machine::Scope;
use crate::cloud::{Cloud, code, explain};
use crate::failure::{Failure, Result};

/// A fleet of type maintain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaintainedFleet {
    /// `fleet-…`.
    pub id: String,
    /// Its job.
    pub job: Option<Location>,
    /// Its launch.
    pub launch: Option<String>,
    /// How many machines it is to keep.
    pub target: u32,
    /// How many it has.
    pub fulfilled: u32,
    /// Whether it still replaces what it loses.
    pub active: bool,
    /// Why machines are missing, as EC2 says.
    pub errors: Vec<String>,
}

/// The fleets that are active. (One of type instant is over with its answer, and is not listed.)
///
/// # Errors
/// EC2 refuses.
pub async fn list(cloud: &Cloud, scope: &Scope) -> Result<Vec<MaintainedFleet>> {
    let mut pages = cloud.ec2().describe_fleets().into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeFleets", &format!("of {scope}"), &e))?;
        let tag = |fleet: &FleetData, key: &str| {
            fleet.tags().iter().find(|t| t.key() == Some(key)).and_then(|t| t.value()).map(str::to_owned)
        };
        for fleet in page.fleets().iter().filter(|fleet| scope.has(|key| tag(fleet, key))) {
            // Some servers list the instant ones too.
            if fleet.r#type() == Some(&FleetType::Instant) {
                continue;
            }
            all.push(MaintainedFleet {
                id: fleet.fleet_id().unwrap_or_default().to_owned(),
                job: tag(fleet, tags::JOB).and_then(|job| job.parse().ok()),
                launch: tag(fleet, tags::LAUNCH),
                target: fleet
                    .target_capacity_specification()
                    .and_then(|t| t.total_target_capacity())
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(0),
                // A capacity is counted in machines here, so it is whole and not negative.
                fulfilled: fleet.fulfilled_capacity().unwrap_or(0.0).max(0.0) as u32,
                active: !matches!(
                    fleet.fleet_state(),
                    Some(
                        FleetStateCode::Deleted
                            | FleetStateCode::DeletedRunning
                            | FleetStateCode::DeletedTerminatingInstances
                            | FleetStateCode::Failed
                    )
                ),
                errors: fleet.errors().iter().map(words).collect(),
            });
        }
    }
    all.retain(|fleet| fleet.active);
    Ok(all)
}

fn words(error: &DescribeFleetError) -> String {
    format!("{}: {}", error.error_code().unwrap_or("error"), error.error_message().unwrap_or_default())
}

/// The last that its history says of machines that did not come: a fleet's answer holds none of it.
pub async fn last_complaint(cloud: &Cloud, fleet: &str, since: aws_smithy_types::DateTime) -> Option<String> {
    let call = cloud.ec2().describe_fleet_history().fleet_id(fleet).start_time(since).send().await;
    let history = match call {
        Ok(history) => history,
        Err(error) => {
            // It only adds to what is known; without the right to it, ps says less.
            tracing::info!(code = code(&error), fleet, "no history of the fleet");
            return None;
        }
    };
    history.history_records().iter().rev().find_map(|record| {
        let said = record.event_information()?;
        let kind = said.event_sub_type().unwrap_or_default();
        // The API reference calls the type of these `service-error`, the user guide's "EC2 Fleet event types" `error`; of the
        // rest one tells of machines that cannot come.
        let bad = record.event_type().is_some_and(|t| matches!(t.as_str(), "service-error" | "error"))
            || kind == "launchSpecUnusable";
        bad.then(|| format!("{kind}: {}", said.event_description().unwrap_or_default()))
    })
}

/// Lets fleets replace nothing more; their instances go on. (`TerminateInstances=true` would end those that work.)
///
/// # Errors
/// EC2 refuses one of them.
pub async fn delete(cloud: &Cloud, ids: &[String]) -> Result<()> {
    /// As many as one call takes (EC2 API reference, DeleteFleets).
    const AT_ONCE: usize = 100;
    for ids in ids.chunks(AT_ONCE) {
        let call = cloud.ec2().delete_fleets().set_fleet_ids(Some(ids.to_vec())).terminate_instances(false);
        let answer = call.send().await.map_err(|e| explain("ec2:DeleteFleets", &ids.join(", "), &e))?;
        let bad: Vec<String> = answer
            .unsuccessful_fleet_deletions()
            .iter()
            .map(|item| {
                let said = item.error().and_then(|e| e.message()).unwrap_or("no reason given");
                format!("{}: {said}", item.fleet_id().unwrap_or_default())
            })
            .collect();
        if !bad.is_empty() {
            return Err(Failure::new(format!("ec2:DeleteFleets: {}", bad.join("; ")))
                .left("these fleets go on replacing what they lose")
                .fix("run dayfly reap in a minute"));
        }
    }
    Ok(())
}
