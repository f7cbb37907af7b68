//! What a program's end means for its task.

use std::time::Duration;

use crate::processor::Failure;
use crate::supervisor::{End, Report};

/// The exit code by which a program says: not now, try again later (EX_TEMPFAIL, sysexits.h).
const TRY_LATER: i32 = 75;

/// Why a program was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The agent gives its chunk back.
    Draining,
    /// The task's time is over.
    TimeIsUp(Duration),
    /// The disk is nearly full, and this task uses most of it.
    DiskFull,
}

/// Whether the program did its task.
///
/// # Errors
/// What went wrong, with the last lines that it wrote.
pub fn judge(
    report: &Report,
    asked: Option<Why>,
    memory_limit_mib: Option<u32>,
    last_lines: &str,
) -> Result<(), Failure> {
    let failed = |what: String| {
        let error = match last_lines {
            "" => format!("{what}, and wrote nothing"),
            lines => format!("{what}; its last lines:\n{lines}"),
        };
        Err(Failure::Processor { error, permanent: false })
    };
    match (&report.end, asked) {
        (End::NotStarted(why), _) if !last_lines.is_empty() => {
            failed(format!("the program could not be started: {why}"))
        }
        (End::NotStarted(why), _) => {
            let error = format!("the program could not be started: {why}");
            Err(Failure::Processor { error, permanent: false })
        }
        // Whoever killed it does not say how much it wanted.
        (End::OutOfMemory(bytes), _) if bytes >> 20 <= u64::from(memory_limit_mib.unwrap_or_default()) => {
            failed(format!(
                "the program was killed for want of memory: it may use {} MiB",
                memory_limit_mib.unwrap_or_default()
            ))
        }
        (End::OutOfMemory(bytes), _) => failed(format!(
            "the program and what it started used {} MiB of memory, and may use {}",
            bytes >> 20,
            memory_limit_mib.unwrap_or_default()
        )),
        (End::KilledForMemory, _) => failed(match memory_limit_mib {
            Some(mib) => format!(
                "the program was killed: with what it started it took more than the {mib} MiB of memory that it may use"
            ),
            None => "the program was killed, as its machine had no memory left; run fewer at once (--slots), or take \
                     machines with more"
                .to_owned(),
        }),
        // It may have ended well on being asked to: what it left then is not known to be whole.
        (_, Some(Why::Draining)) => Err(Failure::Stopped),
        (_, Some(Why::TimeIsUp(limit))) => {
            failed(format!("it took longer than the task time limit of {} s", limit.as_secs()))
        }
        (_, Some(Why::DiskFull)) => {
            failed("the disk of its machine is full, and this task fills most of it".to_owned())
        }
        (End::Exit(0), None) => Ok(()),
        (End::Exit(TRY_LATER), None) => {
            Err(Failure::Later(format!("the program asks to be tried again later (exit code {TRY_LATER})")))
        }
        // As shells and container engines say that a signal ended what they ran.
        (End::Exit(code @ 129..=159), None) => {
            let signal = code - 128;
            failed(format!("the program ended with exit code {code}, as after signal {signal}{}", named(signal)))
        }
        (End::Exit(code), None) => failed(format!("the program ended with exit code {code}")),
        (End::Signal(signal), None) => failed(format!("the program was ended by signal {signal}{}", named(*signal))),
        (End::Stopped, None) => Err(Failure::Interrupted("the program was stopped".to_owned())),
    }
}

/// The names of signals that end programs by themselves (signal(7)).
fn named(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL: an instruction that this processor has not)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL: by somebody else, or for want of memory)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM: by somebody else)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(end: End, asked: Option<Why>) -> Result<(), Failure> {
        judge(&Report::of(end), asked, Some(10), "oh\nno")
    }

    #[test]
    fn only_a_program_that_ends_well_by_itself_has_done_its_task() {
        assert_eq!(text(End::Exit(0), None), Ok(()));
        assert_eq!(text(End::Exit(0), Some(Why::Draining)), Err(Failure::Stopped));
        assert!(matches!(text(End::Exit(75), None), Err(Failure::Later(_))));
        for (end, asked, words) in [
            (End::Exit(3), None, "exit code 3"),
            (End::Signal(11), None, "SIGSEGV"),
            (End::OutOfMemory(11 << 20), None, "11 MiB"),
            (End::KilledForMemory, None, "more than the 10 MiB"),
            (End::OutOfMemory(0), None, "may use 10 MiB"),
            (End::Exit(139), None, "SIGSEGV"),
            (End::Stopped, Some(Why::TimeIsUp(Duration::from_secs(7))), "limit of 7 s"),
            (End::Exit(0), Some(Why::TimeIsUp(Duration::from_secs(7))), "limit of 7 s"),
        ] {
            let Err(Failure::Processor { error, permanent: false }) = text(end, asked) else { panic!("{words}") };
            assert!(error.contains(words) && error.ends_with("oh\nno"), "{error}");
        }
    }
}
