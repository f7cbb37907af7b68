//! Asking before what cannot be taken back.

use std::io::{self, IsTerminal as _, Write as _};

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
