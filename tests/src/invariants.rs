//! The guarantees of the protocol (shared/README.md) as functions: each panics with a text that says what is broken.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_shared::bucket::META_ATTEMPT;
use dayfly_shared::ids::{Attempt, ChunkId};
use dayfly_shared::job::Location;
use dayfly_shared::keys::{View, output_name};
use dayfly_shared::plan::{Segment, clean_lines};
use dayfly_shared::records::{ResultRecord, TaskOutcome, TaskResult, TenureEnd};
use dayfly_shared::store::StoreExt;
use futures::{StreamExt, stream};

use crate::content;
use crate::job::Job;
use crate::watcher::{Evidence, Version};

/// Objects looked at together.
const AT_ONCE: usize = 8;

/// Guarantee 1: a committed output is never replaced or removed.
///
/// # Panics
/// If one was.
pub fn no_output_is_replaced(before: &BTreeMap<String, Version>, now: &BTreeMap<String, Version>) {
    for (key, version) in before {
        match now.get(key) {
            None => panic!("guarantee 1: the output {key} was there, and is gone"),
            Some(found) => assert_eq!(found, version, "guarantee 1: the output {key} was replaced"),
        }
    }
}

/// Guarantee 2: tasklist.txt, completed.txt and failed.txt together hold every planned and every added line.
///
/// # Panics
/// If one is missing.
pub fn no_line_is_lost(
    wanted: &BTreeSet<String>,
    tasklist: &BTreeSet<String>,
    completed: &BTreeSet<String>,
    failed: &BTreeSet<String>,
) {
    let lost: Vec<&String> =
        wanted.iter().filter(|n| !tasklist.contains(*n) && !completed.contains(*n) && !failed.contains(*n)).collect();
    assert!(lost.is_empty(), "guarantee 2: lines in none of the views: {lost:?}");
}

/// Guarantee 3, first half: completed.txt names committed outputs only.
///
/// # Panics
/// If it names another.
pub fn completed_is_committed(outputs: &Location, completed: &BTreeSet<String>, there: &BTreeMap<String, Version>) {
    for name in completed {
        let key = outputs.key(&output_name(name));
        assert!(there.contains_key(&key), "guarantee 3: completed.txt has {name}, and there is no {key}");
    }
}

/// Guarantee 3, second half: completed.txt only grows.
///
/// # Panics
/// If it lost a line.
pub fn completed_only_grows(before: &BTreeSet<String>, now: &BTreeSet<String>) {
    let lost: Vec<&String> = before.difference(now).collect();
    assert!(lost.is_empty(), "guarantee 3: completed.txt lost {lost:?}");
}

/// Guarantee 4: a semaphore is deleted only after its result stands; and epochs only grow.
///
/// # Panics
/// If one went before, or an epoch fell.
pub fn semaphores_go_after_results(
    before: &BTreeMap<ChunkId, u32>,
    now: &BTreeMap<ChunkId, u32>,
    closed: &BTreeSet<ChunkId>,
) {
    for (chunk, epoch) in before {
        match now.get(chunk) {
            _ if closed.contains(chunk) => {}
            None => panic!("guarantee 4: the semaphore of {chunk} went without a result"),
            Some(later) => assert!(later >= epoch, "the epoch of {chunk} fell from {epoch} to {later}"),
        }
    }
}

/// Guarantee 5, and the end as it must be: every task is done or given up, every chunk is closed, the results tell the
/// whole story, the views and the summary agree with them, and nothing is left over.
///
/// # Panics
/// If anything is not so.
pub async fn finished(job: &Job<'_>, given_up: &[&str], evidence: &Evidence) {
    let plan = plan(job).await;
    let results = job.bucket.results().await.expect("the results");
    every_chunk_is_closed(&plan, &results);
    results_tell_the_whole_story(&results, evidence);
    let names: BTreeSet<String> = plan.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
    let given_up: BTreeSet<String> = given_up.iter().map(|name| (*name).to_owned()).collect();
    let done: BTreeSet<String> = names.difference(&given_up).cloned().collect();
    let all_done = done.union(&job.done_before).cloned().collect();
    outputs_are_right(job, &all_done).await;
    results_describe_the_outputs(job, &results, &done).await;
    views_agree(job, &all_done, &given_up).await;
    summary_agrees(job, &plan, &results, &done, &given_up).await;
    nothing_is_left_over(job).await;
}

/// The plan: each segment with its names.
async fn plan(job: &Job<'_>) -> Vec<(Segment, Vec<String>)> {
    let mut plan = Vec::new();
    for segment in job.bucket.segments_after(0).await.expect("the plan") {
        let text = job.bucket.segment_text(&segment, None).await.expect("a segment's text");
        let names: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        assert_eq!(names, clean_lines(&text), "a segment's text is clean");
        plan.push((segment, names));
    }
    plan
}

/// Every chunk of every segment has one result, with all its tasks in order.
fn every_chunk_is_closed(plan: &[(Segment, Vec<String>)], results: &[ResultRecord]) {
    let mut open: BTreeMap<ChunkId, Vec<String>> = BTreeMap::new();
    for (segment, names) in plan {
        let mut rest = names.as_slice();
        for (index, span) in (1..).zip(&segment.chunks) {
            let (chunk, tail) = rest.split_at(span.tasks as usize);
            open.insert(ChunkId { segment: segment.segment, index }, chunk.to_vec());
            rest = tail;
        }
    }
    for result in results {
        let names: Vec<String> = result.tasks.iter().map(|task| task.name.clone()).collect();
        let planned = open.remove(&result.chunk);
        assert_eq!(planned.as_ref(), Some(&names), "the result of {} has the chunk's tasks", result.chunk);
    }
    assert!(open.is_empty(), "guarantee 5: chunks without a result: {:?}", open.keys().collect::<Vec<_>>());
}

/// Every tenure and every attempt that was ever seen is in the results; epochs count from 1 without a gap, and only the
/// last tenure closed the chunk.
fn results_tell_the_whole_story(results: &[ResultRecord], evidence: &Evidence) {
    let mut attempts_ever: BTreeSet<Attempt> = BTreeSet::new();
    for result in results {
        let chunk = result.chunk;
        let epochs: Vec<u32> = result.tenures.iter().map(|tenure| tenure.epoch).collect();
        let count = u32::try_from(epochs.len()).expect("a small number");
        assert_eq!(epochs, (1..=count).collect::<Vec<_>>(), "the tenures of {chunk} count from 1: {result:?}");
        for tenure in &result.tenures {
            let last = tenure.epoch == count;
            assert_eq!(tenure.end == TenureEnd::Closed, last, "the last tenure of {chunk} closed it: {result:?}");
            if let Some(seen) = evidence.tenures.get(&(chunk, tenure.epoch)) {
                assert_eq!(*seen, tenure.tenure, "tenure {} of {chunk} was another's", tenure.epoch);
            }
        }
        for task in &result.tasks {
            let mut told: BTreeSet<Attempt> = BTreeSet::new();
            for attempt in &task.attempts {
                assert_eq!(attempt.task, task.task, "an attempt stands with its task: {result:?}");
                assert!(told.insert(attempt.attempt), "attempt {} of {} is told twice", attempt.attempt, task.name);
                assert!(attempts_ever.insert(attempt.attempt), "attempt {} was used twice", attempt.attempt);
            }
            if let TaskOutcome::Done { attempt: Some(attempt), .. } = &task.outcome {
                told.insert(*attempt);
            }
            let seen = evidence.attempts.iter().filter(|(_, id, attempt)| *id == task.task && attempt.epoch <= count);
            for (_, _, attempt) in seen {
                assert!(told.contains(attempt), "attempt {attempt} at {} ran, and {result:?} has it not", task.name);
            }
        }
    }
}

/// Outputs are byte for byte the inputs XOR the kernel, and inputs are what they were.
///
/// # Panics
/// If one is not.
pub async fn outputs_are_right(job: &Job<'_>, names: &BTreeSet<String>) {
    stream::iter(names).for_each_concurrent(AT_ONCE, |name| output_is_right(job, name)).await;
}

async fn output_is_right(job: &Job<'_>, name: &str) {
    let Some(input) = job.inputs.get(name) else { panic!("the test has no input {name}, and it is done") };
    let Some(output) = job.output(name).await else { panic!("the output of {name} is not there") };
    let wanted = content::xored(input, &job.kernel);
    if output != wanted {
        let at = output.iter().zip(&wanted).position(|(one, other)| one != other);
        panic!("the output of {name} has {} bytes of {}, the first wrong one at {at:?}", output.len(), wanted.len());
    }
}

/// What the results say of the outputs is what the store says of them.
async fn results_describe_the_outputs(job: &Job<'_>, results: &[ResultRecord], done: &BTreeSet<String>) {
    let letters = job.bucket.dead_letters().await.expect("the dead letters");
    let tasks = || results.iter().flat_map(|result| &result.tasks);
    let describe = async |task: &TaskResult| match &task.outcome {
        TaskOutcome::Done { bytes, checksum, attempt } => {
            let key = job.settings.outputs(&job.bucket.location).key(&output_name(&task.name));
            let Some(meta) = job.outputs().head(&key).await.expect("a head") else {
                panic!("{} is done, and {key} is not there", task.name)
            };
            assert_eq!(meta.size, *bytes, "the size of {key}");
            let by = meta.metadata.get(META_ATTEMPT).map(|text| text.parse().expect("an attempt"));
            assert_eq!(by, *attempt, "the attempt that committed {key}");
            if let (Some(stored), Some(told)) = (&meta.checksum, checksum) {
                assert_eq!(stored, told, "the checksum of {key}");
            }
        }
        TaskOutcome::Failed { error } => {
            assert!(letters.iter().any(|l| l.task == task.task), "{} failed ({error}) without a letter", task.name);
            if done.contains(&task.name) {
                let redone = |later: &TaskResult| {
                    later.name == task.name
                        && later.task > task.task
                        && matches!(later.outcome, TaskOutcome::Done { .. })
                };
                assert!(tasks().any(redone), "{} is done, and its only result says it failed: {error}", task.name);
            }
        }
    };
    stream::iter(tasks()).for_each_concurrent(AT_ONCE, describe).await;
}

/// The views hold exactly what is done and what is given up, and nothing is left to do.
async fn views_agree(job: &Job<'_>, done: &BTreeSet<String>, given_up: &BTreeSet<String>) {
    let lines = async |view| job.lines(view).await.into_iter().collect::<BTreeSet<String>>();
    assert_eq!(lines(View::Tasklist).await, BTreeSet::new(), "tasklist.txt is empty at the end");
    assert_eq!(&lines(View::Completed).await, done, "completed.txt has what is done");
    assert_eq!(&lines(View::Failed).await, given_up, "failed.txt has what was given up");
    for view in View::ALL {
        let Some(text) = job.get(view.name()).await else { continue };
        assert_eq!(clean_lines(&text).len(), text.split(|b| *b == b'\n').count() - 1, "{} is clean", view.name());
    }
}

async fn summary_agrees(
    job: &Job<'_>,
    plan: &[(Segment, Vec<String>)],
    results: &[ResultRecord],
    done: &BTreeSet<String>,
    given_up: &BTreeSet<String>,
) {
    let Some(summary) = job.bucket.summary().await.expect("the summary") else { panic!("there is no summary.json") };
    let tasks = || results.iter().flat_map(|result| &result.tasks);
    let bytes: u64 = tasks()
        .filter_map(|task| match task.outcome {
            TaskOutcome::Done { bytes, .. } => Some(bytes),
            TaskOutcome::Failed { .. } => None,
        })
        .sum();
    assert_eq!(summary.job, job.url(), "summary.json: the job");
    assert_eq!(summary.segments as usize, plan.len(), "summary.json: segments");
    assert_eq!(summary.done, done.len() as u64, "summary.json: done");
    assert_eq!(summary.failed, given_up.len() as u64, "summary.json: failed");
    assert_eq!(summary.tasks, summary.done + summary.failed, "summary.json: tasks");
    assert_eq!(summary.bytes, bytes, "summary.json: bytes");
    assert_eq!(summary.attempts, tasks().map(|task| task.attempts.len() as u64).sum::<u64>(), "summary.json: attempts");
    assert_eq!(summary.first, results.iter().flat_map(|r| &r.tenures).map(|t| t.from).min(), "summary.json: first");
    assert_eq!(summary.last, results.iter().flat_map(|r| &r.tenures).map(|t| t.to).max(), "summary.json: last");
}

/// No semaphore, no standby seat, no scratch object, no multipart upload under way.
///
/// # Panics
/// If there is one.
pub async fn nothing_is_left_over(job: &Job<'_>) {
    let keys = &job.bucket.keys;
    let prefix = job.location().prefix();
    for (folder, what) in [
        (keys.semaphores(), "semaphores"),
        (keys.seats(), "standby seats"),
        (format!("{prefix}scratch/"), "scratch objects"),
    ] {
        let left: Vec<String> =
            job.bucket.store().list_all(&folder).await.expect("a listing").into_iter().map(|e| e.key).collect();
        assert!(left.is_empty(), "{what} are left over: {left:?}");
    }
    no_upload_is_left_over(job).await;
}

/// No multipart upload is under way.
///
/// # Panics
/// If one is.
pub async fn no_upload_is_left_over(job: &Job<'_>) {
    let place = job.settings.outputs(&job.bucket.location);
    for (store, prefix) in [(&**job.bucket.store(), job.location().prefix()), (job.outputs(), place.prefix())] {
        let left = store.uploads(prefix).await.expect("the uploads");
        assert!(left.is_empty(), "multipart uploads are left over: {left:?}");
    }
}
