//! `dayfly setup --print`: everything that setup would make, as JSON.

use std::fmt;

use dayfly_shared::deployment::Deployment;
use serde::Serialize;
use serde_json::{Value, json};

use super::log_group;
use super::work::tags_of;
use crate::parts::Parts;
use crate::policy;
use crate::settings::Place;

/// The region without a look at any profile: of the command line, or of the environment.
pub fn region(parts: &Parts) -> Option<String> {
    let Place::S3 { region, .. } = &parts.settings.place else { return None };
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    region.clone().or_else(|| ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(set))
}

/// Every policy and resource.
#[derive(Debug, Serialize)]
pub struct Printed {
    deployment: String,
    policies: Value,
    resources: Value,
}

impl Printed {
    pub fn new(deployment: &Deployment) -> Self {
        let tags: Value = tags_of(deployment).into_iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect();
        let managed =
            deployment.ssm.then(|| format!("arn:{}:{}", policy::partition(&deployment.region), policy::MANAGED_SSM));
        let policies = json!({
            "role_trust": policy::trust(deployment),
            "role": policy::inline(deployment),
            "role_managed": managed,
            "bucket": policy::document(policy::statements(deployment)),
            "operator_setup": policy::setup(deployment),
            "operator_run": policy::run(deployment),
        });
        let encryption = deployment.kms_key.as_ref().map_or("AES256", |_| "aws:kms");
        let resources = json!({
            "bucket": {
                "name": deployment.place.bucket(),
                "region": deployment.region,
                "if_made": {
                    "public_access_block": true,
                    "encryption": { "algorithm": encryption, "kms_key": deployment.kms_key },
                    "versioning": "off",
                },
                "lifecycle": {
                    "abort_uploads": { "prefix": deployment.place.prefix(), "days": 2 },
                    "expire_logs": deployment.keep_logs_days.map(|days| json!({ "prefix": deployment.place.key("logs/"), "days": days })),
                },
            },
            "role": deployment.role.name,
            "instance_profile": deployment.instance_profile.name,
            "service_linked_roles": ["AWSServiceRoleForEC2Spot", "AWSServiceRoleForEC2Fleet"],
            "security_group": { "name": deployment.security_groups.first().map(|group| &group.name), "inbound": [] },
            "launch_template": {
                "name": deployment.launch_template.name,
                "metadata_options": { "http_tokens": "required", "hop_limit": 1, "instance_tags": "enabled" },
                "shutdown_behavior": "terminate",
                "key_pair": null,
                "root_volume": { "type": "gp3", "encrypted": true, "delete_on_termination": true },
            },
            "container_repository": deployment.ecr_repository,
            "log_group": deployment.log_group.as_ref().map(|name| json!({ "name": name, "if_made": { "retention_days": log_group::RETENTION_DAYS } })),
            "notify_topic": deployment.notify_topic,
            "secrets": deployment.secrets,
            "record": format!("{}dayfly/deployment.json", deployment.place),
            "tags": tags,
        });
        Self { deployment: deployment.name.clone(), policies, resources }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Plain data with text keys: serialising it cannot fail.
        f.write_str(&serde_json::to_string_pretty(self).unwrap_or_default())
    }
}
