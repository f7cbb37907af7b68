//! What stands at which path.

use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock, Timestamp};
use serde_json::json;

use super::State;
use crate::aws::ACCOUNT;

/// Credentials of a role hold for some six hours (EC2 user guide, "Retrieve security credentials from instance metadata").
const CREDENTIALS: Duration = Duration::from_secs(6 * 3600);

/// `2026-01-31T12:00:00Z`, as the service writes times.
fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

impl State {
    /// The value at a path; none is 404. A folder's listing is given for those folders that clients list.
    pub(super) fn value(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix("/latest/")?;
        if let Some(changed) = self.changed.get(path) {
            return changed.clone();
        }
        if let Some(path) = path.strip_prefix("meta-data/") {
            return self.metadata(path);
        }
        match path {
            "user-data" => self.machine.user_data.clone(),
            "dynamic/instance-identity/document" => Some(self.document()),
            _ => None,
        }
    }

    fn metadata(&self, path: &str) -> Option<String> {
        let machine = &self.machine;
        let now = SystemClock.now().wall;
        Some(match path {
            "instance-id" => machine.id.clone(),
            "instance-type" => machine.instance_type.clone(),
            "ami-id" => machine.image.clone(),
            "instance-life-cycle" => machine.market.clone(),
            "placement/availability-zone" => machine.zone.clone(),
            "placement/region" => machine.region.clone(),
            "hostname" | "local-hostname" => format!("{}.ec2.internal", machine.id),
            "services/domain" => "amazonaws.com".to_owned(),
            "services/partition" => "aws".to_owned(),
            "spot/instance-action" => {
                let (action, at) = self.notice.as_ref()?;
                json!({"action": action, "time": seconds(*at)}).to_string()
            }
            "spot/termination-time" => seconds(self.notice.as_ref().filter(|(action, _)| action == "terminate")?.1),
            "events/recommendations/rebalance" => json!({"noticeTime": seconds(self.rebalance?)}).to_string(),
            "iam/security-credentials" | "iam/security-credentials/" => machine.role.clone()?,
            "tags/instance" | "tags/instance/" if machine.metadata_tags => {
                machine.tags.keys().cloned().collect::<Vec<_>>().join("\n")
            }
            _ => {
                if let Some(role) = path.strip_prefix("iam/security-credentials/") {
                    return machine.role.as_ref().filter(|mine| *mine == role).map(|_| self.credentials(now));
                }
                let tag = path.strip_prefix("tags/instance/").filter(|_| machine.metadata_tags)?;
                machine.tags.get(tag)?.clone()
            }
        })
    }

    fn credentials(&self, now: Timestamp) -> String {
        let end = Timestamp::from_unix_ms(now.unix_ms + u64::try_from(CREDENTIALS.as_millis()).unwrap_or_default());
        json!({
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": seconds(now),
            "Expiration": seconds(end),
            "AccessKeyId": self.key,
            "SecretAccessKey": "a secret of these tests",
            "Token": "a session token of these tests",
        })
        .to_string()
    }

    fn document(&self) -> String {
        let machine = &self.machine;
        json!({
            "accountId": ACCOUNT,
            "architecture": "x86_64",
            "availabilityZone": machine.zone,
            "imageId": machine.image,
            "instanceId": machine.id,
            "instanceType": machine.instance_type,
            "region": machine.region,
            "version": "2017-09-30",
        })
        .to_string()
    }
}
