//! Asking: before what cannot be taken back, and which of several is meant.

use std::io::{self, IsTerminal as _, Write as _};

use crate::cli::Global;
use crate::failure::{Failure, Result};
use crate::settings::Settings;

/// Whether to go on: `--yes`, or a person's yes.
///
/// # Errors
/// When there is nobody to ask.
pub fn confirm(settings: &Settings, question: &str) -> Result<bool> {
    if settings.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Nobody is there to answer"))
            .left("nothing was changed")
            .fix("pass --yes to say yes"));
    }
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|e| Failure::new(format!("reading the answer: {e}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Which of these is meant, by its number or its name; none where nobody is there to say, or wants to.
///
/// # Errors
/// A terminal that cannot be read.
pub fn choose(question: &str, names: &[String], global: &Global) -> Result<Option<String>> {
    if global.yes || global.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let mut err = io::stderr().lock();
    for (n, name) in names.iter().enumerate() {
        let _ = writeln!(err, "  {}  {name}", n + 1);
    }
    loop {
        let _ = write!(err, "{question} [1-{}] ", names.len());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).map_err(|e| Failure::new(format!("reading the answer: {e}")))?;
        let answer = answer.trim();
        let by_number = answer.parse::<usize>().ok().and_then(|n| names.get(n.checked_sub(1)?));
        // A name that is a number is meant by that number's place only where it is no name.
        match names.iter().find(|name| *name == answer).or(by_number) {
            Some(name) => return Ok(Some(name.clone())),
            // The end of input, or an empty line: nobody wants to say.
            None if read == 0 || answer.is_empty() => return Ok(None),
            None => _ = writeln!(err, "there is no '{answer}'"),
        }
    }
}
