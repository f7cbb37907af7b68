//! Calls that were made, and what IAM evaluates for each.

use std::collections::BTreeMap;

use serde_json::Value;

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service as signatures name it: `ec2`, `s3`, `iam`.
    pub service: String,
    /// The operation; for S3 the permission that it needs (`PutObject`).
    pub action: String,
    /// Whose access key signed.
    pub key: Option<String>,
    /// The region that it was signed for.
    pub region: String,
    /// Method and path of the request.
    pub request: String,
    /// Its client token.
    pub token: Option<String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The status of the answer; none while it is not given.
    pub status: Option<u16>,
    /// The code of the error, if it was one.
    pub code: Option<String>,
    /// What IAM evaluates: each has to be allowed.
    pub checks: Vec<Check>,
}

/// One thing that IAM evaluates for a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// `s3:PutObject`.
    pub action: String,
    /// The ARN; `*` where the action knows no resources.
    pub resource: String,
    /// The condition keys of the request; a key is absent where the request has none.
    pub context: BTreeMap<String, Vec<String>>,
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn maybe(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Call {
    pub(crate) fn read(value: &Value) -> Self {
        Self {
            service: text(&value["service"]),
            action: text(&value["action"]),
            key: maybe(&value["key"]),
            region: text(&value["region"]),
            request: format!("{} {}", text(&value["method"]), text(&value["path"])),
            token: maybe(&value["token"]),
            dry_run: value["dry_run"].as_bool().unwrap_or_default(),
            status: value["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
            code: maybe(&value["code"]),
            checks: value["checks"].as_array().into_iter().flatten().map(Check::read).collect(),
        }
    }
}

impl Check {
    /// Of an action on a resource, with no condition keys.
    pub fn new(action: &str, resource: &str) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned(), context: BTreeMap::new() }
    }

    /// With a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.context.entry(key.to_owned()).or_default().push(value.to_owned());
        self
    }

    fn read(value: &Value) -> Self {
        let mut check = Self::new(&text(&value["action"]), &text(&value["resource"]));
        for (key, found) in value["context"].as_object().into_iter().flatten() {
            let values = match found {
                Value::Array(several) => several.iter().map(text).collect(),
                one => vec![one.as_str().map_or_else(|| one.to_string(), str::to_owned)],
            };
            check.context.insert(key.clone(), values);
        }
        check
    }
}
