//! From settings to a client of the SDK: where the endpoint, the region and the credentials come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::ServiceConfigKey;

use super::failure::place;
use super::http;
use super::time::SdkClock;
use crate::clock::Clock;
use crate::store::{Result, StoreError, StoreErrorKind};
use crate::url::{host, is_loopback};

/// The region where none is configured: the one whose endpoint answers for buckets of every region by naming theirs.
const DEFAULT_REGION: &str = "us-east-1";

/// Which bucket, and how to reach it. What is none comes from where the AWS tools take it: the environment
/// (`AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, …), the profile, the instance.
#[derive(Clone)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The bucket's region.
    pub region: Option<String>,
    /// Where the store is, if it is not AWS's own, such as `http://127.0.0.1:9000`.
    pub endpoint_url: Option<String>,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// Access key and secret key, for an endpoint of one's own. On AWS leave them to the default chain.
    pub keys: Option<(String, String)>,
    /// The client of the instance metadata service that credentials come from, where the process has one already.
    pub metadata: Option<imds::Client>,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`. None: for every endpoint that is not AWS's own.
    pub force_path_style: Option<bool>,
    /// How long each step may take.
    pub timeouts: S3Timeouts,
}

/// How long a call may take before its outcome counts as unknown. The SDK's default is: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Timeouts {
    /// To connect, TLS included. 5 s: room for a lost SYN and its first two repeats (after 1 and 3 s).
    pub connect: Duration,
    /// From sending a request to its answer, besides the time for its body. 15 s: S3 answers in well under a second,
    /// and when it throttles in some; longer, and a lease of a minute is not renewed twice within its life.
    pub answer: Duration,
    /// What a body adds: one second for so many bytes. 256 KiB/s is a poor 2 Mbit/s line: a part of 64 MiB gets 4 more
    /// minutes.
    pub slowest_bytes_per_second: u64,
    /// Between two pieces of a body that is being read. 30 s: TCP has by then repeated a lost segment some seven times.
    pub body_idle: Duration,
    /// For completing a multipart upload. 5 minutes: S3 says that it "can take several minutes" for large objects
    /// (API reference, `CompleteMultipartUpload`).
    pub complete: Duration,
}

impl Default for S3Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            slowest_bytes_per_second: 256 << 10,
            body_idle: Duration::from_secs(30),
            complete: Duration::from_secs(300),
        }
    }
}

impl S3Timeouts {
    /// For a request that carries a body of so many bytes.
    pub(super) fn sending(&self, bytes: usize) -> Duration {
        self.answer + Duration::from_secs(bytes as u64 / self.slowest_bytes_per_second.max(1))
    }
}

impl S3Settings {
    /// For this bucket, all else as the AWS tools would have it.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: None,
            endpoint_url: None,
            profile: None,
            keys: None,
            metadata: None,
            force_path_style: None,
            timeouts: S3Timeouts::default(),
        }
    }
}

impl fmt::Debug for S3Settings {
    /// Without the secret key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("profile", &self.profile)
            .field("access_key", &self.keys.as_ref().map(|(access, _)| access))
            .field("force_path_style", &self.force_path_style)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}

/// A client, with what the texts of errors name.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) profile: Option<String>,
}

/// The SDK's configuration for services other than S3, by the same settings: credentials, region, endpoint, HTTP client and
/// clock. Nothing is sent yet, but what credentials and region take.
///
/// # Errors
/// For an endpoint that is no URL, and for https where no CA certificates are found.
pub async fn sdk_config(settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<SdkConfig> {
    let clock = SdkClock(clock);
    let config = load(settings, &clock).await;
    check(settings, config.endpoint_url())?;
    Ok(config)
}

/// Reads the configuration and builds the client; sends nothing to the store.
pub(super) async fn connect(settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Connected> {
    let clock = SdkClock(clock);
    let config = load(settings, &clock).await;
    let endpoint = endpoint(settings, &config);
    check(settings, endpoint.as_deref())?;
    let region = config.region().cloned().unwrap_or(Region::from_static(DEFAULT_REGION));
    let path_style = settings.force_path_style.unwrap_or_else(|| endpoint.as_deref().is_some_and(wants_paths));
    let mut builder = aws_sdk_s3::config::Builder::from(&config)
        .region(region.clone())
        .force_path_style(path_style)
        // One try per call: whoever calls decides what a second one means.
        .retry_config(RetryConfig::disabled())
        // Only connecting is timed by the SDK. Its other timeouts are one number for all requests, and its protection
        // against stalled streams cannot see into a body that is sent as one piece; so the store times each request
        // by its size, and the pieces of a body by their distance.
        .timeout_config(TimeoutConfig::builder().connect_timeout(settings.timeouts.connect).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
    if let Some(url) = &endpoint {
        builder = builder.endpoint_url(url);
    }
    // The library reads the variable by itself; a text that says what to do names the profile too.
    let named = || std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
    let profile = settings.profile.clone().or_else(named);
    Ok(Connected { client: Client::from_conf(builder.build()), region: region.to_string(), endpoint, profile })
}

/// The default chain, with what the settings fix.
async fn load(settings: &S3Settings, clock: &SdkClock) -> SdkConfig {
    let client = http::client();
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client.clone()).time_source(clock.clone());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some((access, secret)) = &settings.keys {
        loader = loader.credentials_provider(Credentials::new(access, secret, None, None, "settings"));
    }
    if let Some(url) = &settings.endpoint_url {
        // An endpoint of one's own: no instance metadata is asked for its region.
        loader = loader.endpoint_url(url).region(region(settings).or_else(Region::from_static(DEFAULT_REGION)));
    } else if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    match (&settings.metadata, &settings.profile) {
        _ if settings.keys.is_some() => {}
        (Some(metadata), _) => {
            loader = loader.credentials_provider(credentials(settings, metadata, client, clock).await);
        }
        // Who names a profile means its credentials, as with the AWS command line; the default chain would take keys of the
        // environment before them.
        (None, Some(profile)) => {
            let provider = ProviderConfig::default().with_http_client(client).with_time_source(clock.clone());
            let provider = provider.with_region(region(settings).region().await);
            let profile = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
            loader = loader.credentials_provider(profile.build());
        }
        (None, None) => {}
    }
    loader.load().await
}

/// The region that settings, environment or profile name.
fn region(settings: &S3Settings) -> RegionProviderChain {
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
}

/// The default chain of credentials, the instance's by a client that has a session token.
async fn credentials(
    settings: &S3Settings,
    metadata: &imds::Client,
    client: SharedHttpClient,
    clock: &SdkClock,
) -> DefaultCredentialsChain {
    let provider = ProviderConfig::default().with_http_client(client).with_time_source(clock.clone());
    let mut chain = DefaultCredentialsChain::builder().configure(provider).imds_client(metadata.clone());
    if let Some(profile) = &settings.profile {
        chain = chain.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        chain = chain.region(Region::new(region.clone()));
    }
    chain.build().await
}

/// The endpoint that the SDK will use: the settings', S3's own of the environment or the profile, then theirs for all.
fn endpoint(settings: &S3Settings, config: &SdkConfig) -> Option<String> {
    if settings.endpoint_url.is_some() {
        return settings.endpoint_url.clone();
    }
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let own = config.service_config().zip(key).and_then(|(services, key)| services.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Refuses what could only fail later, and less clearly.
fn check(settings: &S3Settings, endpoint: Option<&str>) -> Result<()> {
    let refuse = |detail: String| {
        let place = place(&settings.bucket, None);
        Err(StoreError { kind: StoreErrorKind::Unsupported, action: "connect to", place, detail })
    };
    match endpoint {
        Some(url) if url.starts_with("http://") => Ok(()),
        Some(url) if !url.starts_with("https://") => {
            refuse(format!("the endpoint {url:?} must begin with http:// or https://"))
        }
        _ if !http::have_ca_roots() => refuse(http::NO_CA_ROOTS.to_owned()),
        _ => Ok(()),
    }
}

/// Whether bodies need no signature of their own on the way to this endpoint: TLS guards them, or they never leave the
/// machine. Their CRC-32 is in a signed header either way. (SHA-256 of every byte costs as much as all else together.)
pub(super) fn guards_bodies(url: &str) -> bool {
    url.starts_with("https://") || is_loopback(url)
}

/// Whether buckets go into the path: for every endpoint that is not AWS's own. Addresses and `localhost` have no
/// sub-domains, most other stores are set up without, and all of them take paths.
fn wants_paths(url: &str) -> bool {
    let host = host(url);
    ![".amazonaws.com", ".amazonaws.com.cn"].iter().any(|aws| host.ends_with(aws))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_go_into_the_path_but_at_aws() {
        for url in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000/", "http://minio.example:9000/x"] {
            assert!(wants_paths(url), "{url}");
        }
        for url in ["https://s3.eu-west-1.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn:443"] {
            assert!(!wants_paths(url), "{url}");
        }
    }

    #[test]
    fn bodies_are_signed_where_others_could_change_them() {
        for url in ["https://minio.example", "http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000/"] {
            assert!(guards_bodies(url), "{url}");
        }
        for url in
            ["http://minio.example:9000", "http://10.0.0.1", "http://127.0.0.1.example", "http://localhost.example"]
        {
            assert!(!guards_bodies(url), "{url}");
        }
    }

    #[test]
    fn larger_bodies_get_more_time() {
        let timeouts = S3Timeouts::default();
        assert_eq!(timeouts.sending(1000), timeouts.answer);
        assert_eq!(timeouts.sending(64 << 20), timeouts.answer + Duration::from_secs(256));
    }

    #[test]
    fn the_secret_key_is_not_shown() {
        let settings = S3Settings { keys: Some(("AKID".into(), "hush".into())), ..S3Settings::new("b") };
        let shown = format!("{settings:?}");
        assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
    }
}
