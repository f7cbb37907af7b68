//! One refresh of the views, as a state machine without I/O.
//!
//! Views are read **before** anything is listed, written under the version read, and nothing leaves `tasklist.txt` before
//! it stands in another view: so a slower refresher never undoes a faster one, and no line a person added is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{Now, Timestamp};
use crate::ids::{AgentId, ChunkId, TaskId};
use crate::job::{JobSettings, Location};
use crate::keys::{View, problem_with};
use crate::plan::{Frozen, Segment, SegmentText, Source, clean_lines, join_lines};
use crate::planted::Defect;
use crate::store::{Condition, ETag};

use super::{Fate, Ledger};

/// A view as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ViewRead {
    /// Its version.
    pub etag: ETag,
    /// Its `LastModified`.
    pub modified: Option<Timestamp>,
    /// Whether it bears the mark of a view that dayfly wrote.
    pub marked: bool,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// The views as they were read; absent ones are missing.
pub type ViewsRead = BTreeMap<View, ViewRead>;

/// Up to so many given-up tasks each refresh looks whether an output came after all: $0.00004 in heads.
const LATE_LOOKS: usize = 100;

/// What a look at plan, results and dead letters found that the ledger did not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survey {
    /// New segments in order, each with the names of its tasks.
    pub segments: Vec<(Segment, Vec<String>)>,
    /// A segment's text without a commit, the one after the last segment.
    pub lone_text: Option<SegmentText>,
    /// Chunks with a new result, listed before the dead letters.
    pub closed: Vec<ChunkId>,
    /// New dead letters.
    pub dead_letters: Vec<TaskId>,
}

/// A request of a refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefreshAsk {
    /// Read the three views.
    ReadViews,
    /// List plan, results and dead letters; fetch what [`Refresh::ledger`] does not know.
    Survey,
    /// Which of these names have an output?
    CheckOutputs(Vec<String>),
    /// Put a segment's text, if there is none.
    PutText(u32, SegmentText),
    /// Put a segment's commit, if there is none.
    PutSegment(Box<Segment>),
    /// Put a view, marked.
    PutView(View, String, Condition),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefreshReply {
    /// To [`RefreshAsk::ReadViews`].
    Views(ViewsRead),
    /// To [`RefreshAsk::Survey`].
    Surveyed(Box<Survey>),
    /// To [`RefreshAsk::CheckOutputs`]: those that have one.
    Outputs(BTreeSet<String>),
    /// A write went through.
    Applied(ETag),
    /// A write did not go through, for whatever reason: look again.
    Rejected,
    /// Nobody answered: look again, after a moment.
    Unknown,
}

/// What a refresh came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefreshOver {
    /// Whether every chunk of every segment was closed, and no line of `tasklist.txt` was unknown: the job is over.
    pub job_over: bool,
    /// How many names are planned.
    pub tasks: u64,
    /// Bytes of the three views.
    pub view_bytes: u64,
    /// Lines of `tasklist.txt` that named a committed task and were taken out.
    pub trimmed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    Reading,
    Surveying,
    /// Only as a planted defect.
    SurveyingEarly,
    Checking,
    PuttingText(SegmentText),
    PuttingSegment,
    PuttingView(View),
}

/// The version of `tasklist.txt` that was read.
fn source(read: &ViewsRead) -> Option<Source> {
    let read = read.get(&View::Tasklist)?;
    Some(Source { etag: read.etag.as_str().to_owned(), modified: read.modified })
}

fn lines(read: &ViewsRead, view: View) -> Vec<String> {
    read.get(&view).map(|read| clean_lines(&read.text)).unwrap_or_default()
}

/// Lines of `completed.txt` that dayfly has checked before.
fn marked_completed(read: &ViewsRead) -> BTreeSet<String> {
    match read.get(&View::Completed) {
        Some(read) if read.marked => clean_lines(&read.text).into_iter().collect(),
        _ => BTreeSet::new(),
    }
}

/// The lines of `tasklist.txt` that are tasks and that no segment knows. A line that names a given-up task is a new
/// task if somebody put it there: that is, if the version read is neither dayfly's own nor one taken up already.
pub fn unknown_lines(ledger: &Ledger, read: &ViewsRead) -> Vec<String> {
    let Some(tasklist) = read.get(&View::Tasklist) else { return Vec::new() };
    let by_hand = !tasklist.marked && !source(read).is_some_and(|s| ledger.took_up(&s));
    let completed = marked_completed(read);
    lines(read, View::Tasklist)
        .into_iter()
        .filter(|line| match ledger.fate(line) {
            None => !completed.contains(line.as_str()),
            Some(Fate::Failed) => by_hand,
            Some(Fate::Open | Fate::Done) => false,
        })
        .collect()
}

/// A refresher and what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refresh {
    me: AgentId,
    job: Location,
    settings: JobSettings,
    /// What it knows of the job.
    pub ledger: Ledger,
    step: Step,
    read: ViewsRead,
    /// Lines of unmarked views and failed tasks that turned out to have an output.
    confirmed: BTreeSet<String>,
    checked: bool,
    /// Only plan, and write no view: at an agent's start.
    plan_only: bool,
    outcome: Option<RefreshOver>,
    trimmed: Vec<String>,
}

impl Refresh {
    /// A refresher for the agent `me` of the job at `job` with these settings, which it freezes if it makes the first
    /// segment.
    pub fn new(me: AgentId, job: Location, settings: JobSettings) -> Self {
        Self {
            me,
            job,
            settings,
            ledger: Ledger::default(),
            step: Step::Idle,
            read: ViewsRead::new(),
            confirmed: BTreeSet::new(),
            checked: false,
            plan_only: false,
            outcome: None,
            trimmed: Vec::new(),
        }
    }

    /// Begins a refresh; with `plan_only` it stops when every line of `tasklist.txt` is planned.
    pub fn begin(&mut self, plan_only: bool) -> RefreshAsk {
        self.plan_only = plan_only;
        self.trimmed.clear();
        self.again()
    }

    /// What the refresh came to, once [`Refresh::on`] answers `None`.
    pub fn take_outcome(&mut self) -> Option<RefreshOver> {
        self.outcome.take()
    }

    fn again(&mut self) -> RefreshAsk {
        self.outcome = None;
        self.checked = false;
        if Defect::ListBeforeRead.is_planted() {
            self.step = Step::SurveyingEarly;
            return RefreshAsk::Survey;
        }
        self.step = Step::Reading;
        RefreshAsk::ReadViews
    }

    /// Takes in an answer; the next request, or `None` when the refresh is over.
    pub fn on(&mut self, reply: RefreshReply, now: Now) -> Option<RefreshAsk> {
        match (std::mem::replace(&mut self.step, Step::Idle), reply) {
            (Step::Reading, RefreshReply::Views(read)) => {
                self.read = read;
                if Defect::ListBeforeRead.is_planted() {
                    return self.on_survey(Survey::default(), now);
                }
                Some(self.survey())
            }
            (Step::SurveyingEarly, RefreshReply::Surveyed(survey)) => {
                self.ledger.take_in(*survey);
                self.step = Step::Reading;
                Some(RefreshAsk::ReadViews)
            }
            (Step::Surveying, RefreshReply::Surveyed(survey)) => self.on_survey(*survey, now),
            (Step::Checking, RefreshReply::Outputs(found)) => {
                for name in &found {
                    self.ledger.note_done(name);
                }
                self.confirmed = found;
                self.checked = true;
                self.put_next_view(None)
            }
            (Step::PuttingText(text), RefreshReply::Applied(_)) => Some(self.put_segment(&text, now)),
            // Somebody else's text, or perhaps one's own: the survey shows it, alone or committed.
            (Step::PuttingText(_), RefreshReply::Rejected | RefreshReply::Unknown) => Some(self.survey()),
            // Committed, by whomever.
            (Step::PuttingSegment, _) => Some(self.survey()),
            (Step::PuttingView(view), RefreshReply::Applied(etag)) => {
                if let Some(read) = self.read.get_mut(&view) {
                    read.etag = etag;
                }
                self.put_next_view(Some(view))
            }
            (_, _) => Some(self.again()),
        }
    }

    fn survey(&mut self) -> RefreshAsk {
        self.step = Step::Surveying;
        RefreshAsk::Survey
    }

    fn on_survey(&mut self, survey: Survey, now: Now) -> Option<RefreshAsk> {
        if let Some(text) = self.ledger.take_in(survey) {
            return Some(self.put_segment(&text, now));
        }
        let unknown = self.unknown_lines();
        if !unknown.is_empty() {
            let text = SegmentText { text: join_lines(&unknown), source: self.source() };
            self.step = Step::PuttingText(text.clone());
            return Some(RefreshAsk::PutText(self.ledger.segment_count() + 1, text));
        }
        if self.plan_only {
            return self.finish();
        }
        let doubtful = self.doubtful_names();
        if doubtful.is_empty() {
            self.confirmed.clear();
            self.checked = true;
            return self.put_next_view(None);
        }
        self.step = Step::Checking;
        Some(RefreshAsk::CheckOutputs(doubtful))
    }

    /// Commits a text as it is stored. It was cut from the version of the list that its author read: were the version read
    /// here noted in its place, a later refresh would take the author's for a new wish, and plan what was given up again.
    fn put_segment(&mut self, text: &SegmentText, now: Now) -> RefreshAsk {
        let number = self.ledger.segment_count() + 1;
        let settings = (number == 1).then(|| self.settings.clone());
        let agents = self.ledger.settings().unwrap_or(&self.settings).agents;
        let source = text.source.clone().or_else(|| self.source());
        let frozen = Frozen { settings, source, by: self.me.clone(), at: now.wall };
        self.step = Step::PuttingSegment;
        RefreshAsk::PutSegment(Box::new(Segment::cut(number, &text.text, agents, frozen)))
    }

    fn source(&self) -> Option<Source> {
        source(&self.read)
    }

    fn lines(&self, view: View) -> Vec<String> {
        lines(&self.read, view)
    }

    fn unknown_lines(&self) -> Vec<String> {
        unknown_lines(&self.ledger, &self.read)
    }

    fn marked_completed(&self) -> BTreeSet<String> {
        marked_completed(&self.read)
    }

    /// Names whose output has to be looked for: lines that a person put into `completed.txt`, and tasks given up (an
    /// output outranks a dead letter, and may come late).
    fn doubtful_names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        if self.read.get(&View::Completed).is_some_and(|read| !read.marked) {
            names.extend(self.lines(View::Completed).into_iter().filter(|n| self.ledger.fate(n) != Some(Fate::Done)));
        }
        // A late output is rare; many given-up tasks are looked at only once nothing can change any more.
        let failed = self.ledger.names(Fate::Failed);
        if failed.len() <= LATE_LOOKS || self.ledger.all_closed() {
            names.extend(failed.iter().map(|n| n.to_string()));
        }
        // What cannot be a task has no output, and stores refuse some of these keys.
        names.into_iter().filter(|n| problem_with(n, &self.settings, &self.job).is_none()).collect()
    }

    /// What the view should say now.
    fn wanted(&self, view: View) -> Vec<String> {
        let extend = |mut lines: Vec<String>, more: Vec<std::sync::Arc<str>>| {
            let have: BTreeSet<String> = lines.iter().cloned().collect();
            lines.extend(more.iter().filter(|n| !have.contains(&***n)).map(|n| n.to_string()));
            lines
        };
        match view {
            View::Completed => {
                let checked = self.marked_completed();
                let mut lines = self.lines(View::Completed);
                lines.retain(|n| {
                    self.ledger.fate(n) == Some(Fate::Done) || checked.contains(n) || self.confirmed.contains(n)
                });
                extend(lines, self.ledger.names(Fate::Done))
            }
            View::Failed => {
                // A task that is tried again keeps its line until its output stands. Tags are hashes of bodies on S3, so
                // a slow refresher may yet trim the list of a line that was put back meanwhile; were it gone from here
                // too, it would stand nowhere until the next refresh.
                let mut lines = self.lines(View::Failed);
                lines.retain(|n| matches!(self.ledger.fate(n), Some(Fate::Failed | Fate::Open)));
                extend(lines, self.ledger.names(Fate::Failed))
            }
            View::Tasklist => {
                let completed: BTreeSet<String> = self.wanted(View::Completed).into_iter().collect();
                let mut lines = self.lines(View::Tasklist);
                lines.retain(|n| !completed.contains(n) && self.ledger.fate(n) != Some(Fate::Failed));
                // One that was given up, listed anew and then committed by a late attempt is done, and open all the same.
                let open = self.ledger.names(Fate::Open).into_iter().filter(|n| !completed.contains(&**n)).collect();
                extend(lines, open)
            }
        }
    }

    fn put_next_view(&mut self, after: Option<View>) -> Option<RefreshAsk> {
        let mut order = View::ALL;
        if Defect::TrimBeforeCompleted.is_planted() {
            order.reverse();
        }
        let done = after.map_or(0, |v| 1 + order.iter().position(|w| *w == v).unwrap_or(0));
        for view in order.into_iter().skip(done) {
            let text = join_lines(self.wanted(view));
            let condition = match self.read.get(&view) {
                Some(read) if read.marked && read.text == text.as_bytes() => continue,
                Some(read) => Condition::Update(read.etag.clone()),
                None if text.is_empty() && view == View::Failed => continue,
                None => Condition::Create,
            };
            if view == View::Tasklist {
                self.note_trimmed();
            }
            self.step = Step::PuttingView(view);
            return Some(RefreshAsk::PutView(view, text, condition));
        }
        self.finish()
    }

    /// Lines that a person put into the list although their output stood.
    fn note_trimmed(&mut self) {
        let by_hand = self.read.get(&View::Tasklist).is_some_and(|read| !read.marked)
            && !self.source().is_some_and(|s| self.ledger.took_up(&s));
        if by_hand {
            let completed: BTreeSet<String> = self.wanted(View::Completed).into_iter().collect();
            self.trimmed = self.lines(View::Tasklist).into_iter().filter(|n| completed.contains(n)).collect();
        }
    }

    fn finish(&mut self) -> Option<RefreshAsk> {
        self.outcome = Some(RefreshOver {
            job_over: self.ledger.all_closed(),
            tasks: self.ledger.name_count(),
            view_bytes: self.read.values().map(|r| r.text.len() as u64).sum(),
            trimmed: std::mem::take(&mut self.trimmed),
        });
        None
    }
}
