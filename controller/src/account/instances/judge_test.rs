use std::collections::HashMap;

use dayfly_shared::launch::Market;
use dayfly_shared::records::{AgentRecord, Machine as Host};

use super::super::work::Report;
use super::*;

const MINUTE: u64 = 60_000;

fn machine(minutes_old: u64, state: &str) -> Machine {
    Machine {
        id: "i-1".to_owned(),
        instance_type: "c7i.large".to_owned(),
        zone: "us-east-1a".to_owned(),
        market: Market::Spot,
        state: state.to_owned(),
        launched: Some(Timestamp::from_unix_ms(10_000 * MINUTE - minutes_old * MINUTE)),
        job: None,
        launch: None,
        deployment: None,
        fleet: None,
        condemned: None,
    }
}

fn report(state: AgentState, minutes_ago: u64, leases: bool) -> Report {
    let record = AgentRecord {
        schema: 1,
        agent: "one-0000000000000001".parse().unwrap(),
        version: "0.1.0".to_owned(),
        machine: Host { instance_id: Some("i-1".to_owned()), ..Host::default() },
        born: Timestamp::default(),
        last_seen: Timestamp::default(),
        state,
        why: None,
        slots: 1,
        running: Vec::new(),
        done: 0,
        failed: 0,
        cpu_seconds: 0.0,
        cpu_percent: None,
        memory_bytes: 0,
        requests: Default::default(),
    };
    Report { record, age: Some(Duration::from_millis(minutes_ago * MINUTE)), leases }
}

fn work(state: Option<JobState>, report: Option<Report>) -> Work {
    Work {
        state,
        reports: report.map(|r| HashMap::from([("i-1".to_owned(), r)])).unwrap_or_default(),
        silent: Duration::from_mins(2),
        now: Timestamp::from_unix_ms(10_000 * MINUTE),
    }
}

fn condemned(machine: &Machine, work: &Work) -> bool {
    let limits = Limits { grace: Duration::from_mins(15), lifetime: Some(Duration::from_hours(12)) };
    matches!(judge(machine, work, work.now, limits), Verdict::Condemn(_))
}

#[test]
fn one_that_works_is_never_condemned() {
    for state in [None, Some(JobState::Over), Some(JobState::Cancelled), Some(JobState::Running)] {
        for minutes in [1, 60, 6000] {
            assert!(!condemned(
                &machine(minutes, "running"),
                &work(state, Some(report(AgentState::Working, 0, false)))
            ));
            assert!(!condemned(
                &machine(minutes, "running"),
                &work(state, Some(report(AgentState::Working, 60, true)))
            ));
        }
    }
}

#[test]
fn one_that_never_reported_has_its_grace() {
    let open = work(Some(JobState::Running), None);
    assert!(!condemned(&machine(14, "running"), &open));
    assert!(condemned(&machine(16, "running"), &open));
    assert!(!condemned(&machine(14, "pending"), &work(None, None)));
    assert!(condemned(&machine(16, "running"), &work(None, None)));
}

#[test]
fn the_end_of_the_job_is_the_end_of_its_machines() {
    let ended = || Some(report(AgentState::Ended, 1, false));
    for state in [JobState::Over, JobState::Cancelled] {
        assert!(condemned(&machine(5, "running"), &work(Some(state), ended())));
        assert!(condemned(&machine(16, "stopped"), &work(Some(state), None)));
        assert!(!condemned(&machine(5, "running"), &work(Some(state), None)), "it may find out by itself");
    }
    assert!(!condemned(&machine(5, "running"), &work(Some(JobState::Running), ended())));
    assert!(condemned(
        &machine(60, "running"),
        &work(Some(JobState::Running), Some(report(AgentState::Ended, 16, false)))
    ));
}

#[test]
fn a_lifetime_ends_and_silence_too() {
    let silent = |minutes| work(Some(JobState::Running), Some(report(AgentState::Working, minutes, false)));
    assert!(condemned(&machine(721, "running"), &silent(3)));
    assert!(!condemned(&machine(700, "running"), &silent(3)));
    assert!(condemned(&machine(700, "running"), &silent(16)));
    // Somebody stopped it, to start it again.
    assert!(!condemned(&machine(5000, "stopped"), &silent(4000)));
}
