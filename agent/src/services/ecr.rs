//! `ecr:GetAuthorizationToken`, by ECR's JSON API (Amazon ECR API reference, "GetAuthorizationToken").

use std::sync::Arc;

use async_trait::async_trait;
use dayfly_shared::clock::Clock;
use dayfly_shared::services::{Answer, Service, Services};
use dayfly_shared::store::{S3Settings, sdk_config};
use serde_json::Value;

use crate::processor::Logins;

const ECR: Service = Service { name: "api.ecr", variable: "AWS_ENDPOINT_URL_ECR" };

/// Logs in to ECR with the agent's credentials.
pub struct EcrLogins {
    store: S3Settings,
    clock: Arc<dyn Clock>,
}

impl EcrLogins {
    /// With the credentials that the store is reached with.
    pub fn new(store: S3Settings, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl Logins for EcrLogins {
    async fn token(&self, region: &str) -> Result<String, String> {
        let config = sdk_config(&self.store, Arc::clone(&self.clock)).await.map_err(|e| e.to_string())?;
        let services = Services::new(&config, Some(region), Arc::clone(&self.clock))?;
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
        ];
        let answer = services.post(ECR, &headers, "{}".to_owned()).await;
        judge(&answer.map_err(|e| format!("ecr:GetAuthorizationToken: {e}"))?)
            .map_err(|why| format!("ecr:GetAuthorizationToken: {why}"))
    }
}

fn judge(answer: &Answer) -> Result<String, String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let token = body["authorizationData"][0]["authorizationToken"].as_str();
    match (answer.status, token) {
        (200, Some(token)) => Ok(token.to_owned()),
        // What it says may hold the token; what it refuses holds none.
        (200, None) => Err("an answer without a token".to_owned()),
        (status, _) => Err(format!("HTTP {status} {}", answer.body.chars().take(300).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_what_a_client_keeps() {
        let answer = |status, body: &str| judge(&Answer { status, body: body.to_owned() });
        assert_eq!(
            answer(200, r#"{"authorizationData":[{"authorizationToken":"QVdTOng="}]}"#).as_deref(),
            Ok("QVdTOng=")
        );
        assert!(answer(200, "{}").unwrap_err().contains("without"));
        assert!(answer(400, r#"{"__type":"AccessDeniedException"}"#).unwrap_err().contains("AccessDenied"));
    }
}
