//! Refreshers of the views against each other, against workers and against a person with an editor, interleaved by a
//! seeded dice, with writes that nobody answers for. What protocol and README promise of the views holds after each step.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_shared::clock::{Now, Timestamp};
use dayfly_shared::ids::{AgentId, ChunkId, Nonce, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys::View;
use dayfly_shared::plan::{Segment, SegmentText, clean_lines, join_lines};
use dayfly_shared::records::{ResultRecord, TaskOutcome, TaskResult};
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Condition, ETag};
use dayfly_shared::views::{Refresh, RefreshAsk, RefreshReply, Survey, ViewRead, ViewsRead};

/// The bucket, as far as refreshers see it.
#[derive(Default)]
struct Bucket {
    views: BTreeMap<View, ViewRead>,
    texts: BTreeMap<u32, SegmentText>,
    segments: BTreeMap<u32, Segment>,
    results: BTreeMap<ChunkId, ResultRecord>,
    dead: BTreeSet<TaskId>,
    outputs: BTreeSet<String>,
    version: u64,
    /// Every line that a person ever put into the list.
    added: BTreeSet<String>,
    /// completed.txt before the last step.
    completed: BTreeSet<String>,
}

impl Bucket {
    fn put_view(&mut self, view: View, text: String, marked: bool) -> ETag {
        self.version += 1;
        // As on S3: equal bodies have equal tags.
        let etag = ETag::new(&format!("{text:?}"));
        let modified = Some(Timestamp::from_unix_ms(self.version));
        self.views.insert(view, ViewRead { etag: etag.clone(), modified, marked, text: text.into_bytes() });
        etag
    }

    fn lines(&self, view: View) -> BTreeSet<String> {
        self.views.get(&view).map(|v| clean_lines(&v.text)).unwrap_or_default().into_iter().collect()
    }

    fn answer(&mut self, refresh: &Refresh, ask: RefreshAsk, dice: &dyn Dice) -> RefreshReply {
        let written = match ask {
            RefreshAsk::ReadViews => return RefreshReply::Views(self.views.clone()),
            RefreshAsk::Survey => return RefreshReply::Surveyed(Box::new(self.survey(refresh))),
            RefreshAsk::CheckOutputs(names) => {
                return RefreshReply::Outputs(names.into_iter().filter(|n| self.outputs.contains(n)).collect());
            }
            _ if dice.below(10) == 0 => return RefreshReply::Unknown,
            RefreshAsk::PutText(number, text) => match self.texts.entry(number) {
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(text);
                    Some(ETag::new("text"))
                }
                std::collections::btree_map::Entry::Occupied(_) => None,
            },
            RefreshAsk::PutSegment(segment) => match self.segments.entry(segment.segment) {
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(*segment);
                    Some(ETag::new("segment"))
                }
                std::collections::btree_map::Entry::Occupied(_) => None,
            },
            RefreshAsk::PutView(view, text, condition) => {
                let standing = self.views.get(&view).map(|v| v.etag.clone());
                let holds = match condition {
                    Condition::Create => standing.is_none(),
                    Condition::Update(etag) => standing == Some(etag),
                    Condition::Overwrite => true,
                };
                holds.then(|| self.put_view(view, text, true))
            }
        };
        match written {
            // Went through, and nobody says so.
            Some(_) if dice.below(10) == 0 => RefreshReply::Unknown,
            Some(etag) => RefreshReply::Applied(etag),
            None => RefreshReply::Rejected,
        }
    }

    fn survey(&self, refresh: &Refresh) -> Survey {
        let ledger = &refresh.ledger;
        let known = ledger.segment_count();
        let new = self.segments.range(known + 1..);
        let last = self.segments.len() as u32;
        Survey {
            segments: new.map(|(n, s)| (s.clone(), self.texts[n].text.lines().map(str::to_owned).collect())).collect(),
            lone_text: self.texts.get(&(last + 1)).cloned(),
            closed: self.results.keys().copied().filter(|c| !ledger.is_closed(*c)).collect(),
            dead_letters: self.dead.iter().copied().filter(|t| !ledger.has_dead_letter(*t)).collect(),
        }
    }

    /// Some open task is done or given up, its chunk closed.
    fn work(&mut self, dice: &dyn Dice) {
        let open: Vec<(ChunkId, String)> = self
            .segments
            .keys()
            .flat_map(|n| self.texts[n].text.lines().zip(1..).map(|(name, line)| (*n, line, name.to_owned())))
            .map(|(segment, index, name)| (ChunkId { segment, index }, name))
            .filter(|(chunk, _)| !self.results.contains_key(chunk))
            .collect();
        if open.is_empty() {
            return;
        }
        let (chunk, name) = open[usize::try_from(dice.below(open.len() as u64)).unwrap()].clone();
        let task = TaskId { segment: chunk.segment, line: chunk.index };
        let outcome = if dice.below(3) == 0 && !self.outputs.contains(&name) {
            self.dead.insert(task);
            TaskOutcome::Failed { error: "no luck".to_owned() }
        } else {
            self.outputs.insert(name.clone());
            TaskOutcome::Done { bytes: 1, checksum: None, attempt: None }
        };
        let tasks = vec![TaskResult { task, name, outcome, attempts: Vec::new() }];
        self.results.insert(chunk, ResultRecord { schema: 1, chunk, tenures: Vec::new(), tasks });
    }

    /// A person adds lines to the list as it stands; some of them names that were there before.
    fn edit(&mut self, dice: &dyn Dice) {
        let mut text = self.views.get(&View::Tasklist).map(|v| v.text.clone()).unwrap_or_default();
        for _ in 0..=dice.below(3) {
            let name = format!("in{}.dat", dice.below(12));
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(if dice.below(2) == 0 { b"\r\n\n" } else { b"\n" });
            self.added.insert(name);
        }
        self.put_view(View::Tasklist, String::from_utf8(text).unwrap(), false);
    }

    /// Every line added is in a view: tasklist ∪ completed ∪ failed ⊇ plan ∪ added.
    fn no_line_is_lost(&self) {
        let all: BTreeSet<String> =
            View::ALL.iter().flat_map(|v| self.lines(*v)).chain(self.outputs.iter().cloned()).collect();
        let planned = self.segments.keys().flat_map(|n| self.texts[n].text.lines().map(str::to_owned));
        let open: BTreeSet<String> = planned.collect();
        for line in &self.added {
            let in_views = View::ALL.iter().any(|v| self.lines(*v).contains(line));
            assert!(in_views, "{line} is in no view; views and outputs: {all:?}; planned: {open:?}");
        }
    }

    fn completed_is_true_and_only_grows(&mut self) {
        let now = self.lines(View::Completed);
        assert!(now.is_subset(&self.outputs), "completed.txt names what has no output: {now:?}");
        assert!(self.completed.is_subset(&now), "completed.txt shrank: {:?} to {now:?}", self.completed);
        self.completed = now;
    }
}

fn refresher(n: u64) -> Refresh {
    Refresh::new(AgentId::of("agent", Nonce(n)), "s3://bucket/job".parse().unwrap(), JobSettings::default())
}

/// Runs one refresh to its end, undisturbed.
fn settle(bucket: &mut Bucket, refresh: &mut Refresh, dice: &dyn Dice) -> bool {
    let mut ask = refresh.begin(false);
    loop {
        let reply = bucket.answer(refresh, ask, dice);
        match refresh.on(reply, Now::default()) {
            Some(next) => ask = next,
            None => return refresh.take_outcome().unwrap().job_over,
        }
    }
}

fn schedule(seed: u64) {
    let dice = StdDice::seeded(seed);
    let mut bucket = Bucket::default();
    bucket.edit(&dice);
    let mut refreshers: Vec<(Refresh, Option<RefreshAsk>)> = (1..=3).map(|n| (refresher(n), None)).collect();
    for step in 0..200 {
        match dice.below(12) {
            0 if step < 150 => bucket.edit(&dice),
            1..=3 => bucket.work(&dice),
            4 => {
                // A refresher dies, and another comes with an empty ledger.
                let n = usize::try_from(dice.below(3)).unwrap();
                refreshers[n] = (refresher(100 + step), None);
            }
            _ => {
                let n = usize::try_from(dice.below(3)).unwrap();
                let (refresh, ask) = &mut refreshers[n];
                let now = ask.take().unwrap_or_else(|| refresh.begin(false));
                let reply = bucket.answer(refresh, now, &dice);
                *ask = refresh.on(reply, Now::default());
            }
        }
        bucket.no_line_is_lost();
        bucket.completed_is_true_and_only_grows();
    }
    // Left to itself, the job comes to its end.
    let mut last = refresher(999);
    let mut rounds = 0;
    loop {
        let over = settle(&mut bucket, &mut last, &dice);
        if over && bucket.segments.len() == bucket.texts.len() {
            break;
        }
        bucket.work(&dice);
        rounds += 1;
        assert!(rounds < 500, "seed {seed} never ends");
    }
    bucket.no_line_is_lost();
    bucket.completed_is_true_and_only_grows();
    assert!(bucket.lines(View::Tasklist).is_empty(), "{:?}", bucket.lines(View::Tasklist));
    let failed = bucket.lines(View::Failed);
    assert!(failed.is_disjoint(&bucket.completed), "an output outranks a dead letter");
    let both: BTreeSet<String> = failed.union(&bucket.completed).cloned().collect();
    assert_eq!(both, bucket.added);
}

#[test]
fn views_lose_nothing_whoever_writes_them() {
    // DAYFLY_SEEDS=2000 for a longer look.
    let seeds = std::env::var("DAYFLY_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| schedule(seed));
        assert!(run.is_ok(), "seed {seed} fails; run schedule({seed}) alone to see it");
    }
}

#[test]
fn a_given_up_task_is_tried_again_only_when_somebody_lists_it_anew() {
    let dice = StdDice::seeded(1);
    let quiet = StdDice::seeded(5);
    let mut bucket = Bucket::default();
    bucket.put_view(View::Tasklist, join_lines(["a", "b"]), false);
    let mut refresh = refresher(1);
    settle(&mut bucket, &mut refresh, &dice);
    let fail = |bucket: &mut Bucket, segment: u32, index: u32, name: &str| {
        let task = TaskId { segment, line: index };
        let chunk = ChunkId { segment, index };
        bucket.dead.insert(task);
        let outcome = TaskOutcome::Failed { error: "no luck".to_owned() };
        let tasks = vec![TaskResult { task, name: name.to_owned(), outcome, attempts: Vec::new() }];
        bucket.results.insert(chunk, ResultRecord { schema: 1, chunk, tenures: Vec::new(), tasks });
    };
    fail(&mut bucket, 1, 1, "a");
    for _ in 0..5 {
        settle(&mut bucket, &mut refresh, &quiet);
    }
    assert_eq!(bucket.segments.len(), 1, "a failure alone makes no new task");
    assert_eq!(bucket.lines(View::Failed), BTreeSet::from(["a".to_owned()]));
    assert_eq!(bucket.lines(View::Tasklist), BTreeSet::from(["b".to_owned()]));
    bucket.put_view(View::Tasklist, join_lines(["a", "b"]), false);
    settle(&mut bucket, &mut refresh, &quiet);
    assert_eq!(bucket.segments.len(), 2);
    assert_eq!(bucket.texts[&2].text, "a\n");
    assert_eq!(bucket.lines(View::Tasklist), BTreeSet::from(["a".to_owned(), "b".to_owned()]), "it is open again");
    fail(&mut bucket, 2, 1, "a");
    settle(&mut bucket, &mut refresh, &quiet);
    settle(&mut bucket, &mut refresher(2), &quiet);
    assert_eq!(bucket.segments.len(), 2);
    assert_eq!(bucket.lines(View::Failed), BTreeSet::from(["a".to_owned()]));
}

/// Given up, listed anew, and then committed by a late attempt of before: another refresher, which saw that, has it in
/// completed.txt, and the new task is open all the same.
#[test]
fn what_is_completed_is_not_listed_as_open() {
    let quiet = StdDice::seeded(5);
    let mut bucket = Bucket::default();
    bucket.put_view(View::Tasklist, join_lines(["a", "b"]), false);
    settle(&mut bucket, &mut refresher(1), &quiet);
    bucket.outputs.insert("a".to_owned());
    bucket.put_view(View::Completed, join_lines(["a"]), true);
    bucket.put_view(View::Tasklist, join_lines(["b"]), true);
    settle(&mut bucket, &mut refresher(2), &quiet);
    assert_eq!(bucket.lines(View::Tasklist), BTreeSet::from(["b".to_owned()]));
    assert_eq!(bucket.lines(View::Completed), BTreeSet::from(["a".to_owned()]));
}

#[test]
fn a_line_put_into_completed_by_hand_stays_only_if_its_output_stands() {
    let dice = StdDice::seeded(3);
    let mut bucket = Bucket::default();
    bucket.outputs.insert("old".to_owned());
    bucket.put_view(View::Completed, join_lines(["old", "never"]), false);
    bucket.put_view(View::Tasklist, join_lines(["old", "new"]), false);
    let mut refresh = refresher(1);
    settle(&mut bucket, &mut refresh, &dice);
    assert_eq!(bucket.lines(View::Completed), BTreeSet::from(["old".to_owned()]));
}

#[test]
fn absent_views_are_made() {
    let dice = StdDice::seeded(4);
    let mut bucket = Bucket::default();
    assert!(settle(&mut bucket, &mut refresher(1), &dice), "a job without lines is over");
    let views: ViewsRead = bucket.views;
    assert_eq!(views.keys().copied().collect::<Vec<_>>(), [View::Tasklist, View::Completed]);
}

#[test]
fn a_text_that_another_commits_keeps_the_version_of_its_author() {
    let quiet = StdDice::seeded(5);
    let mut bucket = Bucket::default();
    bucket.put_view(View::Tasklist, String::new(), false);
    // One reads an empty list, and then stands still.
    let (mut slow, mut fast) = (refresher(1), refresher(2));
    let mut ask = slow.begin(true);
    let reply = bucket.answer(&slow, ask, &quiet);
    ask = slow.on(reply, Now::default()).unwrap();
    // Another plans the line that a person adds meanwhile, up to the text.
    bucket.put_view(View::Tasklist, join_lines(["a"]), false);
    let mut fast_ask = fast.begin(true);
    while bucket.texts.is_empty() {
        let reply = bucket.answer(&fast, fast_ask, &quiet);
        fast_ask = fast.on(reply, Now::default()).unwrap();
    }
    // The slow one finds the lone text, and commits it. The task is given up.
    while bucket.segments.is_empty() {
        let reply = bucket.answer(&slow, ask, &quiet);
        ask = slow.on(reply, Now::default()).unwrap();
    }
    let (chunk, task) = (ChunkId { segment: 1, index: 1 }, TaskId { segment: 1, line: 1 });
    bucket.dead.insert(task);
    let outcome = TaskOutcome::Failed { error: "no luck".to_owned() };
    let tasks = vec![TaskResult { task, name: "a".to_owned(), outcome, attempts: Vec::new() }];
    bucket.results.insert(chunk, ResultRecord { schema: 1, chunk, tenures: Vec::new(), tasks });
    assert!(settle(&mut bucket, &mut refresher(3), &quiet), "nobody listed it anew: the job is over");
    assert_eq!(bucket.texts.len(), 1);
}
