//! Completions for shells, and the manual's pages: both made from the command line's own definition.

mod markdown;

use clap::CommandFactory as _;
use dayfly_shared::exit::Exit;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::{Failure, Result};

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
pub fn pages(args: &ManArgs) -> Result<Exit> {
    let Some(dir) = &args.dir else {
        // A reader that went away has seen what it wanted.
        let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), markdown::page(Cli::command()).as_bytes());
        return Ok(Exit::Done);
    };
    let failed = |e: std::io::Error| Failure::io("writing the manual to", dir, &e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    Ok(Exit::Done)
}
