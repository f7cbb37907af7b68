//! Every object key of a job, built and parsed. Keys hold ids; a readable slug may follow; names stand in the bodies.

mod names;

use crate::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use crate::job::Location;
use crate::planted::Defect;
use crate::records::Summary;

pub use names::{
    FILE_NAME_MAX, KEY_MAX, attempt_file_name, input_file_name, is_output_name, is_own, manifest_name,
    output_file_name, output_name, problem_with,
};

/// The longest slug in a key: enough to recognise a file, short enough to read in a listing.
const SLUG_MAX: usize = 40;

/// One of the text files that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// `tasklist.txt`: tasks still to do; people may add lines.
    Tasklist,
    /// `completed.txt`: inputs whose output is committed.
    Completed,
    /// `failed.txt`: inputs given up.
    Failed,
}

impl View {
    /// All of them, in the order in which a refresh writes them: nothing leaves the list before it stands elsewhere.
    pub const ALL: [View; 3] = [View::Completed, View::Failed, View::Tasklist];

    /// The object's name.
    pub fn name(self) -> &'static str {
        match self {
            View::Tasklist => "tasklist.txt",
            View::Completed => "completed.txt",
            View::Failed => "failed.txt",
        }
    }
}

/// A readable piece of a task's name for a key: letters, digits, `.`, `_`, `-`; the end of the name, as that differs.
pub fn slug(name: &str) -> String {
    let clean: Vec<char> =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).collect();
    clean[clean.len().saturating_sub(SLUG_MAX)..].iter().collect::<String>().trim_start_matches(['.', '-']).to_owned()
}

/// The keys of one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    prefix: String,
}

/// The chunk as keys name it.
fn named(chunk: ChunkId) -> ChunkId {
    if Defect::ChunkIdsRestart.is_planted() { ChunkId { segment: 1, ..chunk } } else { chunk }
}

/// `<id>` or `<id>.<slug>`.
fn with_slug(id: impl std::fmt::Display, slug: Option<&str>) -> String {
    match slug {
        Some(slug) if !slug.is_empty() => format!("{id}.{slug}"),
        _ => id.to_string(),
    }
}

impl Keys {
    /// The keys of the job at `job`.
    pub fn new(job: &Location) -> Self {
        Self { prefix: job.prefix().to_owned() }
    }

    fn key(&self, rest: impl std::fmt::Display) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// The settings.
    pub fn job(&self) -> String {
        self.key("job.json")
    }

    /// Running, paused, suspended or cancelled.
    pub fn control(&self) -> String {
        self.key("control.json")
    }

    /// The figures of a finished job.
    pub fn summary(&self) -> String {
        self.key("summary.json")
    }

    /// Whether this end of the job was told. Each end has one of its own: lines that are added later bring another segment,
    /// and an output that comes late takes from what was given up.
    pub fn notice(&self, end: &Summary) -> String {
        self.key(format_args!("notified/{:04}-{:07}.json", end.segments, end.failed))
    }

    /// What the store was found to do with conditions.
    pub fn store_check(&self) -> String {
        self.key("store.json")
    }

    /// A text file for people.
    pub fn view(&self, view: View) -> String {
        self.key(view.name())
    }

    /// Where segments lie.
    pub fn plan(&self) -> String {
        self.key("plan/")
    }

    /// The tasks of a segment.
    pub fn segment_text(&self, segment: u32) -> String {
        self.key(format_args!("plan/{segment:04}.txt"))
    }

    /// The commit of a segment.
    pub fn segment(&self, segment: u32) -> String {
        self.key(format_args!("plan/{segment:04}.json"))
    }

    /// The segment's number and whether it is the commit (`.json`), from a key under [`Keys::plan`].
    pub fn parse_segment(&self, key: &str) -> Option<(u32, bool)> {
        let name = key.strip_prefix(&self.plan())?;
        let (number, ending) = name.split_once('.')?;
        let number = (number.len() >= 4).then(|| number.parse().ok())??;
        match ending {
            "json" => Some((number, true)),
            "txt" => Some((number, false)),
            _ => None,
        }
    }

    /// Where semaphores lie.
    pub fn semaphores(&self) -> String {
        self.key("semaphores/")
    }

    /// The lease object of a chunk.
    pub fn semaphore(&self, chunk: ChunkId, slug: Option<&str>) -> String {
        self.key(format_args!("semaphores/{}.json", with_slug(named(chunk), slug)))
    }

    /// Where results lie.
    pub fn results(&self) -> String {
        self.key("results/")
    }

    /// The record that closes a chunk.
    pub fn result(&self, chunk: ChunkId, slug: Option<&str>) -> String {
        self.key(format_args!("results/{}.json", with_slug(named(chunk), slug)))
    }

    /// The chunk of a key under [`Keys::semaphores`] or [`Keys::results`].
    pub fn parse_chunk(&self, key: &str) -> Option<ChunkId> {
        let name = key.strip_prefix(&self.semaphores()).or_else(|| key.strip_prefix(&self.results()))?;
        name.strip_suffix(".json")?.split('.').next()?.parse().ok()
    }

    /// The key before that of `chunk`, and after those of all chunks before it: where a listing from `chunk` on starts.
    pub fn before_chunk(folder: &str, chunk: ChunkId) -> String {
        format!("{folder}{chunk}")
    }

    /// Where dead letters lie.
    pub fn dead_letters(&self) -> String {
        self.key("failed/")
    }

    /// The record of a task given up.
    pub fn dead_letter(&self, task: TaskId, slug: Option<&str>) -> String {
        self.key(format_args!("failed/{}.json", with_slug(task, slug)))
    }

    /// The task of a key under [`Keys::dead_letters`].
    pub fn parse_dead_letter(&self, key: &str) -> Option<TaskId> {
        key.strip_prefix(&self.dead_letters())?.strip_suffix(".json")?.split('.').next()?.parse().ok()
    }

    /// Where standby seats lie.
    pub fn seats(&self) -> String {
        self.key("standby/")
    }

    /// A standby seat, from 1.
    pub fn seat(&self, seat: u32) -> String {
        self.key(format_args!("standby/{seat:04}.json"))
    }

    /// Where agents' records lie.
    pub fn agents(&self) -> String {
        self.key("agents/")
    }

    /// The record of an agent.
    pub fn agent(&self, agent: &AgentId) -> String {
        self.key(format_args!("agents/{agent}.json"))
    }

    /// The log of an agent.
    pub fn agent_log(&self, agent: &AgentId) -> String {
        self.key(format_args!("logs/agents/{agent}.jsonl"))
    }

    /// The log of one attempt.
    pub fn task_log(&self, task: TaskId, slug: Option<&str>, attempt: Attempt) -> String {
        self.key(format_args!("logs/{}/{attempt}.log", with_slug(task, slug)))
    }

    /// Where scratch objects of store checks lie.
    pub fn scratch(&self, nonce: Nonce) -> String {
        self.key(format_args!("scratch/{nonce}/"))
    }

    /// Where the records of launches lie.
    pub fn launches(&self) -> String {
        self.key("launches/")
    }

    /// The record of one launch.
    pub fn launch(&self, launch: Nonce) -> String {
        self.key(format_args!("launches/{launch}.json"))
    }

    /// The launch of a key under [`Keys::launches`].
    pub fn parse_launch(&self, key: &str) -> Option<Nonce> {
        key.strip_prefix(&self.launches())?.strip_suffix(".json")?.parse().ok()
    }

    /// The serial console's output of an instance that never reported.
    pub fn console(&self, instance: &str) -> String {
        self.key(format_args!("logs/console/{instance}.txt"))
    }

    /// The key of the job's kernel.
    pub fn kernel(&self, name: &str) -> String {
        self.key(name)
    }

    /// A file that came with the job, for its program.
    pub fn shared_file(&self, name: &str) -> String {
        self.key(format_args!("files/{name}"))
    }

    /// Wheels of a Python project; the name says for which requirements, Python and machine.
    pub fn wheels(&self, name: &str) -> String {
        self.key(format_args!("wheels/{name}.tar"))
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> String {
        self.key("checkpoints/")
    }

    /// The task of a checkpoint.
    pub fn parse_checkpoint(&self, key: &str) -> Option<TaskId> {
        key.strip_prefix(&self.checkpoints())?.strip_suffix(".tar")?.split('.').next()?.parse().ok()
    }

    /// An image that was built for the job; the name says from what, and for which kind of machine.
    pub fn image(&self, name: &str) -> String {
        self.key(format_args!("images/{name}.tar"))
    }

    /// Who builds it.
    pub fn build(&self, name: &str) -> String {
        self.key(format_args!("semaphores/build-{name}.json"))
    }

    /// What a stopped attempt at a task left for the next one.
    pub fn checkpoint(&self, task: TaskId, slug: Option<&str>) -> String {
        self.key(format_args!("checkpoints/{}.tar", with_slug(task, slug)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Location {
        "s3://bucket/job".parse().unwrap()
    }

    #[test]
    fn keys_parse_as_they_are_built() {
        let keys = Keys::new(&job());
        let chunk = ChunkId { segment: 1, index: 3 };
        let task = TaskId { segment: 2, line: 9 };
        assert_eq!(keys.semaphore(chunk, Some("in6.dat")), "job/semaphores/0001-0000003.in6.dat.json");
        assert_eq!(keys.parse_chunk(&keys.semaphore(chunk, Some("in6.dat"))), Some(chunk));
        assert_eq!(keys.parse_chunk(&keys.result(chunk, None)), Some(chunk));
        assert_eq!(keys.parse_dead_letter(&keys.dead_letter(task, Some("x"))), Some(task));
        assert_eq!(keys.parse_segment(&keys.segment(12)), Some((12, true)));
        assert_eq!(keys.parse_segment(&keys.segment_text(12)), Some((12, false)));
        assert_eq!(keys.parse_chunk("job/semaphores/readme.txt"), None);
        // A listing from a chunk on begins with that chunk, slug or not, and leaves out the one before it.
        let start = Keys::before_chunk(&keys.semaphores(), chunk);
        assert!(start < keys.semaphore(chunk, None) && start < keys.semaphore(chunk, Some("a")));
        assert!(start > keys.semaphore(ChunkId { segment: 1, index: 2 }, Some("zzz")));
    }

    #[test]
    fn slugs_are_short_and_plain() {
        assert_eq!(slug("in6.dat"), "in6.dat");
        assert_eq!(slug("a b/ü.txt"), "a-b--.txt");
        assert!(slug(&"x".repeat(500)).len() <= 40);
        assert_eq!(slug("../../x"), "x");
    }
}
