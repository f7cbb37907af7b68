//! A session for a person: Systems Manager opens it, and its plugin for the AWS command line speaks it.

use std::path::PathBuf;

use dayfly_shared::exit::Exit;
use serde_json::json;
use tokio::process::Command;

use crate::cloud::{Cloud, code, explain};
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::settings::Place;

/// AWS's program that speaks sessions.
const PLUGIN: &str = "session-manager-plugin";

/// Where the plugin is, if it is installed.
fn plugin() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(PLUGIN)).find(|file| file.is_file())
}

fn profile(parts: &Parts) -> Option<&str> {
    match &parts.settings.place {
        Place::S3 { profile, .. } => profile.as_deref(),
        Place::Local(_) => None,
    }
}

/// Opens a session and hands the terminal over to it.
///
/// # Errors
/// No plugin; an instance that Systems Manager does not know.
pub async fn open(parts: &Parts, cloud: &Cloud, instance: &str) -> Result<Exit> {
    let Some(plugin) = plugin() else {
        let profile = profile(parts).map(|name| format!(" --profile {name}")).unwrap_or_default();
        return Err(Failure::new(format!("{PLUGIN} is not installed here")).fix(format!(
            "install it (Systems Manager user guide, \"Install the Session Manager plugin\") and run this again, or, where \
             it is: aws ssm start-session --target {instance} --region {}{profile}",
            cloud.region()
        )));
    };
    let started = cloud.ssm().start_session().target(instance).reason("dayfly connect").send().await;
    let started = started.map_err(|e| {
        let failure = explain("ssm:StartSession", instance, &e);
        match code(&e) {
            Some("TargetNotConnected") => failure.fix(
                "it is not known to Systems Manager: it may have ended (dayfly ps), just been born, or be of a deployment set \
                 up without --ssm",
            ),
            _ => failure,
        }
    })?;
    // The plugin takes what the AWS command line hands it: answer, region, operation, profile, parameters, endpoint.
    let answer = json!({
        "SessionId": started.session_id(),
        "TokenValue": started.token_value(),
        "StreamUrl": started.stream_url(),
    });
    let endpoint = match cloud.endpoint_url() {
        Some(url) => url.to_owned(),
        None => format!("https://ssm.{}.{}", cloud.region(), crate::policy::dns_suffix(cloud.region())),
    };
    let status = Command::new(&plugin)
        .arg(answer.to_string())
        .arg(cloud.region())
        .arg("StartSession")
        .arg(profile(parts).unwrap_or_default())
        .arg(json!({ "Target": instance }).to_string())
        .arg(endpoint)
        .status()
        .await
        .map_err(|e| Failure::io("running", &plugin, &e))?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(Exit::Done),
        Some(Ok(code)) => Ok(Exit::Remote(code)),
        _ => Ok(Exit::Failed),
    }
}
