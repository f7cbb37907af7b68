//! All commands as one page of Markdown (docs/commands.md): what each is for, how it is called, its options; those of every
//! command once.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// The page of a command line that clap has not prepared yet: so the options of every command stand at its top alone.
pub fn page(top: Command) -> String {
    let mut page = String::from("# Commands\n\n## Options of every command\n\nBefore or after the command's name.\n");
    options(&top, &[], &mut page);
    let mut prepared = top.clone();
    prepared.build();
    let names = names(&top);
    for (at, name) in names.iter().enumerate() {
        let (Some(command), Some(called)) = (top.find_subcommand(name), prepared.find_subcommand_mut(name)) else {
            continue;
        };
        let before: Vec<&Command> = names[..at].iter().filter_map(|name| top.find_subcommand(name)).collect();
        let like: Vec<&Command> = before.into_iter().filter(|other| shared(command, other) >= MANY).collect();
        section(command, called, &like, &format!("dayfly {name}"), 2, &mut page);
    }
    page
}

/// A command with so many options of an earlier one's says that it has them, and no more: `run` has all of `seed`'s and `launch`'s.
const MANY: usize = 6;

fn shared(command: &Command, other: &Command) -> usize {
    command.get_arguments().filter(|arg| has(other, arg)).count()
}

/// Whether a command has the same option.
fn has(command: &Command, arg: &Arg) -> bool {
    arg.get_long().is_some() && command.get_arguments().any(|own| form(own) == form(arg) && told(own) == told(arg))
}

fn names(command: &Command) -> Vec<String> {
    command.get_subcommands().filter(|c| c.get_name() != "help").map(|c| c.get_name().to_owned()).collect()
}

/// `prepared` is the same command as clap has prepared it, which knows how it is called.
fn section(
    command: &Command,
    prepared: &mut Command,
    like: &[&Command],
    called: &str,
    depth: usize,
    page: &mut String,
) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "\n{} {called}\n\n{about}.", "#".repeat(depth));
    let below = names(command);
    if below.is_empty() {
        let usage = prepared.render_usage().to_string();
        let usage: Vec<&str> = usage.lines().map(|line| line.trim().trim_start_matches("Usage: ")).collect();
        let _ = writeln!(page, "\n```\n{}\n```", usage.join("\n"));
    }
    if !like.is_empty() {
        let names: Vec<String> = like.iter().map(|other| format!("`dayfly {}`", other.get_name())).collect();
        let _ = writeln!(page, "\nIt has the options of {}, and:", names.join(" and "));
    }
    options(command, like, page);
    for name in below {
        if let (Some(inner), Some(ready)) = (command.find_subcommand(&name), prepared.find_subcommand_mut(&name)) {
            section(inner, ready, &[], &format!("{called} {name}"), depth + 1, page);
        }
    }
}

fn options(command: &Command, like: &[&Command], page: &mut String) {
    let told_before = |arg: &Arg| like.iter().any(|other| has(other, arg));
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set() && !told_before(arg));
    // Headings in the order in which they first come; those without one first.
    let mut headings: Vec<Option<&str>> = vec![None];
    for heading in shown().map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let args: Vec<&Arg> = shown().filter(|arg| arg.get_help_heading() == heading).collect();
        if args.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n| {} | |\n|---|---|", heading.unwrap_or("option"));
        for arg in args {
            let _ = writeln!(page, "| `{}` | {} |", cell(&form(arg)), cell(&told(arg)));
        }
    }
}

/// A table's cells end at a bar, in code too.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `-n, --count N`, or `JOB`.
fn form(arg: &Arg) -> String {
    let mut parts = Vec::new();
    parts.extend(arg.get_short().map(|short| format!("-{short}")));
    parts.extend(arg.get_long().map(|long| format!("--{long}")));
    let takes = arg.get_action().takes_values();
    let values: Vec<String> = match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![arg.get_id().as_str().to_uppercase().replace('_', "-")],
    };
    match (parts.is_empty(), takes) {
        (true, _) => values.join(" "),
        (false, true) => format!("{} {}", parts.join(", "), values.join(" ")),
        (false, false) => parts.join(", "),
    }
}

/// What it is for, and what it is where it is not given.
fn told(arg: &Arg) -> String {
    let mut told = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> =
        arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(|v| format!("`{}`", v.get_name())).collect();
    if arg.get_action().takes_values() && !choices.is_empty() {
        let _ = write!(told, ": {}", choices.join(", "));
    }
    let defaults: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(told, " (else {})", defaults.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(told, "; or `{}`", variable.to_string_lossy());
    }
    told
}
