//! Why there are no credentials, in a line that leads to them: what the SDK's chain of providers says of itself is long, and
//! names none of the places that a person knows.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

use super::failure::chain;
use crate::store::StoreErrorKind;

/// That there are no credentials, or none that hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Whether there were none, or they have expired.
    pub kind: StoreErrorKind,
    /// What was looked for, or what went wrong.
    pub why: String,
    way: Way,
}

/// What would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Any credentials.
    Any,
    /// A login by IAM Identity Center (SSO).
    Sso,
    /// Keys out of a login that the library does not read.
    Export,
    /// Newer keys of the same kind.
    Renew,
    /// Another profile.
    Profile,
}

impl Lack {
    /// What an error says of credentials, if it is about them.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(at) = cause {
            if let Some(credentials) = at.downcast_ref::<CredentialsError>() {
                return Some(Self::said(&chain(credentials)));
            }
            cause = at.source();
        }
        None
    }

    /// What the chain of providers, or one of them, said in words.
    pub fn said(said: &str) -> Self {
        use StoreErrorKind::{ExpiredCredentials, NoCredentials};
        let lack = |kind, why: &str, way| Self { kind, why: why.to_owned(), way };
        let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
        // Which kind of provider failed is the library's matter; what it said comes after.
        let rest =
            said.split_once(": ").map_or(said, |(_, rest)| rest).lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let rest = rest.trim_end_matches([' ', ':']);
        if let Some(why) = undefined(said) {
            return lack(NoCredentials, why, Way::Profile);
        }
        // By aws login; by SSO too, where an agent is asked, which leaves the library's part for it out.
        if any(&["cargo feature"]) {
            return lack(NoCredentials, "the profile logs in by a way that this program does not read", Way::Export);
        }
        if any(&["SSO", "sso-session", "sso_", "sso/cache"]) {
            return match any(&["expired", "cached SSO token", "sso/cache", "Unauthorized"]) {
                true => lack(ExpiredCredentials, "nobody is logged in, or no longer", Way::Sso),
                false => lack(NoCredentials, rest, Way::Sso),
            };
        }
        if any(&["expired"]) {
            return lack(ExpiredCredentials, "they have expired", Way::Renew);
        }
        match any(&[": no credentials found in chain", "none are configured"]) {
            true => lack(NoCredentials, "none in the environment, in ~/.aws, or from a role of this machine", Way::Any),
            false => lack(NoCredentials, rest, Way::Profile),
        }
    }

    /// What to do about it, by a person who uses this profile.
    pub fn fix(&self, profile: Option<&str>) -> String {
        let named = profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
        match self.way {
            Way::Sso => format!("log in: aws sso login{named}"),
            Way::Renew => format!("log in again (aws sso login{named}), or renew the session token"),
            Way::Export => {
                format!(
                    "hand its keys on: eval \"$(aws configure export-credentials{named} --format env)\"; leave --profile out then"
                )
            }
            Way::Profile => format!(
                "see what the profile says (aws configure list{named}), or name another with --profile or AWS_PROFILE (aws \
                 configure list-profiles)"
            ),
            Way::Any => {
                "give some in one of three ways: aws sso login (or aws configure), with --profile or AWS_PROFILE unless \
                         it is the default one; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or a machine with a role"
                    .to_owned()
            }
        }
    }
}

/// That the profile, or one that it builds on, is not there; the chain says it in one of its lines.
fn undefined(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| line.contains("` was not defined"))?;
    let from = line.find("profile `")?;
    let to = line.find(" was not defined")? + " was not defined".len();
    line.get(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_leads_to_it() {
        let chain =
            "the credential provider was not enabled: no credentials found in chain. Attempted:\n  Environment: …\n  ";
        let none = Lack::said(chain);
        assert_eq!(none.kind, StoreErrorKind::NoCredentials);
        for way in ["--profile", "AWS_ACCESS_KEY_ID", "a role"] {
            assert!(none.fix(None).contains(way), "{none:?}");
        }
        for (said, kind, why, fix) in [
            (
                "failed to load the cached SSO token: No such file",
                StoreErrorKind::ExpiredCredentials,
                "logged in",
                "aws sso login --profile p",
            ),
            (
                "failed to read `/home/me/.aws/sso/cache/0.json`: No such file",
                StoreErrorKind::ExpiredCredentials,
                "logged in",
                "aws sso login --profile p",
            ),
            (
                &format!("{chain}Profile: x: profile `lessons` was not defined: could not find it\n  Last: y"),
                StoreErrorKind::NoCredentials,
                "profile `lessons` was not defined",
                "list-profiles",
            ),
            (
                "an error: process exited with code 1. Stderr: ",
                StoreErrorKind::NoCredentials,
                "process exited with code 1. Stderr",
                "aws configure list --profile p",
            ),
            (
                "This behavior requires following cargo feature(s) enabled: credentials-login. In order to",
                StoreErrorKind::NoCredentials,
                "does not read",
                "export-credentials --profile p",
            ),
        ] {
            let lack = Lack::said(said);
            assert_eq!(lack.kind, kind, "{said}");
            assert!(lack.why.contains(why) && lack.fix(Some("p")).contains(fix), "{lack:?}");
        }
        let provider = CredentialsError::provider_error("the SSO token has expired and cannot be refreshed");
        assert_eq!(Lack::of(&provider).unwrap().fix(Some("work")), "log in: aws sso login --profile work");
        assert_eq!(Lack::of(&std::io::Error::other("else")), None);
    }
}
