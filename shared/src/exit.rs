//! The exit codes of both programs, in one table.

/// How a command ended, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It could not; the last line on standard error says why, what was left behind, and the fix.
    Failed,
    /// The command line was wrong; nothing was done.
    Usage,
    /// The job is over, and some of its tasks were given up.
    TasksFailed,
    /// Told to stop (a signal, a spot notice) before the job was over; claims were given back.
    Drained,
    /// The job was cancelled.
    Cancelled,
    /// What a command on an instance (`dayfly exec`) ended with.
    Remote(u8),
}

impl Exit {
    /// All of dayfly's own, for the manual.
    pub const ALL: [Exit; 6] =
        [Exit::Done, Exit::Failed, Exit::Usage, Exit::TasksFailed, Exit::Drained, Exit::Cancelled];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            // clap's own code for a wrong command line.
            Exit::Usage => 2,
            Exit::TasksFailed => 3,
            Exit::Drained => 4,
            Exit::Cancelled => 5,
            Exit::Remote(code) => code,
        }
    }

    /// What it means, for the manual.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done; for an agent: no chunk is free, or the job is over",
            Exit::Failed => "failed; the last line on standard error says why and what to do",
            Exit::Usage => "wrong command line; nothing was done",
            Exit::TasksFailed => "the job is over, and some of its tasks were given up",
            Exit::Drained => "told to stop before the job was over; claims were given back",
            Exit::Cancelled => "the job was cancelled",
            Exit::Remote(_) => "the exit code of the command that was run on an instance",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit.code())
    }
}
