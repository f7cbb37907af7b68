//! A job: where it lies, and its settings (`job.json`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::keys;
use crate::notice::Address;
use crate::work::{OutputKind, ProcessorSettings, ProgramSettings};

/// The schema that this version writes and reads, for every JSON object of a job.
pub const SCHEMA: u32 = 1;

/// A place in object storage: a bucket and a prefix that is empty or ends with `/`. Shown as `s3://bucket/prefix/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    bucket: String,
    prefix: String,
}

/// Why a text is not a location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a place in a bucket: {why}; write it as s3://BUCKET/PREFIX")]
pub struct BadLocation {
    text: String,
    why: &'static str,
}

impl Location {
    /// The place `prefix` in `bucket`; the prefix gets the trailing `/` that it lacks.
    ///
    /// # Errors
    /// When the bucket's name cannot be one (S3 user guide, "General purpose bucket naming rules"), or the prefix holds
    /// control characters.
    pub fn new(bucket: &str, prefix: &str) -> Result<Self, BadLocation> {
        let bad = |why| BadLocation { text: format!("s3://{bucket}/{prefix}"), why };
        if !(3..=63).contains(&bucket.len()) {
            return Err(bad("a bucket's name has 3 to 63 characters"));
        }
        if !bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-')) {
            return Err(bad("a bucket's name has lower-case letters, digits, dots and hyphens only"));
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !edge(bucket.bytes().next()) || !edge(bucket.bytes().last()) {
            return Err(bad("a bucket's name begins and ends with a letter or a digit"));
        }
        if prefix.chars().any(char::is_control) {
            return Err(bad("the prefix holds a control character"));
        }
        if prefix.starts_with('/') {
            return Err(bad("the prefix begins with '/'"));
        }
        let mut prefix = prefix.to_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Empty, or ending with `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole key of `name` here.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The place called `name` below this one.
    ///
    /// # Errors
    /// When `name` holds a control character.
    pub fn below(&self, name: &str) -> Result<Self, BadLocation> {
        Self::new(&self.bucket, &self.key(name))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(BadLocation { text: text.to_owned(), why: "it does not begin with s3://" });
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(bucket, prefix).map_err(|e| BadLocation { text: text.to_owned(), ..e })
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The settings of a job as `job.json` has them, every field with its default. The plan's first segment freezes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// The version of this format.
    pub schema: u32,
    /// What is done with each input.
    #[serde(default)]
    pub processor: ProcessorSettings,
    /// What its program takes and leaves, and its limits.
    #[serde(default, skip_serializing_if = "ProgramSettings::is_unset")]
    pub program: ProgramSettings,
    /// Where the inputs are; absent: in the job's own prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Location>,
    /// Where the outputs go; absent: to the job's own prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Location>,
    /// How many tasks are expected to run at once (agents times their slots); chunks and standby seats are cut for so
    /// many. More or fewer may come.
    #[serde(default = "default_agents")]
    pub agents: u32,
    /// How long a lease lasts without a renewal, in seconds.
    #[serde(default = "default_lease_ttl")]
    pub lease_ttl_seconds: u32,
    /// How many processor errors a task is allowed.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u32,
    /// How many times an agent may vanish while a task runs alone on it before the task is given up.
    #[serde(default = "default_max_losses")]
    pub max_losses: u32,
    /// After how many seconds a task is stopped and counts as failed.
    #[serde(default = "default_task_time_limit")]
    pub task_time_limit_seconds: u32,
    /// Who is told when the job is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Address>,
}

/// One agent: right for a laptop, and harmless for more (chunks are cut a little larger at the end of a big job).
fn default_agents() -> u32 {
    1
}
/// One minute: a heartbeat each 20 s costs $0.9 per 1,000 agent-hours, and a crash delays its task by a minute.
fn default_lease_ttl() -> u32 {
    60
}
/// Three: one for the error, one for chance, one to be sure.
fn default_max_attempts() -> u32 {
    3
}
/// Three, as for attempts: a task that took three machines with it, each time alone, is not tried on a fourth.
fn default_max_losses() -> u32 {
    3
}
/// Four hours: above what fan-out tasks take, and well below the instance's lifetime limit of 12 h.
fn default_task_time_limit() -> u32 {
    4 * 3600
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            processor: ProcessorSettings::default(),
            program: ProgramSettings::default(),
            inputs: None,
            outputs: None,
            agents: default_agents(),
            lease_ttl_seconds: default_lease_ttl(),
            max_attempts: default_max_attempts(),
            max_losses: default_max_losses(),
            task_time_limit_seconds: default_task_time_limit(),
            notify: Vec::new(),
        }
    }
}

/// Why a `job.json` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJob {
    /// Written by a newer dayfly.
    #[error("it has schema {found}, and this dayfly ({version}) reads up to schema {SCHEMA}: use a newer dayfly")]
    Newer {
        /// The schema found.
        found: u64,
        /// This program's version.
        version: &'static str,
    },
    /// Not JSON, an unknown field, a wrong type, or a value out of range.
    #[error("{0}; mend it and try again (it is never changed once seeded: a job that runs keeps its settings)")]
    Invalid(String),
}

impl JobSettings {
    /// Reads a `job.json`.
    ///
    /// # Errors
    /// A newer schema, an unknown field, or a value out of range: each named.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadJob> {
        let invalid = |e: serde_json::Error| BadJob::Invalid(e.to_string());
        // The schema first: a newer one may well have fields that are unknown here, and that is the better message.
        let any: serde_json::Value = serde_json::from_slice(bytes).map_err(invalid)?;
        if let Some(found) = any.get("schema").and_then(serde_json::Value::as_u64)
            && found > u64::from(SCHEMA)
        {
            return Err(BadJob::Newer { found, version: env!("CARGO_PKG_VERSION") });
        }
        let job: Self = serde_json::from_slice(bytes).map_err(invalid)?;
        job.check()?;
        Ok(job)
    }

    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), BadJob> {
        let positive = [
            ("agents", self.agents),
            ("lease_ttl_seconds", self.lease_ttl_seconds),
            ("max_attempts", self.max_attempts),
            ("max_losses", self.max_losses),
            ("task_time_limit_seconds", self.task_time_limit_seconds),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(BadJob::Invalid(format!("{name} is 0, and must be at least 1")));
        }
        self.program.check(&self.processor).map_err(BadJob::Invalid)
    }

    /// As it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        crate::records::to_json(self)
    }

    /// Where the inputs of a job at `job` are.
    pub fn inputs<'a>(&'a self, job: &'a Location) -> &'a Location {
        self.inputs.as_ref().unwrap_or(job)
    }

    /// Where the outputs of a job at `job` go.
    pub fn outputs<'a>(&'a self, job: &'a Location) -> &'a Location {
        self.outputs.as_ref().unwrap_or(job)
    }

    /// The name, below the outputs' place, of the object that commits the task `name`: its output, or the manifest of its
    /// folder of outputs.
    pub fn commit_name(&self, name: &str) -> String {
        match self.program.output {
            OutputKind::File | OutputKind::Stdout => keys::output_name(name),
            OutputKind::Folder => keys::manifest_name(name),
        }
    }

    /// How long a lease lasts without a renewal.
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_secs(self.lease_ttl_seconds.into())
    }

    /// The time a task may take.
    pub fn task_time_limit(&self) -> Duration {
        Duration::from_secs(self.task_time_limit_seconds.into())
    }

    /// The fields in which two settings differ, as `name: one / other`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields = |s: &Self| match serde_json::to_value(s) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (one, two) = (fields(self), fields(other));
        let names: std::collections::BTreeSet<&String> = one.keys().chain(two.keys()).collect();
        let show = |v: Option<&serde_json::Value>| v.map_or("absent".to_owned(), ToString::to_string);
        names
            .into_iter()
            .filter(|n| one.get(*n) != two.get(*n))
            .map(|n| format!("{n}: {} / {}", show(one.get(n)), show(two.get(n))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_parse_as_they_print() {
        let at: Location = "s3://my-bucket/a/b".parse().unwrap();
        assert_eq!(at.to_string(), "s3://my-bucket/a/b/");
        assert_eq!(at.key("in0.dat"), "a/b/in0.dat");
        assert_eq!("s3://my-bucket".parse::<Location>().unwrap().prefix(), "");
        for text in ["my-bucket/a", "s3://My/a", "s3://ab", "s3://-abc", "s3://abc//x", "s3://a_b/x"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn job_settings_name_what_is_wrong() {
        assert_eq!(JobSettings::parse(br#"{"schema":1}"#).unwrap(), JobSettings::default());
        let newer = JobSettings::parse(br#"{"schema":2,"colour":"red"}"#).unwrap_err().to_string();
        assert!(newer.contains("schema 2") && newer.contains("newer dayfly"), "{newer}");
        let unknown = JobSettings::parse(br#"{"schema":1,"colour":"red"}"#).unwrap_err().to_string();
        assert!(unknown.contains("colour"), "{unknown}");
        let zero = JobSettings::parse(br#"{"schema":1,"max_attempts":0}"#).unwrap_err().to_string();
        assert!(zero.contains("max_attempts"), "{zero}");
    }

    #[test]
    fn settings_read_back_what_they_store() {
        let job = JobSettings { inputs: Some("s3://other/in".parse().unwrap()), agents: 7, ..JobSettings::default() };
        assert_eq!(JobSettings::parse(&job.to_json()).unwrap(), job);
        assert_eq!(job.differences(&JobSettings { agents: 8, ..job.clone() }), vec!["agents: 7 / 8"]);
    }
}
