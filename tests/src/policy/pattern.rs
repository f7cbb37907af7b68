//! Text with wildcards and variables (IAM user guide, "IAM policy elements: Variables and tags").

use super::Context;

/// One piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// `*`.
    Any,
    /// `?`.
    One,
    Exactly(char),
}

/// A text to be compared with: wildcards as they stand in the policy, variables filled in. What a variable stands for is
/// taken literally, whatever characters it has.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// From a policy's text; none if a variable has no value in this request and no default.
    pub(super) fn fill(text: &str, context: &Context) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((inner, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')) {
                pieces.extend(variable(inner, context)?.chars().map(Piece::Exactly));
                rest = after;
                continue;
            }
            pieces.push(match first {
                '*' => Piece::Any,
                '?' => Piece::One,
                other => Piece::Exactly(other),
            });
            rest = &rest[first.len_utf8()..];
        }
        Some(Self(pieces))
    }

    /// Whether a text is what the pattern means.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // Where the last star was, and how much of the text it has taken so far.
        let (mut at, mut read, mut star) = (0, 0, None);
        while read < text.len() {
            match self.0.get(at) {
                Some(Piece::Any) => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(Piece::One) => (at, read) = (at + 1, read + 1),
                Some(Piece::Exactly(c)) if *c == text[read] => (at, read) = (at + 1, read + 1),
                _ => {
                    let Some((back, taken)) = star else { return false };
                    star = Some((back, taken + 1));
                    (at, read) = (back + 1, taken + 1);
                }
            }
        }
        self.0[at..].iter().all(|piece| *piece == Piece::Any)
    }

    /// The text without any wildcard's meaning, for operators that know none.
    pub(super) fn plain(&self) -> String {
        let plain = self.0.iter().map(|piece| match piece {
            Piece::Any => '*',
            Piece::One => '?',
            Piece::Exactly(c) => *c,
        });
        plain.collect()
    }

    /// Condition operators for ARNs compare each of the six parts by itself (IAM user guide, "Amazon Resource Name (ARN)
    /// condition operators").
    pub(super) fn matches_arn(&self, arn: &str) -> bool {
        let mut parts: Vec<Vec<Piece>> = vec![Vec::new()];
        for piece in &self.0 {
            if *piece == Piece::Exactly(':') && parts.len() < 6 {
                parts.push(Vec::new());
            } else if let Some(last) = parts.last_mut() {
                last.push(*piece);
            }
        }
        let others: Vec<&str> = arn.splitn(6, ':').collect();
        parts.len() == others.len() && parts.into_iter().zip(others).all(|(part, other)| Self(part).matches(other))
    }
}

/// The value of what stands between `${` and `}`.
fn variable(inner: &str, context: &Context) -> Option<String> {
    if let "*" | "?" | "$" = inner {
        return Some(inner.to_owned());
    }
    let (name, default) = match inner.split_once(',') {
        Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\'').to_owned())),
        None => (inner, None),
    };
    match context.get(&name.to_lowercase()).map(Vec::as_slice) {
        Some([value]) => Some(value.clone()),
        // A key with several values cannot be a variable.
        _ => default,
    }
}
