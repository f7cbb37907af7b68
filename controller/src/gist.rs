//! What an error comes to in one line. A program's error is a headline and the last lines that it wrote, of which one says
//! what went wrong; all of them are for who asks: `dayfly logs`, `dayfly describe`.

use std::fmt;

/// How the headline ends where the program's last lines follow (see the agent's `program/outcome.rs`).
const FOLLOWS: &str = "; its last lines:";
/// What programs and their languages write after what went wrong: Rust, Node.js, R, Python's chained exceptions.
const AFTERWORDS: [&str; 4] = ["note: ", "Node.js v", "Execution halted", "During handling of the above exception"];

/// An error in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gist<'a> {
    /// What was seen of it: `the program ended with exit code 1`.
    pub headline: &'a str,
    /// What the program said that matters: of a traceback the exception. None where the headline says all.
    pub point: Option<&'a str>,
}

impl<'a> Gist<'a> {
    /// Of an error's whole text.
    pub fn of(error: &'a str) -> Self {
        let mut lines = error.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let Some(headline) = first.strip_suffix(FOLLOWS) else { return Self { headline: first, point: None } };
        // Frames of a stack are indented, the exception is not.
        let says = |line: &&str| {
            !line.starts_with(char::is_whitespace) && !AFTERWORDS.iter().any(|words| line.starts_with(words))
        };
        let rest: Vec<&str> = lines.collect();
        let point = rest.iter().copied().rfind(says).or(rest.last().copied());
        Self { headline, point: point.map(str::trim) }
    }
}

/// The point first, as lines are cut at their end: `ValueError: no such column (the program ended with exit code 1)`.
impl fmt::Display for Gist<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.point {
            Some(point) => write!(f, "{point} ({})", self.headline),
            None => f.write_str(self.headline),
        }
    }
}

/// In the order in which it was told: `the program ended with exit code 1: ValueError: no such column`.
pub fn told(error: &str) -> String {
    match Gist::of(error) {
        Gist { headline, point: Some(point) } => format!("{headline}: {point}"),
        Gist { headline, point: None } => headline.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_matters_is_found() {
        for (lines, point) in [
            ("oh no", "oh no"),
            ("one\ntwo\n\n", "two"),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1\n    f()\nValueError: bad",
                "ValueError: bad",
            ),
            ("thread 'main' panicked at src/main.rs:2:5:\nno row\nnote: run with `RUST_BACKTRACE=1`", "no row"),
            ("Error: no file\n    at f (/x.js:1:7)\n\nNode.js v18.19.0", "Error: no file"),
            ("Exception in thread \"main\" E: m\n\tat M.main(M.java:5)", "Exception in thread \"main\" E: m"),
            ("Error in f() : no column\nExecution halted", "Error in f() : no column"),
            ("  all\n  indented", "indented"),
        ] {
            let error = format!("the program ended with exit code 1; its last lines:\n{lines}");
            let gist = Gist::of(&error);
            assert_eq!((gist.headline, gist.point), ("the program ended with exit code 1", Some(point)), "{lines}");
            assert_eq!(gist.to_string(), format!("{point} (the program ended with exit code 1)"));
            assert_eq!(told(&error), format!("the program ended with exit code 1: {point}"));
        }
        for error in ["the program could not be started: no such file", "in0.dat: it is gone\nmore", ""] {
            assert_eq!(Gist::of(error).to_string(), error.lines().next().unwrap_or_default());
        }
    }
}
