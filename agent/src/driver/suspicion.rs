//! Whether the job's program works at all. An agent on which task after task fails in the same way, and none ever ended
//! well, suspends the job: the fault is the program's, the image's or the settings', and going on would turn the whole list
//! into dead letters.

use std::collections::BTreeSet;

use dayfly_shared::ids::TaskId;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{Control, ControlState};
use dayfly_shared::store::{Condition, Outcome};

use super::agent::Agent;
use super::keeper;

/// How many failures are enough: some more than one task is allowed, as one bad input among good ones is no reason; and,
/// where tasks have several attempts, one too few for the second task to be given up.
fn enough(max_attempts: u32) -> u32 {
    max_attempts.saturating_add(if max_attempts == 2 { 1 } else { 2 })
}

/// What speaks for and against the program, on this agent.
#[derive(Debug, Default)]
pub struct Suspicion {
    /// A task has ended well: from then on failures are their tasks' own.
    is_cleared: bool,
    kind: String,
    failures: u32,
    tasks: BTreeSet<TaskId>,
}

impl Suspicion {
    /// A task has ended well.
    pub fn clear(&mut self) {
        self.is_cleared = true;
    }

    /// A task has failed; why the job should be suspended, if it should.
    pub fn failed(&mut self, task: TaskId, error: &str, max_attempts: u32) -> Option<String> {
        let kind = error.lines().next().unwrap_or_default();
        if self.kind != kind {
            *self = Self { is_cleared: self.is_cleared, kind: kind.to_owned(), ..Self::default() };
        }
        self.failures += 1;
        self.tasks.insert(task);
        if self.is_cleared || self.tasks.len() < 2 || self.failures < enough(max_attempts) {
            return None;
        }
        let why = format!(
            "{} attempts at {} tasks failed in the same way on one agent, and none ended well: {}",
            self.failures,
            self.tasks.len(),
            error.trim_end()
        );
        // Whoever resumes the job wants to see it tried again.
        *self = Self::default();
        Some(why)
    }
}

/// Suspends the job, unless somebody has told the fleet something else meanwhile.
pub async fn suspend(agent: &Agent, why: String) {
    let found = match agent.bucket.control().await {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "the job could not be suspended"),
    };
    let condition = match &found {
        Some((control, _)) if control.state != ControlState::Running => return,
        Some((_, etag)) => Condition::Update(etag.clone()),
        None => Condition::Create,
    };
    let control = Control {
        schema: SCHEMA,
        state: ControlState::Suspended,
        why: Some(why.clone()),
        by: Some(agent.settings.me.to_string()),
        at: Some(agent.now().wall),
        max_cost: found.and_then(|(control, _)| control.max_cost),
    };
    match agent.bucket.put_json(&agent.bucket.keys.control(), &control, &condition).await {
        Ok(Outcome::Applied(_)) => tracing::error!(why, "the job is suspended; dayfly resume goes on"),
        other => tracing::warn!(?other, why, "the job could not be suspended"),
    }
    keeper::read_control(agent).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(line: u64) -> TaskId {
        TaskId { segment: 1, line: line.try_into().unwrap() }
    }

    #[test]
    fn the_same_failure_of_several_tasks_is_the_programs() {
        let mut suspicion = Suspicion::default();
        for (line, suspended) in [(1, false), (1, false), (1, false), (2, false), (2, true), (2, false)] {
            assert_eq!(suspicion.failed(task(line), "no module\nline 7", 3).is_some(), suspended, "task {line}");
        }
    }

    #[test]
    fn the_second_task_is_not_given_up() {
        for (max_attempts, tasks) in [(2, &[1, 1, 2][..]), (3, &[1, 1, 1, 2, 2]), (5, &[1, 1, 1, 1, 1, 2, 2])] {
            let mut suspicion = Suspicion::default();
            let suspended: Vec<bool> =
                tasks.iter().map(|line| suspicion.failed(task(*line), "x", max_attempts).is_some()).collect();
            assert_eq!(suspended.iter().position(|one| *one), Some(tasks.len() - 1), "{max_attempts}");
        }
    }

    #[test]
    fn one_task_or_different_failures_or_a_good_end_suspend_nothing() {
        let mut one = Suspicion::default();
        assert!((0..20).all(|_| one.failed(task(1), "x", 3).is_none()));
        let mut varied = Suspicion::default();
        assert!((0..20).all(|n| varied.failed(task(n), &format!("error {n}"), 3).is_none()));
        let mut cleared = Suspicion::default();
        cleared.clear();
        assert!((0..20).all(|n| cleared.failed(task(n), "x", 3).is_none()));
    }
}
