//! One suite for every store: what the claim protocol takes for granted, checked against the store itself.
//!
//! Each check works under a folder of its own and removes what it put there. A store that ignores a condition, or sorts
//! a listing otherwise, is found here before a job relies on it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Attributes, Condition, ETag, Entry, Outcome, Rejection, Store, StoreError, StoreErrorKind, StoreExt};
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
    /// How many rounds go on at once, each at an object of its own.
    pub at_once: u32,
}

impl Default for Scope {
    /// Under `scratch/`, with few enough rounds that a run against S3 takes seconds and costs a fraction of a cent.
    fn default() -> Self {
        Self { prefix: "scratch/".to_owned(), rounds: 10, width: 8, at_once: 2 }
    }
}

/// One thing that a store has to do.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, as `races/create`.
    pub name: &'static str,
    /// What holds if the check passes, in one sentence.
    pub meaning: &'static str,
    /// Why a job does without it: then a failure is worth knowing, and no more. None: it relies on it.
    pub harmless: Option<&'static str>,
    run: for<'a> fn(&'a Scratch<'a>) -> BoxFuture<'a, Result<String, Trouble>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("harmless", &self.harmless).finish_non_exhaustive()
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// [`Check::name`].
    pub name: &'static str,
    /// [`Check::meaning`].
    pub meaning: &'static str,
    /// [`Check::harmless`].
    pub harmless: Option<&'static str>,
    /// How many rounds were run, if it is a race.
    pub rounds: u32,
    /// How it went.
    pub verdict: Verdict,
}

impl Finding {
    /// Whether a job relies on it.
    pub fn needed(&self) -> bool {
        self.harmless.is_none()
    }
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
        self.run_while(store, dice, scope, &|| true).await
    }

    /// The same; a race begins no further round, but its first, once `go_on` says no.
    pub async fn run_while(
        &self,
        store: &dyn Store,
        dice: &dyn Dice,
        scope: &Scope,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Finding {
        let scratch = Scratch {
            store,
            dice,
            prefix: format!("{}{}/{}/", scope.prefix, dice.nonce(), self.name.replace('/', "-")),
            rounds: scope.rounds.max(1),
            width: scope.width.max(2),
            at_once: scope.at_once.max(1),
            go_on,
            run: AtomicU32::new(0),
        };
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
        let rounds = scratch.run.load(Relaxed);
        Finding { name: self.name, meaning: self.meaning, harmless: self.harmless, rounds, verdict }
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
    at_once: u32,
    /// Whether another round may begin.
    go_on: &'a (dyn Fn() -> bool + Sync),
    /// Rounds that were run.
    run: AtomicU32,
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

    /// Removes what the check put there.
    async fn clear(&self) -> super::Result<()> {
        sweep(self.store, &self.prefix).await.map(|_| ())
    }
}

/// Objects that are removed together: with S3's some 30 ms a delete, a thousand take a second.
const REMOVED_AT_ONCE: usize = 32;

/// Removes every object and every upload under way below `prefix`, which nobody else may use; how many there were.
///
/// # Errors
/// A store that refuses a call.
pub async fn sweep(store: &dyn Store, prefix: &str) -> super::Result<usize> {
    let uploads = match store.uploads(prefix).await {
        // It cannot be asked for them; that is no reason to leave the objects.
        Err(error) if error.kind == StoreErrorKind::Unsupported => Vec::new(),
        uploads => uploads?,
    };
    let entries = store.list_all(prefix).await?;
    let aborts = uploads.iter().map(|upload| store.upload_abort(upload));
    stream::iter(aborts).buffer_unordered(REMOVED_AT_ONCE).try_collect::<()>().await?;
    let deletes = entries.iter().map(|entry| remove(store, entry));
    stream::iter(deletes).buffer_unordered(REMOVED_AT_ONCE).try_collect::<()>().await?;
    Ok(uploads.len() + entries.len())
}

/// With `If-Match` first, the only deletes that an agent's permissions allow; where a store cannot do that, plainly.
async fn remove(store: &dyn Store, entry: &Entry) -> super::Result<()> {
    match store.delete(&entry.key, Some(&entry.etag)).await {
        Ok(Outcome::Applied(()) | Outcome::Rejected(Rejection::Missing)) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::Denied => Err(error),
        _ => store.delete(&entry.key, None).await.map(|_| ()),
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
