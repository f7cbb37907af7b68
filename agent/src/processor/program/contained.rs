//! How a container ended: what its engine says, where the engine's client does not.

use serde_json::Value;

use super::Room;
use crate::supervisor::{Closed, End, Report};

/// What clients say of themselves, and not of the container: the engine failed, the program cannot be run, or is not there
/// (podman-run(1) and docker-run(1), "Exit status").
const OF_THE_CLIENT: std::ops::RangeInclusive<i32> = 125..=127;
/// 128 and SIGKILL.
const KILLED: i32 = 137;
/// What an engine says of what never began (Go's zero time).
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Puts what became of the container into the report. What stood in the way of removing it is given back.
pub fn settle(report: &mut Report, room: &Room, memory_limit_mib: Option<u32>, asked: bool) -> Option<String> {
    let closed: Option<Closed> = std::fs::read(room.closed()).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let Some(closed) = closed else {
        return Some("the container was lost sight of: its supervisor was killed".to_owned());
    };
    if !asked {
        report.end = end_of(&report.end, closed.state.as_ref(), memory_limit_mib);
    }
    closed.trouble.map(|why| format!("the container has ended, and could not be removed: {why}"))
}

fn end_of(end: &End, state: Option<&Value>, memory_limit_mib: Option<u32>) -> End {
    let began = state.is_some_and(|state| state["StartedAt"].as_str().is_some_and(|at| at != NEVER));
    let code = state.filter(|_| began).and_then(|state| i32::try_from(state["ExitCode"].as_i64()?).ok());
    let killed_for_memory = state.is_some_and(|state| state["OOMKilled"] == true);
    match (end, code) {
        (End::Exit(client), None) if OF_THE_CLIENT.contains(client) => {
            End::NotStarted(format!("the container did not start (exit code {client} of the engine)"))
        }
        // Nobody of ours killed it, and engines do not always see why the kernel did.
        (End::Exit(_), Some(code))
            if code != 0 && memory_limit_mib.is_some() && (killed_for_memory || code == KILLED) =>
        {
            End::OutOfMemory(0)
        }
        (End::Exit(_), Some(code)) => End::Exit(code),
        (other, _) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(code: i32, oom: bool) -> Value {
        json!({ "StartedAt": "2026-11-21T16:16:56.8Z", "ExitCode": code, "OOMKilled": oom })
    }

    #[test]
    fn the_container_has_the_last_word() {
        let never = json!({ "StartedAt": NEVER, "ExitCode": 0 });
        for (client, state, limit, wanted) in [
            (End::Exit(0), Some(state(0, false)), None, End::Exit(0)),
            (End::Exit(127), Some(state(127, false)), None, End::Exit(127)),
            (End::Exit(137), Some(state(137, false)), None, End::Exit(137)),
            (End::Exit(137), Some(state(137, false)), Some(64), End::OutOfMemory(0)),
            (End::Exit(1), Some(state(1, true)), Some(64), End::OutOfMemory(0)),
            (End::Exit(0), Some(state(0, true)), Some(64), End::Exit(0)),
            (End::Signal(9), Some(state(0, false)), None, End::Signal(9)),
        ] {
            assert_eq!(end_of(&client, state.as_ref(), limit), wanted, "{client:?} {state:?}");
        }
        for state in [Some(never), None] {
            assert!(matches!(end_of(&End::Exit(127), state.as_ref(), None), End::NotStarted(_)));
        }
    }
}
