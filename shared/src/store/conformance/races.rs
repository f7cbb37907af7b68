//! Races: what one writer at a time cannot show. Each contender marks its writes, so a lost answer is found out by
//! reading, as the protocol does.

use futures::future::{BoxFuture, join_all, try_join_all};

use super::{Check, Scratch, Trouble, applied, expect, rejected};
use crate::store::{Attributes, Condition, ETag, Outcome, Rejection, StoreExt};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "races/create",
        meaning: "of many that create one object at once, exactly one wins, and its body stands",
        needed: true,
        run: |s| Box::pin(create(s)),
    },
    Check {
        name: "races/update",
        meaning: "of many that count in one object by compare-and-swap, none loses a step",
        needed: true,
        run: |s| Box::pin(update(s)),
    },
    Check {
        name: "races/delete",
        meaning: "of updates and deletes of one version at once, exactly one goes through",
        // "Nothing may hang on a conditional delete being atomic: some stores' is not."
        needed: false,
        run: |s| Box::pin(delete(s)),
    },
    Check {
        name: "races/multipart",
        meaning: "of many uploads that complete one object at once with If-None-Match, exactly one wins, and its body stands",
        needed: true,
        run: |s| Box::pin(multipart(s)),
    },
];

/// Tries of one write before it is given up: each is a round trip, and nobody contends for so long.
const TRIES: u32 = 1000;

/// How a conditional write of a marked body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Won,
    Lost,
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

fn mark(s: &Scratch<'_>, contender: u32) -> String {
    format!("{contender} {}", s.dice.nonce())
}

/// Exactly one has to have won, and its body to stand.
async fn expect_one(s: &Scratch<'_>, name: &str, bodies: &[String], ends: &[End]) -> Result<(), Trouble> {
    let winners: Vec<&String> = bodies.iter().zip(ends).filter(|(_, end)| **end == End::Won).map(|(b, _)| b).collect();
    expect(winners.len() == 1, || format!("{} of {} won at {name:?}", winners.len(), bodies.len()))?;
    s.expect_content(name, Some(winners[0].as_bytes())).await
}

async fn create(s: &Scratch<'_>) -> Result<String, Trouble> {
    for round in 0..s.rounds {
        let name = format!("{round}");
        let bodies: Vec<String> = (0..s.width).map(|contender| mark(s, contender)).collect();
        let key = s.key(&name);
        let attributes = Attributes::default();
        let contend = bodies.iter().map(|body| {
            let write = || s.store.put(&key, body.clone().into(), &attributes, &Condition::Create);
            certain(s, &name, body.as_bytes(), write)
        });
        let ends = try_join_all(contend).await?;
        expect_one(s, &name, &bodies, &ends).await?;
    }
    Ok(format!("{} rounds of {}, {} winners", s.rounds, s.width, s.rounds))
}

async fn multipart(s: &Scratch<'_>) -> Result<String, Trouble> {
    for round in 0..s.rounds {
        let name = format!("{round}");
        let bodies: Vec<String> = (0..s.width).map(|contender| mark(s, contender)).collect();
        let mut uploads = Vec::new();
        for body in &bodies {
            let upload = s.store.upload_begin(&s.key(&name), &Attributes::default()).await?;
            let part = s.store.upload_part(&upload, 1, body.clone().into()).await?;
            uploads.push((upload, [part]));
        }
        let contend = uploads.iter().zip(&bodies).map(|((upload, parts), body)| {
            let write = || s.store.upload_complete(upload, parts, &Condition::Create);
            certain(s, &name, body.as_bytes(), write)
        });
        let ends = try_join_all(contend).await?;
        expect_one(s, &name, &bodies, &ends).await?;
    }
    Ok(format!("{} rounds of {}, {} winners", s.rounds, s.width, s.rounds))
}

/// The counter: one number for each contender, so that each can tell whether its own step is in.
fn counts(body: &[u8]) -> Option<Vec<u64>> {
    std::str::from_utf8(body).ok()?.split(' ').map(|count| count.parse().ok()).collect()
}

fn text(counts: &[u64]) -> String {
    counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

async fn update(s: &Scratch<'_>) -> Result<String, Trouble> {
    s.create("counter", text(&vec![0; s.width as usize])).await?;
    let retries = try_join_all((0..s.width as usize).map(|contender| count(s, contender))).await?;
    let (_, body) = read_counter(s).await?;
    let expected = vec![u64::from(s.rounds); s.width as usize];
    expect(body == expected, || format!("the counter ends at {body:?} instead of {expected:?}"))?;
    let steps = u64::from(s.rounds) * u64::from(s.width);
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
async fn count(s: &Scratch<'_>, contender: usize) -> Result<u64, Trouble> {
    let mut steps = 0;
    let mut retries = 0;
    let mut in_doubt = false;
    while steps < u64::from(s.rounds) {
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
        expect(retries < u64::from(TRIES) * u64::from(s.rounds), || "updates are rejected without end".to_owned())?;
    }
    Ok(retries)
}

async fn delete(s: &Scratch<'_>) -> Result<String, Trouble> {
    let (mut updates, mut deletes) = (0, 0);
    for round in 0..s.rounds {
        let name = format!("{round}");
        let etag = s.create(&name, "contended").await?;
        let key = s.key(&name);
        let writes = (0..s.width).map(|contender| {
            let (key, etag, name) = (&key, &etag, &name);
            let body = mark(s, contender);
            async move {
                // Every other one deletes; who goes first changes from round to round.
                if (contender + round) % 2 == 0 {
                    s.store.delete(key, Some(etag)).await.map(|outcome| (true, outcome))
                } else {
                    let put = s.put(name, body, &Condition::Update(etag.clone())).await;
                    put.map(|outcome| (false, without_value(outcome)))
                }
            }
        });
        let mut winners = Vec::new();
        for end in join_all(writes).await {
            let (deleted, outcome) = end?;
            match outcome {
                Outcome::Applied(()) => winners.push(deleted),
                Outcome::Unknown(why) => return Err(Trouble::Open(why)),
                outcome => {
                    let reasons = [Rejection::Precondition, Rejection::Missing, Rejection::Conflict];
                    rejected("a contender", outcome, &reasons)?;
                }
            }
        }
        expect(winners.len() == 1, || format!("{} of {} went through at {name:?}", winners.len(), s.width))?;
        let stands = s.store.head(&key).await?.is_some();
        expect(stands != winners[0], || {
            format!("{name:?} stands: {stands}, but the delete went through: {}", winners[0])
        })?;
        if winners[0] { deletes += 1 } else { updates += 1 }
    }
    applied("a create after the races", s.put("end", "", &Condition::Create).await?)?;
    Ok(format!("{} rounds of {}, {updates} updates and {deletes} deletes won", s.rounds, s.width))
}

fn without_value<T>(outcome: Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Applied(_) => Outcome::Applied(()),
        Outcome::Rejected(why) => Outcome::Rejected(why),
        Outcome::Unknown(why) => Outcome::Unknown(why),
    }
}
