//! The machine's console: the one place where what went wrong can be read when the bucket cannot be reached
//! (`GetConsoleOutput`). Little is said there, and nothing waits for it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment};
use rustix::fs::OFlags;

/// EC2 keeps the last 64 KB of a console, the kernel's messages among them (API reference, "GetConsoleOutput").
const LINE_CHARS: usize = 500;
/// So many lines at once; after that one each [`REFILL`].
const BURST: u32 = 20;
/// Twelve hours of complaints are then 1,440 lines, most of them long scrolled away.
const REFILL: Duration = Duration::from_secs(30);

/// Writes lines to the console, if there is one.
pub struct Console {
    path: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    allowance: Mutex<Allowance>,
}

#[derive(Debug)]
struct Allowance {
    lines: u32,
    since: Moment,
    dropped: u64,
}

impl Allowance {
    /// Whether a line may be written now, and how many were dropped before it.
    fn take(&mut self, now: Moment) -> Option<u64> {
        let refills = u32::try_from(now.since(self.since).as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if refills > 0 {
            self.lines = self.lines.saturating_add(refills).min(BURST);
            self.since = now;
        }
        if self.lines == 0 {
            self.dropped += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

impl Console {
    /// At this path, such as `/dev/console`; none, and nothing is said.
    pub fn new(path: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let allowance = Allowance { lines: BURST, since: clock.now().at, dropped: 0 };
        Self { path, clock, allowance: Mutex::new(allowance) }
    }

    /// Says a line, unless too many were said lately.
    pub fn say(&self, text: &str) {
        let now = self.clock.now().at;
        let allowed = self.allowance.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        match allowed {
            Some(0) => self.write(text),
            Some(dropped) => self.write(&format!("({dropped} lines left out) {text}")),
            None => {}
        }
    }

    /// Says the last line, whatever was said before.
    pub fn say_last(&self, text: &str) {
        self.write(text);
    }

    fn write(&self, text: &str) {
        let Some(path) = &self.path else { return };
        let line: String = text.chars().take(LINE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Never as the controlling terminal, and never waiting for a serial line that nobody drains. What cannot be
        // said there is in the log.
        let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap_or(0);
        if let Ok(mut console) = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path) {
            let _ = console.write_all(format!("dayfly-agent: {line}\r\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayfly_shared::clock::SystemClock;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_is_cut_and_what_was_left_out_is_said() {
        let mut allowance = Allowance { lines: BURST, since: at(0), dropped: 0 };
        for _ in 0..BURST {
            assert_eq!(allowance.take(at(1)), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(allowance.take(at(29)), None);
        }
        assert_eq!(allowance.take(at(31)), Some(7));
        assert_eq!(allowance.take(at(32)), None);
        assert_eq!(allowance.take(at(100_000)), Some(1));
        assert_eq!(allowance.lines, BURST - 1);
    }

    #[test]
    fn lines_are_bounded_and_single() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console");
        let console = Console::new(Some(path.clone()), Arc::new(SystemClock));
        console.say("one\ntwo");
        console.say_last(&"x".repeat(10_000));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "dayfly-agent: one two");
        assert_eq!(lines[1].len(), "dayfly-agent: ".len() + LINE_CHARS);
        assert_eq!(lines.len(), 2);
    }
}
