//! The processes that descend from this one, by what /proc says (proc(5)).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::cgroup::Scope;
use dayfly_shared::clock::Clock;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

/// Between two looks at whether all are dead.
const AGAIN: Duration = Duration::from_millis(5);
/// Rounds of killing before the rest is left to the machine: processes in uninterruptible sleep cannot be killed.
const ROUNDS: u32 = 2000;
/// Rounds of waiting before that: two seconds, many times what an engine's own tidying takes.
const SETTLING: u32 = 400;

/// What descends from this process.
#[derive(Default)]
pub struct Family {
    /// The most memory seen in use.
    peak_memory_bytes: u64,
}

/// One line of the table of processes.
struct Entry {
    parent: i32,
    resident_bytes: u64,
}

impl Family {
    /// The memory of all of them, in bytes: as their control group counts it, else what is resident of each.
    pub fn sample(&mut self, scope: Option<&Scope>) -> u64 {
        let memory = scope.and_then(Scope::memory).unwrap_or_else(|| self.resident());
        self.peak_memory_bytes = self.peak_memory_bytes.max(memory);
        memory
    }

    /// What is resident of each, summed; and notes the most that any one of them ever had, between two looks too.
    fn resident(&mut self) -> u64 {
        let table = table();
        let all = descendants(&table);
        let most = all.iter().filter_map(|pid| most_resident(*pid)).max().unwrap_or(0);
        self.peak_memory_bytes = self.peak_memory_bytes.max(most);
        all.iter().filter_map(|pid| table.get(pid)).map(|e| e.resident_bytes).sum()
    }

    /// The most memory seen in use. A program that was shorter than a look is told by what was charged to its group.
    pub fn peak(&self, scope: Option<&Scope>) -> u64 {
        match self.peak_memory_bytes {
            0 => scope.and_then(Scope::peak_with_cache).unwrap_or(0),
            peak => peak,
        }
    }

    /// How many of them there are, the program itself being dead.
    pub fn left(&self) -> u32 {
        reap();
        u32::try_from(descendants(&table()).len()).unwrap_or(u32::MAX)
    }

    /// Kills all of them; how many there were.
    pub fn kill(&self) -> u32 {
        let all = descendants(&table());
        for pid in all.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        u32::try_from(all.len()).unwrap_or(u32::MAX)
    }

    /// Gives what is left a moment to end by itself: an engine tidies up after its container.
    pub async fn settle(&self, clock: &dyn Clock) {
        for _ in 0..SETTLING {
            reap();
            if descendants(&table()).is_empty() {
                return;
            }
            clock.sleep(AGAIN).await;
        }
    }

    /// Kills all that is left until nothing is; how many there were at first.
    /// Kills all that is left until nothing is.
    pub async fn bury(&self, clock: &dyn Clock) {
        for _ in 0..ROUNDS {
            reap();
            if self.kill() == 0 {
                break;
            }
            clock.sleep(AGAIN).await;
        }
    }
}

/// Takes the exit codes of children that have ended. Only once the program itself has been waited for.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// CPU time of all children that were waited for, and of theirs, in milliseconds.
pub fn cpu_of_the_dead() -> u64 {
    let Some(fields) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| fields_of(&stat)) else { return 0 };
    // cutime and cstime are fields 16 and 17 (proc_pid_stat(5)); the list begins with field 3.
    let ticks: u64 = [13, 14].iter().filter_map(|n| fields.get(*n)?.parse::<u64>().ok()).sum();
    ticks * 1000 / clock_ticks_per_second().max(1)
}

/// The fields after the name, which may hold anything.
fn fields_of(stat: &str) -> Option<Vec<String>> {
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn table() -> HashMap<i32, Entry> {
    let Ok(folder) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, entry(pid)?))).collect()
}

fn entry(pid: i32) -> Option<Entry> {
    let fields = fields_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    // Dead ones wait for their parent, and use nothing.
    if fields.first()? == "Z" {
        return None;
    }
    // ppid is field 4, rss field 24, in pages.
    let pages: u64 = fields.get(21)?.parse().ok()?;
    Some(Entry { parent: fields.get(1)?.parse().ok()?, resident_bytes: pages * page_size() as u64 })
}

/// The most that was ever resident of a process: `VmHWM` of its status, in kilobytes there (proc(5)).
fn most_resident(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn descendants(table: &HashMap<i32, Entry>) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, entry) in table {
        children.entry(entry.parent).or_default().push(*pid);
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(pid) = open.pop() {
        let Some(those) = children.remove(&pid) else { continue };
        open.extend(&those);
        found.extend(those);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_hold_anything() {
        let stat = "17 (a) b ( c)) S 4 17 17 0 -1";
        assert_eq!(fields_of(stat).unwrap()[..2], ["S", "4"]);
    }
}
