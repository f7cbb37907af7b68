//! The plan: the ordered, immutable tasks in segments, each cut into chunks.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::ids::{AgentId, ChunkId, TaskId};
use crate::job::{JobSettings, Location, SCHEMA};
use crate::keys;

/// Up to so many tasks a segment has one-task chunks: the finest sharing, at $0.11 for the largest such job. Above it
/// chunks shrink from large to one task.
pub const ONE_TASK_CHUNKS: usize = 10_000;

/// The largest chunk has one task in so many.
const LARGEST_CHUNK: usize = 500;

/// The smallest chunk has one in so many of the tasks that an agent does in all …
const SMALLEST_SHARE: usize = 12;

/// … but never more than so many.
const SMALLEST_CHUNK: usize = 8;

/// A task of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its line: by default the name of an input.
    pub name: String,
    /// Why it cannot be done at all; such a task is dead-lettered at once.
    pub problem: Option<String>,
}

/// A chunk's place in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u32, u64)", into = "(u32, u64)")]
pub struct Span {
    /// How many tasks.
    pub tasks: u32,
    /// How many bytes of the segment's text.
    pub bytes: u64,
}

impl From<(u32, u64)> for Span {
    fn from((tasks, bytes): (u32, u64)) -> Self {
        Self { tasks, bytes }
    }
}

impl From<Span> for (u32, u64) {
    fn from(span: Span) -> Self {
        (span.tasks, span.bytes)
    }
}

/// A version of `tasklist.txt`. The time tells apart two versions of the same content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Its tag.
    pub etag: String,
    /// Its `LastModified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

impl fmt::Display for Source {
    /// As the text of a segment bears it in its metadata: `<tag> <time>`, or `<tag> -` without a time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.modified {
            Some(modified) => write!(f, "{} {modified}", self.etag),
            None => write!(f, "{} -", self.etag),
        }
    }
}

impl Source {
    /// Reads what [`Source`] shows; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (etag, time) = text.split_once(' ')?;
        let modified = if time == "-" { None } else { Some(time.parse().ok()?) };
        Some(Self { etag: etag.to_owned(), modified })
    }
}

/// The text of a segment as it is put before its commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SegmentText {
    /// The names, one a line.
    pub text: String,
    /// The version of `tasklist.txt` whose lines these are: it goes with the text, as another than its author may come to
    /// commit it, having read another version.
    pub source: Option<Source>,
}

impl From<String> for SegmentText {
    fn from(text: String) -> Self {
        Self { text, source: None }
    }
}

/// `plan/<segment>.json`: the commit of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// The version of this format.
    pub schema: u32,
    /// Its number, from 1.
    pub segment: u32,
    /// How many tasks it has.
    pub tasks: u32,
    /// Size of the stored text in bytes.
    pub text_bytes: u64,
    /// Checksum of the stored text, `sha256:<hex>`.
    pub text_checksum: String,
    /// The chunks in order, each `[tasks, bytes]`: the running sums are the line and the byte it starts at.
    pub chunks: Vec<Span>,
    /// The settings of the job, frozen: in segment 1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<JobSettings>,
    /// The version of `tasklist.txt` whose lines it took up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Who committed it.
    pub by: AgentId,
    /// When.
    pub at: Timestamp,
}

/// What a segment's commit says beside the cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frozen {
    /// The settings of the job, for segment 1.
    pub settings: Option<JobSettings>,
    /// The version of `tasklist.txt` whose lines it took up.
    pub source: Option<Source>,
    /// Who commits it.
    pub by: AgentId,
    /// When.
    pub at: Timestamp,
}

impl Segment {
    /// The segment `number` for the stored text `text`, cut for `agents` agents.
    pub fn cut(number: u32, text: &str, agents: u32, frozen: Frozen) -> Self {
        let Frozen { settings, source, by, at } = frozen;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut chunks = Vec::new();
        let mut rest = lines.as_slice();
        for size in chunk_sizes(lines.len(), agents) {
            let (chunk, tail) = rest.split_at(size);
            rest = tail;
            chunks.push(Span {
                tasks: u32::try_from(size).unwrap_or(u32::MAX),
                bytes: chunk.iter().map(|line| line.len() as u64).sum(),
            });
        }
        Self {
            schema: SCHEMA,
            segment: number,
            tasks: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            text_bytes: text.len() as u64,
            text_checksum: text_checksum(text.as_bytes()),
            chunks,
            settings,
            source,
            by,
            at,
        }
    }

    /// How many chunks it has.
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
    }

    /// Whether every chunk has one task: then keys of chunks carry the task's name as a slug.
    pub fn one_task_chunks(&self) -> bool {
        self.chunks.len() == self.tasks as usize
    }

    /// The chunk's first line (from 1) and its bytes in the text; `None` if there is no such chunk.
    pub fn place_of(&self, chunk: ChunkId) -> Option<(u32, Range<u64>)> {
        let index = chunk.index.checked_sub(1)? as usize;
        let span = self.chunks.get(index)?;
        let (mut line, mut byte) = (1, 0);
        for before in &self.chunks[..index] {
            line += before.tasks;
            byte += before.bytes;
        }
        Some((line, byte..byte + span.bytes))
    }

    /// The chunk that holds the task of line `line`.
    pub fn chunk_of(&self, line: u32) -> Option<ChunkId> {
        let mut first = 1;
        for (index, span) in (1..).zip(&self.chunks) {
            if (first..first + span.tasks).contains(&line) {
                return Some(ChunkId { segment: self.segment, index });
            }
            first += span.tasks;
        }
        None
    }
}

/// `sha256:<hex>` of a segment's text.
pub fn text_checksum(text: &[u8]) -> String {
    let mut out = "sha256:".to_owned();
    for byte in Sha256::digest(text) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// How many tasks each chunk gets. Up to [`ONE_TASK_CHUNKS`]: one. Above: *factoring* (Hummel, Schonberg and Flynn, 1992):
/// each round of as many chunks as agents hands out half of what is left, so that the first chunks cost few requests a
/// task and the last ones even out the end. No chunk has more than a five-hundredth of the tasks: a job whose agents were
/// not counted, or that run many tasks at once, still spreads. None but the last has less than a twelfth of what an agent
/// does in all, up to eight tasks: finer ones cost more than they even out (`scripts/bench scale`).
pub fn chunk_sizes(tasks: usize, agents: u32) -> Vec<usize> {
    if tasks <= ONE_TASK_CHUNKS {
        return vec![1; tasks];
    }
    let agents = agents.max(1) as usize;
    let most = tasks / LARGEST_CHUNK;
    let least = (tasks / agents / SMALLEST_SHARE).clamp(1, SMALLEST_CHUNK);
    let mut sizes = Vec::new();
    let mut left = tasks;
    while left > 0 {
        let size = (left / (2 * agents)).clamp(least, most);
        for _ in 0..agents {
            if left == 0 {
                break;
            }
            let size = size.min(left);
            sizes.push(size);
            left -= size;
        }
    }
    sizes
}

/// The lines of a text that people may have edited: without byte order mark, carriage returns, blank lines and
/// repetitions; bytes that are not UTF-8 become U+FFFD, and the line is then refused by [`keys::problem_with`].
pub fn clean_lines(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut seen = std::collections::HashSet::new();
    String::from_utf8_lossy(bytes)
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.trim().is_empty())
        .filter(|line| seen.insert((*line).to_owned()))
        .map(str::to_owned)
        .collect()
}

/// The names in a text that dayfly stored: one a line, whatever characters they hold.
pub fn stored_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n')
}

/// Lines as they are stored: each with its newline.
pub fn join_lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text
}

/// The tasks of one chunk from its bytes of the segment's text, the first of them on line `first_line`.
pub fn tasks_of(segment: u32, first_line: u32, text: &[u8], settings: &JobSettings, job: &Location) -> Vec<Task> {
    stored_lines(&String::from_utf8_lossy(text))
        .zip(first_line..)
        .map(|(name, line)| Task {
            id: TaskId { segment, line },
            name: name.to_owned(),
            problem: keys::problem_with(name, settings, job),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str, agents: u32) -> Segment {
        let by = "a-00000001".parse().unwrap();
        Segment::cut(1, text, agents, Frozen { settings: None, source: None, by, at: Timestamp::default() })
    }

    #[test]
    fn sources_parse_as_they_print() {
        let modified = Some(Timestamp::from_unix_ms(1_765_929_600_000));
        for source in [Source { etag: "abc-2".to_owned(), modified }, Source { etag: "abc".to_owned(), modified: None }]
        {
            assert_eq!(Source::parse(&source.to_string()), Some(source));
        }
        assert_eq!(Source::parse("abc"), None);
        assert_eq!(Source::parse("abc yesterday"), None);
    }

    #[test]
    fn chunks_cover_every_task_once() {
        for (tasks, agents) in
            [(0, 3), (1, 1), (10_000, 4), (10_001, 4), (123_457, 10), (1_000_000, 1000), (20_000, 50_000)]
        {
            let sizes = chunk_sizes(tasks, agents);
            assert_eq!(sizes.iter().sum::<usize>(), tasks);
            assert!(sizes.iter().all(|s| *s > 0));
        }
        assert_eq!(chunk_sizes(10_000, 4).len(), 10_000);
        let big = chunk_sizes(1_000_000, 1000);
        assert_eq!((big.len(), big[0], *big.last().unwrap()), (8_000, 500, 8));
        let wide = chunk_sizes(1_000_000, 10_000);
        assert_eq!((wide.len(), wide[0], wide[wide.len() - 2]), (46_250, 50, 8));
        assert!(wide.is_sorted_by(|one, next| one >= next), "the largest come first");
    }

    #[test]
    fn a_chunk_is_read_by_its_bytes() {
        let text = join_lines((0..10_001).map(|n| format!("ü{n}")));
        let segment = segment(&text, 3);
        assert!(!segment.one_task_chunks());
        let settings = JobSettings::default();
        let job: Location = "s3://bucket/".parse().unwrap();
        let mut all = Vec::new();
        for index in 1..=segment.chunk_count() {
            let chunk = ChunkId { segment: 1, index };
            let (line, bytes) = segment.place_of(chunk).unwrap();
            let piece = &text.as_bytes()[usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap()];
            let tasks = tasks_of(1, line, piece, &settings, &job);
            assert_eq!(segment.chunk_of(tasks[0].id.line), Some(chunk));
            all.extend(tasks);
        }
        assert_eq!(all.len(), 10_001);
        for (n, task) in all.iter().enumerate() {
            assert_eq!((task.id.line as usize, task.name.as_str()), (n + 1, format!("ü{n}").as_str()));
        }
        assert_eq!(segment.place_of(ChunkId { segment: 1, index: segment.chunk_count() + 1 }), None);
        let stored = crate::records::to_json(&segment);
        assert_eq!(crate::records::from_json::<Segment>(&stored).unwrap(), segment);
    }

    #[test]
    fn no_chunk_is_a_job_of_its_own() {
        assert_eq!(chunk_sizes(1_000_000, 1)[0], 2000);
        assert_eq!(chunk_sizes(20_000, 1)[0], 40);
    }

    #[test]
    fn what_is_cleaned_is_read_back_the_same() {
        let names = clean_lines(b"a\r\r\nb\rc\r\n\rd\n");
        assert_eq!(names, ["a", "b\rc", "\rd"]);
        let text = join_lines(&names);
        assert_eq!(stored_lines(&text).collect::<Vec<_>>(), names);
        assert_eq!(clean_lines(text.as_bytes()), names);
    }

    #[test]
    fn edited_lists_are_cleaned() {
        assert_eq!(clean_lines(b"\xef\xbb\xbfa\r\n\r\n  \nb b\na\nc"), ["a", "b b", "c"]);
        assert_eq!(clean_lines(b""), Vec::<String>::new());
        assert_eq!(clean_lines(b"\xff\n"), ["\u{fffd}"]);
    }
}
