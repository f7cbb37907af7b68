//! Completions for shells, and the manual's pages: both made from the command line's own definition.

mod markdown;

use std::fmt;
use std::path::PathBuf;

use clap::CommandFactory as _;
use dayfly_shared::exit::Exit;
use serde::Serialize;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::{Failure, Result};
use crate::output::Output;

/// `dayfly completions`.
///
/// # Errors
/// None: a reader that went away has seen what it wanted.
pub fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dayfly", &mut script);
    let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), &script);
    Ok(Exit::Done)
}

/// `dayfly man`: one page for dayfly, one for each command; or all on one page of Markdown.
///
/// # Errors
/// A folder that cannot be written.
pub fn pages(output: &Output, args: &ManArgs) -> Result<Exit> {
    let Some(dir) = &args.dir else {
        output.text(&markdown::page(Cli::command()));
        return Ok(Exit::Done);
    };
    let failed = |e: std::io::Error| Failure::io("writing the manual to", dir, &e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    output.done(&Manual { folder: dir.clone(), pages: names(&mut Cli::command()) });
    Ok(Exit::Done)
}

/// The names of all pages: a command's is its own after those of the commands that it belongs to.
fn names(command: &mut clap::Command) -> Vec<String> {
    command.build();
    fn add(command: &clap::Command, all: &mut Vec<String>) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        all.push(format!("{name}.1"));
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        below.for_each(|below| add(below, all));
    }
    let mut all = Vec::new();
    add(command, &mut all);
    all
}

#[derive(Serialize)]
struct Manual {
    folder: PathBuf,
    pages: Vec<String>,
}

impl fmt::Display for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manual    {} ({} pages)", self.folder.display(), self.pages.len())
    }
}
