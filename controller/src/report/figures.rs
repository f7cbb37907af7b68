//! Throughput and durations.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::records::Usage;
use serde::Serialize;

use super::timeline::{Kind, Run};

/// Of time, so many bins at most: each some pixels wide.
const TIME_BINS: u64 = 240;
/// Of durations.
const DURATION_BINS: usize = 40;
/// Where the longest is so many times the shortest, bins grow by a factor instead of a sum.
const WIDE: f64 = 20.0;
/// Named because they took longest: what fits beside the figure.
const SLOWEST: usize = 20;

/// Widths of a bin in seconds that read well.
const WIDTHS: [u64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800];

/// Tasks done over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// How long a bin is.
    pub bin_seconds: u64,
    /// Tasks done in each, from the timeline's origin on.
    pub done: Vec<u64>,
}

impl Throughput {
    /// Of tasks that were done at these times.
    pub fn of(ends: &[Timestamp], origin: Timestamp, span: Duration) -> Self {
        let seconds = span.as_secs() + 1;
        let bin_seconds = WIDTHS
            .into_iter()
            .find(|width| seconds.div_ceil(*width) <= TIME_BINS)
            .unwrap_or(seconds.div_ceil(TIME_BINS));
        let mut done = vec![0; usize::try_from(seconds.div_ceil(bin_seconds)).unwrap_or(1)];
        for end in ends {
            let bin = end.since(origin).as_secs() / bin_seconds;
            if let Some(count) = done.get_mut(usize::try_from(bin).unwrap_or(usize::MAX)) {
                *count += 1;
            }
        }
        Self { bin_seconds, done }
    }
}

/// How long tasks took: the attempts that made their outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Durations {
    /// Seconds at which bins begin and, at the end, the last one ends.
    pub edges: Vec<f64>,
    /// Tasks in each bin.
    pub counts: Vec<u64>,
    /// The middle one, in seconds.
    pub median: Option<f64>,
    /// Nine of ten took no longer.
    pub p90: Option<f64>,
    /// Ninety-nine of a hundred.
    pub p99: Option<f64>,
    /// The longest.
    pub longest: Option<f64>,
}

fn seconds(run: &Run<'_>) -> f64 {
    run.to.since(run.from).as_secs_f64()
}

impl Durations {
    /// Of these runs.
    pub fn of(done: &[&Run<'_>]) -> Self {
        let mut all: Vec<f64> = done.iter().map(|run| seconds(run)).collect();
        all.sort_by(f64::total_cmp);
        let (Some(&first), Some(&longest)) = (all.first(), all.last()) else { return Self::default() };
        // Times are told in milliseconds: what took none took one at most.
        let (low, high) = (first.max(0.001), longest.max(0.002));
        let bins = DURATION_BINS.min(all.len().max(2));
        let edge = |n: usize| {
            let part = n as f64 / bins as f64;
            if high / low > WIDE { low * (high / low).powf(part) } else { low + (high - low) * part }
        };
        let edges: Vec<f64> = (0..=bins).map(edge).collect();
        let mut counts = vec![0; bins];
        for value in &all {
            let bin = edges[1..bins].partition_point(|edge| edge <= value);
            counts[bin] += 1;
        }
        // The nearest rank: the smallest that at least so many are not above.
        let rank = |part: f64| {
            let nth = (part * all.len() as f64).ceil() as usize;
            all.get(nth.saturating_sub(1)).copied()
        };
        Self { edges, counts, median: rank(0.5), p90: rank(0.9), p99: rank(0.99), longest: Some(longest) }
    }
}

/// What an attempt's program used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Used {
    /// The most memory at a time, in bytes.
    pub peak_memory_bytes: u64,
    /// CPU time, user and system.
    pub cpu_seconds: f64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        Self { peak_memory_bytes: usage.peak_memory_bytes, cpu_seconds: usage.cpu_ms as f64 / 1000.0 }
    }
}

/// An attempt that had much in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hungry {
    /// The task's name.
    pub name: String,
    /// Who ran it.
    pub agent: String,
    /// How it ended.
    pub end: Kind,
    /// For how long.
    pub seconds: f64,
    /// What it used.
    #[serde(flatten)]
    pub used: Used,
}

/// Those that had most in memory, first; failed ones too, as too little memory fails them.
pub fn hungriest(runs: &[Run<'_>]) -> Vec<Hungry> {
    let mut all: Vec<(Usage, &Run<'_>)> = runs.iter().filter_map(|run| Some((run.usage?, run))).collect();
    let most = |a: &(Usage, &Run<'_>), b: &(Usage, &Run<'_>)| {
        let by_cpu = || b.0.cpu_ms.cmp(&a.0.cpu_ms).then_with(|| a.1.name.cmp(b.1.name));
        b.0.peak_memory_bytes.cmp(&a.0.peak_memory_bytes).then_with(by_cpu)
    };
    if all.len() > SLOWEST {
        all.select_nth_unstable_by(SLOWEST, most);
        all.truncate(SLOWEST);
    }
    all.sort_by(most);
    let hungry = |(usage, run): (Usage, &Run<'_>)| Hungry {
        name: run.name.to_owned(),
        agent: run.agent.to_string(),
        end: run.kind,
        seconds: seconds(run),
        used: usage.into(),
    };
    all.into_iter().map(hungry).collect()
}

/// A task that took long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// Its name.
    pub name: String,
    /// Who ran it.
    pub agent: String,
    /// When.
    pub from: Timestamp,
    /// For how long.
    pub seconds: f64,
    /// What it used, where that was measured.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

/// Those that took longest, first.
pub fn slowest(done: &[&Run<'_>]) -> Vec<Slow> {
    let mut all: Vec<&&Run<'_>> = done.iter().collect();
    let longest = |a: &&&Run<'_>, b: &&&Run<'_>| {
        let length = |run: &Run<'_>| run.to.since(run.from);
        length(b).cmp(&length(a)).then_with(|| a.name.cmp(b.name))
    };
    if all.len() > SLOWEST {
        all.select_nth_unstable_by(SLOWEST, longest);
        all.truncate(SLOWEST);
    }
    all.sort_by(longest);
    let slow = |run: &&Run<'_>| Slow {
        name: run.name.to_owned(),
        agent: run.agent.to_string(),
        from: run.from,
        seconds: seconds(run),
        used: run.usage.map(Used::from),
    };
    all.into_iter().map(slow).collect()
}

#[cfg(test)]
mod tests {
    use dayfly_shared::ids::AgentId;

    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn every_task_is_in_one_bin() {
        let ends: Vec<Timestamp> = (0..1000).map(|n| at(n * 977)).collect();
        let throughput = Throughput::of(&ends, at(0), Duration::from_millis(999 * 977));
        assert_eq!(throughput.bin_seconds, 5);
        assert_eq!(throughput.done.iter().sum::<u64>(), 1000);
        let agent: AgentId = "a-00000001".parse().unwrap();
        let run =
            |ms| Run { agent: &agent, task: None, name: "n", from: at(0), to: at(ms), kind: Kind::Done, usage: None };
        for factor in [1, 1000] {
            let runs: Vec<Run<'_>> = (1..=100).map(|n| run(if n == 100 { n * factor } else { n + 50 })).collect();
            let durations = Durations::of(&runs.iter().collect::<Vec<_>>());
            assert_eq!(durations.counts.iter().sum::<u64>(), 100, "{durations:?}");
            assert!(durations.edges.is_sorted(), "{durations:?}");
        }
        let all: Vec<Run<'_>> = (1..=100).map(run).collect();
        let durations = Durations::of(&all.iter().collect::<Vec<_>>());
        assert_eq!((durations.median, durations.p90, durations.p99), (Some(0.05), Some(0.09), Some(0.099)));
        let slow = slowest(&all.iter().collect::<Vec<_>>());
        assert_eq!((slow.len(), slow[0].seconds, slow[19].seconds), (20, 0.1, 0.081));
        assert_eq!(slow[0].used, None);
        let fed = |ms, peak, cpu| Run {
            usage: Some(Usage { peak_memory_bytes: peak, cpu_ms: cpu, wall_ms: ms }),
            kind: if peak > 6 { Kind::Failed } else { Kind::Done },
            ..run(ms)
        };
        let hungry = hungriest(&[run(9), fed(1, 5, 1500), fed(2, 7, 20), fed(3, 5, 1600)]);
        let order: Vec<_> = hungry.iter().map(|h| (h.used.peak_memory_bytes, h.used.cpu_seconds, h.end)).collect();
        assert_eq!(order, [(7, 0.02, Kind::Failed), (5, 1.6, Kind::Done), (5, 1.5, Kind::Done)]);
        assert_eq!(Durations::of(&[]), Durations::default());
        assert_eq!(Durations::of(&[&run(0)]).counts, [1, 0]);
    }
}
