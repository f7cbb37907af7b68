//! What a service's errors mean, in the words that their user needs.

use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::failure::Failure;

/// The service's code of an error, such as `UnauthorizedOperation`; none where the service did not answer.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether the same request may go through a moment later, as the SDK's own retries have given up on it.
pub fn is_passing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        _ => matches!(
            code(error),
            Some("RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "InternalError" | "Unavailable")
        ),
    }
}

/// The failure of a call: what was asked (`ec2:CreateFleet`), about what, what the service said, and the fix.
pub fn explain<E, R>(action: &str, about: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match error.as_service_error() {
        Some(said) => of_service(
            action,
            about,
            said.code().unwrap_or("an error without a code"),
            said.message().unwrap_or("no message"),
        ),
        None => of_transport(action, about, &chain(error)),
    }
}

fn of_service(action: &str, about: &str, code: &str, message: &str) -> Failure {
    let failure = Failure::new(format!("{action} {about}: {code}: {}", one_line(message)));
    match fix(action, code, message) {
        Some(fix) => failure.fix(fix),
        None => failure,
    }
}

/// What to do about a code, where that can be said.
fn fix(action: &str, code: &str, _message: &str) -> Option<String> {
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "the credentials have expired: log in again (aws sso login, or new keys), then run it again".to_owned()
        }
        "AuthFailure" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
            "the credentials are not valid here: check AWS_PROFILE and the keys, and this machine's clock".to_owned()
        }
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            format!("the caller may not do {action}: give it the operator policy that dayfly setup --print shows")
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            "the account's calls are being throttled: wait a minute and run it again".to_owned()
        }
        _ => return None,
    })
}

fn of_transport(action: &str, about: &str, why: &str) -> Failure {
    let failure = Failure::new(format!("{action} {about}: {why}"));
    if why.contains("credentials") {
        return failure.fix("log in (aws sso login), set AWS_PROFILE, or set AWS_ACCESS_KEY_ID and its secret");
    }
    failure.fix("check the network, --region and AWS_ENDPOINT_URL, and run it again")
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
