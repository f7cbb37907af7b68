//! Secrets by name: what stands in a job's settings is where a secret is, never what it is.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a secret is: `ssm:NAME`, a parameter of SSM's Parameter Store, or `secretsmanager:NAME`, a secret of Secrets
/// Manager, `secretsmanager:NAME#KEY` for one field of a secret that is a JSON object. NAME may be an ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// A parameter.
    Parameter(String),
    /// A secret.
    Secret {
        /// Its name or ARN.
        name: String,
        /// The field of its JSON object.
        field: Option<String>,
    },
}

/// Why a text names no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' names no secret: {why}; write it as ssm:/path/parameter, secretsmanager:NAME or secretsmanager:NAME#KEY"
)]
pub struct BadSecretName {
    text: String,
    why: &'static str,
}

/// Why a secret cannot be had. No text holds anything of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSecret {
    /// It is not there, or may not be read: asking again comes to the same.
    #[error("{0}")]
    Refused(String),
    /// The service is silent, or too busy.
    #[error("{0}")]
    Silent(String),
}

/// Where secrets are had.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// A secret.
    ///
    /// # Errors
    /// Why it cannot be had, with its name and the permission that it takes.
    async fn fetch(&self, name: &SecretName) -> Result<String, NoSecret>;
}

const PARAMETER: &str = "ssm:";
const SECRET: &str = "secretsmanager:";

/// The longest ARN that either service takes (SSM and Secrets Manager API references: 2048).
const NAME_MAX: usize = 2048;

impl SecretName {
    /// Whether a text means to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PARAMETER) || text.starts_with(SECRET)
    }

    /// The name that the service knows it by.
    pub fn name(&self) -> &str {
        match self {
            Self::Parameter(name) | Self::Secret { name, .. } => name,
        }
    }

    /// What it takes to read it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Parameter(_) => "ssm:GetParameter",
            Self::Secret { .. } => "secretsmanager:GetSecretValue",
        }
    }

    /// The region that an ARN names.
    pub fn region(&self) -> Option<&str> {
        let name = self.name();
        if name.starts_with("arn:") { name.split(':').nth(3).filter(|region| !region.is_empty()) } else { None }
    }
}

impl FromStr for SecretName {
    type Err = BadSecretName;

    fn from_str(text: &str) -> Result<Self, BadSecretName> {
        let bad = |why| BadSecretName { text: text.to_owned(), why };
        let plain = |name: &str| match name {
            "" => Err(bad("there is no name")),
            // As both services have them (API references, GetParameter and CreateSecret).
            name if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&b)) => {
                Err(bad("the name has a character that none may have"))
            }
            name if name.len() > NAME_MAX => Err(bad("the name is too long")),
            name => Ok(name.to_owned()),
        };
        if let Some(name) = text.strip_prefix(PARAMETER) {
            return Ok(Self::Parameter(plain(name)?));
        }
        let name = text.strip_prefix(SECRET).ok_or_else(|| bad("it begins with neither ssm: nor secretsmanager:"))?;
        let (name, field) = match name.split_once('#') {
            Some((_, "")) => return Err(bad("there is no key after '#'")),
            Some((name, field)) => (name, Some(field.to_owned())),
            None => (name, None),
        };
        Ok(Self::Secret { name: plain(name)?, field })
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "{PARAMETER}{name}"),
            Self::Secret { name, field: None } => write!(f, "{SECRET}{name}"),
            Self::Secret { name, field: Some(field) } => write!(f, "{SECRET}{name}#{field}"),
        }
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_print() {
        for text in [
            "ssm:/dayfly/token",
            "ssm:token",
            "secretsmanager:prod/db",
            "secretsmanager:prod/db#password",
            "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf#a b",
        ] {
            assert_eq!(text.parse::<SecretName>().unwrap().to_string(), text);
        }
        let arn = "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/x".parse::<SecretName>().unwrap();
        assert_eq!((arn.region(), arn.action()), (Some("eu-west-1"), "ssm:GetParameter"));
        assert_eq!("ssm:/x".parse::<SecretName>().unwrap().region(), None);
    }

    #[test]
    fn what_names_no_secret_says_why() {
        for (text, word) in [
            ("token", "neither"),
            ("ssm:", "no name"),
            ("ssm:a b", "character"),
            ("ssm:/a*", "character"),
            ("secretsmanager:x#", "no key"),
        ] {
            let why = text.parse::<SecretName>().unwrap_err().to_string();
            assert!(why.contains(word) && why.contains(text), "{text}: {why}");
        }
    }
}
