//! Secrets, by `ssm:GetParameter` and `secretsmanager:GetSecretValue` (API references of both services).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Account, Answer, Service};
use crate::clock::Moment;
use crate::secret::{NoSecret, SecretName, Secrets};

const SSM: Service = Service { name: "ssm", variable: "AWS_ENDPOINT_URL_SSM" };
const SECRETS_MANAGER: Service = Service { name: "secretsmanager", variable: "AWS_ENDPOINT_URL_SECRETS_MANAGER" };

/// So long a secret is kept: parameters are served 40 times a second in an account and region (AWS General Reference,
/// "Systems Manager endpoints and quotas"), and one that was rotated is known soon enough.
const KEPT: Duration = Duration::from_secs(300);
/// How often a service that is silent or too busy is asked.
const TRIES: u32 = 4;
/// Between two tries, doubling.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Fetches secrets, and keeps them for some minutes.
pub struct Vault {
    account: Arc<Account>,
    kept: Mutex<BTreeMap<SecretName, (String, Moment)>>,
}

impl Vault {
    /// Of this account's.
    pub fn new(account: Arc<Account>) -> Self {
        Self { account, kept: Mutex::default() }
    }

    async fn ask(&self, name: &SecretName) -> Result<String, NoSecret> {
        let services = self.account.services().await.map_err(|why| refused(name, &why))?;
        let region = name.region().unwrap_or(services.region()).to_owned();
        let (service, target, body) = match name {
            SecretName::Parameter(id) => (SSM, "AmazonSSM.GetParameter", json!({ "Name": id, "WithDecryption": true })),
            SecretName::Secret { name: id, .. } => {
                (SECRETS_MANAGER, "secretsmanager.GetSecretValue", json!({ "SecretId": id }))
            }
        };
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let answer = services.post_in(&region, service, &headers, body.to_string()).await;
        judge(name, &region, &answer.map_err(|why| NoSecret::Silent(about(name, &why)))?)
    }
}

#[async_trait]
impl Secrets for Vault {
    async fn fetch(&self, name: &SecretName) -> Result<String, NoSecret> {
        let clock = self.account.clock();
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now().at;
        if let Some((value, since)) = lock().get(name)
            && now.since(*since) < KEPT
        {
            return Ok(value.clone());
        }
        let mut wait = FIRST_WAIT;
        for left in (0..TRIES).rev() {
            match self.ask(name).await {
                Ok(value) => {
                    lock().insert(name.clone(), (value.clone(), now));
                    return Ok(value);
                }
                Err(NoSecret::Silent(_)) if left > 0 => {
                    clock.sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        Err(NoSecret::Silent(format!("the secret {name} was not asked for")))
    }
}

fn about(name: &SecretName, why: &str) -> String {
    format!("the secret {name} cannot be had ({}): {why}", name.action())
}

fn refused(name: &SecretName, why: &str) -> NoSecret {
    NoSecret::Refused(about(name, why))
}

/// What an answer means.
fn judge(name: &SecretName, region: &str, answer: &Answer) -> Result<String, NoSecret> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        return Err(error(name, region, answer.status, &body));
    }
    // From here on nothing of the body is shown: it holds the secret.
    let value = match name {
        SecretName::Parameter(_) => body["Parameter"]["Value"].as_str().map(str::to_owned),
        SecretName::Secret { .. } => body["SecretString"].as_str().map(str::to_owned).or_else(|| {
            let bytes = BASE64_STANDARD.decode(body["SecretBinary"].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        }),
    };
    let value = value.ok_or_else(|| refused(name, "the answer holds no text"))?;
    let SecretName::Secret { field: Some(field), .. } = name else { return Ok(value) };
    let object: Value = serde_json::from_str(&value).map_err(|_| refused(name, "it is no JSON, so it has no keys"))?;
    match object.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(one)) => Ok(one.to_string()),
        Some(_) => Err(refused(name, "what is under that key is neither text nor a number")),
        None => Err(refused(name, "it has no such key")),
    }
}

/// What an error means, by its code.
fn error(name: &SecretName, region: &str, status: u16, body: &Value) -> NoSecret {
    let code = body["__type"].as_str().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let message = body["message"].as_str().or_else(|| body["Message"].as_str()).unwrap_or_default();
    let message: String = message.chars().take(300).collect();
    let said = format!("{code} (HTTP {status}) {message}").trim().to_owned();
    // Throttled, or not there for a moment.
    if status == 429 || status >= 500 || code.contains("Throttl") || code == "InternalServerError" {
        return NoSecret::Silent(about(name, &said));
    }
    let fix = match code {
        "ParameterNotFound" | "ResourceNotFoundException" => format!("there is none of that name in {region}; make it"),
        "AccessDeniedException" => format!(
            "allow {} on it to whom the agent runs as: dayfly setup --secrets {}, for a deployment (a secret with a key of \
             your own wants kms:Decrypt in that key's policy too)",
            name.action(),
            plain(name)
        ),
        _ => "mend that".to_owned(),
    };
    refused(name, &format!("{said}; {fix}"))
}

/// The name without the key in it: rights are for the whole secret.
fn plain(name: &SecretName) -> String {
    match name {
        SecretName::Secret { name, .. } => SecretName::Secret { name: name.clone(), field: None }.to_string(),
        SecretName::Parameter(_) => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, status: u16, body: &str) -> Result<String, NoSecret> {
        judge(&name.parse().unwrap(), "eu-west-1", &Answer { status, body: body.to_owned() })
    }

    #[test]
    fn a_secret_is_what_the_service_holds() {
        for (name, body, value) in [
            ("ssm:/x", r#"{"Parameter":{"Value":"v"}}"#, "v"),
            ("secretsmanager:x", r#"{"SecretString":"v"}"#, "v"),
            ("secretsmanager:x", r#"{"SecretBinary":"djI="}"#, "v2"),
            ("secretsmanager:x#k", r#"{"SecretString":"{\"k\":\"v\"}"}"#, "v"),
            ("secretsmanager:x#k", r#"{"SecretString":"{\"k\":7}"}"#, "7"),
        ] {
            assert_eq!(answer(name, 200, body).as_deref(), Ok(value), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named_and_not_shown() {
        for (name, status, body, word) in [
            ("ssm:/x", 400, r#"{"__type":"ParameterNotFound"}"#, "none of that name in eu-west-1"),
            ("ssm:/x", 400, r#"{"__type":"AccessDeniedException","message":"no"}"#, "--secrets ssm:/x,"),
            ("secretsmanager:x#k", 400, r#"{"__type":"AccessDeniedException"}"#, "--secrets secretsmanager:x,"),
            ("secretsmanager:x#k", 400, r#"{"__type":"ResourceNotFoundException"}"#, "none of that name"),
            ("secretsmanager:x#k", 200, r#"{"SecretString":"hush"}"#, "no JSON"),
            ("secretsmanager:x#k", 200, r#"{"SecretString":"{\"hush\":\"hush\"}"}"#, "no such key"),
            ("ssm:/x", 200, r#"{"hush":1}"#, "no text"),
        ] {
            let Err(NoSecret::Refused(why)) = answer(name, status, body) else { panic!("{name} {body}") };
            let action = name.parse::<SecretName>().unwrap().action();
            assert!(why.contains(name) && why.contains(action) && why.contains(word), "{why}");
            assert!(!why.contains("hush"), "{why}");
        }
        for (status, code) in [(400, "ThrottlingException"), (500, "InternalServerError"), (503, "")] {
            let body = format!(r#"{{"__type":"{code}"}}"#);
            assert!(matches!(answer("ssm:/x", status, &body), Err(NoSecret::Silent(_))), "{status} {code}");
        }
    }
}
