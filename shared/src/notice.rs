//! Telling people that a job is over: to whom, and that it is told once.
//!
//! Whoever sees the end announces that it is about to tell (`notified/<end>.json`, create-only), tells, and writes down that
//! it has. So one process at a time tells; where it dies on the way, its announcement grows old, and the next that sees the
//! end takes over by `If-Match`. It is told once, then, unless who told it died before it could write that down.

mod telling;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::ids::Nonce;
use crate::records::Summary;
use crate::secret::{BadSecretName, SecretName};
use crate::url::{host, is_host};

pub use crate::url::{is_loopback, leads_here};
pub use telling::{Herald, Teller, Telling, Untold};

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A topic of SNS, by its ARN.
    Topic(String),
    /// A URL that takes JSON.
    Webhook(String),
    /// A URL that is a secret.
    SecretWebhook(SecretName),
}

/// Why a text is nobody's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// A URL that nothing is sent to.
    #[error("nothing is sent to '{shown}': {why}")]
    Webhook {
        /// The URL, without what may be secret of it.
        shown: String,
        /// Why.
        why: &'static str,
    },
    /// A topic that is none.
    #[error("'{0}' is no topic of SNS; name it by its ARN: arn:aws:sns:REGION:ACCOUNT:NAME")]
    Topic(String),
    /// A secret that is none.
    #[error(transparent)]
    Secret(#[from] BadSecretName),
    /// None of them.
    #[error(
        "'{0}' is nobody who can be told; name an https:// URL, the ARN of a topic of SNS, or a secret that holds a URL \
         (ssm:/path/parameter, secretsmanager:NAME)"
    )]
    Unknown(String),
}

/// Of a plain topic: one that is first in, first out wants a group with each message.
pub fn is_topic(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts[..], ["arn", _, "sns", region, account, name]
        if !region.is_empty() && account.len() == 12 && !name.is_empty() && !name.ends_with(".fifo"))
}

/// A URL without its path, which is the secret of many services' webhooks; of a text that is none, nothing.
fn shown(url: &str) -> String {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.filter(|scheme| matches!(*scheme, "https" | "http")).unwrap_or("…");
    let host = host(url);
    let host = host.rsplit('@').next().filter(|host| is_host(host)).unwrap_or("…");
    format!("{scheme}://{host}/…")
}

/// Whether a notice may go to this URL, with what it says of a job and of itself.
///
/// # Errors
/// A text that is no URL, one that is not guarded on its way, one with a user's name.
pub fn check_url(url: &str) -> Result<(), BadAddress> {
    let bad = |why| Err(BadAddress::Webhook { shown: shown(url), why });
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) || host(url).is_empty() {
        return bad("it is no URL");
    }
    if host(url).contains('@') {
        return bad("it names a user; put what authenticates into its path, or into a secret");
    }
    // Such as what is before the first '/' of a password.
    if !is_host(&host(url)) {
        return bad("it is no URL");
    }
    match url.starts_with("https://") || (url.starts_with("http://") && is_loopback(url)) {
        true => Ok(()),
        false => bad("only https:// is taken; http:// leads no further than this machine"),
    }
}

impl Address {
    /// The region of a topic.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Topic(arn) => arn.split(':').nth(3),
            Self::Webhook(_) | Self::SecretWebhook(_) => None,
        }
    }

    /// As logs and records name it: a webhook without its path.
    pub fn shown(&self) -> String {
        match self {
            Self::Webhook(url) => shown(url),
            Self::Topic(_) | Self::SecretWebhook(_) => self.to_string(),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if SecretName::is_meant(text) {
            return Ok(Self::SecretWebhook(text.parse()?));
        }
        if text.starts_with("arn:") {
            return if is_topic(text) {
                Ok(Self::Topic(text.to_owned()))
            } else {
                Err(BadAddress::Topic(text.to_owned()))
            };
        }
        if text.contains("://") {
            check_url(text)?;
            return Ok(Self::Webhook(text.to_owned()));
        }
        Err(BadAddress::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Address {
    /// In full, as settings have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(text) | Self::Webhook(text) => f.write_str(text),
            Self::SecretWebhook(name) => write!(f, "{name}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is told: a line for people, and the summary's figures for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// The line. Slack, Mattermost and others of their kind show the field of this name.
    pub text: String,
    /// The results in the S3 console, where they are in AWS's own S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub summary: Summary,
}

impl Notice {
    /// Of a job's end.
    pub fn new(summary: &Summary, console: Option<String>) -> Self {
        let mut text = format!("dayfly: {} is over: {} done, {} given up", summary.job, summary.done, summary.failed);
        if let (Some(first), Some(last)) = (summary.first, summary.last) {
            text += &format!(", in {} s", last.since(first).as_secs());
        }
        if let Some(link) = &console {
            text += &format!("; results: {link}");
        }
        Self { text, console, summary: summary.clone() }
    }
}

/// How far the telling of an end has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// Somebody is about to tell, or has told and could not write that down.
    Sending,
    /// It was told, or could not be: see [`Told::error`].
    Sent,
}

/// Who was told, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Told {
    /// Who, as [`Address::shown`] has it.
    pub to: String,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The record of the telling of one end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NoticeRecord {
    /// The version of this format.
    pub schema: u32,
    /// How far it has got.
    pub state: NoticeState,
    /// Who tells.
    pub by: String,
    /// Since when; then, when it was told.
    pub at: Timestamp,
    /// Marks the teller.
    pub nonce: Nonce,
    /// Who was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_print_and_show_no_secret() {
        for (text, shown) in [
            ("arn:aws:sns:us-east-1:123456789012:jobs", "arn:aws:sns:us-east-1:123456789012:jobs"),
            ("https://hooks.example/T0/B0/secret", "https://hooks.example/…"),
            ("https://hooks.example:8443/?key=secret", "https://hooks.example/…"),
            ("http://127.0.0.1:9000/hook", "http://127.0.0.1/…"),
            ("ssm:/dayfly/hook", "ssm:/dayfly/hook"),
            ("secretsmanager:hooks#slack", "secretsmanager:hooks#slack"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.shown().as_str()), (text, shown));
        }
    }

    #[test]
    fn what_is_nobodys_address_says_so_and_keeps_its_secret() {
        for (text, word) in [
            ("jobs", "nobody"),
            ("http://hooks.example/secret", "only https"),
            ("ftp://hooks.example/secret", "only https"),
            ("https://me:secret@hooks.example/", "user"),
            ("https:///secret", "no URL"),
            ("https://hooks.example/a secret", "no URL"),
            ("https://me:secret/word@hooks.example/", "no URL"),
            ("{\"password\":\"a-secret\",\"url\":\"https://hooks.example/\"}", "only https"),
            ("a-secret?://", "no URL"),
            ("arn:aws:sqs:us-east-1:123456789012:jobs", "no topic"),
            ("arn:aws:sns:us-east-1:123456789012:jobs.fifo", "no topic"),
            ("ssm:", "no secret"),
        ] {
            let why = text.parse::<Address>().unwrap_err().to_string();
            assert!(why.contains(word) && !why.contains("secret@") && !why.contains("/secret"), "{text}: {why}");
            assert!(["a-secret", "me:secret"].iter().all(|secret| !why.contains(secret)), "{text}: {why}");
        }
    }
}
