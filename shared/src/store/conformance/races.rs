//! Races: what one writer at a time cannot show. Each contender marks its writes, so a lost answer is found out by
//! reading, as the protocol does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use futures::future::{BoxFuture, join_all, ready, try_join_all};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Check, Scratch, Trouble, expect};
use crate::store::{Attributes, Condition, ETag, Outcome, Rejection, StoreExt};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "races/create",
        meaning: "of many that create one object at once, exactly one wins, and its body stands",
        harmless: None,
        run: |s| Box::pin(rounds(s, |round| Box::pin(create(s, round)))),
    },
    Check {
        name: "races/update",
        meaning: "of many that update one version at once, exactly one wins, and its body stands",
        harmless: None,
        run: |s| Box::pin(rounds(s, |round| Box::pin(update(s, round)))),
    },
    Check {
        name: "races/count",
        meaning: "of many that count in one object by compare-and-swap, none loses a step",
        harmless: None,
        run: |s| Box::pin(count(s)),
    },
    Check {
        name: "races/delete",
        meaning: "of updates and deletes of one version at once, exactly one goes through",
        harmless: Some("no decision hangs on a delete: a semaphore goes only when its result stands"),
        run: |s| Box::pin(rounds(s, |round| Box::pin(delete(s, round)))),
    },
    // Last: it takes most requests, and what time the others left.
    Check {
        name: "races/multipart",
        meaning: "of many uploads that complete one object at once with If-None-Match, exactly one wins, and its body stands",
        harmless: None,
        run: |s| Box::pin(rounds(s, |round| Box::pin(multipart(s, round)))),
    },
];

/// Tries of one write before it is given up: each is a round trip, and nobody contends for so long.
const TRIES: u32 = 1000;

/// Rounds with another number of winners than one after which no more are begun: they would say nothing new.
const WRONG_ROUNDS: u32 = 10;

/// Steps of each contender for the counter: they all queue for one object, which takes some 15 updates a second on S3.
const STEPS: u32 = 10;

/// How a round ended.
enum Round {
    /// So many won.
    Winners(usize),
    /// One won, and something else than it wrote stands.
    Broken(String),
    /// A contender's answer left open whether it won.
    Unclear(String),
}

/// Runs rounds, several at once, and says how many had how many winners.
async fn rounds<'a>(
    s: &'a Scratch<'a>,
    round: impl Fn(u32) -> BoxFuture<'a, Result<Round, Trouble>> + Send + 'a,
) -> Result<String, Trouble> {
    let wrong = AtomicU32::new(0);
    let mut winners: BTreeMap<usize, u32> = BTreeMap::new();
    let (mut broken, mut unclear) = (None, None);
    let numbers = stream::iter(0..s.rounds);
    let begun = numbers.take_while(|&n| ready(n == 0 || ((s.go_on)() && wrong.load(Relaxed) < WRONG_ROUNDS)));
    let mut ended = std::pin::pin!(begun.map(round).buffer_unordered(s.at_once as usize));
    while let Some(end) = ended.try_next().await? {
        match end {
            Round::Winners(count) => {
                *winners.entry(count).or_default() += 1;
                wrong.fetch_add(u32::from(count != 1), Relaxed);
            }
            Round::Broken(what) => {
                wrong.fetch_add(1, Relaxed);
                broken = Some(what);
            }
            Round::Unclear(why) => {
                unclear = Some(why);
                continue;
            }
        }
        s.run.fetch_add(1, Relaxed);
    }
    let run = s.run.load(Relaxed);
    if let (0, Some(why)) = (run, unclear) {
        return Err(Trouble::Open(why));
    }
    let told: Vec<String> = winners.iter().map(|(count, rounds)| format!("{count} won in {rounds}")).collect();
    let told = format!("{run} rounds of {}: {}", s.width, told.join(", "));
    match broken {
        Some(what) => Err(Trouble::Violated(format!("{told}; {what}"))),
        None if winners.keys().any(|&count| count != 1) => Err(Trouble::Violated(told)),
        None => Ok(format!("{run} rounds of {}, one winner in each", s.width)),
    }
}

/// How a conditional write of a marked body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Won,
    Lost,
    /// Not applied, because of something concurrent, and of no more use.
    Stopped,
}

/// Repeats `write` until its outcome is certain. After an unknown try, what stands at `name` tells whose it was.
async fn certain<'a, T>(
    s: &Scratch<'_>,
    name: &str,
    body: &[u8],
    write: impl Fn() -> BoxFuture<'a, crate::store::Result<Outcome<T>>>,
) -> Result<End, Trouble> {
    let mut in_doubt = false;
    for _ in 0..TRIES {
        match write().await? {
            Outcome::Applied(_) => return Ok(End::Won),
            Outcome::Rejected(Rejection::Conflict) => {}
            Outcome::Rejected(_) if !in_doubt => return Ok(End::Lost),
            Outcome::Rejected(_) => {
                let stands = s.store.read(&s.key(name)).await?;
                return Ok(if stands.is_some_and(|(_, stands)| stands == body) { End::Won } else { End::Lost });
            }
            Outcome::Unknown(_) => in_doubt = true,
        }
        tokio::task::yield_now().await;
    }
    Err(Trouble::Open(format!("a write of {name:?} had no certain answer in {TRIES} tries")))
}

/// The bodies of a round, each contender's its own.
fn bodies(s: &Scratch<'_>) -> Vec<String> {
    (0..s.width).map(|contender| format!("{contender} {}", s.dice.nonce())).collect()
}

/// Counts who won, and reads what stands.
async fn judged(s: &Scratch<'_>, name: &str, bodies: &[String], ends: &[End]) -> Result<Round, Trouble> {
    let winners: Vec<&String> = bodies.iter().zip(ends).filter(|(_, end)| **end == End::Won).map(|(b, _)| b).collect();
    match winners.as_slice() {
        [] if ends.contains(&End::Stopped) => Ok(Round::Unclear("conflicts left no winner".to_owned())),
        [winner] => match s.store.read(&s.key(name)).await? {
            Some((_, stands)) if stands == winner.as_bytes() => Ok(Round::Winners(1)),
            stands => {
                let stands = super::excerpt(stands.as_ref().map(|(_, body)| &body[..]));
                Ok(Round::Broken(format!("at {name:?} stands {stands} instead of the winner's {winner:?}")))
            }
        },
        several => Ok(Round::Winners(several.len())),
    }
}

async fn create(s: &Scratch<'_>, round: u32) -> Result<Round, Trouble> {
    contend(s, &format!("{round}"), &Condition::Create).await
}

async fn update(s: &Scratch<'_>, round: u32) -> Result<Round, Trouble> {
    let name = format!("{round}");
    let etag = s.create(&name, "contended").await?;
    contend(s, &name, &Condition::Update(etag)).await
}

/// All contenders put at once under this condition.
async fn contend(s: &Scratch<'_>, name: &str, condition: &Condition) -> Result<Round, Trouble> {
    let bodies = bodies(s);
    let key = s.key(name);
    let attributes = Attributes::default();
    let writes = bodies.iter().map(|body| {
        let write = || s.store.put(&key, body.clone().into(), &attributes, condition);
        certain(s, name, body.as_bytes(), write)
    });
    let ends = try_join_all(writes).await?;
    judged(s, name, &bodies, &ends).await
}

async fn multipart(s: &Scratch<'_>, round: u32) -> Result<Round, Trouble> {
    let name = format!("{round}");
    let bodies = bodies(s);
    let key = s.key(&name);
    let uploads = try_join_all(bodies.iter().map(|body| {
        let key = &key;
        async move {
            let upload = s.store.upload_begin(key, &Attributes::default()).await?;
            let part = s.store.upload_part(&upload, 1, body.clone().into()).await?;
            Ok::<_, Trouble>((upload, [part]))
        }
    }))
    .await?;
    let completions = uploads.iter().zip(&bodies).map(|((upload, parts), body)| {
        let name = &name;
        async move {
            let conflict = AtomicU32::new(0);
            let conflict = &conflict;
            let write = || -> BoxFuture<'_, _> {
                Box::pin(async move {
                    match s.store.upload_complete(upload, parts, &Condition::Create).await? {
                        // S3 asks for a new upload then: this one is out of the race.
                        Outcome::Rejected(Rejection::Conflict) => {
                            conflict.store(1, Relaxed);
                            Ok(Outcome::Rejected(Rejection::NoSuchUpload))
                        }
                        outcome => Ok(outcome),
                    }
                })
            };
            let end = certain(s, name, body.as_bytes(), write).await?;
            Ok::<_, Trouble>(if end == End::Lost && conflict.load(Relaxed) > 0 { End::Stopped } else { end })
        }
    });
    let ends = try_join_all(completions).await?;
    let lost = uploads.iter().zip(&ends).filter(|(_, end)| **end != End::Won);
    try_join_all(lost.map(|((upload, _), _)| s.store.upload_abort(upload))).await?;
    judged(s, &name, &bodies, &ends).await
}

/// The counter: one number for each contender, so that each can tell whether its own step is in.
fn counts(body: &[u8]) -> Option<Vec<u64>> {
    std::str::from_utf8(body).ok()?.split(' ').map(|count| count.parse().ok()).collect()
}

fn text(counts: &[u64]) -> String {
    counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

async fn count(s: &Scratch<'_>) -> Result<String, Trouble> {
    let each = u64::from(s.rounds.min(STEPS));
    s.create("counter", text(&vec![0; s.width as usize])).await?;
    let retries = try_join_all((0..s.width as usize).map(|contender| step(s, contender, each))).await?;
    let (_, body) = read_counter(s).await?;
    let expected = vec![each; s.width as usize];
    expect(body == expected, || format!("the counter ends at {body:?} instead of {expected:?}"))?;
    let steps = each * u64::from(s.width);
    Ok(format!("{steps} steps of {} contenders, {} tries rejected", s.width, retries.iter().sum::<u64>()))
}

async fn read_counter(s: &Scratch<'_>) -> Result<(ETag, Vec<u64>), Trouble> {
    let Some((meta, body)) = s.store.read(&s.key("counter")).await? else {
        return Err(Trouble::Violated("the counter is gone".to_owned()));
    };
    match counts(&body) {
        Some(counts) => Ok((meta.etag, counts)),
        None => Err(Trouble::Violated(format!("the counter reads {:?}", String::from_utf8_lossy(&body)))),
    }
}

/// One contender's steps; how often it was rejected.
async fn step(s: &Scratch<'_>, contender: usize, each: u64) -> Result<u64, Trouble> {
    let mut steps = 0;
    let mut retries = 0;
    let mut in_doubt = false;
    while steps < each {
        let (etag, mut counts) = read_counter(s).await?;
        // Lets the others read the same version, in a store that answers at once.
        tokio::task::yield_now().await;
        let Some(own) = counts.get_mut(contender) else {
            return Err(Trouble::Violated(format!("the counter has lost contender {contender}")));
        };
        if in_doubt && *own == steps + 1 {
            steps += 1;
            in_doubt = false;
            continue;
        }
        expect(*own == steps, || format!("contender {contender} made {steps} steps, and {own} are in the counter"))?;
        *own += 1;
        match s.put("counter", text(&counts), &Condition::Update(etag)).await? {
            Outcome::Applied(_) => {
                steps += 1;
                in_doubt = false;
            }
            Outcome::Rejected(Rejection::Precondition | Rejection::Conflict) => retries += 1,
            Outcome::Rejected(why) => {
                return Err(Trouble::Violated(format!("an update of the counter was rejected as {why:?}")));
            }
            Outcome::Unknown(_) => in_doubt = true,
        }
        expect(retries < u64::from(TRIES) * each, || "updates are rejected without end".to_owned())?;
    }
    Ok(retries)
}

async fn delete(s: &Scratch<'_>, round: u32) -> Result<Round, Trouble> {
    let name = format!("{round}");
    let etag = s.create(&name, "contended").await?;
    let key = s.key(&name);
    let writes = (0..s.width).map(|contender| {
        let (key, etag, name) = (&key, &etag, &name);
        async move {
            // Every other one deletes; who goes first changes from round to round.
            if (contender + round).is_multiple_of(2) {
                s.store.delete(key, Some(etag)).await.map(|outcome| (true, outcome))
            } else {
                let put = s.put(name, format!("{contender}"), &Condition::Update(etag.clone())).await;
                put.map(|outcome| (false, without_value(outcome)))
            }
        }
    });
    let mut winners = Vec::new();
    for end in join_all(writes).await {
        match end? {
            (deleted, Outcome::Applied(())) => winners.push(deleted),
            (_, Outcome::Unknown(why)) => return Ok(Round::Unclear(why)),
            (_, Outcome::Rejected(_)) => {}
        }
    }
    if let [deleted] = winners.as_slice() {
        let stands = s.store.head(&key).await?.is_some();
        if stands == *deleted {
            return Ok(Round::Broken(format!("{name:?} stands: {stands}, and the delete went through: {deleted}")));
        }
    }
    Ok(Round::Winners(winners.len()))
}

fn without_value<T>(outcome: Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Applied(_) => Outcome::Applied(()),
        Outcome::Rejected(why) => Outcome::Rejected(why),
        Outcome::Unknown(why) => Outcome::Unknown(why),
    }
}
