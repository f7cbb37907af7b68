//! `--max-cost`: a job that has cost what it may drains, its machines end, and what is left is told.

use std::collections::BTreeSet;

use dayfly_shared::keys::View;
use dayfly_shared::records::{AgentState, ControlState};
use dayfly_tests::Instances;
use dayfly_tests::aws::{Set, Trouble};

use crate::ground::{Ground, on_ground};

/// Two machines for four tasks, and a cap that a few seconds do not reach and ten hours do.
const FLAGS: [&str; 8] = ["-n", "2", "--slots", "1", "--instance-type", "m5.large", "--max-cost", "0.50"];
const TEN_HOURS: u64 = 36_000;

/// Each agent has a task in hand for as long as the fault stands.
fn hold_inputs(ground: &Ground<'_, '_>) -> Set {
    ground.aws.set(Trouble::with("s3", "GetObject").containing("/in").held())
}

async fn in_hand(machines: &mut Instances, held: &Set) {
    machines.until("each has a task in hand", async |_| held.held() == 2).await;
}

async fn state(ground: &Ground<'_, '_>) -> ControlState {
    let control = ground.job.bucket.control().await.expect("a read");
    control.map(|(control, _)| control.state).expect("a cap is in control.json")
}

/// Both agents have heard, and begin nothing more when their task comes free.
async fn heard(machines: &mut Instances, ground: &Ground<'_, '_>) {
    machines
        .until("both agents drain", async |_| {
            let agents = ground.job.bucket.agents().await.expect("the agents' records");
            agents.len() == 2 && agents.iter().all(|agent| agent.state == AgentState::Draining)
        })
        .await;
}

/// The two that were in hand are done; the others are on the list of what is open, and on no other.
async fn two_of_four_are_done(ground: &Ground<'_, '_>) {
    let lines = async |view| ground.job.lines(view).await.into_iter().collect::<BTreeSet<String>>();
    let (done, open) = (lines(View::Completed).await, lines(View::Tasklist).await);
    assert_eq!((done.len(), open.len()), (2, 2), "done {done:?}, open {open:?}");
    assert_eq!(done.union(&open).count(), 4, "done {done:?}, open {open:?}");
    for name in &done {
        assert!(ground.job.output(name).await.is_some(), "{name} has its output");
    }
}

#[test]
fn a_job_that_reaches_its_cap_drains_once_somebody_looks() {
    on_ground(async |ground| {
        let held = hold_inputs(ground);
        let url = ground.job.url();
        ground.start(&[&["launch", &url][..], &FLAGS].concat()).ended().await.expect(0, &["2 machines started"]);
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        in_hand(&mut machines, &held).await;
        let status = ground.dayfly("status", "").await;
        status.expect(0, &["running"]);
        assert_eq!(state(ground).await, ControlState::Running, "{}", status.said);

        for machine in ground.up() {
            ground.aws.age(&machine.id, TEN_HOURS);
        }
        assert_eq!(state(ground).await, ControlState::Running, "nobody looks");
        ground.dayfly("status", "").await.expect(0, &["drains: it has cost $1.", "and may cost $0.50"]);
        assert_eq!(state(ground).await, ControlState::Draining);
        heard(&mut machines, ground).await;
        held.take_back();
        machines.gone().await;
        for machine in ground.aws.machines() {
            let mine = machines.get(&machine.id);
            mine.agent.ended().await.expect(4, &[]);
            assert_eq!(mine.power_offs().len(), 1, "{} powered itself off", machine.id);
        }
        two_of_four_are_done(ground).await;
        let said = ["2 of 4 done", "draining: it has cost $1.", "and may cost $0.50", "to go on: dayfly resume"];
        ground.dayfly("status", "").await.expect(0, &said);
    });
}

#[test]
fn run_keeps_the_cap_while_it_stays() {
    on_ground(async |ground| {
        let held = hold_inputs(ground);
        let url = ground.job.url();
        let mut run = ground.start(&[&["run", &url][..], &FLAGS].concat());
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        in_hand(&mut machines, &held).await;
        for machine in ground.up() {
            ground.aws.age(&machine.id, TEN_HOURS);
        }
        heard(&mut machines, ground).await;
        assert_eq!(state(ground).await, ControlState::Draining);
        held.take_back();
        machines.until("dayfly run has ended", async |_| !run.runs()).await;
        run.ended().await.expect(4, &["drains: it has cost $1.", "and may cost $0.50", "2 of 4 done", "dayfly resume"]);
        machines.gone().await;
        two_of_four_are_done(ground).await;
    });
}
