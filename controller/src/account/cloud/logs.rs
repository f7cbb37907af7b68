//! CloudWatch Logs, as far as a deployment's log group goes (CloudWatch Logs API reference, the page of each action).

use std::collections::BTreeMap;

use dayfly_shared::services::{Service, Services};
use serde_json::{Value, json};

use super::explain::{of_service, without_answer};
use crate::failure::{Failure, Result};

const LOGS: Service = Service { name: "logs", variable: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS" };

/// The service.
pub struct Logs {
    services: Services,
}

/// A log group, as far as setup looks at it.
pub struct LogGroup {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// After how many days it forgets; none: never.
    pub retention_days: Option<u64>,
}

impl Logs {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }

    /// The group of this name and ARN, if it is there.
    ///
    /// # Errors
    /// What the service does not allow.
    pub async fn group(&self, name: &str, arn: &str) -> Result<Option<LogGroup>> {
        // Names that begin with this one come after it: the first page has it.
        let asked = json!({ "logGroupNamePrefix": name });
        let described = self.call("DescribeLogGroups", name, &asked).await?.unwrap_or_default();
        let mut groups = described["logGroups"].as_array().into_iter().flatten();
        let Some(found) = groups.find(|group| group["logGroupName"] == name) else { return Ok(None) };
        let listed = self.call("ListTagsForResource", name, &json!({ "resourceArn": arn })).await?;
        let Some(listed) = listed else { return Ok(None) };
        let tags = listed["tags"].as_object().into_iter().flatten();
        let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        Ok(Some(LogGroup { tags, retention_days: found["retentionInDays"].as_u64() }))
    }

    /// Makes it.
    ///
    /// # Errors
    /// What the service does not allow.
    pub async fn create(&self, name: &str, tags: &[(&str, &str)]) -> Result<()> {
        let tags: BTreeMap<&str, &str> = tags.iter().copied().collect();
        self.call("CreateLogGroup", name, &json!({ "logGroupName": name, "tags": tags })).await.map(drop)
    }

    /// Lets it forget after so many days.
    ///
    /// # Errors
    /// What the service does not allow.
    pub async fn keep(&self, name: &str, days: u64) -> Result<()> {
        let asked = json!({ "logGroupName": name, "retentionInDays": days });
        self.call("PutRetentionPolicy", name, &asked).await.map(drop)
    }

    /// Removes it, with what is in it.
    ///
    /// # Errors
    /// What the service does not allow.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.call("DeleteLogGroup", name, &json!({ "logGroupName": name })).await.map(drop)
    }

    /// One call; none where what it is about is not there.
    async fn call(&self, action: &str, about: &str, asked: &Value) -> Result<Option<Value>> {
        let permission = format!("logs:{action}");
        let target = format!("Logs_20140328.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let answer = self.services.post(LOGS, &headers, asked.to_string()).await;
        let answer = answer.map_err(|why| without_answer(&permission, about, &why))?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            return Ok(Some(said));
        }
        let code = said["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default();
        if code == "ResourceNotFoundException" {
            return Ok(None);
        }
        let message = said["message"].as_str().or(said["Message"].as_str()).unwrap_or("no message");
        let failure: Failure = match code {
            "" => Failure::new(format!("{permission} {about}: HTTP {}", answer.status)),
            code => of_service(&permission, about, code, message),
        };
        Err(failure)
    }
}
