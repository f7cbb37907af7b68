//! How long S3 takes to answer, and how long a task takes.
//!
//! Lognormal, each pinned to a published median and tail, of small objects and callers in the bucket's region:
//!
//! * GET and HEAD: median 22.4 ms, 90th percentile 42.0 ms (S3, objects of 1 KB, YCSB, 80 % reads; tigrisdata.com/docs,
//!   "Benchmark Summary").
//! * PUT: median 60 ms, 90th percentile 133 ms (objects of 60 KB from a function in the region took 60 to 133 ms;
//!   kkc.github.io/2020/03/16/s3-latency). The benchmark above has 27 ms and 41 ms for 1 KB: the slower source is taken, as
//!   nothing is published of conditional writes.
//! * LIST: median 70 ms, 90th percentile 200 ms ("tens to hundreds of milliseconds" a call; Armbrust et al., Delta Lake,
//!   PVLDB 13(12), 2020).
//! * One request in a thousand takes a second more: AWS advises to give a small request 2 s before it is sent again
//!   ("Performance Design Patterns for Amazon S3", timeouts and retries), so such answers are not rare.

use rand::Rng;

use super::Micros;
use super::bill::Kind;

/// The quantile of the standard normal distribution at 90 %.
const Z90: f64 = 1.2816;

/// One in so many requests is slow, by so much.
const SLOW: (f64, f64) = (1000.0, 1.0);

/// A standard normal draw (Box and Muller, 1958) from two even ones in `0..1`.
fn normal(one: f64, other: f64) -> f64 {
    (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// Median and 90th percentile in seconds.
fn pinned(kind: Kind) -> (f64, f64) {
    match kind {
        Kind::Put | Kind::Delete => (0.060, 0.133),
        Kind::Get | Kind::Head => (0.0224, 0.0420),
        Kind::List => (0.070, 0.200),
    }
}

/// The time from sending a request to its answer.
pub fn of(kind: Kind, rng: &mut impl Rng) -> Micros {
    let (median, p90) = pinned(kind);
    let sigma = (p90 / median).ln() / Z90;
    let slow = if rng.random::<f64>() * SLOW.0 < 1.0 { SLOW.1 } else { 0.0 };
    seconds(median * (sigma * normal(rng.random(), rng.random())).exp() + slow)
}

/// How long the task of a line takes: lognormal of the mean and the shape given. It hangs on seed and line alone, so that
/// every design has the same work to do.
pub fn task(seed: u64, line: u32, mean: f64, sigma: f64) -> Micros {
    let first = mix(seed ^ (u64::from(line) << 20));
    let even = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let z = normal(even(first), even(mix(first)));
    seconds(mean * (sigma * z - sigma * sigma / 2.0).exp())
}

/// The time to the next event of a rate an hour.
pub fn exponential(rate_an_hour: f64, rng: &mut impl Rng) -> Option<Micros> {
    let even: f64 = rng.random();
    (rate_an_hour > 0.0).then(|| seconds(-(1.0 - even).ln() * 3600.0 / rate_an_hour))
}

/// Seconds as the simulation counts them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of hours, in microseconds")]
pub fn seconds(seconds: f64) -> Micros {
    (seconds * 1e6) as Micros
}

/// One step of `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
