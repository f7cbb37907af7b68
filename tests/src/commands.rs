//! Every command of dayfly, as clap knows them, and what all of them have to keep: `--json` prints JSON and nothing else on
//! standard output, `--quiet` says nothing beside results, warnings and errors, nothing that is no terminal sees an escape
//! sequence, and nobody is asked.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};

use clap::CommandFactory as _;
use dayfly_controller::cli::Cli;
use serde_json::Value;

use crate::World;

/// Commands that are tried where there is a bucket and nothing else.
pub const HERE: &[&str] = &[
    "seed",
    "launch",
    "run",
    "status",
    "watch",
    "logs",
    "describe",
    "report",
    "fetch",
    "retry",
    "pause",
    "drain",
    "resume",
    "cancel",
    "jobs",
    "clean",
    "doctor",
    "serve",
    "config show",
    "config save",
    "config list",
    "man",
];
/// Those that are tried against the stand-in for AWS.
pub const ON_EC2: &[&str] = &[
    "setup",
    "teardown",
    "ps",
    "stop",
    "start",
    "terminate",
    "reap",
    "exec",
    "cost",
    "image publish",
    "image list",
    "image prune",
];
/// Those whose output is another program's: a script for a shell, a session.
pub const OTHERS: &[&str] = &["completions", "connect"];

/// The names of all commands that do something, from the command line's own definition.
pub fn all() -> BTreeSet<String> {
    fn below(command: &clap::Command, before: &str, names: &mut BTreeSet<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("{before} {}", sub.get_name()).trim().to_owned();
            match sub.has_subcommands() {
                true => below(sub, &name, names),
                false => _ = names.insert(name),
            }
        }
    }
    let mut names = BTreeSet::new();
    below(&Cli::command(), "", &mut names);
    names
}

/// What is printed beside a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `--json`
    Json,
    /// `--quiet`
    Quiet,
    /// `-vv`
    Verbose,
}

impl Mode {
    /// All.
    pub const ALL: [Self; 3] = [Self::Json, Self::Quiet, Self::Verbose];

    /// As a flag.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Json => "--json",
            Self::Quiet => "--quiet",
            Self::Verbose => "-vv",
        }
    }
}

/// Runs a command line with no terminal anywhere and without `NO_COLOR`, and judges what it printed: `code` is the exit code
/// that is right. What it printed on standard output.
///
/// # Panics
/// If it prints what it must not.
pub async fn tried(world: &World, mode: Mode, line: &[&str], code: i32) -> String {
    let mut command = world.dayfly_command();
    command.arg(mode.flag()).args(line).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = format!("dayfly {} {}", mode.flag(), line.join(" "));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it runs");
    judged(mode, &told, &output, code)
}

/// Judges what a command printed.
///
/// # Panics
/// If it printed what it must not.
pub fn judged(mode: Mode, line: &str, output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line}\n{out}\n{err}");
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{line}: an escape sequence\n{out}\n{err}");
    match mode {
        Mode::Json => assert!(is_json(&out), "{line}: not JSON:\n{out}"),
        Mode::Quiet => {
            let allowed = |l: &&str| !l.starts_with("warning: ") && !l.starts_with("error: ");
            assert_eq!(err.lines().find(allowed), None, "{line}: said though it is to be quiet");
        }
        Mode::Verbose => {}
    }
    out
}

/// One document, or one a line; and at least one.
fn is_json(text: &str) -> bool {
    let document =
        |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object() || value.is_array());
    document(text) || (!text.trim().is_empty() && text.lines().all(document))
}
