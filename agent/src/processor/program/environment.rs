//! The environment of a task's program: the machine's basics, what the task is, what the job adds. Nothing else of the
//! agent's gets through.

use std::collections::BTreeMap;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::work::ProgramSettings;
use serde::Deserialize;

use super::Room;
use crate::instance::InstanceMetadata;
use crate::processor::TaskIo;

/// Where programs are looked for if the agent knows no better.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What is handed on as it is.
const HANDED_ON: [&str; 6] = ["LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH"];

/// The path that programs are looked for on.
pub fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned())
}

/// The environment for one attempt, which is stopped at `deadline`; without credentials.
pub fn of(settings: &ProgramSettings, room: &Room, task: &TaskIo, deadline: Timestamp) -> BTreeMap<String, String> {
    let folder = |path: std::path::PathBuf| path.display().to_string();
    let mut all = of_task(task, deadline, [room.input_dir(), room.output_dir(), room.checkpoint_dir()].map(folder));
    for (name, value) in [("PATH", path()), ("HOME", folder(room.work_dir())), ("TMPDIR", folder(room.temporary_dir()))]
    {
        all.insert(name.to_owned(), value);
    }
    let own = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    all.extend(HANDED_ON.into_iter().filter_map(own));
    if !settings.with_credentials {
        // The SDKs do not even ask the metadata service then (AWS SDKs and Tools reference guide, "IMDS client").
        all.insert("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
    }
    all.extend(settings.environment.clone());
    all
}

/// What the task is, and where its input, its output and its checkpoint are.
pub fn of_task(task: &TaskIo, deadline: Timestamp, folders: [String; 3]) -> BTreeMap<String, String> {
    let [input, output, checkpoint] = folders;
    [
        ("DAYFLY_TASK", task.task.id.to_string()),
        ("DAYFLY_TASK_NAME", task.task.name.clone()),
        ("DAYFLY_ATTEMPT", task.attempt.to_string()),
        // Seconds since 1970, as date +%s says them.
        ("DAYFLY_DEADLINE", (deadline.unix_ms / 1000).to_string()),
        ("DAYFLY_INPUT_DIR", input),
        ("DAYFLY_OUTPUT_DIR", output),
        ("DAYFLY_CHECKPOINT", checkpoint),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The agent's own credentials, as far as they are variables.
pub fn own_credentials() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with("AWS_"))
}

/// The credentials of the instance's role, for a program that is to have them and cannot ask for them itself. They hold for
/// some hours (EC2 user guide, "Retrieve security credentials from instance metadata").
///
/// # Errors
/// A service that does not answer, a machine without a role.
pub async fn of_the_role(metadata: &dyn InstanceMetadata) -> Result<BTreeMap<String, String>, String> {
    const PATH: &str = "iam/security-credentials/";
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Credentials {
        access_key_id: String,
        secret_access_key: String,
        token: String,
    }
    let role = metadata.value(PATH).await?.ok_or("the machine has no role (instance profile)")?;
    let role = role.lines().next().unwrap_or_default();
    let text = metadata.value(&format!("{PATH}{role}")).await?.ok_or(format!("the role {role} has no credentials"))?;
    // What they are is nobody's to read in a log.
    let keys: Credentials = serde_json::from_str(&text).map_err(|_| format!("the credentials of {role} are none"))?;
    let named = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key),
        ("AWS_SESSION_TOKEN", keys.token),
    ];
    Ok(named.map(|(name, value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Service(Option<&'static str>);

    #[async_trait]
    impl InstanceMetadata for Service {
        async fn user_data(&self) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn identity(&self) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn value(&self, name: &str) -> Result<Option<String>, String> {
            Ok(match name {
                "iam/security-credentials/" => Some("a-role".to_owned()),
                "iam/security-credentials/a-role" => self.0.map(str::to_owned),
                _ => None,
            })
        }
    }

    #[tokio::test]
    async fn a_program_that_is_to_have_the_roles_credentials_gets_them() {
        let text =
            r#"{"Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "x"}"#;
        let given = of_the_role(&Service(Some(text))).await.unwrap();
        let given: Vec<&str> = given.values().map(String::as_str).collect();
        assert_eq!(given, ["A", "S", "T"]);
        assert!(of_the_role(&Service(None)).await.unwrap_err().contains("a-role"));
        let error = of_the_role(&Service(Some("{\"SecretAccessKey\": \"secret\"}"))).await.unwrap_err();
        assert!(!error.contains("secret\""), "{error}");
    }
}
