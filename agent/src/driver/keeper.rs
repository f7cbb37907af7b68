//! Beside the work: reads `control.json`, writes the agent's record, uploads its log, and notices that the store is gone.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::records::{self, AgentRecord, AgentState, ControlState, to_json};
use dayfly_shared::store::{Attributes, Condition, ETag, Result};

use super::agent::{Agent, Orders};
use super::slot::is_cut_off;

/// The log is uploaded at most so often, and at the end.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Keeps going until there are orders to end.
pub async fn run(agent: Arc<Agent>, born: Timestamp) {
    let mut orders = agent.orders();
    let mut log = LogShip { at: agent.now().at, size: 0 };
    loop {
        let wait = agent.policy.heartbeat();
        if orders.see() == Orders::End {
            return;
        }
        let round = async {
            read_control(&agent).await;
            put_record(&agent, born, None).await;
            log.ship(&agent, false).await;
        };
        // A store that is gone keeps the round waiting; when it is given up does not depend on that.
        tokio::select! {
            biased;
            () = round => {}
            () = cut_off(&agent) => {
                let seconds = agent.settings.give_up_after.as_secs();
                return agent.fail(format!("the store has not answered for {seconds} s; what was claimed expires by itself"));
            }
        }
        tokio::select! {
            biased;
            () = agent.parts.clock.sleep(wait + agent.parts.dice.up_to(wait / 10)) => {}
            () = orders.changed() => {}
        }
    }
}

/// Completes when the store has not answered for so long that going on is a waste.
async fn cut_off(agent: &Agent) {
    while !is_cut_off(agent, agent.now().at) {
        let silent = agent.now().at.since(agent.tally().answered);
        // A moment more, so that the next look finds it over.
        let left = agent.settings.give_up_after.saturating_sub(silent) + Duration::from_millis(10);
        agent.parts.clock.sleep(left).await;
    }
}

/// What a read of `control.json` came to.
pub type Control = Result<Option<(records::Control, ETag)>>;

/// Turns what `control.json` says now into orders.
pub async fn read_control(agent: &Agent) {
    obey(agent, agent.bucket.control().await);
}

/// Turns what `control.json` says into orders.
pub fn obey(agent: &Agent, control: Control) {
    match control {
        Ok(control) => {
            agent.note_answer();
            let (state, why) = match control {
                Some((control, _)) => (control.state, control.why),
                None => (ControlState::Running, None),
            };
            let why = why.unwrap_or_else(|| "no reason given".to_owned());
            if state != ControlState::Suspended {
                agent.tally().suspended_since = None;
            }
            match state {
                ControlState::Running => agent.order(Orders::Work),
                ControlState::Paused => agent.order(Orders::Pause(format!("paused: {why}"))),
                ControlState::Suspended => agent.order(suspended(agent, &why)),
                // Finishing is the point: a task gets the time that it may take at all.
                ControlState::Draining => agent.order(Orders::Drain {
                    why: format!("the job is draining: {why}"),
                    deadline: agent.now().at.after(agent.job.task_time_limit()),
                }),
                ControlState::Cancelled => {
                    agent.decide(Exit::Cancelled, format!("the job was cancelled: {why}"));
                    agent.order(Orders::Halt);
                }
            }
        }
        Err(error) if error.is_passing() => tracing::warn!(%error, "reading control.json"),
        // Unreadable is not "running": hold still until somebody mends it.
        Err(error) => agent.order(Orders::Pause(error.to_string())),
    }
}

/// A suspended job waits for a person, and a machine that waits costs money: not for long.
fn suspended(agent: &Agent, why: &str) -> Orders {
    let now = agent.now().at;
    let since = *agent.tally().suspended_since.get_or_insert(now);
    let wait = agent.settings.suspended_wait;
    if now.since(since) < wait {
        return Orders::Pause(format!("suspended: {why}"));
    }
    let why = format!("the job is suspended, and nobody resumed it within {} s: {why}", wait.as_secs());
    // What is in hand may be sound: another agent's machine, or an earlier task, was what failed.
    Orders::Drain { why, deadline: now.after(agent.job.task_time_limit()) }
}

/// Writes the agent's record; it is nobody else's, so whatever stands there is overwritten.
pub async fn put_record(agent: &Agent, born: Timestamp, ended: Option<&str>) {
    let usage = agent.parts.gauge.read();
    let orders = agent.orders().see();
    let record = {
        let tally = agent.tally();
        let (state, why) = match (ended, &orders) {
            (Some(why), _) => (AgentState::Ended, Some(why.to_owned())),
            (None, Orders::Drain { why, .. }) => (AgentState::Draining, Some(why.clone())),
            (None, Orders::Halt | Orders::End) => (AgentState::Draining, None),
            (None, Orders::Pause(why)) => (tally.state.unwrap_or(AgentState::Working), Some(why.clone())),
            (None, Orders::Work) => {
                let notice = agent.parts.notice.borrow().clone();
                match (tally.state, tally.active) {
                    (Some(state), 0) => (state, notice),
                    _ => (AgentState::Working, notice),
                }
            }
        };
        AgentRecord {
            schema: SCHEMA,
            agent: agent.settings.me.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: agent.settings.machine.clone(),
            born,
            last_seen: agent.now().wall,
            state,
            why,
            slots: agent.settings.slots,
            running: tally.running.values().cloned().collect(),
            done: tally.done,
            failed: tally.failed,
            cpu_seconds: usage.cpu_seconds,
            cpu_percent: usage.cpu_percent,
            memory_bytes: usage.memory_bytes,
            requests: agent.parts.stores.counts(),
        }
    };
    let key = agent.bucket.keys.agent(&agent.settings.me);
    let put = agent.bucket.store().put(&key, to_json(&record).into(), &Attributes::json(), &Condition::Overwrite).await;
    if let Err(error) = put {
        tracing::warn!(%error, "writing the agent's record");
    }
}

/// Uploads the log: at most each minute, and only once it has grown by a quarter, so that a long log is not sent over and
/// over.
pub struct LogShip {
    at: Moment,
    size: u64,
}

impl LogShip {
    /// For the end: whatever was sent before does not count.
    pub fn last() -> Self {
        Self { at: Moment::default(), size: 0 }
    }

    pub async fn ship(&mut self, agent: &Agent, now_or_never: bool) {
        let now = agent.now().at;
        let size = agent.parts.journal.size().await;
        let due = now.since(self.at) >= LOG_EVERY && size > self.size + self.size / 4;
        if size == 0 || !(due || now_or_never) {
            return;
        }
        let key = agent.bucket.keys.agent_log(&agent.settings.me);
        let attributes = Attributes { content_type: Some("application/x-ndjson"), ..Attributes::default() };
        match agent.parts.journal.content().await {
            Ok(content) => {
                let put = agent.bucket.store().put(&key, content.into(), &attributes, &Condition::Overwrite).await;
                if let Err(error) = put {
                    tracing::warn!(%error, "uploading the log");
                }
            }
            Err(error) => tracing::warn!(%error, "reading the log to upload it"),
        }
        (self.at, self.size) = (now, size);
    }
}
