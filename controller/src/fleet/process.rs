//! Processes of this machine: is it still the one that was started?

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// When a process started, in ticks since boot: with its id it names the process for as long as the machine is up. None
/// if it has ended.
pub fn started(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// From `/proc/<pid>/stat` (proc(5)): the second field is the name in parentheses, which may hold anything.
fn parse(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // Field 3. Ended, and nobody has asked for its exit code yet.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 22, the 19th after field 3.
    fields.nth(18)?.parse().ok()
}

/// Sends a signal; whether there was a process to send it to.
pub fn send(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_22nd_field_whatever_the_name() {
        let tail = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000";
        assert_eq!(parse(&format!("42 (a) b) S 7 {tail}")), Some(98_765));
        assert_eq!(parse(&format!("42 (x) Z 7 {tail}")), None);
    }

    #[test]
    fn this_process_has_started_and_one_that_ended_has_not() {
        assert!(started(std::process::id()).is_some());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(started(child.id()), None);
    }
}
