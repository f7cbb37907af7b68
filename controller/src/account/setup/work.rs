//! A setup or teardown on its way: what it did, and how it waits.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::deployment::Deployment;
use dayfly_shared::launch::tags;
use serde::Serialize;

use crate::cloud::{Cloud, code, is_passing};
use crate::human;
use crate::parts::Parts;

/// With waits of up to 10 s this is about a minute and a half: what IAM makes is seen everywhere after some seconds (IAM
/// user guide, "Changes that I make are not always immediately visible"), and a removed interface's group is free as soon.
const TRIES: u32 = 20;
/// The first wait for another part of AWS to see what was made.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest one.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What was done about a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// It was made.
    Made,
    /// It was changed.
    Changed,
    /// It is as it should be.
    IsThere,
    /// It was removed.
    Removed,
    /// It was left as it is.
    Kept,
}

/// A thing, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was done.
    pub deed: Deed,
    /// What kind of thing.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What was changed, or why it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = match self.deed {
            Deed::Made => "made",
            Deed::Changed => "changed",
            Deed::IsThere => "is there",
            Deed::Removed => "removed",
            Deed::Kept => "kept",
        };
        write!(f, "{deed:<9} {} {}", self.kind, self.name)?;
        self.note.iter().try_for_each(|note| write!(f, ": {note}"))
    }
}

/// What a setup or teardown has in hand.
pub struct Work<'a> {
    pub parts: &'a Parts,
    pub cloud: &'a Cloud,
    steps: Vec<Step>,
    warnings: Vec<String>,
}

impl<'a> Work<'a> {
    pub fn new(parts: &'a Parts, cloud: &'a Cloud) -> Self {
        Self { parts, cloud, steps: Vec::new(), warnings: Vec::new() }
    }

    fn step(&mut self, deed: Deed, kind: &'static str, name: &str, note: Option<&str>) {
        let step = Step { deed, kind, name: name.to_owned(), note: note.map(str::to_owned) };
        // At once: whatever fails later, this was done. What was not is for the end.
        if deed != Deed::Kept {
            self.parts.output().note(&step);
        }
        self.steps.push(step);
    }

    pub fn made(&mut self, kind: &'static str, name: &str) {
        self.step(Deed::Made, kind, name, None);
    }

    pub fn changed(&mut self, kind: &'static str, name: &str, what: &str) {
        self.step(Deed::Changed, kind, name, Some(what));
    }

    pub fn there(&mut self, kind: &'static str, name: &str) {
        self.step(Deed::IsThere, kind, name, None);
    }

    pub fn removed(&mut self, kind: &'static str, name: &str) {
        self.step(Deed::Removed, kind, name, None);
    }

    pub fn kept(&mut self, kind: &'static str, name: &str, why: &str) {
        self.step(Deed::Kept, kind, name, Some(why));
    }

    pub fn warn(&mut self, text: String) {
        self.parts.output().warn(&text);
        self.warnings.push(text);
    }

    /// Repeats a call while the service says one of `passing`, or does not answer; within a bound.
    pub async fn patiently<T, E: ProvideErrorMetadata, R>(
        &self,
        passing: &[&str],
        mut call: impl AsyncFnMut() -> Result<T, SdkError<E, R>>,
    ) -> Result<T, SdkError<E, R>> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut tries = 1;
        loop {
            match call().await {
                Err(error)
                    if tries < TRIES
                        && (is_passing(&error) || code(&error).is_some_and(|code| passing.contains(&code))) =>
                {
                    tries += 1;
                    self.parts.clock.sleep(backoff.next(&*self.parts.dice)).await;
                }
                other => return other,
            }
        }
    }

    pub fn report(self, deployment: Deployment) -> SetupReport {
        SetupReport { deployment, steps: self.steps, warnings: self.warnings }
    }

    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

/// The tags of all that setup makes.
pub fn tags_of(deployment: &Deployment) -> [(&'static str, &str); 3] {
    [(tags::DEPLOYMENT, &deployment.name), (tags::OWNER, &deployment.owner), (tags::PROJECT, &deployment.project)]
}

/// What a setup came to.
#[derive(Debug, Serialize)]
pub struct SetupReport {
    deployment: Deployment,
    steps: Vec<Step>,
    warnings: Vec<String>,
}

impl fmt::Display for SetupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |deed| self.steps.iter().filter(|step| step.deed == deed).count() as u64;
        let (made, changed) = (count(Deed::Made), count(Deed::Changed));
        let Deployment { name, place, region, account, .. } = &self.deployment;
        write!(f, "deployment {name} at {place}, account {account}, {region}: ")?;
        if made + changed == 0 {
            write!(f, "all is there; nothing was changed")?;
        } else {
            write!(f, "{} made, {changed} changed", human::count(made, "thing"))?;
        }
        if self.deployment.agents.is_empty() {
            write!(f, "\nno agent program is in the bucket: images need one of their own, or pass --agent FILE")?;
        }
        Ok(())
    }
}
