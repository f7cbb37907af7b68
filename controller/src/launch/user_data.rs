//! What a machine is told at its boot: plain settings where the agent is in the image, else a script that fetches it.

use dayfly_shared::instance::InstanceSettings;

use super::image::{Agent, Image};
use crate::failure::{Failure, Result};

/// The boot script of stock images; its first lines say what is filled in.
const BOOT: &str = include_str!("../../../ami/boot.sh");
/// What EC2 takes, before it is put into base64 (EC2 user guide, "Run commands when you launch an EC2 instance").
const MOST_BYTES: usize = 16 * 1024;

/// The user data for machines of this image.
///
/// # Errors
/// More than EC2 takes.
pub fn user_data(settings: &InstanceSettings, image: &Image, bucket: &str, region: &str) -> Result<String> {
    let text = match &image.agent {
        Agent::Inside(_) => json(settings),
        Agent::Fetched(program) => {
            let fields = [
                ("@SETTINGS@", json(settings)),
                ("@BUCKET@", bucket.to_owned()),
                ("@KEY@", program.key.clone()),
                ("@SHA256@", program.sha256.clone()),
                ("@REGION@", region.to_owned()),
            ];
            fields.iter().fold(BOOT.to_owned(), |script, (name, value)| script.replace(name, value))
        }
    };
    if text.len() > MOST_BYTES {
        return Err(Failure::new(format!("the user data would have {} bytes, and EC2 takes {MOST_BYTES}", text.len()))
            .left("nothing was started")
            .fix("shorten the job's place, or use an image that has the agent in it"));
    }
    Ok(text)
}

fn json(settings: &InstanceSettings) -> String {
    // Plain data with text keys: serialising it cannot fail.
    serde_json::to_string(settings).unwrap_or_default()
}
