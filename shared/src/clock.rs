//! Time as a port. Nothing in dayfly reads a clock by itself: decisions take a [`Moment`], records take a
//! [`Timestamp`], and whoever waits asks its [`Clock`]. That is what lets the simulator own time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A reading of one process's monotonic clock, counted from an origin of its own. Never compared between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// The moment `wait` later.
    pub fn after(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(wait))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A wall-clock time in milliseconds since 1970 (UTC). It is written into records for people and for cost; no decision
/// compares two of them unless both come out of one answer of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Timestamp {
    /// The time `unix_ms` milliseconds after the Unix epoch.
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self { unix_ms }
    }

    /// The time `wait` after this.
    pub fn after(self, wait: Duration) -> Self {
        Self { unix_ms: self.unix_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) }
    }

    /// The time from `earlier` to this; zero if it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.unix_ms.saturating_sub(earlier.unix_ms))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.unix_ms) * 1_000_000;
        let Ok(t) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return write!(f, "@{}ms", self.unix_ms);
        };
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl FromStr for Timestamp {
    type Err = time::error::Parse;

    /// Reads RFC 3339; times before 1970 become 1970.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let t = OffsetDateTime::parse(s, &Rfc3339)?;
        Ok(Self { unix_ms: u64::try_from(t.unix_timestamp_nanos() / 1_000_000).unwrap_or(0) })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Both readings of a clock at once: what every step of the state machine is handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Monotonic: for every decision.
    pub at: Moment,
    /// Wall clock: for records only.
    pub wall: Timestamp,
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Both readings now.
    fn now(&self) -> Now;

    /// Completes after `wait`.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock. Its monotonic reading counts time spent suspended (`CLOCK_BOOTTIME`): an instance that was
/// frozen must not believe its lease young.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let at =
            Moment(Duration::new(u64::try_from(boot.tv_sec).unwrap_or(0), u32::try_from(boot.tv_nsec).unwrap_or(0)));
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
        let wall = std::time::SystemTime::now();
        let wall = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Now { at, wall: Timestamp::from_unix_ms(u64::try_from(wall.as_millis()).unwrap_or(0)) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
        Box::pin(tokio::time::sleep(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_back_what_they_show() {
        let t = Timestamp::from_unix_ms(1_765_929_600_123);
        assert_eq!(t.to_string(), "2025-12-17T00:00:00.123Z");
        assert_eq!(t.to_string().parse::<Timestamp>().unwrap(), t);
    }
}
