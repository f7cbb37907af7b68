//! What is said, and where: results on standard output, as text or as JSON; everything else on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::Global;
use crate::plain;

/// Where a command's words go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Results as JSON.
    pub json: bool,
    /// No notes and no progress.
    pub quiet: bool,
    /// Bars and live displays on standard error.
    pub progress: bool,
}

impl Output {
    /// As the command line and the environment say.
    pub fn of(global: &Global) -> Self {
        // https://no-color.org: set and not empty. Bars are escape sequences too.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self { json: global.json, quiet: global.quiet, progress: !(global.no_progress || plain) }
    }

    /// Prints what a command came to: one JSON document, or the text of it.
    pub fn result<R: Serialize + Display>(&self, report: &R) {
        if self.json {
            // Reports are plain data with text keys: serialising them cannot fail.
            self.print(&serde_json::to_string_pretty(report).unwrap_or_default());
        } else {
            self.print(plain::text(&report.to_string()).trim_end_matches('\n'));
        }
    }

    /// Prints one of many results in a row: one JSON document on a line of its own, or the text.
    pub fn line<R: Serialize + Display>(&self, report: &R) {
        if self.json {
            self.print(&serde_json::to_string(report).unwrap_or_default());
        } else {
            self.print(&report.to_string());
        }
    }

    /// Says what a command did that leaves its result elsewhere, such as in a file: one JSON document, or a note.
    pub fn done<R: Serialize + Display>(&self, report: &R) {
        if self.json { self.result(report) } else { self.note(report) }
    }

    /// Prints data as it is.
    pub fn text(&self, text: &str) {
        self.print(text.trim_end_matches('\n'));
    }

    fn print(&self, text: &str) {
        // A reader that went away (`| head`) has seen what it wanted.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Says something worth knowing that is not the result.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{}", plain::text(&text.to_string()).trim_end_matches('\n'));
        }
    }

    /// Says something that has to be seen, also with `--quiet`.
    pub fn warn(&self, text: impl Display) {
        let _ = writeln!(io::stderr().lock(), "warning: {}", plain::text(&text.to_string()));
    }

    /// Whether somebody watches standard error on a terminal and wants it to move.
    pub fn live(&self) -> bool {
        self.progress && !self.quiet && io::stderr().is_terminal()
    }
}
