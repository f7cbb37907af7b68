//! Calls to AWS that no SDK is linked for: signed by hand (Signature Version 4) and sent with the store's kind of HTTP
//! client.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::clock::Clock;
use crate::store::{Lack, chain};

/// How the error of a call begins that was not sent, as there are no credentials.
pub const NO_CREDENTIALS: &str = "no credentials: ";
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Credentials are asked for again this long before they expire: those of an instance's role are renewed earlier.
const FRESH: Duration = Duration::from_secs(300);
/// … and after this long where they do not say when they expire.
const KEPT: Duration = Duration::from_secs(900);

/// A service, as its endpoint and its signature name it.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// In host names; its last part in signatures.
    pub name: &'static str,
    /// What names another endpoint for it alone.
    pub variable: &'static str,
}

impl Service {
    /// ECR's API is at `api.ecr`, and its signatures say `ecr` (AWS General Reference, "Amazon ECR endpoints").
    fn signing_name(self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// AWS, as whoever holds the configuration's credentials may call it.
pub struct Services {
    credentials: Option<SharedCredentialsProvider>,
    cached: Mutex<Option<(Credentials, std::time::SystemTime)>>,
    region: String,
    endpoint: Option<String>,
    plain: Connector,
    tls: OnceLock<Connector>,
    clock: Arc<dyn Clock>,
}

impl Services {
    /// With the configuration's credentials, in this region; without one, in that of the configuration.
    ///
    /// # Errors
    /// No region.
    pub fn new(config: &SdkConfig, region: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let region = region.or_else(|| config.region().map(AsRef::as_ref));
        Ok(Self {
            credentials: config.credentials_provider(),
            cached: Mutex::default(),
            region: region.ok_or("no region is configured: pass --region, or set AWS_REGION")?.to_owned(),
            endpoint: config.endpoint_url().map(str::to_owned),
            plain: ConnectorBuilder::default().build_http(),
            tls: OnceLock::new(),
            clock,
        })
    }

    /// Posts to a service.
    ///
    /// # Errors
    /// No credentials, no answer; an answer that is an error is an [`Answer`].
    pub async fn post(
        &self,
        service: Service,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Answer, String> {
        tokio::select! {
            biased;
            answer = self.send(service, headers, body) => answer,
            () = self.clock.sleep(PATIENCE) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn send(&self, service: Service, headers: &[(&'static str, &str)], body: String) -> Result<Answer, String> {
        let own = std::env::var(service.variable).ok().or_else(|| self.endpoint.clone());
        let url = own.unwrap_or_else(|| format!("https://{}.{}.{}", service.name, self.region, suffix(&self.region)));
        let url = format!("{}/", url.trim_end_matches('/'));
        let signature = self.sign(service, &url, headers, &body).await?;
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").map_err(|e| e.to_string())?;
        request.set_uri(url.as_str()).map_err(|e| format!("{url} is no URL: {e}"))?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, (*value).to_owned());
        }
        for (name, value) in signature {
            request.headers_mut().insert(name, value);
        }
        let connector = match url.starts_with("https:") {
            false => &self.plain,
            true => self
                .tls
                .get_or_init(|| ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring)).build()),
        };
        let answer = connector.call(request).await.map_err(|e| format!("{url} does not answer: {}", chain(&e)))?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body()).collect().await.map_err(|e| chain(&e))?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body.into_bytes()).into_owned() })
    }

    /// The headers that a signature adds.
    async fn sign(
        &self,
        service: Service,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let time = UNIX_EPOCH + Duration::from_millis(self.clock.now().wall.unix_ms);
        let identity = self.credentials(time).await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service.signing_name())
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| e.to_string())?
            .into();
        let signable = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body.as_bytes()))
            .map_err(|e| e.to_string())?;
        let (instructions, _) = sign(signable, &parameters).map_err(|e| e.to_string())?.into_parts();
        Ok(instructions.into_parts().0.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    async fn credentials(&self, now: std::time::SystemTime) -> Result<Credentials, String> {
        if let Some((credentials, until)) = &*self.cached.lock().unwrap_or_else(PoisonError::into_inner)
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let provider = self.credentials.as_ref().ok_or_else(|| format!("{NO_CREDENTIALS}none are configured"))?;
        let credentials = provider.provide_credentials().await.map_err(|e| {
            let why = Lack::of(&e).map_or_else(|| chain(&e), |lack| lack.why);
            format!("{NO_CREDENTIALS}{why}")
        })?;
        let until = credentials.expiry().map_or(now + KEPT, |expiry| expiry - FRESH);
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((credentials.clone(), until));
        Ok(credentials)
    }
}

/// The DNS suffix of a region's partition (AWS General Reference, "Service endpoints").
fn suffix(region: &str) -> &'static str {
    for (prefix, suffix) in [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ] {
        if region.starts_with(prefix) {
            return suffix;
        }
    }
    "amazonaws.com"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_its_own_suffix() {
        assert_eq!(suffix("us-east-1"), "amazonaws.com");
        assert_eq!(suffix("us-gov-west-1"), "amazonaws.com");
        assert_eq!(suffix("cn-north-1"), "amazonaws.com.cn");
        assert_eq!(suffix("us-isob-east-1"), "sc2s.sgov.gov");
    }
}
