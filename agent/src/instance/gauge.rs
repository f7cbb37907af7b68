//! What this process uses, from `/proc` (proc(5)).

use std::sync::{Mutex, PoisonError};

use crate::driver::{Gauge, Usage};

/// Reads `/proc`. Where there is none, everything is zero.
#[derive(Default)]
pub struct ProcGauge {
    /// Busy and total ticks of the machine at the last reading.
    last: Mutex<Option<(u64, u64)>>,
}

impl Gauge for ProcGauge {
    fn read(&self) -> Usage {
        Usage {
            cpu_seconds: cpu_seconds().unwrap_or(0.0),
            cpu_percent: self.cpu_percent(),
            memory_bytes: memory_bytes().unwrap_or(0),
        }
    }
}

impl ProcGauge {
    fn cpu_percent(&self) -> Option<f64> {
        let (busy, total) = machine_ticks()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace((busy, total))?;
        let spent = total.checked_sub(before.1).filter(|t| *t > 0)?;
        Some((100.0 * busy.saturating_sub(before.0) as f64 / spent as f64 * 10.0).round() / 10.0)
    }
}

/// Fields 14 and 15 of `/proc/self/stat`, counted after the command's name, which may hold spaces.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The second field of `/proc/self/statm`, in pages.
fn memory_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * rustix::param::page_size() as u64)
}

/// `MemTotal` of `/proc/meminfo`, in kilobytes there.
pub fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Busy and total ticks of all cores: the first line of `/proc/stat`, idle and iowait being the fourth and fifth numbers.
fn machine_ticks() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    let total: u64 = ticks.iter().take(8).sum();
    Some((total - ticks.get(3)? - ticks.get(4)?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let gauge = ProcGauge::default();
        assert!(gauge.read().memory_bytes > 100_000);
        assert!(cpu_seconds().is_some());
        assert!(machine_ticks().is_some_and(|(busy, total)| busy <= total));
    }
}
