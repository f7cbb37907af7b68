//! Why a command could not do what was asked, in the words that its user needs: what went wrong, what was left behind,
//! and the fix.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use dayfly_shared::exit::Exit;
use dayfly_shared::services::NO_CREDENTIALS;
use dayfly_shared::store::{Lack, StoreError, StoreErrorKind};

/// The result of a command or a part of one.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A command that failed. `{}` says what; `{:#}` says also what was left behind, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    what: String,
    left: Option<String>,
    fix: Option<String>,
    /// Small, as every result has room for it.
    profiles: Option<Arc<Vec<String>>>,
    lack: Option<Lack>,
    of_bucket: bool,
}

impl Failure {
    /// That `what` went wrong: the thing is named in it.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            what: what.into(),
            left: None,
            fix: None,
            profiles: None,
            lack: None,
            of_bucket: false,
        }
    }

    /// That the command line was wrong; nothing was done.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// A file or folder that cannot be used: `action` as in "reading".
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(format!("{action} {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => failure.fix("check the path"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                failure.fix("free some space there, or choose another folder, and run it again")
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                failure.fix("choose a folder that you may write to, or change its permissions")
            }
            _ => failure,
        }
    }

    /// That there are no credentials for a call.
    pub fn credentials(asked: &str, lack: Lack) -> Self {
        let failure = Self::new(format!("{}: {}", no_credentials(lack.kind, asked), lack.why)).fix(lack.fix(None));
        Self { lack: Some(lack), ..failure }
    }

    /// With the profile of `~/.aws/config` that is used, for a text that tells how to log in.
    #[must_use]
    pub fn for_profile(mut self, profile: Option<&str>) -> Self {
        if let Some(lack) = &self.lack {
            self.fix = Some(lack.fix(profile));
        }
        self
    }

    /// With what was left behind.
    #[must_use]
    pub fn left(mut self, left: impl Into<String>) -> Self {
        self.left = Some(left.into());
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// With what to do after that.
    #[must_use]
    pub fn and_then(mut self, next: &str) -> Self {
        self.fix = Some(match self.fix {
            Some(first) => format!("{first}; {next}"),
            None => next.to_owned(),
        });
        self
    }

    /// With another thing to do about it.
    #[must_use]
    pub fn or(mut self, fix: &str) -> Self {
        self.fix = Some(match self.fix {
            Some(first) => format!("{first}; or {fix}"),
            None => fix.to_owned(),
        });
        self
    }

    /// That it would be mended by one of these profiles of settings.
    #[must_use]
    pub fn choose(mut self, profiles: &[String]) -> Self {
        self.profiles = Some(Arc::new(profiles.to_vec()));
        self.or(&format!("choose a profile with --settings: {}", profiles.join(", ")))
    }

    /// The profiles of settings that would mend it.
    pub fn profiles(&self) -> &[String] {
        self.profiles.as_deref().map_or(&[], Vec::as_slice)
    }

    /// With what was being done, in front.
    #[must_use]
    pub fn during(mut self, doing: &str) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    /// Whether the bucket is not there.
    pub fn is_of_bucket(&self) -> bool {
        self.of_bucket
    }

    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if f.alternate() {
            for more in [&self.left, &self.fix].into_iter().flatten() {
                write!(f, "; {more}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// A store's error says all of it in its own text; a service's words may come in lines, and are made one.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = match error.kind {
            kind @ (StoreErrorKind::NoCredentials | StoreErrorKind::ExpiredCredentials) => {
                let why = error.detail.strip_prefix(NO_CREDENTIALS).unwrap_or(&error.detail);
                format!("{}: {why}", no_credentials(kind, &error.place))
            }
            _ => error.to_string(),
        };
        let failure = Self::new(text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        match error.kind {
            StoreErrorKind::Transient => failure.fix("check the endpoint and the network, and run it again"),
            StoreErrorKind::NoSuchBucket => Self { of_bucket: true, ..failure },
            _ => failure,
        }
    }
}

fn no_credentials(kind: StoreErrorKind, asked: &str) -> String {
    match kind {
        StoreErrorKind::ExpiredCredentials => format!("the AWS credentials for {asked} do not hold"),
        _ => format!("no AWS credentials for {asked}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_form_adds_what_was_left_and_the_fix() {
        let failure = Failure::new("no kernel").left("3 inputs are in place").fix("pass --kernel");
        assert_eq!(failure.to_string(), "no kernel");
        assert_eq!(format!("{failure:#}"), "no kernel; 3 inputs are in place; pass --kernel");
        assert_eq!(Failure::usage("x").exit(), Exit::Usage);
    }
}
