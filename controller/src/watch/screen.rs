//! The terminal's other screen, on standard error: drawn anew each time, and left as if nobody had been there.

use std::io::Write as _;
use std::sync::Once;

use console::{Term, truncate_str};

use crate::plain;

/// Enter the alternate screen, hide the cursor (xterm's control sequences, which every terminal of today knows).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Show the cursor, leave the alternate screen: what was there before is there again.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; and from the cursor on, nothing: of the line, of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

static HOOK: Once = Once::new();

/// The screen, until it is dropped.
pub struct Screen {
    term: Term,
}

impl Screen {
    /// Takes it.
    pub fn enter() -> Self {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let _ = std::io::stderr().write_all(LEAVE.as_bytes());
                before(info);
            }));
        });
        let term = Term::stderr();
        write(ENTER);
        Self { term }
    }

    /// Columns and lines, now.
    pub fn size(&self) -> (usize, usize) {
        let (lines, columns) = self.term.size();
        (usize::from(columns), usize::from(lines))
    }

    /// Shows these lines and nothing else; what is too wide is cut.
    pub fn draw(&mut self, lines: &[String], width: usize) {
        let mut text = HOME.to_owned();
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                text += "\r\n";
            }
            text += &truncate_str(&plain::line(line), width, "…");
            text += CLEAR_LINE;
        }
        text += CLEAR_REST;
        write(&text);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(LEAVE);
    }
}

/// In one write, so that nothing flickers; a terminal that went away sees nothing any more.
fn write(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
