//! Download, work and upload overlap; and no agent sits on what another could begin.

use std::collections::BTreeSet;
use std::ops::Range;

use dayfly_shared::job::JobSettings;
use dayfly_shared::records::{AttemptEnd, LeaseState, TenureEnd};
use dayfly_tests::{Gate, Job, Layout, Program, Proxy, Rule, World, content, everywhere, short_lease};
use hyper::Method;
use rustix::process::Signal;

/// Made for one agent: it needs one listing for all of a small job. (Of a fleet, each goes along a lane, and searches at its
/// end, when its last chunk is closed.)
fn for_one() -> JobSettings {
    JobSettings { agents: 1, ..short_lease() }
}

/// Holds the put of one output.
fn hold_output(proxy: &Proxy, name: &str) -> Gate {
    proxy.hold(Rule::on(Method::PUT).key_ends(format!("/{name}")))
}

/// The inputs that were asked for.
fn fetched(proxy: &Proxy) -> BTreeSet<String> {
    let gets = proxy.seen_of(&Method::GET, "/in");
    gets.into_iter().filter_map(|seen| seen.asked.key.rsplit('/').next().map(str::to_owned)).collect()
}

/// Six tasks in one chunk, and the put of the third one's output held.
async fn one_chunk_of_six(world: &World) -> (Job<'_>, Proxy, Gate) {
    let job = Layout::new(6).lay_out(world).await;
    job.plan(&content::names(6), 6).await;
    let proxy = world.proxy(1).await;
    let gate = hold_output(&proxy, "out2.dat");
    (job, proxy, gate)
}

/// The third output is on its way, and the fourth input was asked for.
async fn until_in3_is_fetched(world: &World, job: &mut Job<'_>, agent: &mut Program, gate: &Gate, proxy: &Proxy) {
    world.held(agent, gate).await;
    job.until("the next input was asked for", async |_| fetched(proxy).contains("in3.dat")).await;
}

/// What was fetched ahead was used.
fn were_fetched_once(proxy: &Proxy, inputs: Range<usize>) {
    for n in inputs {
        let gets = proxy.seen_of(&Method::GET, &format!("/in{n}.dat"));
        assert_eq!(gets.len(), 1, "{gets:?}");
    }
}

everywhere! {
    /// While a chunk's last output is still going up, the next chunk is claimed, done and closed. Behind the one whose output
    /// hangs there is one at a time.
    async fn the_next_chunk_is_claimed_beside_the_last_upload(world: &World) {
        let mut job = Layout::new(5).settings(Some(for_one())).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = hold_output(&proxy, "out3.dat");
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        let done = async |job: &Job<'_>| {
            let mut done = 0;
            for n in [0, 1, 2, 4] {
                done += usize::from(job.output(&format!("in{n}.dat")).await.is_some());
            }
            done
        };
        job.until("all others are done, with the output of in3.dat on its way", async |job| done(job).await == 4).await;
        let held = job.semaphore_of("in3.dat").await.expect("its semaphore");
        assert_eq!((held.state, held.epoch), (LeaseState::Held, 1));
        gate.open();
        agent.ended().await.expect(0, &[]);
        let result = job.result_of("in3.dat").await.expect("a result");
        assert_eq!(result.tenures.len(), 1, "it was kept all the time: {result:?}");
        job.finish(&[]).await;
    }

    /// Told to stop with one chunk's output on its way and another's task at work: the one is finished, the other is given
    /// back at the deadline, and nothing is begun.
    async fn both_chunks_of_a_slot_are_let_go_at_a_drain(world: &World) {
        let mut job = Layout::new(6).settings(Some(for_one())).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let output = hold_output(&proxy, "out3.dat");
        // Whichever comes after it.
        let after = output.clone();
        let input = proxy.hold(Rule::on(Method::GET).key_has("/in").and(move |_| after.came() > 0));
        let mut agent = job.agent("first").through(&proxy).arg("--drain-grace").arg("2").start();
        world.held(&mut agent, &output).await;
        job.until("another task is begun, or none is left", async |_| input.came() > 0 || fetched(&proxy).len() == 6)
            .await;
        let before = fetched(&proxy);
        agent.signal(Signal::TERM);
        world.until("the agent drains", async || agent.said().contains("draining")).await;
        output.open();
        agent.ended().await.expect(4, &["SIGTERM"]);
        let result = job.result_of("in3.dat").await.expect("its output was on its way, so it is closed");
        assert_eq!(result.tenures.iter().map(|t| t.end).collect::<Vec<_>>(), [TenureEnd::Closed]);
        assert_eq!(fetched(&proxy), before, "nothing was begun after the signal");
        for (chunk, semaphore) in job.bucket.held().await.expect("the semaphores") {
            assert_eq!(semaphore.state, LeaseState::Released, "{chunk}");
            // Its input was on its way: for a task at work, or still for one to come.
            assert!(semaphore.attempts.iter().all(|a| a.end == AttemptEnd::Preempted), "{:?}", semaphore.attempts);
        }
        input.open();
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// Within a chunk the next input comes while an output goes up; what comes after it does not.
    async fn the_next_input_is_fetched_beside_an_upload(world: &World) {
        let (mut job, proxy, gate) = one_chunk_of_six(world).await;
        let mut agent = job.agent("one").through(&proxy).start();
        until_in3_is_fetched(world, &mut job, &mut agent, &gate, &proxy).await;
        assert!(!fetched(&proxy).contains("in4.dat"), "one at a time");
        gate.open();
        agent.ended().await.expect(0, &[]);
        were_fetched_once(&proxy, 1..6);
        job.finish(&[]).await;
    }

    /// While it is found out whether a claimed chunk is closed, its first input comes.
    async fn the_first_input_is_fetched_while_the_claim_is_checked(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::HEAD).key_has("/results/").after(1));
        let mut agent = job.agent("one").through(&proxy).start();
        world.held(&mut agent, &gate).await;
        job.until("its input was asked for", async |_| fetched(&proxy).len() == 2).await;
        gate.open();
        agent.ended().await.expect(0, &[]);
        were_fetched_once(&proxy, 0..3);
        job.finish(&[]).await;
    }

    /// The agent dies between the fetch ahead and the task: the next one does it, and tells of no attempt before its own.
    async fn what_was_fetched_ahead_dies_with_its_agent(world: &World) {
        let (mut job, proxy, gate) = one_chunk_of_six(world).await;
        let mut first = job.agent("first").through(&proxy).start();
        until_in3_is_fetched(world, &mut job, &mut first, &gate, &proxy).await;
        first.kill();
        job.agent("second").start().ended().await.expect(0, &[]);
        let result = job.result_of("in3.dat").await.expect("a result");
        let ends = |task: usize| result.tasks[task].attempts.iter().map(|a| a.end).collect::<Vec<_>>();
        assert_eq!(ends(3), [AttemptEnd::Done]);
        job.finish(&[]).await;
    }

    /// The lease is lost while the next input is there already: its task is not run.
    async fn what_was_fetched_ahead_is_dropped_with_a_lost_lease(world: &World) {
        let (mut job, proxy, gate) = one_chunk_of_six(world).await;
        let mut first = job.agent("first").through(&proxy).start();
        until_in3_is_fetched(world, &mut job, &mut first, &gate, &proxy).await;
        first.signal(Signal::STOP);
        job.agent("second").start().ended().await.expect(0, &[]);
        first.signal(Signal::CONT);
        gate.open();
        first.ended().await.expect(0, &[]);
        let again = proxy.seen_of(&Method::PUT, "/out3.dat");
        assert!(again.is_empty(), "the first agent put no more outputs: {again:?}");
        job.finish(&[]).await;
    }
}
