//! What a machine is told at its boot: plain settings where the agent is in the image, else a script that fetches it.

use dayfly_shared::boot::{Boot, USER_DATA_BYTES};
use dayfly_shared::instance::InstanceSettings;

use super::image::{Agent, Image};
use crate::failure::{Failure, Result};

/// The user data for machines of this image.
///
/// # Errors
/// More than EC2 takes.
pub fn user_data(settings: &InstanceSettings, image: &Image, bucket: &str, region: &str) -> Result<String> {
    let text = match &image.agent {
        // Plain data with text keys: serialising it cannot fail.
        Agent::Inside(_) => serde_json::to_string(settings).unwrap_or_default(),
        Agent::Fetched(program) => {
            let own = s3(region);
            let endpoint = settings.endpoint_url.as_deref().unwrap_or(&own);
            let (key, sha256) = (&program.key, &program.sha256);
            Boot { endpoint, bucket, key, sha256, region, settings }.user_data()
        }
    };
    if text.len() > USER_DATA_BYTES {
        return Err(Failure::new(format!(
            "the user data would have {} bytes, and EC2 takes {USER_DATA_BYTES}",
            text.len()
        ))
        .left("nothing was started")
        .fix("shorten the job's place, or use an image that has the agent in it"));
    }
    Ok(text)
}

/// Where S3 is in a region (AWS General Reference, "Amazon S3 endpoints and quotas").
fn s3(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://s3.{region}.{suffix}")
}
