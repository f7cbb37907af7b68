//! What the tests share: stores named by a text, and this test binary run again.
#![allow(dead_code, reason = "no test binary needs all of it")]

use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;

use dayfly_shared::clock::SystemClock;
use dayfly_shared::store::{LocalStore, S3Settings, S3Store, Store};

/// Names the store to test, where it is not a directory of the test's own: `local:DIR` or `s3:BUCKET` (whose endpoint,
/// region and keys come from the AWS tools' variables).
pub const STORE: &str = "DAYFLY_TEST_STORE";

/// A store that another process can open, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    Local(PathBuf),
    S3(String),
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("local", dir)) if !dir.is_empty() => Ok(Self::Local(dir.into())),
            Some(("s3", bucket)) if !bucket.is_empty() => Ok(Self::S3(bucket.to_owned())),
            _ => Err(format!("{text:?} is neither local:DIR nor s3:BUCKET")),
        }
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(dir) => write!(f, "local:{}", dir.display()),
            Self::S3(bucket) => write!(f, "s3:{bucket}"),
        }
    }
}

impl Spec {
    pub async fn open(&self) -> Arc<dyn Store> {
        let clock = Arc::new(SystemClock);
        match self {
            Self::Local(dir) => Arc::new(LocalStore::open(dir, "test", clock).unwrap()),
            Self::S3(bucket) => Arc::new(S3Store::connect(S3Settings::new(bucket), clock).await.unwrap()),
        }
    }
}

/// This test binary again, to run just the test `name`, which is ignored unless asked for so.
pub fn again(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(again_args(name));
    command
}

pub fn again_args(name: &str) -> [String; 4] {
    [name.to_owned(), "--exact".to_owned(), "--include-ignored".to_owned(), "--nocapture".to_owned()]
}
