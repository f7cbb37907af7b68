//! What an answer other than "done" means: S3's error codes and broken connections, sorted by what the caller does next.
//!
//! Decided by error code first (S3 API reference, "Error responses"), by status where no code came: HEAD answers have
//! no body, and some endpoints send a status alone.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::credentials::Lack;
use super::http::NO_CA_ROOTS;
use crate::services::NO_CREDENTIALS;
use crate::store::{Outcome, Rejection, StoreError, StoreErrorKind};

/// What a failed try says about the write it was, or about the read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The object is not there.
    Absent,
    /// The write did not go through.
    Rejected(Rejection),
    /// Nobody knows; another try may tell.
    Unknown,
    /// The same call will fail again.
    Failed(StoreErrorKind),
}

/// A failed try, freed of the operation's own error type.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
    /// S3's error code, such as `AccessDenied`; empty if the answer bore none.
    pub(super) code: String,
    /// The store's or the client's own words.
    pub(super) message: String,
    /// The region that the store says the bucket is in.
    pub(super) region: Option<String>,
    /// What the client found out itself, without an answer.
    pub(super) verdict: Option<Verdict>,
    /// S3's id of the request, for AWS support.
    pub(super) request_id: Option<String>,
    /// That nothing was sent for lack of credentials.
    pub(super) lack: Option<Lack>,
}

/// What a failed call was about.
pub(super) struct Call<'a> {
    /// The action as a permission names it.
    pub(super) action: &'static str,
    /// The bucket's name.
    pub(super) bucket: &'a str,
    /// The key; none where the call is about the bucket.
    pub(super) key: Option<&'a str>,
    /// The region that was asked.
    pub(super) region: &'a str,
    /// The endpoint, where it is not AWS's own.
    pub(super) endpoint: Option<&'a str>,
    /// The profile of `~/.aws/config`, where one is named.
    pub(super) profile: Option<&'a str>,
}

impl Failure {
    /// Out of the SDK's error.
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let mut failure = Self { message: chain(&error), ..Self::default() };
        if let Some(answer) = error.raw_response() {
            let header = |name| answer.headers().get(name).map(str::to_owned);
            failure.status = Some(answer.status().as_u16());
            failure.region = header("x-amz-bucket-region");
            failure.request_id = header("x-amz-request-id");
        }
        match &error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                failure.code = meta.code().unwrap_or_default().to_owned();
                failure.message = meta.message().unwrap_or_default().to_owned();
                if failure.region.is_none() {
                    let body = service.raw().body().bytes().unwrap_or_default();
                    failure.region = element(body, "Region");
                }
            }
            SdkError::ConstructionFailure(_) => {
                failure.verdict = Some(Verdict::Failed(StoreErrorKind::Unsupported));
            }
            SdkError::DispatchFailure(_) => {
                failure.verdict = Some(undelivered(&error));
                failure.lack = Lack::of(&error).filter(|_| failure.verdict != Some(Verdict::Unknown));
                if let Some(lack) = &failure.lack {
                    tracing::debug!(said = failure.message, "no credentials");
                    failure.message = format!("{NO_CREDENTIALS}{}", lack.why);
                }
            }
            // No answer in time, or one that cannot be read (cut off, not S3): its status says nothing for sure.
            _ => failure.verdict = Some(Verdict::Unknown),
        }
        failure
    }

    /// That no answer came within `wait`.
    pub(super) fn timeout(wait: std::time::Duration) -> Self {
        Self {
            message: format!("no answer within {} s", wait.as_secs_f32().round()),
            verdict: Some(Verdict::Unknown),
            ..Self::default()
        }
    }

    /// What it means. `region` is the one that was asked.
    pub(super) fn verdict(&self, region: &str) -> Verdict {
        use StoreErrorKind as Kind;
        match &self.verdict {
            Some(Verdict::Failed(kind)) => return Verdict::Failed(*kind),
            Some(_) => return Verdict::Unknown,
            None => {}
        }
        let elsewhere = self.region.as_deref().is_some_and(|told| told != region);
        match (self.code.as_str(), self.status.unwrap_or(0)) {
            ("NoSuchUpload", _) => Verdict::Rejected(Rejection::NoSuchUpload),
            ("NoSuchBucket", _) => Verdict::Failed(Kind::NoSuchBucket),
            ("InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => {
                Verdict::Failed(Kind::Full)
            }
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired", _) => {
                Verdict::Failed(Kind::ExpiredCredentials)
            }
            ("PermanentRedirect" | "TemporaryRedirect" | "IncorrectEndpoint", _) | (_, 301 | 307) => {
                Verdict::Failed(Kind::WrongRegion)
            }
            ("AuthorizationHeaderMalformed" | "BadRequest" | "", 400) if elsewhere => {
                Verdict::Failed(Kind::WrongRegion)
            }
            ("BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch", _) => Verdict::Failed(Kind::Corrupt),
            // Throttled, or the connection broke while the body was on its way; the statuses of these are 400 and 503.
            (
                "RequestTimeout"
                | "IncompleteBody"
                | "SlowDown"
                | "Throttling"
                | "ThrottlingException"
                | "InternalError"
                | "ServiceUnavailable"
                | "RequestLimitExceeded"
                | "BandwidthLimitExceeded",
                _,
            ) => Verdict::Unknown,
            (_, 409) | ("ConditionalRequestConflict" | "OperationAborted" | "ConcurrentModification", _) => {
                Verdict::Rejected(Rejection::Conflict)
            }
            (_, 412) | ("PreconditionFailed", _) => Verdict::Rejected(Rejection::Precondition),
            ("NoSuchKey" | "NotFound", _) | (_, 404) => Verdict::Absent,
            ("InvalidObjectState", _) => Verdict::Failed(Kind::Archived),
            ("AccessDenied" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" | "InvalidAccessKeyId", _)
            | ("AuthorizationHeaderMalformed" | "InvalidToken" | "", 400)
            | (_, 401 | 403) => Verdict::Failed(Kind::Denied),
            ("NotImplemented", _) | (_, 501) => Verdict::Failed(Kind::Unsupported),
            // Also what came inside a 200 and cannot be read.
            (_, 200..=299 | 408 | 429 | 500..) => Verdict::Unknown,
            _ => Verdict::Failed(Kind::Unsupported),
        }
    }

    /// As the result of a write.
    pub(super) fn of_write<T>(self, call: &Call<'_>) -> Result<Outcome<T>, StoreError> {
        match self.verdict(call.region) {
            Verdict::Rejected(why) => Ok(Outcome::Rejected(why)),
            Verdict::Absent => Ok(Outcome::Rejected(Rejection::Missing)),
            Verdict::Unknown => Ok(Outcome::Unknown(self.text(call))),
            Verdict::Failed(kind) => Err(self.error(call, kind)),
        }
    }

    /// As the result of a read: fine if it only says that the object is not there.
    pub(super) fn of_read(self, call: &Call<'_>) -> Result<(), StoreError> {
        match self.kind(call) {
            None => Ok(()),
            Some(kind) => Err(self.error(call, kind)),
        }
    }

    /// As the error of a call for which "absent" is no answer.
    pub(super) fn into_error(self, call: &Call<'_>) -> StoreError {
        let kind = self.kind(call).unwrap_or(StoreErrorKind::Unsupported);
        self.error(call, kind)
    }

    /// The kind of error that it is for a call that may simply be made again; none for "absent".
    fn kind(&self, call: &Call<'_>) -> Option<StoreErrorKind> {
        match self.verdict(call.region) {
            Verdict::Absent => None,
            // A 409 on a read or on a part: something concurrent, which passes.
            Verdict::Unknown | Verdict::Rejected(Rejection::Conflict) => Some(StoreErrorKind::Transient),
            Verdict::Rejected(Rejection::NoSuchUpload) => Some(StoreErrorKind::NoSuchUpload),
            Verdict::Rejected(_) => Some(StoreErrorKind::Unsupported),
            Verdict::Failed(kind) => Some(kind),
        }
    }

    fn error(&self, call: &Call<'_>, kind: StoreErrorKind) -> StoreError {
        let detail = match self.fix(call, kind) {
            Some(fix) => format!("{}; {fix}", self.text(call)),
            None => self.text(call),
        };
        StoreError { kind, action: call.action, place: place(call.bucket, call.key), detail }
    }

    /// What happened: code, status, the store's words, its id of the request.
    fn text(&self, call: &Call<'_>) -> String {
        let mut text = match (self.code.as_str(), self.status) {
            ("", None) => String::new(),
            ("", Some(status)) => format!("status {status} "),
            (code, Some(status)) if (400..600).contains(&status) => format!("{code} ({status}) "),
            (code, _) => format!("{code} "),
        };
        text.push_str(if self.message.is_empty() { "without a message" } else { &self.message });
        if self.status.is_none() && self.lack.is_none() {
            let server = call.endpoint.map_or_else(|| format!("S3 in {}", call.region), str::to_owned);
            text.push_str(&format!(" [asked {server}]"));
        }
        if let Some(id) = &self.request_id {
            text.push_str(&format!(" [request {id}]"));
        }
        text
    }

    /// What a person does about it.
    fn fix(&self, call: &Call<'_>, kind: StoreErrorKind) -> Option<String> {
        use StoreErrorKind as Kind;
        // Listing is allowed on the bucket, all else on objects.
        let resource = match call.key {
            Some(key) if !call.action.starts_with("s3:List") => format!("arn:aws:s3:::{}/{key}", call.bucket),
            _ => format!("arn:aws:s3:::{}", call.bucket),
        };
        if let Some(lack) = &self.lack {
            return Some(lack.fix(call.profile));
        }
        let fix = match (kind, self.code.as_str()) {
            (Kind::Denied, "SignatureDoesNotMatch") => {
                "the secret key is not the one that belongs to the access key: check both, and that no proxy changes \
                 the request"
                    .to_owned()
            }
            (Kind::Denied, "RequestTimeTooSkewed") => {
                "this machine's clock is off by more than 15 minutes: set it (chrony, timedatectl set-ntp true)"
                    .to_owned()
            }
            (Kind::Denied, "InvalidAccessKeyId" | "InvalidToken") => {
                "the access key is unknown there: check AWS_ACCESS_KEY_ID, the profile, and that the endpoint is the \
                 one the key was made for"
                    .to_owned()
            }
            (Kind::Denied, "") if self.status == Some(400) => {
                "an answer without a body says no more; expired credentials and a wrong region look so".to_owned()
            }
            (Kind::Denied, _) => format!(
                "allow {} on {resource} (and s3:ListBucket on the bucket, without which an absent key is refused too)",
                call.action
            ),
            (Kind::NoSuchBucket, _) => format!("create it (aws s3 mb s3://{}) or correct the name", call.bucket),
            (Kind::WrongRegion, _) => match &self.region {
                Some(region) => {
                    format!("the bucket is in {region}, and {} was asked: set the region to {region}", call.region)
                }
                None => format!(
                    "the bucket is not in {}: set the region it is in (aws s3api get-bucket-location --bucket {})",
                    call.region, call.bucket
                ),
            },
            (Kind::ExpiredCredentials, _) => {
                let named = call.profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
                format!("log in again (aws sso login{named}), or renew the session token")
            }
            (Kind::Full, _) => "free some space, or raise the quota, where the store keeps its data".to_owned(),
            _ => return None,
        };
        Some(fix)
    }
}

/// What a request that got no answer means.
fn undelivered<E: Error + 'static, R: std::fmt::Debug + 'static>(error: &SdkError<E, R>) -> Verdict {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(credentials) = at.downcast_ref::<CredentialsError>() {
            return no_credentials(credentials);
        }
        let text = at.to_string();
        if text.contains("invalid peer certificate") || text.contains(NO_CA_ROOTS) {
            return Verdict::Failed(StoreErrorKind::Unsupported);
        }
        cause = at.source();
    }
    Verdict::Unknown
}

/// Why there are no credentials: for good, or because whoever hands them out could not be reached.
fn no_credentials(error: &CredentialsError) -> Verdict {
    let mut cause = error.source();
    while let Some(at) = cause {
        if at.downcast_ref::<ConnectorError>().is_some_and(|error| error.is_io() || error.is_timeout()) {
            return Verdict::Unknown;
        }
        cause = at.source();
    }
    match error {
        CredentialsError::ProviderTimedOut(_) => Verdict::Unknown,
        _ => Verdict::Failed(Lack::of(error).map_or(StoreErrorKind::NoCredentials, |lack| lack.kind)),
    }
}

/// An error and its causes in one line, each said once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(at) = cause {
        let said = at.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        cause = at.source();
    }
    text
}

/// The object or bucket as a URL.
pub(super) fn place(bucket: &str, key: Option<&str>) -> String {
    format!("s3://{bucket}/{}", key.unwrap_or_default())
}

/// The text of the first `<name>…</name>` in an error document.
fn element(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "failure_test.rs"]
mod tests;
