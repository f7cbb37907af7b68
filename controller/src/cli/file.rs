//! Files on the command line: on this machine, or in a bucket.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A file on this machine, or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileArg {
    /// A file on this machine.
    File(PathBuf),
    /// An object, as `s3://BUCKET/KEY`.
    Object(String),
}

impl FromStr for FileArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.starts_with("s3://") { Self::Object(text.to_owned()) } else { Self::File(text.into()) })
    }
}

impl fmt::Display for FileArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Object(url) => f.write_str(url),
        }
    }
}

/// Reads a path where only this machine's will do. A URL would be taken for a folder called `s3:`.
///
/// # Errors
/// A URL.
pub fn local_path(text: &str) -> Result<PathBuf, String> {
    match text.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err("it has to be a path on this machine; copy what is in a bucket here first (aws s3 cp)".to_owned())
        }
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_bucket_is_no_path() {
        assert_eq!("s3://b/k".parse(), Ok(FileArg::Object("s3://b/k".to_owned())));
        assert_eq!("d/k".parse(), Ok(FileArg::File("d/k".into())));
        assert!(local_path("s3://bucket/key").is_err() && local_path("https://x").is_err());
        assert_eq!(local_path("./a:b"), Ok("./a:b".into()));
    }
}
