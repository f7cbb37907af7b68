//! Secrets taken out of what a program writes: a net, not a wall. A program that writes a secret otherwise than as it is
//! (encoded, or in pieces with something between) is not caught.

/// What is shorter is in too many words to be taken out.
const SHORTEST: usize = 4;
/// Of a secret of several lines, as keys are, each line that is at least so long is one.
const SHORTEST_LINE: usize = 8;
/// What stands in its place.
const STARS: &[u8] = b"***";

/// Takes secrets out of one stream.
pub struct Mask {
    /// The longest first: one may begin with another.
    secrets: Vec<Vec<u8>>,
    /// Which bytes a secret begins with.
    first: [bool; 256],
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Mask {
    /// For these.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a String>) -> Self {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let whole = secret.trim_end_matches(['\r', '\n']);
            if whole.len() >= SHORTEST {
                all.push(whole.as_bytes().to_vec());
            }
            let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
            all.extend(lines.map(|line| line.as_bytes().to_vec()));
        }
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        let mut first = [false; 256];
        all.iter().for_each(|secret| first[usize::from(secret[0])] = true);
        Self { secrets: all, first, held: Vec::new() }
    }

    /// What can be shown once this piece has come.
    pub fn pass(&mut self, piece: Vec<u8>) -> Vec<u8> {
        self.take(piece, false)
    }

    /// What is left at the stream's end.
    pub fn rest(&mut self) -> Vec<u8> {
        self.take(Vec::new(), true)
    }

    fn take(&mut self, piece: Vec<u8>, is_end: bool) -> Vec<u8> {
        if self.secrets.is_empty() {
            return piece;
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend(piece);
        let (mut shown, mut at) = (Vec::with_capacity(text.len()), 0);
        while at < text.len() {
            let rest = &text[at..];
            if !self.first[usize::from(rest[0])] {
                shown.push(rest[0]);
                at += 1;
            } else if !is_end && self.secrets.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest))
            {
                // More has to come before this can be told.
                break;
            } else if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                shown.extend_from_slice(STARS);
                at += secret.len();
            } else {
                shown.push(rest[0]);
                at += 1;
            }
        }
        self.held = text.split_off(at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, in pieces of this size.
    fn masked(secrets: &[&str], text: &str, size: usize) -> String {
        let secrets: Vec<String> = secrets.iter().map(|one| (*one).to_owned()).collect();
        let mut mask = Mask::new(secrets.iter());
        let mut shown: Vec<u8> = text.as_bytes().chunks(size).flat_map(|piece| mask.pass(piece.to_vec())).collect();
        shown.extend(mask.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_wherever_the_pieces_end() {
        for size in 1..20 {
            let shown = |secrets: &[&str], text: &str| masked(secrets, text, size);
            assert_eq!(shown(&["hush-hush"], "a hush-hush-hush-hush b"), "a ***-*** b", "{size}");
            assert_eq!(shown(&["abcd", "abcdef"], "abcdefabcdeabc"), "******eabc", "{size}");
            assert_eq!(shown(&["aaab"], "aaaaaab aaa"), "aaa*** aaa", "{size}");
            assert_eq!(shown(&["key one two\nline two of it\n"], "x line two of it y"), "x *** y", "{size}");
            assert_eq!(shown(&["token\n"], "=token="), "=***=", "{size}");
            assert_eq!(shown(&["abc", ""], "abc"), "abc", "too short to be told from words");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_held_back() {
        let secret = "hush".to_owned();
        let mut mask = Mask::new([&secret].into_iter());
        assert_eq!(mask.pass(b"a line\n".to_vec()), b"a line\n");
        assert_eq!(mask.pass(b"hus".to_vec()), b"");
        assert_eq!(mask.pass(b"ky\n".to_vec()), b"husky\n");
    }
}
