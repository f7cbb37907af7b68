//! What a refusal that EC2 encodes says: which right is missing, on what.

use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use super::{Cloud, code, explain, fix};
use crate::failure::Failure;

/// What stands before the part that is encoded.
const ENCODED: &str = "Encoded authorization failure message: ";

/// As [`explain`]; a refusal that EC2 encodes is decoded, where the caller may (sts:DecodeAuthorizationMessage).
pub async fn explain_fully<E, R>(cloud: &Cloud, action: &str, about: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    match decoded(cloud, message).await {
        Some(said) => {
            let code = code(error).unwrap_or("UnauthorizedOperation");
            let failure = Failure::new(format!("{action} {about}: {code}: {said}"));
            let missing = said.split_whitespace().skip_while(|word| *word != "do").nth(1).unwrap_or(action);
            failure.fix(fix(missing, code, &said).unwrap_or_default())
        }
        None => explain(action, about, error),
    }
}

/// A refusal's text with the encoded part read: `the caller may not iam:PassRole on arn:…`.
pub async fn decoded(cloud: &Cloud, message: &str) -> Option<String> {
    let (_, rest) = message.split_once(ENCODED)?;
    let encoded = rest.split_whitespace().next()?;
    match cloud.sts().decode_authorization_message().encoded_message(encoded).send().await {
        Ok(answer) => words(answer.decoded_message()?),
        Err(error) => {
            tracing::info!(code = code(&error), "the refusal cannot be decoded");
            None
        }
    }
}

/// The document of STS in words (STS API reference, DecodeAuthorizationMessage).
fn words(document: &str) -> Option<String> {
    let document: Value = serde_json::from_str(document).ok()?;
    let context = document.get("context")?;
    let action = context.get("action")?.as_str()?;
    let resource = context.get("resource").and_then(Value::as_str).unwrap_or("anything");
    let who = context.pointer("/principal/arn").and_then(Value::as_str).unwrap_or("the caller");
    let why = match document.get("explicitDeny").and_then(Value::as_bool) {
        Some(true) => "a policy denies it",
        _ => "no policy allows it",
    };
    Some(format!("{who} may not do {action} on {resource}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_refusal_names_right_and_resource() {
        let document = r#"{"allowed": false, "explicitDeny": false, "context": {"principal": {"arn": "arn:aws:iam::1:user/me"},
            "action": "iam:PassRole", "resource": "arn:aws:iam::1:role/dayfly"}}"#;
        let said = words(document).unwrap();
        assert_eq!(
            said,
            "arn:aws:iam::1:user/me may not do iam:PassRole on arn:aws:iam::1:role/dayfly: no policy allows it"
        );
        assert!(fix("x", "UnauthorizedOperation", &said).unwrap().contains("iam:PassRole"));
        let denied = document.replace("\"explicitDeny\": false", "\"explicitDeny\": true");
        assert!(words(&denied).unwrap().contains("denies"));
        assert_eq!(words("no JSON"), None);
    }
}
