//! What a launch may cost, said before it: prices, machines, and how long the job takes if that can be told.

use std::fmt;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::Market;
use serde::Serialize;

use super::tariff::{ADDRESS_HOUR, MONTH_HOURS, Tariff, word};
use crate::human;

/// Requests of the class of PUT that a task takes besides its data, at most: a claim, a result, and its share of listings
/// and views (shared/README.md, "What it costs").
const PUTS_A_TASK: u64 = 3;
/// Requests of the class of GET that a task takes besides its data.
const GETS_A_TASK: u64 = 2;

/// What is to be launched, as far as its price goes.
#[derive(Clone, Debug)]
pub struct Machines {
    /// So many of spot, and so many on demand.
    pub counts: [(Market, u32); 2],
    /// Of these types, in order of preference.
    pub types: Vec<String>,
    /// In zones whose spot price counts; empty: all.
    pub zones: Vec<String>,
    /// With a public IPv4 address each.
    pub public: bool,
    /// With a root volume of so many GiB, where that is known.
    pub disk_gib: Option<u32>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Tasks left.
    pub tasks: u64,
    /// How long one took so far, on one machine's slots together; none: nothing has run yet.
    pub machine_seconds_a_task: Option<f64>,
}

/// What it may cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// All machines for an hour, by the dearest of their types; none where a price is unknown.
    pub dollars_an_hour: Option<f64>,
    /// By the cheapest.
    pub least_an_hour: Option<f64>,
    /// How long the job takes, where tasks have been measured.
    pub seconds: Option<u64>,
    /// All of it, requests too, where that can be told.
    pub dollars: Option<f64>,
    /// What is not known, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// An estimate, and why prices are unknown, in the services' words.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// The estimate.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.estimate)?;
        if !self.notes.is_empty() {
            write!(f, " ({})", self.notes.join("; "))?;
        }
        Ok(())
    }
}

/// The estimate for machines and work.
pub fn estimate(tariff: &Tariff, machines: &Machines, work: Work, now: Timestamp) -> Estimate {
    let mut estimate = Estimate::default();
    let disk = tariff.disk_month.zip(machines.disk_gib).map(|(month, gib)| month * f64::from(gib) / MONTH_HOURS);
    if disk.is_none() {
        estimate.unknown.push("what disks cost".to_owned());
    }
    let beside = disk.unwrap_or(0.0) + if machines.public { ADDRESS_HOUR } else { 0.0 };
    (estimate.least_an_hour, estimate.dollars_an_hour) = (Some(0.0), Some(0.0));
    for (market, count) in machines.counts.into_iter().filter(|(_, count)| *count > 0) {
        let (prices, missing) = hours(tariff, machines, market, now);
        estimate.unknown.extend(missing);
        let all = |one: f64| (one + beside) * f64::from(count);
        let least = prices.iter().copied().reduce(f64::min).map(all);
        let most = prices.iter().copied().reduce(f64::max).map(all);
        estimate.least_an_hour = estimate.least_an_hour.zip(least).map(|(sum, one)| sum + one);
        estimate.dollars_an_hour = estimate.dollars_an_hour.zip(most).map(|(sum, one)| sum + one);
    }
    match work.machine_seconds_a_task {
        Some(seconds) => {
            let count: u32 = machines.counts.iter().map(|(_, count)| count).sum();
            let took = seconds * work.tasks as f64 / f64::from(count.max(1));
            estimate.seconds = Some(took.ceil() as u64);
        }
        None => estimate.unknown.push("how long a task takes: none has run yet".to_owned()),
    }
    let requests = tariff.requests(work.tasks * PUTS_A_TASK, work.tasks * GETS_A_TASK);
    estimate.unknown.extend(requests.unknown.iter().cloned());
    estimate.dollars = estimate.dollars_an_hour.zip(estimate.seconds).map(|(hour, seconds)| {
        // A machine is billed for a minute at least.
        hour * (seconds.max(60) as f64) / 3600.0 + requests.dollars
    });
    estimate
}

/// The prices of an hour of each type in each zone, and what has none.
fn hours(tariff: &Tariff, machines: &Machines, market: Market, now: Timestamp) -> (Vec<f64>, Vec<String>) {
    let zones: Vec<Option<&str>> = match machines.zones.as_slice() {
        [] => vec![None],
        zones => zones.iter().map(|zone| Some(zone.as_str())).collect(),
    };
    let mut prices = Vec::new();
    let mut missing = Vec::new();
    for kind in &machines.types {
        let before = prices.len();
        prices.extend(zones.iter().filter_map(|zone| tariff.hour(kind, *zone, market, now)));
        if prices.len() == before {
            missing.push(format!("the {} price of {kind}", word(market)));
        }
    }
    (prices, missing)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least_an_hour, self.dollars_an_hour) {
            (Some(least), Some(most)) if most - least < 0.0005 => write!(f, "${most:.3} an hour")?,
            (Some(least), Some(most)) => write!(f, "${least:.3} to ${most:.3} an hour")?,
            _ => write!(f, "price unknown")?,
        }
        if let Some(seconds) = self.seconds {
            write!(f, ", some {}", human::duration(Duration::from_secs(seconds)))?;
        }
        if let Some(dollars) = self.dollars {
            write!(f, ", ${dollars:.2} at most in all")?;
        }
        if !self.unknown.is_empty() {
            write!(f, "; unknown: {}", self.unknown.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines(types: &[&str]) -> Machines {
        Machines {
            counts: [(Market::Spot, 0), (Market::OnDemand, 10)],
            types: types.iter().map(|t| (*t).to_owned()).collect(),
            zones: Vec::new(),
            public: true,
            disk_gib: Some(0),
        }
    }

    #[test]
    fn known_prices_and_measured_tasks_make_a_sum() {
        let tariff = Tariff {
            on_demand: [("a".to_owned(), 0.095), ("b".to_owned(), 0.195)].into(),
            disk_month: Some(0.08),
            puts: Some(0.005),
            gets: Some(0.0004),
            ..Tariff::default()
        };
        let work = Work { tasks: 3600, machine_seconds_a_task: Some(10.0) };
        let told = estimate(&tariff, &machines(&["a", "b"]), work, Timestamp::default());
        assert_eq!(told.seconds, Some(3600));
        assert!((told.least_an_hour.unwrap() - 1.0).abs() < 1e-9);
        assert!((told.dollars_an_hour.unwrap() - 2.0).abs() < 1e-9);
        assert!((told.dollars.unwrap() - 2.0 - 3600.0 * (0.015 + 0.0008) / 1000.0).abs() < 1e-9, "{told:?}");
        assert!(told.unknown.is_empty(), "{told:?}");
    }

    #[test]
    fn what_is_unknown_is_named() {
        let told = estimate(&Tariff::default(), &machines(&["a"]), Work::default(), Timestamp::default());
        assert_eq!((told.dollars_an_hour, told.dollars), (None, None));
        let text = told.to_string();
        assert!(text.contains("price unknown") && text.contains("the on-demand price of a"), "{text}");
    }
}
