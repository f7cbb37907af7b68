//! One suite for every store: what the claim protocol takes for granted, checked against the store itself.
//!
//! Each check works under a folder of its own and removes what it put there. A store that ignores a condition, or sorts
//! a listing otherwise, is found here before a job relies on it.

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Attributes, Condition, ETag, Outcome, Rejection, Store, StoreError, StoreExt};
use crate::rng::Dice;

mod listing;
mod multipart;
mod names;
mod objects;
mod races;

/// How much to check, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Where scratch keys may be put: empty, or ending in `/`. Each check adds a folder that no other run has.
    pub prefix: String,
    /// Rounds of each race.
    pub rounds: u32,
    /// How many contend in each round, at least 2.
    pub width: u32,
}

impl Default for Scope {
    /// Under `scratch/`, with few enough rounds that a run against S3 takes seconds and costs a fraction of a cent.
    fn default() -> Self {
        Self { prefix: "scratch/".to_owned(), rounds: 10, width: 8 }
    }
}

/// One thing that a store has to do.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, as `races/create`.
    pub name: &'static str,
    /// What holds if the check passes, in one sentence.
    pub meaning: &'static str,
    /// Whether a job relies on it. If not, a failure is worth knowing and no more.
    pub needed: bool,
    run: for<'a> fn(&'a Scratch<'a>) -> BoxFuture<'a, Result<String, Trouble>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("needed", &self.needed).finish_non_exhaustive()
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// [`Check::name`].
    pub name: &'static str,
    /// [`Check::meaning`].
    pub meaning: &'static str,
    /// [`Check::needed`].
    pub needed: bool,
    /// How it went.
    pub verdict: Verdict,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds; with what was seen, such as rounds and winners (may be empty).
    Holds(String),
    /// It does not hold: what was expected, and what was seen.
    Violated(String),
    /// It could not be found out: the store gave an error, or no answer.
    Open(String),
}

impl Verdict {
    /// Whether the check passed.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds(_))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, meaning, .. } = self;
        match &self.verdict {
            Verdict::Holds(seen) if seen.is_empty() => write!(f, "{name}: ok"),
            Verdict::Holds(seen) => write!(f, "{name}: ok ({seen})"),
            Verdict::Violated(seen) => write!(f, "{name}: FAILED: {seen} (expected: {meaning})"),
            Verdict::Open(why) => write!(f, "{name}: could not be checked: {why}"),
        }
    }
}

/// All checks, in the order in which they run.
pub fn checks() -> Vec<Check> {
    [objects::CHECKS, listing::CHECKS, names::CHECKS, multipart::CHECKS, races::CHECKS].concat()
}

/// Runs every check against `store`, one after the other.
pub async fn check(store: &dyn Store, dice: &dyn Dice, scope: &Scope) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in checks() {
        findings.push(check.run(store, dice, scope).await);
    }
    findings
}

impl Check {
    /// Runs this check against `store`. What it put there is removed again, as far as the store lets it.
    pub async fn run(&self, store: &dyn Store, dice: &dyn Dice, scope: &Scope) -> Finding {
        let prefix = format!("{}{}/{}/", scope.prefix, dice.nonce(), self.name.replace('/', "-"));
        let scratch = Scratch { store, dice, prefix, rounds: scope.rounds.max(1), width: scope.width.max(2) };
        let result = (self.run)(&scratch).await;
        let cleared = scratch.clear().await;
        let verdict = match (result, cleared) {
            (Ok(seen), Ok(())) => Verdict::Holds(seen),
            (Err(Trouble::Violated(what)), _) => Verdict::Violated(what),
            (Err(Trouble::Open(why)), _) => Verdict::Open(why),
            (Ok(_), Err(error)) => {
                Verdict::Open(format!("{error}; objects were left under {}", store.place(&scratch.prefix)))
            }
        };
        Finding { name: self.name, meaning: self.meaning, needed: self.needed, verdict }
    }
}

/// Why a check ended early.
enum Trouble {
    Violated(String),
    Open(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Open(error.to_string())
    }
}

/// A violation, unless `holds`.
fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(Trouble::Violated(otherwise())) }
}

/// A violation, unless both are the same. `what` says what was looked at.
fn expect_same<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Result<(), Trouble> {
    expect(seen == expected, || format!("{what} is {seen:?} instead of {expected:?}"))
}

/// A write that has to go through.
fn applied<T: fmt::Debug>(what: &str, outcome: Outcome<T>) -> Result<T, Trouble> {
    match outcome {
        Outcome::Applied(value) => Ok(value),
        Outcome::Rejected(why) => Err(Trouble::Violated(format!("{what} was rejected ({why:?})"))),
        Outcome::Unknown(why) => Err(Trouble::Open(format!("{what} had no answer: {why}"))),
    }
}

/// A write that has to be rejected, for one of these reasons.
fn rejected<T: fmt::Debug>(what: &str, outcome: Outcome<T>, reasons: &[Rejection]) -> Result<(), Trouble> {
    match outcome {
        Outcome::Rejected(why) if reasons.contains(&why) => Ok(()),
        Outcome::Rejected(why) => Err(Trouble::Violated(format!("{what} was rejected as {why:?}, not {reasons:?}"))),
        Outcome::Applied(_) => Err(Trouble::Violated(format!("{what} went through"))),
        Outcome::Unknown(why) => Err(Trouble::Open(format!("{what} had no answer: {why}"))),
    }
}

/// A store, and the folder in it that belongs to one run of one check.
struct Scratch<'a> {
    store: &'a dyn Store,
    dice: &'a dyn Dice,
    prefix: String,
    rounds: u32,
    width: u32,
}

impl Scratch<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Puts `body` at `name`, plainly.
    async fn put(&self, name: &str, body: impl Into<Bytes>, condition: &Condition) -> super::Result<Outcome<ETag>> {
        self.store.put(&self.key(name), body.into(), &Attributes::default(), condition).await
    }

    /// Creates `name`, which is not there yet.
    async fn create(&self, name: &str, body: impl Into<Bytes>) -> Result<ETag, Trouble> {
        applied(&format!("creating {name:?}"), self.put(name, body, &Condition::Create).await?)
    }

    /// A violation, unless `name` reads as `expected`, by get and by head.
    async fn expect_content(&self, name: &str, expected: Option<&[u8]>) -> Result<(), Trouble> {
        let key = self.key(name);
        let read = self.store.read(&key).await?;
        let head = self.store.head(&key).await?;
        let seen = read.as_ref().map(|(_, body)| &body[..]);
        expect(seen == expected, || format!("{name:?} reads as {} instead of {}", excerpt(seen), excerpt(expected)))?;
        let told = head.map(|meta| (meta.etag, meta.size));
        expect_same("what head tells", &told, &read.map(|(meta, body)| (meta.etag, body.len() as u64)))
    }

    /// Random bytes.
    fn noise(&self, length: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.dice.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes.into()
    }

    /// Removes what the check put there. With `If-Match`, the only deletes that an agent's permissions allow.
    async fn clear(&self) -> super::Result<()> {
        for upload in self.store.uploads(&self.prefix).await? {
            self.store.upload_abort(&upload).await?;
        }
        for entry in self.store.list_all(&self.prefix).await? {
            self.store.delete(&entry.key, Some(&entry.etag)).await?;
        }
        Ok(())
    }
}

/// A body as a message can show it.
fn excerpt(body: Option<&[u8]>) -> String {
    match body {
        None => "absent".to_owned(),
        Some(body) if body.len() <= 40 => format!("{:?}", String::from_utf8_lossy(body)),
        Some(body) => format!("{} bytes", body.len()),
    }
}
