//! Agents that die, freeze, are told to stop, or are cut off, in the middle of a task.

use dayfly_shared::records::{AttemptEnd, LeaseState, TenureEnd};
use dayfly_tests::{Layout, Rule, World, everywhere};
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
}
