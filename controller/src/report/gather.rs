//! What the bucket holds of a job, read once, and told.

use std::collections::BTreeMap;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::AgentId;
use dayfly_shared::records::{AgentRecord, AttemptEnd, DeadLetter, ResultRecord, TaskOutcome, TenureEnd};
use dayfly_shared::store::RequestCounts;
use dayfly_shared::views::Fate;

use super::timeline::{Kind, Mark, Run, Timeline};
use super::{Attempts, Durations, Report, Spent, Throughput, account, failures, figures};
use crate::failure::Result;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::Parts;
use crate::status;

/// What the bucket holds of a job.
pub struct Gathered<'a> {
    observer: &'a Observer,
    snapshot: Snapshot,
    now: Timestamp,
    /// The agents' records, by when they were born.
    pub(super) agents: Vec<AgentRecord>,
    letters: Vec<DeadLetter>,
    console: Option<String>,
}

impl<'a> Gathered<'a> {
    /// Reads what the observer, who keeps results, does not know yet.
    ///
    /// # Errors
    /// No job there, a store that refuses.
    pub async fn read(parts: &Parts, observer: &'a mut Observer) -> Result<Self> {
        let snapshot = observer.look().await?;
        let mut agents = observer.job().agents().await?;
        agents.sort_by(|a, b| (a.born, &a.agent).cmp(&(b.born, &b.agent)));
        let mut letters = observer.job().dead_letters().await?;
        let ledger = observer.ledger();
        // What was done after all, or is tried again, does not stand given up.
        letters.retain(|letter| {
            ledger.fate(&letter.name) == Some(Fate::Failed) && ledger.task_of(&letter.name) == Some(letter.task)
        });
        letters.sort_by_key(|letter| letter.at);
        let console = parts.console(snapshot.settings.outputs(&snapshot.job)).await;
        Ok(Self { observer, snapshot, now: parts.clock.now().wall, agents, letters, console })
    }

    /// Who read it, and how the job stood then.
    pub(super) fn seen(&self) -> (&Observer, &Snapshot) {
        (self.observer, &self.snapshot)
    }

    /// The results of all closed chunks.
    pub(super) fn results(&self) -> &[ResultRecord] {
        self.observer.results()
    }

    /// What it used, and what that cost as far as AWS tells: on EC2 some calls to it.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn spent(&self, parts: &Parts) -> Result<Spent> {
        account::spent(parts, self.observer.job(), &self.snapshot, self.now).await
    }

    /// What there is to tell of it.
    ///
    /// # Errors
    /// A store that refuses.
    pub async fn tell(&self, spent: Spent) -> Result<Report> {
        let snapshot = &self.snapshot;
        let (runs, attempts) = self.runs();
        let marks = self.marks();
        let timeline = Timeline::of(&self.agents, &runs, &marks, self.now);
        let done: Vec<&Run<'_>> = runs.iter().filter(|run| run.kind == Kind::Done).collect();
        let requests = self.agents.iter().fold(RequestCounts::default(), |mut sum, agent| {
            sum += agent.requests;
            sum
        });
        let lasts: Vec<Timestamp> = done.iter().map(|run| run.to).collect();
        Ok(Report {
            job: snapshot.job.clone(),
            console: self.console.clone(),
            at: self.now,
            version: env!("CARGO_PKG_VERSION"),
            state: status::state(snapshot),
            over: matches!(snapshot.state, JobState::Over),
            tasks: snapshot.tasks,
            first: snapshot.first,
            last: snapshot.last,
            output_bytes: snapshot.output_bytes,
            attempts,
            throughput: Throughput::of(&lasts, timeline.origin(), timeline.span()),
            durations: Durations::of(&done),
            slowest: figures::slowest(&done),
            usage: snapshot.usage.clone(),
            hungriest: figures::hungriest(&runs),
            timeline,
            failures: failures::told(self.observer.job(), &self.letters).await?,
            spent,
            requests,
        })
    }

    /// Every attempt that is known, and how many ended how.
    fn runs(&self) -> (Vec<Run<'_>>, Attempts) {
        let mut runs = Vec::new();
        let mut counts = Attempts::default();
        for result in self.results() {
            for tenure in &result.tenures {
                counts.takeovers += u64::from(tenure.end == TenureEnd::Expired);
                counts.given_back += u64::from(tenure.end == TenureEnd::Released);
            }
            for task in &result.tasks {
                let given_up = matches!(task.outcome, TaskOutcome::Failed { .. });
                for (at, attempt) in task.attempts.iter().enumerate() {
                    let last = at + 1 == task.attempts.len();
                    let (kind, count) = match attempt.end {
                        AttemptEnd::Done => (Kind::Done, &mut counts.done),
                        AttemptEnd::Failed => (Kind::Failed, &mut counts.failed),
                        AttemptEnd::Preempted => (Kind::Preempted, &mut counts.preempted),
                        AttemptEnd::Interrupted => (Kind::Interrupted, &mut counts.interrupted),
                        AttemptEnd::Vanished | AttemptEnd::VanishedAlone => (Kind::Vanished, &mut counts.vanished),
                    };
                    *count += 1;
                    counts.retried += u64::from(kind == Kind::Failed && !(last && given_up));
                    runs.push(Run {
                        agent: &attempt.agent,
                        task: Some(attempt.task),
                        name: &task.name,
                        from: attempt.from,
                        to: attempt.to,
                        kind,
                        usage: attempt.usage,
                    });
                }
            }
        }
        for lease in self.snapshot.running.iter().filter(|lease| lease.holds() && lease.task.is_some()) {
            counts.running += 1;
            runs.push(Run {
                agent: &lease.agent,
                task: lease.task,
                name: lease.name.as_deref().unwrap_or_default(),
                from: lease.since,
                to: self.now.max(lease.since),
                kind: Kind::Running,
                usage: None,
            });
        }
        counts.total = runs.len() as u64;
        (runs, counts)
    }

    /// Where agents took over, gave back, or were not heard of again.
    fn marks(&self) -> BTreeMap<&AgentId, Vec<Mark>> {
        let mut marks: BTreeMap<&AgentId, Vec<Mark>> = BTreeMap::new();
        for tenures in self.results().iter().map(|result| &result.tenures) {
            for (at, tenure) in tenures.iter().enumerate() {
                let own = marks.entry(&tenure.agent).or_default();
                match tenure.end {
                    TenureEnd::Expired => own.push(Mark::lost(tenure.to)),
                    TenureEnd::Released => own.push(Mark::given_back(tenure.to)),
                    TenureEnd::Closed => {}
                }
                if at > 0 && tenures.get(at - 1).is_some_and(|before| before.end == TenureEnd::Expired) {
                    own.push(Mark::taken_over(tenure.from));
                }
            }
        }
        marks.retain(|_, marks| !marks.is_empty());
        marks
    }
}
