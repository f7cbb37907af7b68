//! Every object key of a job, built and parsed. Keys hold ids; a readable slug may follow; names stand in the bodies.

use crate::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use crate::job::{JobSettings, Location};
use crate::planted::Defect;
use crate::records::Summary;
use crate::work::{InputKind, OutputKind, ProcessorSettings};

/// The longest slug in a key: enough to recognise a file, short enough to read in a listing.
const SLUG_MAX: usize = 40;

/// S3's limit on a key, in UTF-8 bytes (S3 user guide, "Naming Amazon S3 objects").
pub const KEY_MAX: usize = 1024;

/// The longest name of a file, in bytes, on the file systems that agents work on (`NAME_MAX` of limits.h(0p) on Linux).
pub const FILE_NAME_MAX: usize = 255;

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

/// Names of a job's own objects, directly under its prefix. Folders end with `/`.
const OWN: [&str; 23] = [
    "job.json",
    "control.json",
    "summary.json",
    "store.json",
    "launches.json",
    "tasklist.txt",
    "completed.txt",
    "failed.txt",
    "plan/",
    "semaphores/",
    "results/",
    "failed/",
    "standby/",
    "agents/",
    "logs/",
    "scratch/",
    "checkpoints/",
    "files/",
    "launches/",
    "wheels/",
    "images/",
    "notified/",
    // A deployment's, where a job lies at its very place.
    "dayfly/",
];

/// Whether `name`, directly under a job's prefix, is one of the job's own objects.
pub fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| if own.ends_with('/') { name.starts_with(own) } else { name == *own })
}

/// The name of the output of the input `name`, below the outputs' location: `out3.dat` for `in3.dat`, else `out/<name>`.
/// Two inputs never share one.
pub fn output_name(name: &str) -> String {
    match name.strip_prefix("in").and_then(|rest| rest.strip_suffix(".dat")) {
        Some(middle) if !middle.contains('/') => format!("out{middle}.dat"),
        _ => format!("out/{name}"),
    }
}

/// The name of the file that a program finds the input `name` in: it goes by the extension.
pub fn input_file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// The name of the file in which a program leaves the output of the input `name`.
pub fn output_file_name(name: &str) -> String {
    input_file_name(&output_name(name)).to_owned()
}

/// Why no file of a program's can be called like the task, in words that fit after "the line … cannot be a task: ".
fn problem_with_files(name: &str, settings: &JobSettings) -> Option<String> {
    if matches!(settings.processor, ProcessorSettings::Xor { .. }) {
        return None;
    }
    let program = &settings.program;
    let input = (program.input == InputKind::Object).then(|| ("input", input_file_name(name).len()));
    let output = (program.output == OutputKind::File).then(|| ("output", output_file_name(name).len()));
    let (what, bytes) =
        [input, output].into_iter().flatten().find(|(_, bytes)| !(1..=FILE_NAME_MAX).contains(bytes))?;
    Some(match bytes {
        0 => format!("it ends with '/', so the file of its {what} would have no name"),
        _ => format!(
            "the last part of its name is too long: the file of its {what} would have a name of {bytes} bytes, and a \
             disk takes {FILE_NAME_MAX}"
        ),
    })
}

/// The name of the manifest that commits the folder of outputs of the task `name`, below the outputs' location.
pub fn manifest_name(name: &str) -> String {
    format!("out/{name}/manifest.json")
}

/// The name of a file of an attempt's folder of outputs, below the outputs' location.
pub fn attempt_file_name(name: &str, attempt: Attempt, path: &str) -> String {
    format!("out/{name}/{attempt}/{path}")
}

/// Whether `name` looks like an output's name: where inputs and outputs share a place, such a name can be no input.
pub fn is_output_name(name: &str) -> bool {
    let flat = name.strip_prefix("out").and_then(|rest| rest.strip_suffix(".dat")).is_some_and(|m| !m.contains('/'));
    flat || name.starts_with("out/")
}

/// Why a line cannot be a task of a job, in words that fit after "the line … cannot be a task: ".
pub fn problem_with(name: &str, settings: &JobSettings, job: &Location) -> Option<String> {
    if name.contains('\u{fffd}') {
        return Some("it is not valid UTF-8".to_owned());
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Some(format!("it holds the control character U+{:04X}", u32::from(c)));
    }
    if name.starts_with('/') {
        return Some("it begins with '/'; names are relative to the inputs' place".to_owned());
    }
    if name.split('/').any(|part| part == ".." || part == ".") {
        return Some("it has a '.' or '..' component".to_owned());
    }
    let (inputs, outputs) = (settings.inputs(job), settings.outputs(job));
    let longest = match settings.program.input {
        InputKind::Object => inputs.key(name).len(),
        InputKind::Line => 0,
    };
    let longest = longest.max(outputs.key(&settings.commit_name(name)).len());
    if longest > KEY_MAX {
        return Some(format!("its key would have {longest} bytes, and S3 allows {KEY_MAX}"));
    }
    if let Some(problem) = problem_with_files(name, settings) {
        return Some(problem);
    }
    // A line that names no object can be called like one.
    if settings.program.input == InputKind::Line {
        return None;
    }
    if inputs == job && is_own(name) {
        return Some("it is the name of one of the job's own objects".to_owned());
    }
    if inputs == job && settings.processor.kernel() == Some(name) {
        return Some("it is the job's kernel".to_owned());
    }
    if inputs == outputs && is_output_name(name) {
        return Some("it is the name of an output; inputs of that name need a place of their own".to_owned());
    }
    None
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
    fn outputs_have_names_of_their_own() {
        assert_eq!(output_name("in3.dat"), "out3.dat");
        assert_eq!(output_name("inner.dat"), "outner.dat");
        assert_eq!(output_name("a/in3.dat"), "out/a/in3.dat");
        assert_eq!(output_name("in/x.dat"), "out/in/x.dat");
        assert_eq!(output_name("photo.jpg"), "out/photo.jpg");
        for name in ["in3.dat", "a b+c%.txt", "in/x.dat", "x"] {
            assert!(is_output_name(&output_name(name)), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_task_says_why() {
        let settings = JobSettings::default();
        for (name, word) in [
            ("../x", "'..'"),
            ("a/../x", "'..'"),
            ("/x", "begins with '/'"),
            ("a\u{7}b", "U+0007"),
            ("tasklist.txt", "own objects"),
            ("plan/0001.txt", "own objects"),
            ("dayfly/deployment.json", "own objects"),
            ("kernel.dat", "kernel"),
            ("out3.dat", "output"),
            ("a\u{fffd}", "UTF-8"),
        ] {
            let why = problem_with(name, &settings, &job()).unwrap_or_default();
            assert!(why.contains(word), "{name}: {why}");
        }
        assert!(problem_with(&"x".repeat(1100), &settings, &job()).unwrap().contains("1024"));
        for name in ["in3.dat", "a b", "ü+%", "a..b", "planet.txt", &"n".repeat(1000)] {
            assert_eq!(problem_with(name, &settings, &job()), None, "{name}");
        }
        let elsewhere = JobSettings { inputs: Some("s3://other/".parse().unwrap()), ..settings };
        assert_eq!(problem_with("tasklist.txt", &elsewhere, &job()), None);
        assert_eq!(problem_with("out3.dat", &elsewhere, &job()), None);
    }

    #[test]
    fn what_no_file_can_be_called_like_is_no_task_of_a_program() {
        let command = ProcessorSettings::Command { argv: vec!["true".to_owned()], shell: false };
        let with = |input, output| {
            let mut settings = JobSettings { processor: command.clone(), ..JobSettings::default() };
            settings.program.input = input;
            settings.program.output = output;
            settings
        };
        let long = format!("a/{}", "ü".repeat(128));
        let longer_out = format!("in{}.dat", "n".repeat(249));
        use {InputKind::*, OutputKind::*};
        for (input, output, name, wanted) in [
            (Object, Stdout, "sub/", "input would have no name"),
            (Object, Folder, &long, "input would have a name of 256 bytes"),
            (Object, Stdout, &longer_out, ""),
            (Object, File, &longer_out, "output would have a name of 256 bytes"),
            (Line, File, "--rate 1/", "output would have no name"),
            (Line, Stdout, "--rate 1/", ""),
            (Line, Folder, &long, ""),
            (Object, File, &long[1..long.len() - 2], "begins with '/'"),
            (Object, File, &long[2..long.len() - 2], ""),
        ] {
            let why = problem_with(name, &with(input, output), &job()).unwrap_or_default();
            assert!(why.contains(wanted) && why.is_empty() == wanted.is_empty(), "{name}: {why}");
        }
        assert_eq!(problem_with("sub/", &JobSettings::default(), &job()), None, "xor makes no files");
    }

    #[test]
    fn slugs_are_short_and_plain() {
        assert_eq!(slug("in6.dat"), "in6.dat");
        assert_eq!(slug("a b/ü.txt"), "a-b--.txt");
        assert!(slug(&"x".repeat(500)).len() <= 40);
        assert_eq!(slug("../../x"), "x");
    }
}
