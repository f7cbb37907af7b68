//! A log kept within bounds, in files: its beginning, its end, and of what was left out between them the warnings and
//! errors. Lines stay whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

/// How much of each part is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of the beginning.
    pub first: u64,
    /// Of the end at least this, and at most twice as much.
    pub last: u64,
    /// Of warnings and errors from between.
    pub loud: u64,
}

/// 20 MiB in all, which an agent has in memory at once when it uploads them. A small task leaves about 430 bytes: that is
/// everything of 9,700 tasks, of the last 14,000, and in between what went wrong.
pub const BOUNDS: Bounds = Bounds { first: 4 << 20, last: 6 << 20, loud: 4 << 20 };

/// Writes a log, and reads what is kept of it.
#[derive(Clone)]
pub struct Kept {
    files: Arc<Mutex<Files>>,
}

struct Files {
    first: Part,
    last: Part,
    /// What was the last part before this one.
    before: PathBuf,
    loud: PathBuf,
    bounds: Bounds,
    /// The first part has all that it gets.
    is_full: bool,
    written: u64,
    left_out: u64,
}

struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Part {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

/// `log.jsonl`, and beside it `log.loud.jsonl`, `log.before.jsonl`, `log.last.jsonl` once it is full.
fn beside(path: &Path, part: &str) -> PathBuf {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("{part}.{end}"))
}

impl Kept {
    /// In `path` and files beside it; what is there stays.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn open(path: &Path, bounds: Bounds) -> io::Result<Self> {
        let (first, last) = (Part::open(path.to_owned())?, Part::open(beside(path, "last"))?);
        let (before, loud) = (beside(path, "before"), beside(path, "loud"));
        let is_full = last.bytes > 0 || before.exists();
        let written = first.bytes + last.bytes;
        let files = Files { first, last, before, loud, bounds, is_full, written, left_out: 0 };
        Ok(Self { files: Arc::new(Mutex::new(files)) })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was written, kept or not.
    pub fn written(&self) -> u64 {
        self.files().written
    }

    /// What is kept, in its order, with a line where something was left out.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        // Opened together; read while the log goes on.
        let (parts, left_out) = {
            let files = self.files();
            let open = |path: &Path| match File::open(path) {
                Ok(file) => file.metadata().map(|meta| Some((file, meta.len()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
            let parts = [open(&files.first.path)?, open(&files.loud)?, open(&files.before)?, open(&files.last.path)?];
            (parts, files.left_out)
        };
        let mut content = Vec::new();
        for (nth, part) in parts.into_iter().enumerate() {
            let Some((file, bytes)) = part else { continue };
            if nth == LOUD {
                let why = "lines were left out here, to keep this log within bounds; of warnings and errors among them \
                           the first follow";
                let mut remark = json!({ "level": "WARN", "message": why });
                // Nothing is known of what an earlier process left out.
                if left_out > 0 {
                    remark["lines"] = left_out.into();
                }
                writeln!(content, "{remark}")?;
            }
            file.take(bytes).read_to_end(&mut content)?;
        }
        Ok(content)
    }
}

/// Of the parts in their order the one that is there where something was left out.
const LOUD: usize = 1;

impl Files {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = line.len() as u64;
        self.written += bytes;
        self.is_full |= self.first.bytes + bytes > self.bounds.first;
        if !self.is_full {
            return self.first.add(line);
        }
        if self.last.bytes > 0 && self.last.bytes + bytes > self.bounds.last {
            self.turn()?;
        }
        self.last.add(line)
    }

    /// Begins another last part, and leaves out the one before this one.
    fn turn(&mut self) -> io::Result<()> {
        match File::open(&self.before) {
            Ok(old) => {
                let mut loud = Part::open(self.loud.clone())?;
                for line in BufReader::new(old).split(b'\n') {
                    let mut line = line?;
                    line.push(b'\n');
                    if is_loud(&line) && loud.bytes + line.len() as u64 <= self.bounds.loud {
                        loud.add(&line)?;
                    } else {
                        self.left_out += 1;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::fs::rename(&self.last.path, &self.before)?;
        self.last = Part::open(self.last.path.clone())?;
        Ok(())
    }
}

/// Whether a line is a warning or an error, in JSON or for people: both have the level before anything that others say.
fn is_loud(line: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&line[..line.len().min(LEVEL_WITHIN)]);
    [r#""level":"WARN""#, r#""level":"ERROR""#, "Z  WARN ", "Z ERROR "].iter().any(|level| start.contains(level))
}

/// A time and a level have fewer bytes.
const LEVEL_WITHIN: usize = 80;

impl Write for Kept {
    /// One event of the log comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.files().write(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds { first: 1000, last: 1000, loud: 500 };

    fn line(n: usize) -> String {
        // What a program said does not make a line loud.
        let level = if n % 50 == 7 { "WARN" } else { "INFO" };
        format!(
            "{{\"timestamp\":\"2026-01-31T12:00:00Z\",\"level\":\"{level}\",\"n\":{n},\"said\":\"\\\"level\\\":\\\"WARN\\\"\"}}\n"
        )
    }

    fn numbers(kept: &Kept) -> (Vec<u64>, Vec<serde_json::Value>) {
        let content = String::from_utf8(kept.content().unwrap()).unwrap();
        let lines = content.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let (numbered, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.get("n").is_some());
        (numbered.iter().filter_map(|line| line["n"].as_u64()).collect(), others)
    }

    #[test]
    fn a_short_log_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(&folder.path().join("log.jsonl"), SMALL).unwrap();
        (0..20).for_each(|n| kept.write_all(line(n).as_bytes()).unwrap());
        assert_eq!(numbers(&kept), ((0..20).collect(), Vec::new()));
    }

    #[test]
    fn of_a_long_log_the_beginning_the_end_and_warnings_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut kept = Kept::open(&path, SMALL).unwrap();
        (0..1000).for_each(|n| kept.write_all(line(n).as_bytes()).unwrap());
        let (numbers_kept, remarks) = numbers(&kept);
        assert!(
            numbers_kept.is_sorted() && numbers_kept[0] == 0 && numbers_kept.last() == Some(&999),
            "{numbers_kept:?}"
        );
        assert!([57, 107, 157].iter().all(|warning| numbers_kept.contains(warning)), "{numbers_kept:?}");
        let [remark] = &remarks[..] else { panic!("{remarks:?}") };
        assert_eq!(remark["lines"], 1000 - numbers_kept.len());
        let on_disk: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk <= 1000 + 2 * 1000 + 500, "{on_disk}");
        assert!(kept.written() > 10 * on_disk, "what is uploaded depends on how much was written");
        // Another process goes on where this one ended.
        let mut next = Kept::open(&path, SMALL).unwrap();
        (1000..1003).for_each(|n| next.write_all(line(n).as_bytes()).unwrap());
        let (all, _) = numbers(&next);
        assert!(all.is_sorted() && all[..8] == numbers_kept[..8] && all.last() == Some(&1002), "{all:?}");
    }
}
