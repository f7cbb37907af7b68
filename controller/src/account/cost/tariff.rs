//! Prices, and what a time costs by them. A price that nobody told is unknown, never zero.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::Market;
use serde::Serialize;

use super::stay::Stay;

/// Hours of a month, as AWS counts them for storage (EBS pricing page: 30 days in its examples; 730 in the calculator's).
pub const MONTH_HOURS: f64 = 730.0;

/// A public IPv4 address, dollars an hour, in every commercial region (VPC pricing page, since February 2024).
pub const ADDRESS_HOUR: f64 = 0.005;

/// Linux machines are billed by the second, a minute at least (EC2 pricing page).
const LEAST_SECONDS: u64 = 60;

/// Prices of one region, in dollars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tariff {
    /// An hour on demand, by type.
    pub on_demand: BTreeMap<String, f64>,
    /// Spot prices an hour, by type and zone: from when on, in order of time.
    pub spot: BTreeMap<(String, String), Vec<(Timestamp, f64)>>,
    /// A GiB of gp3 for a month.
    pub disk_month: Option<f64>,
    /// 1,000 requests of the class of PUT.
    pub puts: Option<f64>,
    /// 1,000 requests of the class of GET.
    pub gets: Option<f64>,
}

/// What something cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Charge {
    /// Dollars, as far as prices are known.
    pub dollars: f64,
    /// What is not in it, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

impl Charge {
    fn known(dollars: f64) -> Self {
        Self { dollars, unknown: Vec::new() }
    }

    fn unknown(why: impl Into<String>) -> Self {
        Self { dollars: 0.0, unknown: vec![why.into()] }
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Charge) -> Self {
        self.dollars += other.dollars;
        self.unknown.extend(other.unknown);
        self
    }
}

impl Tariff {
    /// The price of a machine's hour at a moment.
    pub fn hour(&self, instance_type: &str, zone: Option<&str>, market: Market, at: Timestamp) -> Option<f64> {
        match market {
            Market::OnDemand => self.on_demand.get(instance_type).copied(),
            Market::Spot => match zone {
                Some(zone) => price_at(self.spot.get(&(instance_type.to_owned(), zone.to_owned()))?, at),
                // Where the zone is open, the dearest.
                None => {
                    let zones = self.spot.iter().filter(|((of, _), _)| of == instance_type);
                    zones.filter_map(|(_, prices)| price_at(prices, at)).reduce(f64::max)
                }
            },
        }
    }

    /// How long a machine is billed for up to `now`; none where its beginning or end is unknown.
    pub fn billed(stay: &Stay, now: Timestamp) -> Option<Duration> {
        let to = if stay.running { now } else { stay.to? };
        Some(Duration::from_secs(to.since(stay.from?).as_millis().div_ceil(1000).max(LEAST_SECONDS.into()) as u64))
    }

    /// The machine itself: by the second, a spot hour at the price at its beginning (EC2 user guide, "Spot Instance pricing
    /// history"). One that EC2 took back within its first hour is counted like any other, so that this is rather too much.
    pub fn machine(&self, stay: &Stay, now: Timestamp) -> Charge {
        let id = &stay.instance;
        let (Some(kind), Some(market), Some(from)) = (&stay.instance_type, stay.market, stay.from) else {
            return Charge::unknown(format!("{id}: nothing tells its type, market or launch"));
        };
        let Some(billed) = Self::billed(stay, now) else {
            return Charge::unknown(format!("{id}: nothing tells when it ended"));
        };
        let mut charge = Charge::default();
        let (mut hour, mut left) = (0, billed.as_secs());
        while left > 0 {
            let seconds = left.min(3600);
            let at = Timestamp::from_unix_ms(from.unix_ms + hour * 3_600_000);
            match self.hour(kind, stay.zone.as_deref(), market, at) {
                Some(price) => charge.dollars += price * seconds as f64 / 3600.0,
                None => return Charge::unknown(format!("{id}: the {} price of {kind} is unknown", word(market))),
            }
            left -= seconds;
            hour += 1;
        }
        charge
    }

    /// Its disk and its public address.
    pub fn beside(&self, stay: &Stay, now: Timestamp) -> Charge {
        let id = &stay.instance;
        let Some(billed) = Self::billed(stay, now) else { return Charge::default() };
        let hours = billed.as_secs_f64() / 3600.0;
        let disk = match (stay.disk_gib, self.disk_month) {
            (Some(gib), Some(month)) => Charge::known(gib as f64 * month * hours / MONTH_HOURS),
            (None, _) => Charge::unknown(format!("{id}: the size of its disk is unknown")),
            (_, None) => Charge::unknown(format!("{id}: the price of its disk is unknown")),
        };
        let address = match stay.public_address {
            Some(true) => Charge::known(ADDRESS_HOUR * hours),
            Some(false) => Charge::default(),
            None => Charge::unknown(format!("{id}: whether it had a public address is unknown")),
        };
        disk.and(address)
    }

    /// Requests to S3.
    pub fn requests(&self, puts: u64, gets: u64) -> Charge {
        match (self.puts, self.gets) {
            (Some(put), Some(get)) => Charge::known((puts as f64 * put + gets as f64 * get) / 1000.0),
            _ => Charge::unknown("the price of S3 requests is unknown"),
        }
    }
}

/// The price in effect at a moment: the last change before it; before the first known change, that one.
fn price_at(prices: &[(Timestamp, f64)], at: Timestamp) -> Option<f64> {
    let after = prices.partition_point(|(from, _)| *from <= at);
    prices.get(after.saturating_sub(1)).map(|(_, price)| *price)
}

/// A market in a word.
pub fn word(market: Market) -> &'static str {
    match market {
        Market::Spot => "spot",
        Market::OnDemand => "on-demand",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn stay(market: Market, seconds: u64) -> Stay {
        Stay {
            instance: "i-1".to_owned(),
            instance_type: Some("c7i.large".to_owned()),
            zone: Some("us-east-1a".to_owned()),
            market: Some(market),
            from: Some(at(10 * HOUR)),
            to: Some(at(10 * HOUR + seconds * 1000)),
            running: false,
            public_address: Some(true),
            disk_gib: Some(8),
        }
    }

    fn tariff() -> Tariff {
        let pool = ("c7i.large".to_owned(), "us-east-1a".to_owned());
        Tariff {
            on_demand: [("c7i.large".to_owned(), 0.09)].into(),
            spot: [(pool, vec![(at(0), 0.03), (at(11 * HOUR), 0.06)])].into(),
            disk_month: Some(0.08),
            puts: Some(0.005),
            gets: Some(0.0004),
        }
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn machines_are_billed_by_the_second_and_a_minute_at_least() {
        let bill = |market, seconds| tariff().machine(&stay(market, seconds), at(99 * HOUR)).dollars;
        assert!(near(bill(Market::OnDemand, 1800), 0.045));
        assert!(near(bill(Market::OnDemand, 5), 0.09 / 60.0));
        // An hour at each price.
        assert!(near(bill(Market::Spot, 7200), 0.03 + 0.06));
    }

    #[test]
    fn what_is_unknown_is_said_and_never_zero() {
        let unpriced = Stay { instance_type: Some("m9z.huge".to_owned()), ..stay(Market::OnDemand, 60) };
        assert!(tariff().machine(&unpriced, at(0)).unknown[0].contains("m9z.huge"));
        let endless = Stay { to: None, ..stay(Market::Spot, 60) };
        assert!(tariff().machine(&endless, at(0)).unknown[0].contains("when it ended"));
        assert_eq!(Tariff::default().requests(1, 1).unknown.len(), 1);
    }

    #[test]
    fn disks_and_addresses_are_billed_beside() {
        let beside = tariff().beside(&stay(Market::OnDemand, 3600), at(0));
        assert!(near(beside.dollars, 8.0 * 0.08 / 730.0 + 0.005) && beside.unknown.is_empty());
        let sum = tariff().requests(2000, 10_000);
        assert!(near(sum.dollars, 0.01 + 0.004));
    }
}
