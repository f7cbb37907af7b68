//! Clocks and speed.

use std::time::Duration;

use dayfly_shared::clock::{Clock, Timestamp};
use dayfly_shared::store::{Attributes, Condition, ETag, Outcome, Result, Store};
use serde::Serialize;

use super::report::{Line, Mark};

/// How often each request is timed: enough for a median; the slowest of so few stands for the 99th percentile.
const SAMPLES: usize = 20;

/// The size of a semaphore, the object that is written most.
const BODY_BYTES: usize = 700;

/// `Date` and `LastModified` have whole seconds, and the request between them takes some time.
const APART: Duration = Duration::from_secs(2);

/// S3 refuses requests whose time is further off than this (S3 API reference, `RequestTimeTooSkewed`).
const SKEW: Duration = Duration::from_secs(15 * 60);

/// How long one kind of request took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// How many were timed.
    pub samples: usize,
    /// In milliseconds.
    pub median_ms: f64,
    /// In milliseconds.
    pub p99_ms: f64,
}

impl Speed {
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort();
        let ms = |time: &Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
        let rank = |part: f64| ((times.len() as f64 * part).ceil() as usize).saturating_sub(1);
        Some(Self {
            samples: times.len(),
            median_ms: times.get(rank(0.5)).map(ms)?,
            p99_ms: times.get(rank(0.99)).map(ms)?,
        })
    }
}

/// Whether the clocks agree: the store's `Date` with the `LastModified` of what was just put, and with this machine's.
///
/// # Errors
/// A store that refuses.
pub async fn clocks(store: &dyn Store, clock: &dyn Clock, scratch: &str) -> Result<Vec<Line>> {
    let key = format!("{scratch}clock");
    store.put(&key, "now".into(), &Attributes::default(), &Condition::Overwrite).await?;
    let asked = clock.now();
    let meta = store.head(&key).await?;
    let here = asked.wall.unix_ms + u64::try_from(clock.now().at.since(asked.at).as_millis() / 2).unwrap_or(0);
    let (date, modified) = meta.map_or((None, None), |meta| (meta.served, meta.modified));
    let line = |what: &str, other: Option<Timestamp>, most: Duration, fine: &str, off: &str| match date.zip(other) {
        None => Line::new(Mark::Noted, what, "", "the store does not tell".to_owned()),
        Some((date, other)) => {
            let apart = date.since(other).max(other.since(date));
            let seconds = format!("{:.1} s apart", apart.as_secs_f64());
            match apart <= most {
                true => Line::new(Mark::Ok, what, "", format!("{seconds}; {fine}")),
                false => Line::new(Mark::Noted, what, "", format!("{seconds}; {off}")),
            }
        }
    };
    Ok(vec![
        line(
            "Date and LastModified of a fresh put",
            modified,
            APART,
            "leases expire when they should",
            "leases look so much older or younger than they are, and are taken over so much too early or too late; \
             outputs stay right nevertheless",
        ),
        line(
            "Date and this machine's clock",
            Some(Timestamp::from_unix_ms(here)),
            SKEW,
            "no decision hangs on it",
            "no decision hangs on it, but S3 refuses requests from clocks so far off: set this machine's",
        ),
    ])
}

/// The speed of a put of a new object and of a compare-and-swap. None where no clear answers came.
///
/// # Errors
/// A store that refuses.
pub async fn speed(store: &dyn Store, clock: &dyn Clock, scratch: &str) -> Result<[Option<Speed>; 2]> {
    let (mut puts, mut swaps) = (Vec::new(), Vec::new());
    let swapped = format!("{scratch}speed");
    let mut etag = timed(store, clock, &swapped, SAMPLES, &Condition::Create).await?.map(|(_, etag)| etag);
    for n in 0..SAMPLES {
        let key = format!("{scratch}speed-{n}");
        puts.extend(timed(store, clock, &key, n, &Condition::Create).await?.map(|(time, _)| time));
        let Some(standing) = etag.take() else { continue };
        if let Some((time, etag_now)) = timed(store, clock, &swapped, n, &Condition::Update(standing)).await? {
            swaps.push(time);
            etag = Some(etag_now);
        }
    }
    Ok([Speed::of(puts), Speed::of(swaps)])
}

async fn timed(
    store: &dyn Store,
    clock: &dyn Clock,
    key: &str,
    n: usize,
    condition: &Condition,
) -> Result<Option<(Duration, ETag)>> {
    let body = format!("{n:BODY_BYTES$}");
    let begun = clock.now().at;
    Ok(match store.put(key, body.into(), &Attributes::json(), condition).await? {
        Outcome::Applied(etag) => Some((clock.now().at.since(begun), etag)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_ranks_and_not_guesses() {
        let speed = Speed::of((1..=20).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!((speed.samples, speed.median_ms, speed.p99_ms), (20, 10.0, 20.0));
        assert_eq!(Speed::of(Vec::new()), None);
    }
}
