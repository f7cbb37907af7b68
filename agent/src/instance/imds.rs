//! The instance metadata service, version 2 (EC2 user guide, "Use the Instance Metadata Service to access instance
//! metadata"), through the SDK's client, which gets and renews the session token.

use async_trait::async_trait;
use aws_config::provider_config::ProviderConfig;
use dayfly_shared::store::chain;

use super::InstanceMetadata;

/// The service of this instance, at the link-local address, or where `AWS_EC2_METADATA_SERVICE_ENDPOINT` says.
#[derive(Debug)]
pub struct Imds(aws_config::imds::Client);

/// The SDK's own variable for another address.
const ENDPOINT_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

impl Imds {
    /// A client; nothing is sent yet.
    #[must_use]
    pub fn new() -> Self {
        // Plain HTTP, as the service offers nothing else: no TLS is set up for it.
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = ProviderConfig::default().with_http_client(http);
        let mut builder = aws_config::imds::Client::builder().configure(&config);
        if let Ok(endpoint) = std::env::var(ENDPOINT_VARIABLE) {
            // An address that is no URL shows as a service that does not answer.
            builder =
                builder.endpoint(&endpoint).unwrap_or_else(|_| aws_config::imds::Client::builder().configure(&config));
        }
        Self(builder.build())
    }

    /// The client, for credentials: one session token serves both.
    #[must_use]
    pub fn client(&self) -> aws_config::imds::Client {
        self.0.clone()
    }

    async fn get(&self, path: &str) -> Result<Option<String>, String> {
        match self.0.get(path).await {
            Ok(value) => Ok(Some(value.into())),
            Err(aws_config::imds::client::error::ImdsError::ErrorResponse(response))
                if response.response().status().as_u16() == 404 =>
            {
                Ok(None)
            }
            Err(error) => Err(format!(
                "the instance metadata service does not answer: {}. On EC2, is it enabled (IMDSv2)? Elsewhere give the \
                 settings as flags, without --metadata",
                chain(&error)
            )),
        }
    }
}

impl Default for Imds {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl InstanceMetadata for Imds {
    async fn user_data(&self) -> Result<Option<String>, String> {
        self.get("/latest/user-data").await
    }

    async fn identity(&self) -> Result<Option<String>, String> {
        self.get("/latest/dynamic/instance-identity/document").await
    }

    async fn value(&self, name: &str) -> Result<Option<String>, String> {
        self.get(&format!("/latest/meta-data/{name}")).await
    }
}
