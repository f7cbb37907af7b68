//! People at work on a job that runs: they add lines, pause it, cancel it, start agents as they like.

use dayfly_shared::keys::View;
use dayfly_shared::plan::join_lines;
use dayfly_tests::{Layout, Rule, World, content, everywhere};
use hyper::Method;
use rustix::process::Signal;

everywhere! {
    /// A line added by hand while the job runs is done like the others.
    async fn a_line_added_by_hand_is_done(world: &World) {
        let mut job = Layout::new(8).list("in0.dat\nin1.dat\nin2.dat\n").lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in2.dat"));
        let mut first = job.agent("first").through(&proxy).start();
        world.held(&mut first, &gate).await;
        job.add_lines(&["in7.dat"]).await;
        gate.open();
        first.ended().await.expect(0, &[]);
        assert!(job.lines(View::Completed).await.contains(&"in7.dat".to_owned()));
        // The job was over; a line added now starts it again.
        job.add_lines(&["in5.dat"]).await;
        job.agent("second").start().ended().await.expect(0, &[]);
        assert_eq!(job.bucket.segments_after(0).await.expect("the plan").len(), 3);
        job.finish(&[]).await;
    }

    /// A person who adds line after line, each time overwriting whatever the agents wrote meanwhile, loses none.
    async fn edits_that_race_the_agents_are_not_lost(world: &World) {
        let names = content::names(40);
        let mut job = Layout::new(40).list(join_lines(&names[..20])).lay_out(world).await;
        let mut agents: Vec<_> = ["one", "two"].map(|name| job.agent(name).arg("--linger").start()).into();
        agents.push(job.agent("three").arg("--linger").arg("--slots").arg("3").start());
        for name in &names[20..] {
            job.add_lines(&[name]).await;
        }
        job.until("every line is completed", async |job| job.lines(View::Completed).await.len() == 40).await;
        // Agents may have lingered before, between two additions: the end is that of all lines.
        job.until("the job is over", async |job| {
            job.bucket.summary().await.expect("a read").is_some_and(|summary| summary.done == 40)
        })
        .await;
        for agent in &mut agents {
            agent.signal(Signal::TERM);
            agent.ended().await.expect(4, &["SIGTERM"]);
        }
        job.finish(&[]).await;
    }

    /// Paused, agents finish what they have in hand and begin nothing; resumed, they go on; cancelled, they end.
    async fn a_job_is_paused_resumed_and_cancelled(world: &World) {
        let mut job = Layout::new(10).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let first = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).times(1));
        let second = proxy.hold(Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in")).after(1).times(1));
        let mut agent = job.agent("first").through(&proxy).start();
        world.held(&mut agent, &first).await;
        world.dayfly(&["pause", &job.url(), "--why", "lunch"]).await.expect(0, &["is paused"]);
        job.until("the agent knows", async |job| {
            let records = job.agents_named("first").await;
            records.iter().any(|record| record.why.as_deref().is_some_and(|why| why.contains("lunch")))
        })
        .await;
        first.open();
        job.until("the task in hand is done", async |job| job.lines(View::Completed).await.len() == 1).await;
        job.until("nothing is held", async |job| job.bucket.semaphores().await.expect("a listing").is_empty()).await;
        let before = proxy.seen().len();
        job.until("the agent looked at control.json twice more", async |_| {
            proxy.seen()[before..].iter().filter(|seen| seen.asked.key.ends_with("control.json")).count() >= 2
        })
        .await;
        let begun = proxy.seen()[before..].iter().filter(|seen| seen.asked.key.contains("/semaphores/")).count();
        assert_eq!(begun, 0, "nothing is claimed while the job is paused");
        assert!(agent.runs(), "a paused agent waits");

        world.dayfly(&["resume", &job.url()]).await.expect(0, &["runs again"]);
        world.held(&mut agent, &second).await;
        world.dayfly(&["cancel", &job.url(), "--why", "wrong kernel"]).await.expect(0, &["is cancelled"]);
        agent.ended().await.expect(5, &["wrong kernel"]);
        let held = job.bucket.held().await.expect("the semaphores");
        assert_eq!(held.len(), 1, "what was in hand was given back: {held:?}");
        job.agent("late").start().ended().await.expect(5, &["wrong kernel"]);

        // Nothing was lost: the job can be taken up again.
        world.dayfly(&["status", &job.url()]).await.expect(0, &["cancelled: wrong kernel", "dayfly resume"]);
        world.dayfly(&["resume", &job.url()]).await.expect(0, &["may run again", "dayfly launch"]);
        job.agent("third").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// Two agents of one name are two agents.
    async fn two_agents_of_one_name(world: &World) {
        let mut job = Layout::new(10).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut one = job.agent("same").through(&proxy).start();
        world.held(&mut one, &gate).await;
        job.until_announced("in3.dat").await;
        let mut other = job.agent("same").start();
        job.until("all but one are done", async |job| job.lines(View::Completed).await.len() == 9).await;
        gate.open();
        one.ended().await.expect(0, &[]);
        other.ended().await.expect(0, &[]);
        let records = job.agents_named("same").await;
        assert_eq!(records.len(), 2, "{records:?}");
        assert_eq!(records.iter().map(|record| record.done).sum::<u64>(), 10, "{records:?}");
        let result = job.result_of("in3.dat").await.expect("a result");
        assert_eq!(result.tenures.len(), 1, "neither took the other for itself: {result:?}");
        job.finish(&[]).await;
    }
}
