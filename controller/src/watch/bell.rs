//! Telling whoever sits here that a job is over: the terminal's bell, or a notice on the desktop.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::cli::NoticeArg;
use crate::parts::Parts;
use crate::plain;

/// A desktop that does not answer keeps nobody.
const PATIENCE: Duration = Duration::from_secs(5);
const TITLE: &str = "dayfly";

/// Tells that, in each of these ways.
pub async fn ring(parts: &Parts, ways: &[NoticeArg], text: &str) {
    // The sequences below have fields with ';' between.
    let text = plain::line(text).replace(';', " ");
    for way in ways {
        let told = match way {
            NoticeArg::Bell => write("\x07"),
            NoticeArg::Desktop => by_program(parts, &text).await || write(&escape(&text, &variable)),
        };
        if !told {
            parts.output().note("nobody could be told here: standard error is no terminal, and no desktop is there");
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// To the terminal, if there is one.
fn write(text: &str) -> bool {
    let mut out = io::stderr().lock();
    out.is_terminal() && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// The sequence by which terminals show a notice: OSC 9 is iTerm2's, which most others know (WezTerm, Ghostty, kitty, foot,
/// Windows Terminal, VS Code); OSC 777 is rxvt's. tmux hands one on only if it is wrapped, and `allow-passthrough` is on.
fn escape(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let is_rxvt = variable("TERM").is_some_and(|term| term.starts_with("rxvt"));
    let sequence = match is_rxvt {
        true => format!("\x1b]777;notify;{TITLE};{text}\x07"),
        false => format!("\x1b]9;{TITLE}: {text}\x07"),
    };
    match variable("TMUX") {
        Some(_) => format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b")),
        None => sequence,
    }
}

/// By the desktop's own program, where this session has a desktop.
async fn by_program(parts: &Parts, text: &str) -> bool {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| variable(name).is_some());
    let mut command = if cfg!(target_os = "macos") {
        let Some(program) = find("osascript") else { return false };
        let mut command = Command::new(program);
        // As arguments: nothing of the text is script.
        for line in ["on run words", "display notification (item 2 of words) with title (item 1 of words)", "end run"] {
            command.args(["-e", line]);
        }
        command.args([TITLE, text]);
        command
    } else {
        let Some(program) = find("notify-send").filter(|_| has_desktop) else { return false };
        let mut command = Command::new(program);
        command.args(["--app-name", TITLE, "--", TITLE, text]);
        command
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    tokio::select! {
        status = command.status() => status.is_ok_and(|status| status.success()),
        () = parts.clock.sleep(PATIENCE) => false,
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_terminal_gets_what_it_knows() {
        let with = |set: &'static [(&str, &str)]| {
            escape("over", &move |name| Some(set.iter().find(|(n, _)| *n == name)?.1.to_owned()))
        };
        assert_eq!(with(&[("TERM", "xterm-256color")]), "\x1b]9;dayfly: over\x07");
        assert_eq!(with(&[("TERM", "rxvt-unicode")]), "\x1b]777;notify;dayfly;over\x07");
        assert_eq!(with(&[("TMUX", "/tmp/x,1,0")]), "\x1bPtmux;\x1b\x1b]9;dayfly: over\x07\x1b\\");
    }
}
