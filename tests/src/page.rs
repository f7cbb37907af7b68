//! Pages that show commands and what they print: each is run, and must print what the page says.
//!
//! A block that begins with ```` ```console ```` has lines `$ COMMAND`, each with what it prints, on both channels, after it. In that, `…`
//! stands for anything within a line, and alone on a line for any number of lines. Times, durations, sizes of records and ids differ
//! from run to run, and are not compared. `<!-- run: NAME -->` between blocks is for the test: something happens there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::World;

/// What a page has one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, and what it prints.
    Command(String, Vec<String>),
    /// What happens between blocks.
    Mark(String),
}

/// A page of the documentation, as it is now: so a page is mended without a build.
///
/// # Panics
/// If there is none of that name.
pub fn named(name: &str) -> String {
    let file = crate::server::sources().join("docs").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The steps of a page, in order.
///
/// # Panics
/// If a block begins with no command.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(name) = line.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->")) {
            steps.push(Step::Mark(name.to_owned()));
        } else if inside {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step::Command(command.to_owned(), Vec::new())),
                (None, Some(Step::Command(_, printed))) => printed.push(line.to_owned()),
                _ => panic!("a block begins with no command: {line}"),
            }
        }
    }
    steps
}

/// A shell in a world's folder, with the world's environment: what one command exports is there for the next.
pub struct Shell<'w> {
    world: &'w World,
    exports: PathBuf,
    path: String,
}

impl<'w> Shell<'w> {
    /// With these folders before those of the system, after dayfly's own.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn new(world: &'w World, folders: &[PathBuf]) -> Self {
        let exports = world.folder().join("exports");
        std::fs::write(&exports, "").expect("a file");
        let beside = PathBuf::from(world.dayfly_command().get_program());
        let beside = beside.parent().expect("a folder").to_owned();
        let system = std::env::var_os("PATH").unwrap_or_default();
        let all = [beside].into_iter().chain(folders.iter().cloned()).chain(std::env::split_paths(&system));
        let path = std::env::join_paths(all).expect("a path").to_string_lossy().into_owned();
        Self { world, exports, path }
    }

    /// Whether there is such a program.
    pub fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }

    /// Runs a command; what it printed.
    ///
    /// # Panics
    /// If there is no shell.
    pub async fn run(&self, line: &str) -> String {
        let exports = self.exports.display();
        let script = match line.strip_prefix("export ") {
            Some(_) => format!(". '{exports}'; exec 2>&1; {line}; export -p > '{exports}'"),
            None => format!(". '{exports}'; exec 2>&1; {line}"),
        };
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env_clear().current_dir(self.world.folder());
        let dayfly = self.world.dayfly_command();
        command.envs(dayfly.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", &self.path);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("a shell");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// What a page's commands printed, to be looked at, or to write the page from: `DAYFLY_TRANSCRIPT` names the file.
#[derive(Debug, Default)]
pub struct Transcript(String);

impl Transcript {
    /// Notes what a command printed.
    pub fn note(&mut self, command: &str, printed: &str) {
        let _ = writeln!(self.0, "$ {command}\n{}", printed.trim_end());
        if let Some(file) = std::env::var_os("DAYFLY_TRANSCRIPT") {
            let _ = std::fs::write(Path::new(&file), &self.0);
        }
    }
}

/// Where what was printed differs from the page; none where it does not.
pub fn difference(shown: &[String], printed: &str) -> Option<String> {
    let shown: Vec<String> = shown.iter().map(|line| plain(line)).filter(|line| !line.is_empty()).collect();
    let seen: Vec<String> = printed.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let (shown, seen): (Vec<&str>, Vec<&str>) =
        (shown.iter().map(String::as_str).collect(), seen.iter().map(String::as_str).collect());
    (!lines_match(&shown, &seen))
        .then(|| format!("the page has\n{}\nand this was printed\n{printed}", shown.join("\n")))
}

fn lines_match(shown: &[&str], seen: &[&str]) -> bool {
    match (shown, seen) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=seen.len()).any(|skipped| lines_match(rest, &seen[skipped..])),
        ([first, rest @ ..], [line, others @ ..]) => line_matches(first, line) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(shown: &str, seen: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| seen.strip_prefix(first)) else { return false };
    let mut ended = true;
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else { return false };
        ended = part.is_empty() || rest.ends_with(part);
        rest = &rest[at + part.len()..];
    }
    if open { ended } else { rest.is_empty() }
}

/// A line without what differs from run to run.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    // A line of `aws s3 ls`: day, time, size, key. The records' sizes hang on numbers in them.
    let listing = words.len() >= 4 && words[0].len() == 10 && words[1].len() == 8 && words[1].contains(':');
    let record = words.last().is_some_and(|key| [".json", ".jsonl", ".log"].iter().any(|end| key.ends_with(end)));
    let mut plain: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let number = word.trim_start_matches(['(', '+']).chars().all(|c| c.is_ascii_digit() || c == '.');
        let unit = words.get(at + 1).filter(|_| number).map(|next| next.split_at(next.trim_end_matches(END).len()));
        match unit {
            // 1 min 12 s is as good as 50 s.
            Some((unit, after)) if TIMES.contains(&unit) => {
                plain.pop_if(|before| before == "0 s");
                plain.push(format!("0 s{after}"));
                at += 1;
            }
            Some((unit, after)) if SIZES.contains(&unit) => {
                plain.push(format!("0 B{after}"));
                at += 1;
            }
            Some(("%", _)) => plain.push(String::from("0")),
            _ if listing && at == 2 && record => plain.push(String::from("0")),
            _ => plain.push(without_ids(word)),
        }
        at += 1;
    }
    plain.join(" ")
}

const END: [char; 5] = [',', ';', '.', ')', ':'];
const TIMES: [&str; 4] = ["ms", "s", "min", "h"];
const SIZES: [&str; 4] = ["B", "kB", "MB", "GB"];

/// A word with `#` for ids and `0` for times of the day and days.
fn without_ids(word: &str) -> String {
    let mut plain = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, plain: &mut String| {
        let hex =
            run.len() >= 8 && run.chars().all(|c| c.is_ascii_hexdigit()) && run.chars().any(|c| c.is_ascii_digit());
        plain.push_str(if hex { "#" } else { run });
        run.clear();
    };
    for c in word.chars() {
        if c.is_ascii_alphanumeric() {
            run.push(c);
        } else {
            flush(&mut run, &mut plain);
            plain.push(c);
        }
    }
    flush(&mut run, &mut plain);
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    // 2026-01-31T12:00:00.000Z, 2026-01-31, 12:00:00, $0.0123, 4.2
    let day = word.split('-').count() >= 3 && digits(word) >= 8 && word.starts_with("20");
    let clock = word.split(':').count() == 3 && digits(word) >= 6 && word.chars().all(|c| !c.is_ascii_alphabetic());
    if day || clock { String::from("0") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(shown: &str, printed: &str) -> bool {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        difference(&shown, printed).is_none()
    }

    #[test]
    fn what_differs_from_run_to_run_is_not_compared() {
        assert!(same("took 1.8 s, 10 attempts", "took  1 min 12 s, 10 attempts\n"));
        assert!(same("2026-11-21 20:05:16   803 a/job.json", "2027-01-02 01:02:03  1803 a/job.json"));
        assert!(same("0 B of memory at most, 7 % busy", "5.1 MB of memory at most, 12 % busy"));
        assert!(same("agents i-0a1b2c3d4e5f60718", "agents i-1a1b2c3d4e5f60718"));
        assert!(same("a\n…\nd", "a\nb\nc\nd") && same("a … c", "a b c") && same("…", ""));
    }

    #[test]
    fn what_counts_is() {
        assert!(!same("3 of 10 done", "4 of 10 done"));
        assert!(!same("2026-11-21 20:05:16   803 a/in0.dat", "2027-01-02 01:02:03  1803 a/in0.dat"));
        assert!(!same("a\n…\nd", "a\nb\nc") && !same("a … c", "a b d") && !same("a", "a\nb") && !same("a\nb", "a"));
    }
}
