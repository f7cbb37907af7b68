//! Command lines with placeholders.

use std::collections::BTreeMap;
use std::fmt;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// `{input}`: the path of the input's file.
    Input,
    /// `{input_dir}`: the folder that holds the input's file and nothing else.
    InputDir,
    /// `{output}`: the path of the file to be made.
    Output,
    /// `{output_dir}`: the folder to be filled.
    OutputDir,
    /// `{name}`: the task's line.
    Name,
    /// `{stem}`: the last part of the line, without its extension.
    Stem,
    /// `{files}`: the folder of the shared files.
    Files,
    /// `{file:NAME}`: the path of a shared file.
    File(String),
    /// `{kernel}`: the path of the job's `kernel.dat`, shared with the job.
    Kernel,
    /// `{checkpoint}`: a folder whose content outlives a stop, for the next attempt.
    Checkpoint,
    /// `{scratch}`: a folder that is removed after the task.
    Scratch,
    /// `{attempt}`: the attempt's name.
    Attempt,
}

impl Placeholder {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "input" => Self::Input,
            "input_dir" => Self::InputDir,
            "output" => Self::Output,
            "output_dir" => Self::OutputDir,
            "name" => Self::Name,
            "stem" => Self::Stem,
            "files" => Self::Files,
            "kernel" => Self::Kernel,
            "checkpoint" => Self::Checkpoint,
            "scratch" => Self::Scratch,
            "attempt" => Self::Attempt,
            _ => Self::File(word.strip_prefix("file:").filter(|name| !name.is_empty())?.to_owned()),
        })
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Input => "input",
            Self::InputDir => "input_dir",
            Self::Output => "output",
            Self::OutputDir => "output_dir",
            Self::Name => "name",
            Self::Stem => "stem",
            Self::Files => "files",
            Self::Kernel => "kernel",
            Self::Checkpoint => "checkpoint",
            Self::Scratch => "scratch",
            Self::Attempt => "attempt",
            Self::File(name) => return write!(f, "{{file:{name}}}"),
        };
        write!(f, "{{{word}}}")
    }
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{{{0}}} is no placeholder; there are {{input}} {{input_dir}} {{output}} {{output_dir}} {{name}} {{stem}} {{files}} \
     {{file:NAME}} {{kernel}} {{checkpoint}} {{scratch}} {{attempt}}; for a brace as such write it twice: {{{{"
)]
pub struct BadTemplate(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

/// What placeholders stand for in one task.
pub type Values = BTreeMap<Placeholder, String>;

/// A command line with placeholders, word by word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Vec<Piece>>);

impl Template {
    /// Reads the words. `{{` and `}}` are braces as such; so is a brace that opens nothing: `{}`, `{ ` and `${HOME}`, as
    /// shells and awk have them.
    ///
    /// # Errors
    /// A word in braces that is no placeholder.
    pub fn parse(words: &[String]) -> Result<Self, BadTemplate> {
        words.iter().map(|word| pieces(word)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the placeholder is there.
    pub fn uses(&self, placeholder: &Placeholder) -> bool {
        self.places().any(|one| one == placeholder)
    }

    /// The shared files that are named.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.places().filter_map(|place| match place {
            Placeholder::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    fn places(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().flatten().filter_map(|piece| match piece {
            Piece::Place(place) => Some(place),
            Piece::Text(_) => None,
        })
    }

    /// The words with the values in the placeholders' place; `quoted`: as one word of a POSIX shell, each. A placeholder
    /// without a value stands for nothing.
    pub fn fill(&self, values: &Values, quoted: bool) -> Vec<String> {
        let value = |place: &Placeholder| {
            let value = values.get(place).map_or("", String::as_str);
            if quoted { quote(value) } else { value.to_owned() }
        };
        let word = |pieces: &Vec<Piece>| {
            pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Place(place) => value(place),
                })
                .collect()
        };
        self.0.iter().map(word).collect()
    }
}

/// As one word of a POSIX shell, whatever is in it (POSIX, Shell Command Language, 2.2.2 Single-Quotes).
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn pieces(word: &str) -> Result<Vec<Piece>, BadTemplate> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), word);
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        rest = match after.strip_prefix(brace) {
            Some(after) => {
                text.push_str(brace);
                after
            }
            None => match placeholder(brace, after, text.ends_with('$'))? {
                Some((place, after)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(Piece::Place(place));
                    after
                }
                None => {
                    text.push_str(brace);
                    after
                }
            },
        };
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// The placeholder that an opening brace begins, and what follows it; none if the brace is one as such.
fn placeholder<'a>(
    brace: &str,
    after: &'a str,
    of_the_shell: bool,
) -> Result<Option<(Placeholder, &'a str)>, BadTemplate> {
    if brace == "}" || of_the_shell {
        return Ok(None);
    }
    let Some((word, rest)) = after.split_once('}') else { return Ok(None) };
    let begins_a_name = word.starts_with(|c: char| c.is_ascii_lowercase());
    let is_name = begins_a_name && !word.contains(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '{' | '"'));
    match Placeholder::parse(word) {
        Some(place) => Ok(Some((place, rest))),
        None if is_name => Err(BadTemplate(word.to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(word: &str, quoted: bool) -> Result<String, BadTemplate> {
        let values = [
            (Placeholder::Input, "/w/it's.dat".to_owned()),
            (Placeholder::Output, "/w/out".to_owned()),
            (Placeholder::File("a b.py".to_owned()), "/f/a b.py".to_owned()),
        ];
        Ok(Template::parse(&[word.to_owned()])?.fill(&values.into(), quoted).remove(0))
    }

    #[test]
    fn placeholders_are_filled_and_braces_stay() {
        for (word, wanted) in [
            ("{input}", "/w/it's.dat"),
            ("-i={input}:{output}", "-i=/w/it's.dat:/w/out"),
            ("{file:a b.py}", "/f/a b.py"),
            ("{{input}}", "{input}"),
            ("awk '{print $1}'", "awk '{print $1}'"),
            ("${HOME} {} {1..3} {a,b} {", "${HOME} {} {1..3} {a,b} {"),
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("{stem}", ""),
        ] {
            assert_eq!(filled(word, false).as_deref(), Ok(wanted), "{word}");
        }
        assert_eq!(filled("cp {input} {output}", true).as_deref(), Ok(r"cp '/w/it'\''s.dat' '/w/out'"));
        let wrong = filled("{inptu}", false).unwrap_err().to_string();
        assert!(wrong.contains("{inptu}") && wrong.contains("{input}"), "{wrong}");
    }
}
