//! Agents that die, freeze, are told to stop, or are cut off, in the middle of a task.

use dayfly_shared::ids::ChunkId;
use dayfly_shared::records::{AttemptEnd, LeaseState, TenureEnd};
use dayfly_shared::store::StoreExt;
use dayfly_tests::{Fault, Gate, Layout, Rule, World, content, everywhere};
use hyper::Method;
use rustix::process::Signal;

everywhere! {
    /// An agent is killed in the middle of a task: another one takes the task over, and the result tells of both.
    async fn a_killed_agent_is_taken_over(world: &World) {
        let mut job = Layout::new(6).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.until_announced("in3.dat").await;
        first.kill();
        job.agent("second").start().ended().await.expect(0, &[]);
        let result = job.result_of("in3.dat").await.expect("a result");
        let tenures: Vec<_> = result.tenures.iter().map(|t| t.end).collect();
        assert_eq!(tenures, [TenureEnd::Expired, TenureEnd::Closed]);
        let attempts: Vec<_> = result.tasks[0].attempts.iter().map(|a| a.end).collect();
        assert_eq!(attempts, [AttemptEnd::Vanished, AttemptEnd::Done]);
        assert!(result.tenures[0].agent.as_str().starts_with("first-"), "{result:?}");
        assert!(result.tenures[1].agent.as_str().starts_with("second-"), "{result:?}");
        job.finish(&[]).await;
    }

    /// Told to stop in the middle of a task: the task is stopped when the grace is over and given back with what was
    /// done, its epoch goes on counting, and another agent finishes it.
    async fn a_terminated_agent_gives_its_task_back(world: &World) {
        let mut job = Layout::new(6).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut first = job.agent("first").through(&proxy).arg("--drain-grace").arg("1").start();
        world.held(&mut first, &gate).await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &["SIGTERM"]);
        let semaphore = job.semaphore_of("in3.dat").await.expect("it stays, so that its epoch goes on counting");
        assert_eq!((semaphore.state, semaphore.epoch, semaphore.losses), (LeaseState::Released, 1, 0));
        assert_eq!(semaphore.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Preempted]);
        job.agent("second").start().ended().await.expect(0, &[]);
        let result = job.result_of("in3.dat").await.expect("a result");
        let tenures: Vec<_> = result.tenures.iter().map(|t| t.end).collect();
        assert_eq!(tenures, [TenureEnd::Released, TenureEnd::Closed]);
        let attempts: Vec<_> = result.tasks[0].attempts.iter().map(|a| a.end).collect();
        assert_eq!(attempts, [AttemptEnd::Preempted, AttemptEnd::Done]);
        job.finish(&[]).await;
    }

    /// A second signal takes the grace away.
    async fn a_second_signal_stops_at_once(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in2.dat"));
        let mut first = job.agent("first").through(&proxy).arg("--drain-grace").arg("86400").start();
        world.held(&mut first, &gate).await;
        first.signal(Signal::TERM);
        world.until("the agent drains", async || first.said().contains("draining")).await;
        first.signal(Signal::TERM);
        first.ended().await.expect(4, &["SIGTERM"]);
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// An agent frozen for longer than its lease lasts wakes up with the put of its output on the way.
    async fn a_late_output_does_no_harm(world: &World) {
        frozen(world, Rule::on(Method::PUT).key_ends("/out3.dat")).await;
    }

    /// … with the put of its result on the way.
    async fn a_late_result_does_no_harm(world: &World) {
        frozen(world, Rule::on(Method::PUT).key_has("/results/").key_has("in3.dat")).await;
    }

    /// … with the delete of its semaphore on the way.
    async fn a_late_delete_does_no_harm(world: &World) {
        frozen(world, Rule::on(Method::DELETE).key_has("/semaphores/").key_has("in3.dat")).await;
    }

    /// … with a renewal of its lease on the way.
    async fn a_late_heartbeat_does_no_harm(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let proxy = world.proxy(1).await;
        // The first put is the claim; the task itself is held, so that there is a second one.
        let task = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let heartbeat = proxy.hold(Rule::on(Method::PUT).key_has("/semaphores/").key_has("in3.dat").after(1));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &heartbeat).await;
        first.signal(Signal::STOP);
        job.agent("second").start().ended().await.expect(0, &[]);
        first.signal(Signal::CONT);
        heartbeat.open();
        world.until("the heartbeat was rejected", async || {
            let seen = proxy.seen_of(&Method::PUT, "/semaphores/");
            seen.iter().any(|s| s.asked.key.contains("in3.dat") && matches!(s.status, Some(404 | 412)))
        })
        .await;
        task.open();
        first.ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// … while its input was on the way.
    async fn a_late_start_does_no_harm(world: &World) {
        frozen(world, Rule::on(Method::GET).key_ends("/in3.dat")).await;
    }

    /// A claim that reaches the store when the task is long done.
    async fn a_late_claim_does_no_harm(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::PUT).key_has("/semaphores/").key_has("in3.dat").times(1));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.agent("second").start().ended().await.expect(0, &[]);
        gate.open();
        first.ended().await.expect(0, &[]);
        let claim = &proxy.seen_of(&Method::PUT, "/semaphores/").into_iter().find(|s| s.asked.key.contains("in3.dat"));
        assert_eq!(claim.as_ref().and_then(|seen| seen.status), Some(200), "the claim went through, late");
        let result = job.result_of("in3.dat").await.expect("a result");
        assert_eq!(result.tenures.len(), 1);
        assert!(result.tenures[0].agent.as_str().starts_with("second-"), "{result:?}");
        job.finish(&[]).await;
    }

    /// Cut off in the middle of a task, taken over, and back again with everything it had on the way.
    async fn a_partitioned_agent_does_no_harm(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let task = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &task).await;
        let rest = proxy.hold(Rule::any());
        job.agent("second").start().ended().await.expect(0, &[]);
        task.open();
        rest.open();
        first.ended().await.expect(0, &[]);
        let result = job.result_of("in3.dat").await.expect("a result");
        let tenures: Vec<_> = result.tenures.iter().map(|t| t.end).collect();
        assert_eq!(tenures, [TenureEnd::Expired, TenureEnd::Closed]);
        job.finish(&[]).await;
    }

    /// A task that takes every agent with it is given up, after losses that are its own beyond doubt; the rest goes on.
    async fn a_task_that_kills_its_agents_is_given_up(world: &World) {
        let mut job = Layout::new(4).lay_out(world).await;
        let proxy = world.proxy(1).await;
        proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        // Two losses that may have been the machine's, then max_losses announced ones.
        for n in 1..=5 {
            let mut agent = job.agent("victim").through(&proxy).start();
            job.until(&format!("victim {n} runs in3.dat"), async |job| {
                job.semaphore_of("in3.dat").await.is_some_and(|s| s.epoch == n && s.running.is_some())
            })
            .await;
            agent.kill();
        }
        job.agent("survivor").through(&proxy).start().ended().await.expect(0, &["given up"]);
        let letters = job.bucket.dead_letters().await.expect("the dead letters");
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert!(letters[0].error.contains("vanished 3 times"), "{letters:?}");
        let ends: Vec<_> = letters[0].attempts.iter().map(|a| a.end).collect();
        let (vanished, alone) = (AttemptEnd::Vanished, AttemptEnd::VanishedAlone);
        assert_eq!(ends, [vanished, vanished, alone, alone, alone]);
        job.finish(&["in3.dat"]).await;
    }

    /// A chunk of many tasks is taken over where it was left: what was done is not done again.
    async fn a_chunk_is_taken_over_where_it_was_left(world: &World) {
        let mut job = Layout::new(30).lay_out(world).await;
        job.plan(&content::names(30), 10).await;

        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in16.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        let chunk = ChunkId { segment: 1, index: 2 };
        job.until("a heartbeat that tells of six tasks", async |job| {
            let held = job.bucket.held().await.expect("the semaphores");
            held.iter().any(|(id, semaphore)| *id == chunk && semaphore.decided == 6 && semaphore.running.is_some())
        })
        .await;
        first.kill();
        let proxy = world.proxy(2).await;
        job.agent("second").through(&proxy).start().ended().await.expect(0, &[]);
        for n in 10..16 {
            let again = proxy.seen_of(&Method::PUT, &format!("/out{n}.dat"));
            assert!(again.is_empty(), "in{n}.dat was done already: {again:?}");
        }
        let result = job.result_of("in16.dat").await.expect("a result");
        assert_eq!(result.tenures.iter().map(|t| t.end).collect::<Vec<_>>(), [TenureEnd::Expired, TenureEnd::Closed]);
        assert_eq!(result.tasks[6].attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [
            AttemptEnd::Vanished,
            AttemptEnd::Done
        ]);
        job.finish(&[]).await;
    }

    /// Waiting on standby while another agent works, and told to stop: the seat is left, and nothing else happens.
    async fn a_standby_agent_is_told_to_stop(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in2.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        let mut second = job.agent("second").start();
        job.until("a standby seat is taken", async |job| {
            !job.bucket.store().list_all(&job.bucket.keys.seats()).await.expect("a listing").is_empty()
        })
        .await;
        second.signal(Signal::TERM);
        second.ended().await.expect(4, &["SIGTERM"]);
        let seats = job.bucket.store().list_all(&job.bucket.keys.seats()).await.expect("a listing");
        assert!(seats.is_empty(), "the seat was left: {seats:?}");
        gate.open();
        first.ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// … while its claim of the seat is on its way, answered or not.
    async fn a_standby_agent_is_told_to_stop_while_it_sits_down(world: &World) {
        seat_is_left(world, Rule::on(Method::PUT).key_has("/standby/").times(1)).await;
    }

    /// … while a renewal of the seat is on its way.
    async fn a_standby_agent_is_told_to_stop_while_it_renews(world: &World) {
        seat_is_left(world, Rule::on(Method::PUT).key_has("/standby/").after(1).times(1)).await;
    }

    /// The service goes away: the agent waits as long as it was told to, and ends saying so.
    async fn an_agent_whose_store_vanishes_gives_up(world: &World) {
        let job = Layout::new(3).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in2.dat"));
        let mut agent = job.agent("first").through(&proxy).arg("--give-up-after").arg("3").start();
        world.held(&mut agent, &gate).await;
        drop(job);
        world.take_server_down();
        gate.open();
        agent.ended().await.expect(1, &["has not answered"]);
    }

    /// Killed in the middle of an upload in parts: the parts lie about until somebody cleans, and another agent's output
    /// stands, whole.
    async fn a_kill_in_the_middle_of_an_upload(world: &World) {
        let large = content::of("in1.dat", 40 << 20);
        let small = content::of("in0.dat", 100);
        let mut job =
            Layout::of([("in0.dat".to_owned(), small), ("in1.dat".to_owned(), large)]).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::PUT).key_ends("/out1.dat").query_has("partNumber=3"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        first.kill();
        job.agent("second").start().ended().await.expect(0, &[]);
        let left = job.outputs().uploads(job.location().prefix()).await.expect("the uploads");
        assert_eq!(left.len(), 1, "the dead agent's upload is still there: {left:?}");
        let clean = world.dayfly(&["clean", &job.url(), "--older-than", "0s", "--yes"]).await;
        clean.expect(0, &["unfinished upload", "1 leftover removed"]);
        world.dayfly(&["clean", &job.url()]).await.expect(0, &["nothing to remove"]);
        job.finish(&[]).await;
    }
}

/// An agent is frozen with a request under way, for longer than its lease; another one takes its task over and ends the
/// job; then it wakes up, the request arrives, and it ends as if nothing had been.
async fn frozen(world: &World, rule: Rule) {
    let mut job = Layout::new(5).lay_out(world).await;
    let proxy = world.proxy(1).await;
    let gate = proxy.hold(rule);
    let mut first = job.agent("first").through(&proxy).start();
    world.held(&mut first, &gate).await;
    first.signal(Signal::STOP);
    job.agent("second").start().ended().await.expect(0, &[]);
    assert!(job.result_of("in3.dat").await.is_some());
    first.signal(Signal::CONT);
    gate.open();
    first.ended().await.expect(0, &[]);
    job.finish(&[]).await;
}

/// An agent on standby is told to stop while the answer to a request about its seat is on its way.
async fn seat_is_left(world: &World, rule: Rule) {
    let mut job = Layout::new(3).lay_out(world).await;
    let proxy = world.proxy(1).await;
    let task = proxy.hold(Rule::on(Method::GET).key_ends("/in2.dat"));
    let mut first = job.agent("first").through(&proxy).start();
    world.held(&mut first, &task).await;
    let proxy = world.proxy(2).await;
    let answer = Gate::default();
    proxy.add(rule.then(Fault::HoldAnswer(answer.clone())));
    let mut second = job.agent("second").through(&proxy).start();
    world.held(&mut second, &answer).await;
    let seats = job.bucket.store().list_all(&job.bucket.keys.seats()).await.expect("a listing");
    assert_eq!(seats.len(), 1, "the request went through");
    second.signal(Signal::TERM);
    second.ended().await.expect(4, &["SIGTERM"]);
    let seats = job.bucket.store().list_all(&job.bucket.keys.seats()).await.expect("a listing");
    assert!(seats.is_empty(), "the seat was left: {seats:?}");
    task.open();
    first.ended().await.expect(0, &[]);
    job.finish(&[]).await;
}
