//! A contender: a process that takes commands on its input, one line each, and answers each on its output.

use std::io::{BufRead, Write};

use bytes::Bytes;
use dayfly_shared::store::Outcome;
use dayfly_shared::store::{Attributes, Condition, ETag, Rejection, Store, StoreExt};
pub use dayfly_shared::store::{Condition::Create as CREATE, Outcome::Applied};

use crate::rig;

/// The contender's number.
pub const WHO: &str = "DAYFLY_TEST_WHO";
/// Where its keys are.
pub const PREFIX: &str = "DAYFLY_TEST_PREFIX";
/// What its answers begin with.
pub const ANSWER: &str = "contender: ";

struct Contender {
    store: std::sync::Arc<dyn Store>,
    who: usize,
    prefix: String,
}

/// The key that this contender puts in a round of folders.
pub fn folder_key(who: usize) -> String {
    ["x", "x/y", "x/y/z", "x/y/w"].get(who).map_or_else(|| format!("x/{who}"), ToString::to_string)
}

/// Runs until its input ends.
pub async fn contend() {
    let Ok(spec) = std::env::var(rig::STORE) else { return };
    let contender = Contender {
        store: spec.parse::<rig::Spec>().unwrap().open().await,
        who: std::env::var(WHO).unwrap().parse().unwrap(),
        prefix: std::env::var(PREFIX).unwrap(),
    };
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["create", round] => contender.create(round).await,
            ["complete", round] => contender.complete(round).await,
            ["count", rounds] => contender.count(rounds.parse().unwrap()).await,
            ["replace", round, etag] => contender.replace(round, &ETag::new(etag)).await,
            ["folders", round] => contender.put_folder_key(round).await,
            ["churn"] => contender.churn().await,
            _ => panic!("{line}"),
        };
        println!("{ANSWER}{answer}");
        std::io::stdout().flush().unwrap();
    }
}

/// "won" or "lost"; a store that gives no answer ends the race.
fn end<T: std::fmt::Debug>(outcome: Outcome<T>) -> String {
    match outcome {
        Outcome::Applied(_) => "won".to_owned(),
        Outcome::Rejected(Rejection::Precondition | Rejection::Missing) => "lost".to_owned(),
        outcome => format!("{outcome:?}"),
    }
}

impl Contender {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn body(&self) -> Bytes {
        self.who.to_string().into()
    }

    async fn put(&self, name: &str, body: Bytes, condition: &Condition) -> Outcome<ETag> {
        self.store.put(&self.key(name), body, &Attributes::default(), condition).await.unwrap()
    }

    async fn create(&self, round: &str) -> String {
        end(self.put(round, self.body(), &CREATE).await)
    }

    async fn complete(&self, round: &str) -> String {
        let upload = self.store.upload_begin(&self.key(round), &Attributes::default()).await.unwrap();
        let part = self.store.upload_part(&upload, 1, self.body()).await.unwrap();
        end(self.store.upload_complete(&upload, &[part], &CREATE).await.unwrap())
    }

    /// Counts up its own number in an object that has one for each; how often that was rejected.
    async fn count(&self, rounds: u64) -> String {
        let mut rejected = 0;
        let mut steps = 0;
        self.put("counter", "0 0 0 0".into(), &CREATE).await;
        while steps < rounds {
            let (meta, body) = self.store.read(&self.key("counter")).await.unwrap().unwrap();
            let text = std::str::from_utf8(&body).unwrap();
            let mut counts: Vec<u64> = text.split(' ').map(|count| count.parse().unwrap()).collect();
            assert_eq!(counts[self.who], steps, "a step of contender {} was lost", self.who);
            counts[self.who] += 1;
            let text = counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            match self.put("counter", text.into(), &Condition::Update(meta.etag)).await {
                Outcome::Applied(_) => steps += 1,
                Outcome::Rejected(Rejection::Precondition) => rejected += 1,
                outcome => panic!("{outcome:?}"),
            }
        }
        rejected.to_string()
    }

    async fn replace(&self, round: &str, etag: &ETag) -> String {
        if self.who.is_multiple_of(2) {
            end(self.put(round, self.body(), &Condition::Update(etag.clone())).await)
        } else {
            end(self.store.delete(&self.key(round), Some(etag)).await.unwrap())
        }
    }

    async fn put_folder_key(&self, round: &str) -> String {
        end(self.put(&format!("{round}/{}", folder_key(self.who)), self.body(), &CREATE).await)
    }

    /// Puts its key, finds it, deletes it.
    async fn churn(&self) -> String {
        let name = format!("churn/{}", folder_key(self.who));
        let Applied(etag) = self.put(&name, self.body(), &CREATE).await else { return "not created".to_owned() };
        match self.store.read(&self.key(&name)).await.unwrap() {
            Some((meta, body)) if meta.etag == etag && body == self.body() => {}
            other => return format!("read {:?}", other.map(|(meta, _)| meta)),
        }
        end(self.store.delete(&self.key(&name), Some(&etag)).await.unwrap())
    }
}
