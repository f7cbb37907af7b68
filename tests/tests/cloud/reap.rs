//! What comes after a launch: `dayfly ps`, `stop`, `start`, `terminate`, and `reap`, which leaves nothing behind.

use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::launch::tags;
use dayfly_shared::records::{AgentRecord, AgentState, Machine as Host, RunningTask, to_json};
use dayfly_shared::store::StoreExt;
use dayfly_tests::aws::{End, Machine, Trouble};

use crate::ground::{Ground, TYPES, on_ground};
use crate::launch::points;
use crate::ledger::Page;

/// Puts the record of an agent on this machine into the job.
async fn reports(ground: &Ground<'_, '_>, machine: &Machine, state: AgentState) {
    let now = SystemClock.now().wall;
    let agent = format!("{}-0000000000000001", machine.id);
    let task = RunningTask { task: "0001-0000001".parse().expect("a task"), name: "in0.dat".to_owned(), since: now };
    let record = AgentRecord {
        schema: 1,
        agent: agent.parse().expect("an agent"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Host { instance_id: Some(machine.id.clone()), ..Host::default() },
        born: now,
        last_seen: now,
        state,
        why: None,
        slots: 1,
        running: if state == AgentState::Working { vec![task] } else { Vec::new() },
        done: 0,
        failed: 0,
        cpu_seconds: 0.0,
        cpu_percent: None,
        memory_bytes: 0,
        requests: Default::default(),
    };
    ground.job.put(&format!("agents/{agent}.json"), to_json(&record)).await;
}

#[test]
fn a_launch_killed_at_any_point_is_found_and_ended() {
    on_ground(async |ground| {
        let flags = format!("-n 2 --instance-type {TYPES}");
        for (point, trouble) in points() {
            ground.cut_off(&flags, ground.aws.set(trouble)).await;
            let ended = ground.dayfly("reap", "--grace 0s --now --yes").await;
            assert_eq!(ended.code, Some(0), "killed {point}: {}", ended.said);
            assert_eq!(ground.up().len(), 0, "killed {point}: {}", ended.said);
            let launches = ground.launches().await;
            assert!(launches.iter().all(|launch| !launch.is_open()), "killed {point}: {launches:#?}");
        }
        // The next one is not in the way of any of them.
        ground.launch(&flags).await.expect(0, &["2 machines started"]);
    });
}

#[test]
fn a_fleet_that_maintains_is_shut_off_before_its_machines_are_ended() {
    on_ground(async |ground| {
        let held = ground.aws.set(Trouble::with("ec2", "CreateFleet").answer_held());
        ground.cut_off(&format!("-n 2 --spot --maintain --instance-type {TYPES}"), held).await;
        assert_eq!(ground.up().len(), 2);
        ground.dayfly("cancel", "").await.expect(0, &[]);
        ground
            .dayfly("reap", "--grace 0s --now --yes")
            .await
            .expect(0, &["it had made fleet-", "deleted: its job is over"]);
        assert_eq!(ground.up().len(), 0);
    });
}

#[test]
fn what_never_reported_is_marked_then_ended_and_its_console_is_kept() {
    on_ground(async |ground| {
        ground.court.shows(Page::NeverReported);
        ground.launch(&format!("-n 2 --instance-type {TYPES}")).await.expect(0, &[]);
        let machines = ground.up();
        let (works, hangs) = (&machines[0], &machines[1]);
        for machine in [works, hangs] {
            ground.aws.age(&machine.id, 3600);
        }
        reports(ground, works, AgentState::Working).await;
        ground.aws.set_console(&hangs.id, "dayfly: cannot reach the bucket");
        let first = ground.dayfly("reap", "").await;
        first.expect(
            0,
            &[&format!("{} condemned: it has not reported in 1 h", hangs.id), &format!("{} stays: it works", works.id)],
        );
        assert!(ground.aws.machine(&hangs.id).tags.contains_key(tags::CONDEMNED));
        assert_eq!(ground.up().len(), 2, "the first look ends nothing");
        ground.dayfly("reap", "").await.expect(0, &["condemned"]);
        assert_eq!(ground.up().len(), 2, "nor does one right after it");
        let last = ground.dayfly("reap", "--again 0s").await;
        last.expect(0, &[&format!("{} ended", hangs.id), "console saved: s3://test-bucket/job/logs/console/"]);
        let left: Vec<String> = ground.up().into_iter().map(|machine| machine.id).collect();
        assert_eq!(left, std::slice::from_ref(&works.id));
        let key = ground.job.bucket.keys.console(&hangs.id);
        let (_, text) = ground.job.bucket.store().read(&key).await.expect("a read").expect("the console");
        assert!(String::from_utf8_lossy(&text).contains("cannot reach the bucket"));
    });
}

#[test]
fn one_that_works_after_all_is_pardoned_and_never_ended() {
    on_ground(async |ground| {
        ground.court.shows(Page::Pardoned);
        ground.launch(&format!("-n 1 --instance-type {TYPES}")).await.expect(0, &[]);
        let machine = ground.up()[0].clone();
        ground.aws.age(&machine.id, 3600);
        ground.dayfly("reap", "").await.expect(0, &["condemned"]);
        reports(ground, &machine, AgentState::Working).await;
        // Past its lifetime, its job cancelled, at the first look: still it works.
        ground.aws.age(&machine.id, 24 * 3600);
        ground.dayfly("cancel", "").await.expect(0, &[]);
        ground
            .dayfly("reap", "--now --yes --again 0s --grace 0s")
            .await
            .expect(0, &["stays: it works, though past its lifetime"]);
        assert!(ground.up().len() == 1 && !ground.aws.machine(&machine.id).tags.contains_key(tags::CONDEMNED));
    });
}

#[test]
fn the_whole_account_is_looked_at_from_anywhere() {
    on_ground(async |ground| {
        ground.launch(&format!("-n 2 --instance-type {TYPES}")).await.expect(0, &[]);
        for machine in ground.up() {
            ground.aws.age(&machine.id, 3600);
        }
        ground.start(&["ps"]).ended().await.expect(0, &["has not reported", "on-demand", "running"]);
        ground.start(&["reap", "--now", "--dry-run"]).ended().await.expect(0, &["would be ended"]);
        assert_eq!(ground.up().len(), 2);
        ground.start(&["reap", "--now"]).ended().await.expect(2, &["--yes"]);
        assert_eq!(ground.up().len(), 2);
        ground.start(&["reap", "--now", "--yes"]).ended().await.expect(0, &["ended"]);
        assert_eq!(ground.up().len(), 0);
    });
}

#[test]
fn ps_says_what_each_works_on() {
    on_ground(async |ground| {
        ground.dayfly("ps", "").await.expect(0, &["no machines of s3://test-bucket/job/"]);
        ground.launch(&format!("-n 2 --spot --on-demand-base 1 --instance-type {TYPES}")).await.expect(0, &[]);
        let machines = ground.up();
        reports(ground, &machines[0], AgentState::Working).await;
        let (first, second) = (machines[0].id.as_str(), machines[1].id.as_str());
        let words = [first, second, "in0.dat", "has not reported", "spot", "on-demand", &machines[0].zone];
        ground.dayfly("ps", "").await.expect(0, &words);
        let json = ground.dayfly("ps", "--json").await;
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json.said).expect("JSON")["machines"].as_array().map(Vec::len),
            Some(2)
        );
        ground.aws.end(first, End::Kill);
        let ended = ground.dayfly("ps", "").await;
        assert!(!ended.said.contains(first) && ended.said.contains(second), "{}", ended.said);
        ground.dayfly("ps", "--all").await.expect(0, &[first, "terminated"]);
    });
}

#[test]
fn a_spot_request_never_filled_is_said() {
    on_ground(async |ground| {
        ground.court.shows(Page::NeverFilled);
        ground.aws.set(Trouble::with_launches().on_market("spot").no_capacity());
        let ended = ground.launch(&format!("-n 3 --spot --maintain --instance-type {TYPES}")).await;
        ended.expect(0, &["keeps 3 machines"]);
        ground
            .dayfly("ps", "")
            .await
            .expect(0, &["keeps 3 machines, and has 0", "InsufficientInstanceCapacity", "the rest", "dayfly launch"]);
    });
}

#[test]
fn machines_are_stopped_started_and_ended() {
    on_ground(async |ground| {
        ground.court.shows(Page::Managed);
        ground.launch(&format!("-n 2 --instance-type {TYPES}")).await.expect(0, &[]);
        let machines = ground.up();
        let (one, other) = (machines[0].id.clone(), machines[1].id.clone());
        ground.dayfly("stop", "").await.expect(2, &["--yes", "nothing was changed"]);
        ground.dayfly("stop", &format!("--yes -i {one}")).await.expect(0, &["stop:", &one]);
        assert_eq!(ground.aws.machine(&one).state, "stopped");
        ground.dayfly("stop", &format!("--yes -i {one}")).await.expect(1, &["it is stopped"]);
        ground.dayfly("start", "--yes").await.expect(0, &["start:", &one, &format!("not {other}: it is running")]);
        assert_eq!(ground.up().len(), 2);
        ground.dayfly("terminate", "--yes -i i-00000000000000000").await.expect(2, &["is no machine of", "dayfly ps"]);
        ground.dayfly("terminate", &format!("--yes -i {one}")).await.expect(0, &[&one]);
        assert_eq!(ground.up().into_iter().map(|m| m.id).collect::<Vec<_>>(), [other]);
        ground.dayfly("terminate", "--yes").await.expect(0, &["terminate:"]);
        assert_eq!(ground.up().len(), 0);
    });
}

#[test]
fn spot_and_fleets_do_not_stop_and_terminate_takes_the_fleet() {
    on_ground(async |ground| {
        ground.court.shows(Page::FleetEnded);
        ground.launch(&format!("-n 1 --spot --instance-type {TYPES}")).await.expect(0, &[]);
        ground.dayfly("stop", "--yes").await.expect(1, &["spot machine", "cannot be stopped", "dayfly terminate"]);
        ground.launch(&format!("-n 1 --maintain --instance-type {TYPES}")).await.expect(0, &["keeps 1 machine"]);
        assert_eq!(ground.up().len(), 2);
        ground.dayfly("stop", "--yes").await.expect(1, &["cannot stop"]);
        ground.dayfly("terminate", "--yes").await.expect(0, &["fleet-", "replaces nothing more"]);
        // A fleet that still lived would bring another by the next look.
        ground.dayfly("ps", "").await.expect(0, &["no machines"]);
        assert_eq!(ground.up().len(), 0);
    });
}
