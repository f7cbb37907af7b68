//! Calls to AWS that no SDK is linked for: signed by hand (Signature Version 4) and sent with the store's kind of HTTP
//! client.

mod account;
mod heralds;
mod http;
mod vault;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use crate::clock::Clock;
use crate::store::{Lack, chain};

pub use account::Account;
pub use heralds::Heralds;
pub use http::{Answer, Http};
pub use vault::Vault;

/// How the error of a call begins that was not sent, as there are no credentials.
pub const NO_CREDENTIALS: &str = "no credentials: ";
/// How long the credentials may take to come.
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

/// AWS, as whoever holds the configuration's credentials may call it.
pub struct Services {
    credentials: Option<SharedCredentialsProvider>,
    cached: Mutex<Option<(Credentials, std::time::SystemTime)>>,
    region: String,
    endpoint: Option<String>,
    http: Http,
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
            http: Http::new(Arc::clone(&clock)),
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
        self.post_in(&self.region, service, headers, body).await
    }

    /// Posts to a service in a region that need not be this one's.
    ///
    /// # Errors
    /// As [`Services::post`].
    pub async fn post_in(
        &self,
        region: &str,
        service: Service,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Answer, String> {
        let own = std::env::var(service.variable).ok().or_else(|| self.endpoint.clone());
        let url = own.unwrap_or_else(|| format!("https://{}.{region}.{}", service.name, suffix(region)));
        let url = format!("{}/", url.trim_end_matches('/'));
        tokio::select! {
            biased;
            signed = self.sign(service, region, &url, headers, &body) => {
                let plain = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
                let answer = self.http.post(&url, plain.chain(signed?), body).await;
                answer.map_err(|e| format!("{url}: {e}"))
            }
            () = self.clock.sleep(PATIENCE) => Err(format!("no credentials within {} s", PATIENCE.as_secs())),
        }
    }

    /// The region that is asked unless another is named.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The headers that a signature adds.
    async fn sign(
        &self,
        service: Service,
        region: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let time = UNIX_EPOCH + Duration::from_millis(self.clock.now().wall.unix_ms);
        let identity = self.credentials(time).await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
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
