//! What a service's errors mean, in the words that their user needs.

use std::error::Error;

use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dayfly_shared::services::NO_CREDENTIALS;
use dayfly_shared::store::{Lack, chain};

use crate::failure::Failure;

/// The service's code of an error, such as `UnauthorizedOperation`; none where the service did not answer.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether the same request may go through a moment later, as the SDK's own retries have given up on it.
pub fn is_passing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::DispatchFailure(failure) => !of_credentials(failure),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => matches!(
            code(error),
            Some(
                "RequestLimitExceeded"
                    | "Throttling"
                    | "ThrottlingException"
                    | "RequestThrottledException"
                    | "ConcurrentLimitExceededException"
                    | "InternalError"
                    | "InternalFailure"
                    | "InternalServerException"
                    | "Unavailable"
                    | "ServiceUnavailable"
            )
        ),
    }
}

/// Whether a call that failed may have been carried out: it was sent, and no answer tells.
pub fn may_have_gone_through<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => !of_credentials(failure),
        _ => matches!(code(error), Some("InternalError" | "InternalFailure" | "Unavailable" | "ServiceUnavailable")),
    }
}

/// Whether nothing was sent for lack of credentials: no later try helps.
fn of_credentials(failure: &DispatchFailure) -> bool {
    lack(failure).is_some()
}

fn lack(failure: &DispatchFailure) -> Option<Lack> {
    Lack::of(failure.as_connector_error()?)
}

/// The failure of a call: what was asked (`ec2:CreateFleet`), about what, what the service said, and the fix.
pub fn explain<E, R>(action: &str, about: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match error.as_service_error() {
        Some(said) if said.code().is_none() && said.message().is_none() => not_aws(action, about),
        Some(said) => of_service(
            action,
            about,
            said.code().unwrap_or("an error without a code"),
            said.message().unwrap_or("no message"),
        ),
        None => match error {
            SdkError::DispatchFailure(failure) if let Some(lack) = lack(failure) => Failure::credentials(action, lack),
            _ => of_transport(action, about, &one_line(&chain(error))),
        },
    }
}

/// The failure of a call that was answered as no service of AWS answers: by an S3 service that is not Amazon's, mostly.
fn not_aws(action: &str, about: &str) -> Failure {
    Failure::new(format!("{action} {about}: whoever answers there is no such service of AWS")).fix(
        "where S3 alone is elsewhere, name its endpoint by AWS_ENDPOINT_URL_S3, not for all services (--endpoint-url, \
         AWS_ENDPOINT_URL); without EC2 agents run where they are started: dayfly launch --here, dayfly-agent",
    )
}

/// The failure of a call that a service refused.
pub(super) fn of_service(action: &str, about: &str, code: &str, message: &str) -> Failure {
    let failure = Failure::new(format!("{action} {about}: {code}: {}", one_line(message)));
    match fix(action, code, message) {
        Some(fix) => failure.fix(fix),
        None => failure,
    }
}

/// What to do about a code, where that can be said.
pub fn fix(action: &str, code: &str, message: &str) -> Option<String> {
    let words = message.to_ascii_lowercase();
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "the credentials have expired: log in again (aws sso login, or new keys), then run it again".to_owned()
        }
        "AuthFailure" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
            "the credentials are not valid here: check AWS_PROFILE and the keys, and this machine's clock".to_owned()
        }
        // EC2 names the right that is missing, where it names any.
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" if words.contains("iam:passrole") => {
            "the caller may not hand the agents' role to machines (iam:PassRole): give it the operator policy for run that \
             dayfly setup --print shows"
                .to_owned()
        }
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            format!("the caller may not do {action}: give it the operator policy that dayfly setup --print shows")
        }
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottledException"
        | "ConcurrentLimitExceededException" => {
            "the account's calls are being throttled: wait a minute and run it again".to_owned()
        }
        "InsufficientInstanceCapacity" | "UnfulfillableCapacity" | "InsufficientCapacity" => {
            "EC2 has no such machines free just now: name more instance types, more zones (--subnet), or wait".to_owned()
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" => {
            "the account's limit on vCPUs is reached: end machines, launch fewer or smaller ones, or ask for more (Service \
             Quotas, \"Running On-Demand Standard instances\")"
                .to_owned()
        }
        "MaxSpotInstanceCountExceeded" => {
            "the account's limit on spot machines is reached: launch fewer, or ask for more (Service Quotas, \"All Standard \
             Spot Instance Requests\")"
                .to_owned()
        }
        "ServiceQuotaExceededException" | "PendingSnapshotLimitExceeded" | "SnapshotLimitExceeded" => {
            "the account's limit on snapshots is reached, on pending ones or on all: wait for others to complete, remove \
             some (dayfly image prune), or ask for more (Service Quotas, Amazon EBS, \"Pending snapshots\")"
                .to_owned()
        }
        "OptInRequired" => {
            "the account has not enabled this service or region: enable it, or pass another --region".to_owned()
        }
        "InvalidAMIName.Duplicate" => "choose another --name, or deregister that image".to_owned(),
        "SpotMaxPriceTooLow" => "spot costs more than that just now: leave out --max-price, or raise it".to_owned(),
        "IdempotentParameterMismatch" | "IdempotentParameterMismatchException" => {
            "this launch's token was used with other parameters, so somebody changed its record: close it (dayfly reap), and \
             launch again"
                .to_owned()
        }
        _ if words.contains("iam instance profile") => {
            "the instance profile is not there, or not visible yet: run it again in a minute; if it stays so: dayfly setup"
                .to_owned()
        }
        _ if words.contains("architecture") => {
            "image and instance type do not fit: choose --arch, --instance-type and --ami that do".to_owned()
        }
        "InvalidAMIID.NotFound" | "InvalidAMIID.Unavailable" | "InvalidAMIID.Malformed" => {
            "the image is not in this region, or not this account's: correct --ami".to_owned()
        }
        "InvalidLaunchTemplateId.NotFound" | "InvalidLaunchTemplateId.VersionNotFound" => {
            "the deployment's launch template is gone: run dayfly setup again".to_owned()
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet.NotFound" | "InvalidGroup.NotFound" => {
            "the deployment's network has changed: run dayfly setup again, or name a --subnet".to_owned()
        }
        "InvalidInstanceType" | "InvalidInstanceTypeFamily" => "correct --instance-type".to_owned(),
        "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => {
            "correct the id (dayfly ps lists them); a terminated one is forgotten after an hour".to_owned()
        }
        _ => return None,
    })
}

/// The failure of a call by hand that nobody answered, or that could not be sent.
pub(super) fn without_answer(action: &str, about: &str, why: &str) -> Failure {
    match why.strip_prefix(NO_CREDENTIALS) {
        Some(why) => Failure::credentials(action, Lack::said(why)),
        None => of_transport(action, about, why),
    }
}

fn of_transport(action: &str, about: &str, why: &str) -> Failure {
    Failure::new(format!("{action} {about}: no answer: {why}"))
        .fix("check the network, --region and AWS_ENDPOINT_URL, and run it again")
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_users_report_has_its_text() {
        let passrole = "User: arn:aws:iam::1:user/me is not authorized to perform: iam:PassRole on resource: arn:r";
        for (code, message, word) in [
            ("UnauthorizedOperation", passrole, "iam:PassRole"),
            ("UnauthorizedOperation", "You are not authorized", "may not do ec2:CreateFleet"),
            ("InsufficientInstanceCapacity", "no capacity", "more instance types"),
            ("VcpuLimitExceeded", "limit", "Running On-Demand Standard"),
            ("MaxSpotInstanceCountExceeded", "limit", "Spot Instance Requests"),
            ("IdempotentParameterMismatch", "token", "dayfly reap"),
            ("RequestLimitExceeded", "slow", "throttled"),
            ("InvalidParameterValue", "Invalid IAM Instance Profile name", "not visible yet"),
            ("InvalidParameterValue", "The architecture 'arm64' of the specified AMI", "--arch"),
            ("RequestExpired", "expired", "log in again"),
            ("ServiceQuotaExceededException", "quota", "Pending snapshots"),
            ("RequestThrottledException", "slow", "throttled"),
        ] {
            let fix = fix("ec2:CreateFleet", code, message).unwrap_or_default();
            assert!(fix.contains(word), "{code}: {fix}");
        }
        assert_eq!(fix("ec2:CreateFleet", "SomethingNew", "unheard of"), None);
    }
}
