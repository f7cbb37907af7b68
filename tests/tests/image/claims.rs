//! Machines that work.

use std::time::Duration;

use dayfly_shared::job::JobSettings;
use dayfly_shared::records::{AttemptEnd, LeaseState};
use dayfly_tests::{Kind, Layout, Rule, World, content, run};
use hyper::Method;

use crate::guest::{Boot, Firmware, expect};

/// Inputs like the demonstration's, and its kernel's size: 2 MB and 1000 bytes.
pub fn dataset(count: usize) -> Layout {
    let inputs = content::names(count).into_iter().map(|name| {
        let bytes = content::of(&name, 2_000_000);
        (name, bytes)
    });
    // A guest without acceleration is slow: leases as long as in a real job.
    let settings = JobSettings { agents: 2, ..JobSettings::default() };
    Layout::of(inputs).kernel(Some(&content::of("kernel", 1000))).settings(Some(settings))
}

/// Three tasks from their claim to their outputs and lists, and the machine off.
async fn three_tasks(world: &World, firmware: Firmware) {
    let mut job = dataset(3).lay_out(world).await;
    let said = Boot::new(world, "worker").by(firmware).on(&job).start().powered_off().await;
    expect(&said, &["task begins", "dayfly: powering off: the job is over"]);
    job.finish(&[]).await;
    let agents = job.agents_named("worker").await;
    assert_eq!(agents.len(), 1, "{agents:?}");
    assert_eq!(agents[0].machine.instance_type.as_deref(), Some("c7i.large"), "it read its metadata");
}

#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn three_tasks_by_bios() {
    run(Kind::Endpoint, async |world: &World| three_tasks(world, Firmware::Bios).await);
}

#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn three_tasks_by_uefi() {
    run(Kind::Endpoint, async |world: &World| three_tasks(world, Firmware::Uefi).await);
}

/// A notice in the middle of a task: it is given back, and the machine goes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn a_spot_notice_in_the_middle_of_a_task() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = dataset(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in1.dat"));
        let mut guest = Boot::new(world, "spot").through(&job, &proxy, |_| {}).start();
        world.held(&mut guest.machine, &gate).await;
        guest.metadata.notice("terminate", Duration::from_secs(45));
        let said = guest.powered_off().await;
        expect(&said, &["spot notice: EC2 will terminate this instance", "powering off"]);
        let semaphore = job.semaphore_of("in1.dat").await.expect("it stays, so that its epoch goes on counting");
        assert_eq!((semaphore.state, semaphore.losses), (LeaseState::Released, 0));
        assert_eq!(semaphore.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Preempted]);
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    });
}

/// Two machines share a list: each is held at its first input until the other has claimed, too.
#[test]
#[ignore = "boots two machines; run by scripts/test-ami"]
fn two_machines_share_the_list() {
    run(Kind::Endpoint, async |world: &World| {
        let mut job = dataset(8).lay_out(world).await;
        let mut guests = Vec::new();
        for name in ["one", "two"] {
            let proxy = world.proxy(1).await;
            let gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
            let guest = Boot::new(world, name).through(&job, &proxy, |settings| settings.slots = Some(1)).start();
            guests.push((guest, proxy, gate));
        }
        for (guest, _, gate) in &mut guests {
            world.held(&mut guest.machine, gate).await;
        }
        for (_, _, gate) in &guests {
            gate.open();
        }
        for (guest, _proxy, _) in guests {
            let said = guest.powered_off().await;
            expect(&said, &["task done", "powering off"]);
        }
        job.finish(&[]).await;
        for name in ["one", "two"] {
            assert_eq!(job.agents_named(name).await.len(), 1, "{name}");
        }
    });
}
