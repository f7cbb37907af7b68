//! The account: clients of the services besides S3's data path, what their errors mean, and the deployment's record.

mod deployments;
mod explain;
mod logs;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use dayfly_shared::services::Services;
use dayfly_shared::store::{S3Settings, sdk_config};

use crate::failure::{Failure, Result};
use crate::parts::Parts;
use crate::settings::Place;

pub use deployments::{check_place, check_way, find, load, save, search};
pub use explain::{code, explain, fix, is_passing, may_have_gone_through};
pub use logs::{LogGroup, Logs};
pub use refused::{decoded, explain_fully};

/// As for S3: room for a lost SYN and its first two repeats (after 1 and 3 s).
const CONNECT: Duration = Duration::from_secs(5);
/// How long one try of a call may take: the SDK's default is for ever. An instant fleet is answered when its machines are
/// launched, which takes seconds for tens and up to a minute for hundreds; twice that.
const ANSWER: Duration = Duration::from_mins(2);

/// Clients of an account's services in one region. Cheap to make; nothing is sent before it is asked for.
#[derive(Clone)]
pub struct Cloud {
    config: SdkConfig,
    region: String,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
}

impl Cloud {
    /// The account and region that the command line, the environment or the profile say.
    ///
    /// # Errors
    /// A folder for a place, no region, an endpoint that is no URL.
    pub async fn connect(parts: &Parts) -> Result<Self> {
        Self::connect_in(parts, None).await
    }

    /// The same, in the region of a deployment.
    ///
    /// # Errors
    /// As [`Cloud::connect`].
    pub async fn connect_in(parts: &Parts, region_of_deployment: Option<&str>) -> Result<Self> {
        let Place::S3 { endpoint_url, region, profile } = &parts.settings.place else {
            return Err(Failure::usage("--local has no machines to launch, list or end but this one")
                .fix("leave out --local, and name the job as s3://BUCKET/PREFIX"));
        };
        let settings = S3Settings {
            endpoint_url: endpoint_url.clone(),
            region: region_of_deployment.map(str::to_owned).or_else(|| region.clone()),
            profile: profile.clone(),
            ..S3Settings::new("")
        };
        let config = sdk_config(&settings, Arc::clone(&parts.clock)).await?;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Failure::usage("no region is configured")
                .fix("pass --region, set AWS_REGION, or put one into the profile (aws configure)"));
        };
        let limits = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build();
        let config = config.into_builder().timeout_config(limits).build();
        Ok(Self { config, region })
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint of all services, where it is not AWS's own.
    pub fn endpoint_url(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// EC2.
    pub fn ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.config)
    }

    /// EBS, for the blocks of snapshots.
    pub fn ebs(&self) -> aws_sdk_ebs::Client {
        aws_sdk_ebs::Client::new(&self.config)
    }

    /// IAM.
    pub fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config)
    }

    /// Systems Manager.
    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(&self.config)
    }

    /// The container registry.
    pub fn ecr(&self) -> aws_sdk_ecr::Client {
        aws_sdk_ecr::Client::new(&self.config)
    }

    /// Quotas.
    pub fn quotas(&self) -> aws_sdk_servicequotas::Client {
        aws_sdk_servicequotas::Client::new(&self.config)
    }

    /// Prices, which are served from a few regions for all (Price List API, "Service endpoints").
    pub fn prices(&self) -> aws_sdk_pricing::Client {
        let region = aws_config::Region::from_static("us-east-1");
        aws_sdk_pricing::Client::from_conf(aws_sdk_pricing::config::Builder::from(&self.config).region(region).build())
    }

    /// S3, for a bucket's configuration. Objects go through the store.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let paths = self.config.endpoint_url().is_some();
        aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&self.config).force_path_style(paths).build())
    }

    /// Security tokens.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config)
    }

    /// CloudWatch Logs, by calls that are signed here: a client of its own would be another SDK, for five calls of setup's.
    ///
    /// # Errors
    /// No region; [`Cloud::connect`] has one.
    pub fn logs(&self, parts: &Parts) -> Result<Logs> {
        let services = Services::new(&self.config, Some(&self.region), Arc::clone(&parts.clock));
        services.map(Logs::new).map_err(Failure::new)
    }

    /// Who calls.
    ///
    /// # Errors
    /// No credentials, or ones that have expired.
    pub async fn identity(&self) -> Result<Identity> {
        let caller = self.sts().get_caller_identity().send().await;
        let caller = caller.map_err(|e| explain("sts:GetCallerIdentity", "the caller", &e))?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Ok(Identity { account: text(caller.account()), arn: text(caller.arn()) })
    }

    /// The partition that ARNs name: `aws`, `aws-cn`, `aws-us-gov`, by the region.
    pub fn partition(&self) -> &'static str {
        crate::policy::partition(&self.region)
    }
}
