//! One line an attempt, as comma-separated values (RFC 4180).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dayfly_shared::ids::AgentId;
use dayfly_shared::records::{AgentRecord, AttemptEnd};

use super::Gathered;

const HEAD: &str = "task,name,attempt,agent,host,instance,instance_type,market,zone,from,to,seconds,peak_memory_bytes,cpu_seconds,end,error";

/// Every attempt at tasks whose chunk is closed.
pub fn csv(gathered: &Gathered<'_>) -> String {
    let agents: BTreeMap<&AgentId, &AgentRecord> = gathered.agents.iter().map(|a| (&a.agent, a)).collect();
    let mut text = format!("{HEAD}\r\n");
    for task in gathered.results().iter().flat_map(|result| &result.tasks) {
        for attempt in &task.attempts {
            let machine = agents.get(&attempt.agent).map(|agent| &agent.machine);
            let word = |word: Option<&String>| word.map(|word| field(word)).unwrap_or_default();
            let seconds = attempt.to.since(attempt.from).as_secs_f64();
            let _ = write!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{},{seconds:.3},{},{},{},{}\r\n",
                task.task,
                field(&task.name),
                attempt.attempt,
                attempt.agent,
                word(machine.map(|m| &m.host)),
                word(machine.and_then(|m| m.instance_id.as_ref())),
                word(machine.and_then(|m| m.instance_type.as_ref())),
                word(machine.and_then(|m| m.market.as_ref())),
                word(machine.and_then(|m| m.zone.as_ref())),
                attempt.from,
                attempt.to,
                // Empty where nothing was measured: a zero would be a figure.
                attempt.usage.map(|used| used.peak_memory_bytes.to_string()).unwrap_or_default(),
                attempt.usage.map(|used| format!("{:.3}", used.cpu_ms as f64 / 1000.0)).unwrap_or_default(),
                end(attempt.end),
                field(attempt.error.as_deref().unwrap_or_default()),
            );
        }
    }
    text
}

fn end(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Done => "done",
        AttemptEnd::Failed => "failed",
        AttemptEnd::Preempted => "preempted",
        AttemptEnd::Interrupted => "interrupted",
        AttemptEnd::Vanished => "vanished",
        AttemptEnd::VanishedAlone => "vanished_alone",
    }
}

fn field(text: &str) -> String {
    // What begins like this a spreadsheet takes for a formula, or looks behind it for one (OWASP, "CSV Injection"); names
    // come from anywhere.
    let guard = if text.starts_with(['=', '@', '+', '-', '\t', '\r', '\n']) { "'" } else { "" };
    match guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        true => text.to_owned(),
        false => format!("\"{guard}{}\"", text.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_quoted_where_they_must() {
        assert_eq!(
            (field("a b"), field("a,b"), field("say \"x\"\n")),
            ("a b".to_owned(), "\"a,b\"".to_owned(), "\"say \"\"x\"\"\n\"".to_owned())
        );
        for formula in ["=1+1", "@SUM(A1)", "+1+1", "-1+1", "\t=1+1", "\r=1+1", "\n=1+1"] {
            assert_eq!(field(formula), format!("\"'{formula}\""));
        }
    }
}
