//! Jobs that are over, made up: every object as agents would have left it, without an agent having run.

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{AgentId, Attempt, ChunkId, Nonce, TaskId};
use dayfly_shared::job::{JobSettings, SCHEMA};
use dayfly_shared::keys::{View, slug};
use dayfly_shared::plan::{Frozen, Segment, join_lines};
use dayfly_shared::records::{
    AgentRecord, AgentState, AttemptEnd, AttemptRecord, DeadLetter, Machine, ResultRecord, TaskOutcome, TaskResult,
    TenureEnd, TenureRecord, to_json,
};
use dayfly_shared::store::{Attributes, Condition, Outcome, RequestCounts, StoreExt};
use futures::stream::{self, StreamExt};

/// When the first agent was born: any time does.
const ORIGIN: u64 = 1_765_929_600_000;
/// Writes at once: the folder's locks and the disk are the limit.
const AT_ONCE: usize = 16;
/// Of the tasks, one in so many is given up; its first error, and one in so many is tried again.
const GIVEN_UP: u64 = 997;
const TRIED_AGAIN: u64 = 211;
/// Of the chunks, one in so many was lost and taken over, and one in so many given back.
const LOST: u64 = 101;
const GIVEN_BACK: u64 = 149;

/// The same numbers for the same seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Mostly about two seconds, now and then much more.
    fn duration(&mut self) -> u64 {
        let base = 500 + self.next() % 3000;
        if self.next().is_multiple_of(200) { base * 8 } else { base }
    }
}

async fn put(job: &JobBucket, key: &str, body: impl Into<bytes::Bytes>) {
    let put = job.store().put(key, body.into(), &Attributes::json(), &Condition::Overwrite).await;
    assert!(matches!(put, Ok(Outcome::Applied(_))), "putting {key}: {put:?}");
}

fn agent_id(n: usize) -> AgentId {
    AgentId::of(&format!("ip-10-0-{}-{}", n / 256, n % 256), Nonce(n as u64 + 1))
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ORIGIN + ms)
}

/// Lays out a job of `tasks` tasks that `agents` agents have brought to its end, some of them after errors, notices and
/// losses. A failure's log has the last words `the disk of TASK is full`.
///
/// # Panics
/// If the store refuses.
pub async fn lay_out(job: &JobBucket, tasks: usize, agents: usize) {
    let mut numbers = Numbers(7);
    let names: Vec<String> = (0..tasks).map(|n| format!("scan-{n:06}.tif")).collect();
    let count = u32::try_from(agents).expect("so many agents");
    let settings = JobSettings { agents: count, ..JobSettings::default() };
    let text = join_lines(&names);
    let frozen = Frozen { settings: Some(settings.clone()), source: None, by: agent_id(0), at: at(0) };
    let segment = Segment::cut(1, &text, count, frozen);
    put(job, &job.keys.job(), settings.to_json()).await;
    job.put_segment_text(1, text).await.expect("the plan");
    job.put_segment(&segment).await.expect("the plan");

    // Each agent's own time, at which it is free again.
    let mut free: Vec<u64> = (0..agents).map(|_| numbers.next() % 30_000).collect();
    let born = free.clone();
    let mut sums: Vec<(u64, u64)> = vec![(0, 0); agents];
    let (mut bodies, mut completed, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut line = 1;
    for (index, span) in (1..).zip(&segment.chunks) {
        let chunk = ChunkId { segment: 1, index };
        let mut holder = (0..agents).min_by_key(|n| free[*n]).expect("an agent");
        let (mut epoch, mut tenures, mut lost_at) = (1, Vec::new(), None);
        let tenure = |n: usize, epoch, from: u64, to: u64, end| TenureRecord {
            agent: agent_id(n),
            epoch,
            tenure: Nonce(u64::from(index) << 8 | u64::from(epoch)),
            from: at(from),
            to: at(to),
            end,
        };
        let begun = free[holder];
        let ends = [(LOST, TenureEnd::Expired), (GIVEN_BACK, TenureEnd::Released)];
        for (_, end) in ends.into_iter().filter(|(every, _)| u64::from(index).is_multiple_of(*every) && agents > 1) {
            let to = free[holder] + 900;
            tenures.push(tenure(holder, epoch, free[holder], to, end));
            lost_at = Some((holder, epoch, free[holder], to, end));
            free[holder] = to + if end == TenureEnd::Expired { 60_000 } else { 0 };
            holder = (holder + 1) % agents;
            free[holder] = free[holder].max(to);
            epoch += 1;
        }
        let from = free[holder].max(begun);
        let mut results = Vec::new();
        for _ in 0..span.tasks {
            let task = TaskId { segment: 1, line };
            let nth = u64::from(line);
            let name = &names[line as usize - 1];
            line += 1;
            let mut attempts = Vec::new();
            let attempt = |n: usize, epoch, count, from: u64, to: u64, end, error: Option<&str>| AttemptRecord {
                task,
                attempt: Attempt { epoch, tenure: Nonce(u64::from(index) << 8 | u64::from(epoch)), n: count },
                agent: agent_id(n),
                from: at(from),
                to: at(to),
                end,
                error: error.map(str::to_owned),
                usage: None,
            };
            if let Some((n, epoch, from, to, end)) = lost_at.take() {
                let end = if end == TenureEnd::Expired { AttemptEnd::Vanished } else { AttemptEnd::Preempted };
                attempts.push(attempt(n, epoch, 1, from, to, end, None));
            }
            let given_up = nth.is_multiple_of(GIVEN_UP);
            let bad = if given_up { 3 } else { u32::from(nth.is_multiple_of(TRIED_AGAIN)) };
            for count in 0..=bad {
                let last = count == bad;
                if last && given_up {
                    break;
                }
                let ms = numbers.duration();
                let end = if last { AttemptEnd::Done } else { AttemptEnd::Failed };
                let error = (!last).then_some("exit code 28: no space left on device");
                let (from, to) = (free[holder], free[holder] + ms);
                let number = attempts.len() as u32 + 1;
                attempts.push(attempt(holder, epoch, number, from, to, end, error));
                free[holder] = to;
            }
            let own_slug = segment.one_task_chunks().then(|| slug(name));
            let last = attempts.last().expect("an attempt").attempt;
            let outcome = if given_up {
                failed.push(name.clone());
                sums[holder].1 += 1;
                let log = job.keys.task_log(task, own_slug.as_deref(), last);
                let letter = DeadLetter {
                    schema: SCHEMA,
                    task,
                    name: name.clone(),
                    error: "exit code 28: no space left on device".to_owned(),
                    attempts: attempts.clone(),
                    at: at(free[holder]),
                    log: Some(log.clone()),
                };
                bodies.push((log, format!("converting\n<b>the disk of {name} is full</b>\n").into_bytes()));
                bodies.push((job.keys.dead_letter(task, own_slug.as_deref()), to_json(&letter)));
                TaskOutcome::Failed { error: letter.error }
            } else {
                completed.push(name.clone());
                sums[holder].0 += 1;
                TaskOutcome::Done { bytes: 1000 + nth, checksum: None, attempt: Some(last) }
            };
            results.push(TaskResult { task, name: name.clone(), outcome, attempts });
        }
        tenures.push(tenure(holder, epoch, from, free[holder], TenureEnd::Closed));
        let own_slug = segment.one_task_chunks().then(|| slug(&results[0].name));
        let record = ResultRecord { schema: SCHEMA, chunk, tenures, tasks: results };
        bodies.push((job.keys.result(chunk, own_slug.as_deref()), to_json(&record)));
    }
    for n in 0..agents {
        let record = AgentRecord {
            schema: SCHEMA,
            agent: agent_id(n),
            version: "0.1.0".to_owned(),
            machine: Machine { host: format!("host-{n}"), pid: 1, ..Machine::default() },
            born: at(born[n]),
            last_seen: at(free[n]),
            state: AgentState::Ended,
            why: Some("no chunk is free".to_owned()),
            slots: 1,
            running: Vec::new(),
            done: sums[n].0,
            failed: sums[n].1,
            cpu_seconds: 1.0,
            cpu_percent: None,
            memory_bytes: 1 << 20,
            requests: RequestCounts { get: 10 + n as u64, put: 7, list: 1, ..RequestCounts::default() },
        };
        bodies.push((job.keys.agent(&record.agent), to_json(&record)));
    }
    for (view, lines) in [(View::Completed, &completed), (View::Failed, &failed), (View::Tasklist, &Vec::new())] {
        job.put_view(view, join_lines(lines), &Condition::Create).await.expect("a view");
    }
    stream::iter(bodies).for_each_concurrent(AT_ONCE, |(key, body)| async move { put(job, &key, body).await }).await;
    let listed = job.store().list_all(&job.keys.results()).await.expect("a listing");
    assert_eq!(listed.len(), segment.chunks.len(), "every chunk is closed");
}
