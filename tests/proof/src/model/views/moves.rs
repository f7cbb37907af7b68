//! What can happen next to plan and views, and what comes of it.

use std::collections::BTreeMap;

use dayfly_shared::ids::{ChunkId, TaskId};
use dayfly_shared::keys::View;
use dayfly_shared::store::{Condition, ETag};
use dayfly_shared::views::{Ledger, RefreshAsk, RefreshReply, Survey, ViewRead};

use super::desk::{At, Desk, Reader, Sheet};
use super::{READERS, Views};

/// One step. Refreshers go by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A refresher that rests begins a refresh.
    Begin(u8),
    /// It reads one of the views.
    Read(u8, View),
    /// It gets its next listing: plan, results or dead letters.
    List(u8),
    /// Its request is carried out and answered.
    Answer(u8),
    /// Its write is carried out, and the answer gets lost.
    LoseAnswer(u8),
    /// Its write gets lost.
    Lose(u8),
    /// Its write goes unanswered and may be applied later.
    GiveUp(u8),
    /// Its write gets a 409.
    Conflict(u8),
    /// It vanishes; another comes.
    Crash(u8),
    /// A write that went unanswered is applied.
    Ghost(u8),
    /// The output of a task is committed.
    Output(TaskId),
    /// A task is given up.
    Letter(TaskId),
    /// A chunk whose task is decided is closed.
    Result(ChunkId),
    /// A person adds the next line.
    Add,
}

impl Views {
    pub(super) fn steps(&self, desk: &Desk, steps: &mut Vec<Step>) {
        let left = desk.left;
        for (n, reader) in (0..).zip(&desk.readers) {
            match &reader.at {
                At::Rest => steps.push(Step::Begin(n)),
                At::Reading(read) => {
                    let unread = View::ALL.iter().filter(|view| !read.contains_key(view));
                    steps.extend(unread.map(|view| Step::Read(n, *view)));
                }
                At::Surveying(..) => steps.push(Step::List(n)),
                At::Sent(RefreshAsk::CheckOutputs(_)) => steps.push(Step::Answer(n)),
                At::Sent(_) => {
                    steps.push(Step::Answer(n));
                    if left.lost > 0 {
                        steps.extend([Step::LoseAnswer(n), Step::Lose(n)]);
                    }
                    if left.late > 0 {
                        steps.push(Step::GiveUp(n));
                    }
                    if left.conflicts > 0 {
                        steps.push(Step::Conflict(n));
                    }
                }
            }
            if left.crashes > 0 {
                steps.push(Step::Crash(n));
            }
        }
        steps.extend((0..).zip(desk.ghosts.iter()).map(|(n, _)| Step::Ghost(n)));
        for (chunk, task, name) in desk.sheet.planned() {
            let sheet = &desk.sheet;
            let (letter, output) = (sheet.letters.contains(&task), sheet.outputs.contains(name));
            if !output && (!letter || left.late_outputs > 0) {
                steps.push(Step::Output(task));
            }
            if sheet.results.contains(&chunk) {
                continue;
            }
            if !output && !letter && left.letters > 0 {
                steps.push(Step::Letter(task));
            }
            if output || letter {
                steps.push(Step::Result(chunk));
            }
        }
        if usize::from(desk.additions) < self.setup().additions.len() {
            steps.push(Step::Add);
        }
    }

    pub(super) fn take(&self, desk: &Desk, step: Step) -> Option<Desk> {
        let mut after = desk.clone();
        match step {
            Step::Begin(n) => self.with(&mut after, n, |reader, _| {
                let ask = reader.machine.begin(false);
                reader.at = At::asking(ask);
            }),
            Step::Read(n, view) => {
                let sheet = desk.sheet.clone();
                self.with(&mut after, n, |reader, views| {
                    let At::Reading(read) = &mut reader.at else { return };
                    read.insert(view, sheet.views.get(&view).cloned());
                    if read.len() == View::ALL.len() {
                        let read: BTreeMap<View, ViewRead> =
                            std::mem::take(read).into_iter().filter_map(|(v, r)| Some((v, r?))).collect();
                        views.tell(reader, RefreshReply::Views(read));
                    }
                });
            }
            Step::List(n) => {
                let sheet = desk.sheet.clone();
                self.with(&mut after, n, |reader, views| {
                    let At::Surveying(done, survey) = &mut reader.at else { return };
                    list(&sheet, &reader.machine.ledger, *done, survey);
                    *done += 1;
                    if *done == 3 {
                        let survey = std::mem::take(survey);
                        views.tell(reader, RefreshReply::Surveyed(survey));
                    }
                });
            }
            Step::Answer(n) => {
                let reply = self.carry_out(&mut after, &sent(desk, n)?);
                self.hear(&mut after, n, reply);
            }
            Step::LoseAnswer(n) => {
                after.left.lost -= 1;
                self.carry_out(&mut after, &sent(desk, n)?);
                self.hear(&mut after, n, RefreshReply::Unknown);
            }
            Step::Lose(n) => {
                after.left.lost -= 1;
                self.hear(&mut after, n, RefreshReply::Unknown);
            }
            Step::GiveUp(n) => {
                after.left.late -= 1;
                self.haunt(&mut after, sent(desk, n)?);
                self.hear(&mut after, n, RefreshReply::Unknown);
            }
            Step::Conflict(n) => {
                after.left.conflicts -= 1;
                self.hear(&mut after, n, RefreshReply::Rejected);
            }
            Step::Crash(n) => {
                after.left.crashes -= 1;
                if let Some(ask) = sent(desk, n).filter(|ask| !matches!(ask, RefreshAsk::CheckOutputs(_))) {
                    self.haunt(&mut after, ask);
                }
                let life = desk.readers[usize::from(n)].life + 1;
                after.readers[usize::from(n)] = self.readers.keep(self.fresh(n, life));
            }
            Step::Ghost(n) => {
                let mut ghosts = (*desk.ghosts).clone();
                let ask = ghosts.remove(usize::from(n));
                after.ghosts = self.ghosts.keep(ghosts);
                self.carry_out(&mut after, &ask);
            }
            Step::Output(task) => {
                after.left.late_outputs -= u8::from(desk.sheet.letters.contains(&task));
                self.note(
                    &mut after,
                    |sheet, name| {
                        sheet.outputs.insert(name);
                    },
                    task,
                );
            }
            Step::Letter(task) => {
                after.left.letters -= 1;
                self.note(
                    &mut after,
                    |sheet, _| {
                        sheet.letters.insert(task);
                    },
                    task,
                );
            }
            Step::Result(chunk) => {
                let mut sheet = (*desk.sheet).clone();
                sheet.results.insert(chunk);
                after.sheet = self.sheets.keep(sheet);
            }
            Step::Add => {
                let line = *self.setup().additions.get(usize::from(desk.additions))?;
                after.additions += 1;
                let mut sheet = (*desk.sheet).clone();
                let mut text = sheet.views.get(&View::Tasklist).map(|v| v.text.clone()).unwrap_or_default();
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
                sheet.added.insert(line.to_owned());
                sheet.edits += 1;
                sheet.put_view(View::Tasklist, String::from_utf8(text).ok()?, false);
                after.sheet = self.sheets.keep(sheet);
            }
        }
        Some(after)
    }

    fn with(&self, desk: &mut Desk, n: u8, change: impl FnOnce(&mut Reader, &Self)) {
        let mut reader = (*desk.readers[usize::from(n)]).clone();
        change(&mut reader, self);
        desk.readers[usize::from(n)] = self.readers.keep(reader);
    }

    fn tell(&self, reader: &mut Reader, reply: RefreshReply) {
        reader.at = match reader.machine.on(reply, self.now()) {
            Some(ask) => At::asking(ask),
            None => {
                reader.machine.take_outcome();
                At::Rest
            }
        };
    }

    fn hear(&self, desk: &mut Desk, n: u8, reply: RefreshReply) {
        self.with(desk, n, |reader, views| views.tell(reader, reply));
    }

    fn note(&self, desk: &mut Desk, change: impl FnOnce(&mut Sheet, String), task: TaskId) {
        let mut sheet = (*desk.sheet).clone();
        let name = sheet.planned().find(|(_, id, _)| *id == task).map(|(_, _, name)| name.to_owned());
        change(&mut sheet, name.unwrap_or_default());
        desk.sheet = self.sheets.keep(sheet);
    }

    fn haunt(&self, desk: &mut Desk, ask: RefreshAsk) {
        let mut ghosts = (*desk.ghosts).clone();
        ghosts.push(ask);
        ghosts.sort_by_cached_key(super::super::pooled::fingerprint);
        desk.ghosts = self.ghosts.keep(ghosts);
    }

    /// Carries a request out.
    fn carry_out(&self, desk: &mut Desk, ask: &RefreshAsk) -> RefreshReply {
        let mut sheet = (*desk.sheet).clone();
        let before = sheet.lines(View::Completed);
        let reply = carry_out(&mut sheet, ask);
        desk.shrank |= !before.is_subset(&sheet.lines(View::Completed));
        desk.sheet = self.sheets.keep(sheet);
        reply
    }
}

fn sent(desk: &Desk, n: u8) -> Option<RefreshAsk> {
    match &desk.readers[usize::from(n) % READERS].at {
        At::Sent(ask) => Some(ask.clone()),
        _ => None,
    }
}

fn created<T>(place: std::collections::btree_map::Entry<'_, u32, T>, value: T) -> RefreshReply {
    match place {
        std::collections::btree_map::Entry::Occupied(_) => RefreshReply::Rejected,
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(value);
            RefreshReply::Applied(ETag::new("new"))
        }
    }
}

fn carry_out(sheet: &mut Sheet, ask: &RefreshAsk) -> RefreshReply {
    match ask {
        RefreshAsk::ReadViews | RefreshAsk::Survey => RefreshReply::Unknown,
        RefreshAsk::CheckOutputs(names) => {
            RefreshReply::Outputs(names.iter().filter(|n| sheet.outputs.contains(*n)).cloned().collect())
        }
        RefreshAsk::PutText(number, text) => created(sheet.texts.entry(*number), text.clone()),
        RefreshAsk::PutSegment(segment) => created(sheet.segments.entry(segment.segment), (**segment).clone()),
        RefreshAsk::PutView(view, text, condition) => {
            let standing = sheet.views.get(view).map(|v| &v.etag);
            let holds = match condition {
                Condition::Create => standing.is_none(),
                Condition::Update(etag) => standing == Some(etag),
                Condition::Overwrite => true,
            };
            match holds {
                true => RefreshReply::Applied(sheet.put_view(*view, text.clone(), true)),
                false => RefreshReply::Rejected,
            }
        }
    }
}

/// What the next listing of a survey shows: the plan with its texts, then the results, then the dead letters.
fn list(sheet: &Sheet, ledger: &Ledger, done: u8, survey: &mut Survey) {
    match done {
        0 => {
            let new = sheet.segments.range(ledger.segment_count() + 1..);
            let names = |n: &u32| sheet.texts.get(n).map_or("", |text| &text.text).lines().map(str::to_owned).collect();
            survey.segments = new.map(|(n, segment)| (segment.clone(), names(n))).collect();
            let last = sheet.segments.keys().copied().max().unwrap_or(0);
            survey.lone_text = sheet.texts.get(&(last + 1)).cloned();
        }
        1 => survey.closed = sheet.results.iter().copied().filter(|c| !ledger.is_closed(*c)).collect(),
        _ => survey.dead_letters = sheet.letters.iter().copied().filter(|t| !ledger.has_dead_letter(*t)).collect(),
    }
}

/// The step in words.
pub fn describe(before: &Desk, step: &Step) -> String {
    let what = |n: u8| match &before.readers[usize::from(n)].at {
        At::Sent(RefreshAsk::PutView(view, text, _)) => format!("{view:?} as {text:?}"),
        At::Sent(RefreshAsk::PutText(n, text)) => format!("the text of segment {n} as {:?}", text.text),
        At::Sent(RefreshAsk::PutSegment(segment)) => format!("the commit of segment {}", segment.segment),
        At::Sent(RefreshAsk::CheckOutputs(names)) => format!("a look for outputs of {names:?}"),
        At::Surveying(0, _) => "the plan".to_owned(),
        At::Surveying(1, _) => "the results".to_owned(),
        At::Surveying(..) => "the dead letters".to_owned(),
        _ => "nothing".to_owned(),
    };
    match step {
        Step::Begin(n) => format!("refresher {n} begins"),
        Step::Read(n, view) => format!("refresher {n} reads {view:?}"),
        Step::List(n) => format!("refresher {n} lists {}", what(*n)),
        Step::Answer(n) => format!("refresher {n}: {} is put and answered, or refused", what(*n)),
        Step::LoseAnswer(n) => format!("refresher {n}: {} is put, the answer lost", what(*n)),
        Step::Lose(n) => format!("refresher {n}: {} is lost", what(*n)),
        Step::GiveUp(n) => format!("refresher {n}: {} goes unanswered; it may yet be applied", what(*n)),
        Step::Conflict(n) => format!("refresher {n}: {} gets a 409", what(*n)),
        Step::Crash(n) => format!("refresher {n} vanishes; another comes"),
        Step::Ghost(n) => format!("late: {:?}", before.ghosts[usize::from(*n)]),
        Step::Output(task) => format!("the output of {task} is committed"),
        Step::Letter(task) => format!("{task} is given up"),
        Step::Result(chunk) => format!("{chunk} is closed"),
        Step::Add => "a person adds a line".to_owned(),
    }
}
