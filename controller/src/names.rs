//! Globs over the names of inputs and outputs.

use globset::{GlobBuilder, GlobMatcher};

use crate::failure::{Failure, Result};

/// A glob: `*` and `?` stay within one folder, `**` does not, `[a-c]` and `{a,b}` choose.
///
/// # Errors
/// A text that is none.
pub fn glob(text: &str) -> Result<GlobMatcher> {
    GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|e| Failure::usage(format!("'{text}' is not a glob: {}", e.kind())))
}

/// Names as people give them: each means the name that is exactly so, else what it matches as a glob.
pub struct Wanted {
    texts: Vec<(String, GlobMatcher)>,
}

impl Wanted {
    /// # Errors
    /// A text that is neither.
    pub fn new(texts: &[String]) -> Result<Self> {
        let texts = texts.iter().map(|text| {
            // A name such as `a[1.dat` is no glob, and is a name all the same.
            let matcher = glob(text).or_else(|_| glob(&globset::escape(text)))?;
            Ok((text.clone(), matcher))
        });
        Ok(Self { texts: texts.collect::<Result<_>>()? })
    }

    /// Whether the name is one of them.
    pub fn has(&self, name: &str) -> bool {
        self.texts.iter().any(|(text, matcher)| text == name || matcher.is_match(name))
    }

    /// Those that none of `names` answers to.
    pub fn unmatched<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let idle = |(text, matcher): &&(String, GlobMatcher)| !names.iter().any(|n| text == n || matcher.is_match(n));
        self.texts.iter().filter(idle).map(|(text, _)| text.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stay_within_a_folder_unless_told_otherwise() {
        assert!(glob("in*.dat").unwrap().is_match("in3.dat"));
        assert!(!glob("in*.dat").unwrap().is_match("in/3.dat"));
        assert!(glob("**/*.dat").unwrap().is_match("a/b/3.dat"));
        assert!(glob("a[").is_err());
    }

    #[test]
    fn a_name_may_look_like_a_glob() {
        let wanted = Wanted::new(&["a[1].dat".to_owned(), "b[.dat".to_owned(), "z*".to_owned()]).unwrap();
        assert!(wanted.has("a[1].dat") && wanted.has("a1.dat") && wanted.has("b[.dat"));
        assert!(!wanted.has("a2.dat"));
        assert_eq!(wanted.unmatched(&["a1.dat", "b[.dat"]), ["z*"]);
    }
}
