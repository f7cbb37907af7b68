//! What comes from elsewhere, made fit for a terminal: names, and the last lines of programs, may hold what it takes for
//! commands (xterm's control sequences begin with ESC, or with a character of C1).

/// In one line: every control character is shown as one that is none.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// In lines.
pub fn text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        let said = "a\tb\n\x1b]0;title\x07\u{9b}2J\r\x7fé";
        assert_eq!(super::text(said), "a\tb\n?]0;title??2J??é");
        assert_eq!(super::line(said), "a?b??]0;title??2J??é");
    }
}
