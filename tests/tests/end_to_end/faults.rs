//! Requests that break, and agents that die at each point of their way: whatever went unanswered is found out.

use dayfly_tests::{Fault, Gate, Layout, Rule, World, content, everywhere};
use hyper::Method;

/// Two agents do a job through a proxy with this rule. The check of the store, which asks only some seconds for a clear
/// answer, is not what is tried here.
async fn through(world: &World, rule: Rule, fault: Fault) {
    let mut job = Layout::new(8).lay_out(world).await;
    let proxy = world.proxy(1).await;
    proxy.add(rule.and(|asked| !asked.key.contains("/scratch/")).then(fault));
    let mut agents =
        [job.agent("one").through(&proxy).start(), job.agent("two").arg("--slots").arg("2").through(&proxy).start()];
    for agent in &mut agents {
        agent.ended().await.expect(0, &[]);
    }
    assert!(proxy.faults() > 0, "no request met the rule");
    job.finish(&[]).await;
}

/// The commit of a task, the claim of a chunk and so on: all puts whose key holds this.
fn puts(part: &str) -> Rule {
    Rule::on(Method::PUT).key_has(part)
}

everywhere! {
    async fn commits_that_nobody_answers(world: &World) {
        through(world, puts("/out").times(4), Fault::CutAnswer).await;
    }

    async fn claims_and_heartbeats_that_nobody_answers(world: &World) {
        through(world, puts("/semaphores/").times(4), Fault::CutAnswer).await;
    }

    async fn results_that_nobody_answers(world: &World) {
        through(world, puts("/results/").times(4), Fault::CutAnswer).await;
    }

    async fn deletes_that_nobody_answers(world: &World) {
        through(world, Rule::on(Method::DELETE).key_has("/semaphores/").times(4), Fault::CutAnswer).await;
    }

    async fn a_plan_that_nobody_answers(world: &World) {
        through(world, puts("/plan/").times(4), Fault::CutAnswer).await;
    }

    async fn views_that_nobody_answers(world: &World) {
        through(world, Rule::on(Method::PUT).key_ends(".txt").times(6), Fault::CutAnswer).await;
    }

    /// Applied, and answered with an error nevertheless.
    async fn writes_that_are_answered_wrongly(world: &World) {
        through(world, Rule::on(Method::PUT).times(30), Fault::AnswerAfter(500, "InternalError".to_owned())).await;
    }

    async fn requests_that_never_arrive(world: &World) {
        through(world, Rule::any().after(10).times(30), Fault::Cut).await;
    }

    async fn bodies_that_break_off_on_the_way_up(world: &World) {
        through(world, puts("/out").times(4), Fault::CutUpload(0)).await;
    }

    async fn bodies_that_break_off_on_the_way_down(world: &World) {
        let inputs = Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in"));
        through(world, inputs.times(4), Fault::CutDownload(1)).await;
    }

    async fn a_plan_that_breaks_off_on_the_way_down(world: &World) {
        through(world, Rule::on(Method::GET).key_ends("/plan/0001.txt").times(2), Fault::CutDownload(5)).await;
    }

    /// A store that is busy says so in bursts.
    async fn a_store_that_asks_to_slow_down(world: &World) {
        through(world, Rule::any().after(20).times(40), Fault::slow_down()).await;
    }

    /// Conflicts are neither success nor "taken".
    async fn a_store_that_answers_conflicts(world: &World) {
        through(world, Rule::on(Method::PUT).times(20), Fault::Answer(409, "OperationAborted".to_owned())).await;
    }

    /// An upload in parts, each of whose steps goes unanswered once.
    async fn an_upload_in_parts_that_is_answered_badly(world: &World) {
        let large = ("in1.dat".to_owned(), content::of("in1.dat", 20 << 20));
        let mut job = Layout::of([large]).lay_out(world).await;
        let proxy = world.proxy(1).await;
        proxy.add(Rule::on(Method::POST).query_has("uploads").times(1).then(Fault::Cut));
        proxy.add(Rule::on(Method::PUT).query_has("partNumber=2").times(1).then(Fault::CutAnswer));
        proxy.add(Rule::on(Method::PUT).query_has("partNumber=3").times(1).then(Fault::CutUpload(1000)));
        let complete = Rule::on(Method::POST).query_has("uploadId").and(|asked| asked.key.ends_with("/out1.dat"));
        proxy.add(complete.times(1).then(Fault::CutAnswer));
        job.agent("one").through(&proxy).start().ended().await.expect(0, &[]);
        assert!(proxy.faults() >= 4, "every step met its rule");
        job.finish(&[]).await;
    }

    /// Transfers that stall, each in its own way and for good: no answer to a read, a body that stops coming, an output and a
    /// part that nobody takes. All are given up and tried again.
    async fn transfers_that_stall(world: &World) {
        let large = ("in4.dat".to_owned(), content::of("in4.dat", 20 << 20));
        let small = (0..4).map(|n| (format!("in{n}.dat"), content::of(&format!("in{n}.dat"), 200_000)));
        let mut job = Layout::of(small.chain([large])).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gates = [
            proxy.hold(Rule::on(Method::GET).key_ends("/in0.dat").times(1)),
            proxy.hold(Rule::on(Method::PUT).key_ends("/out2.dat").times(1)),
            proxy.hold(Rule::on(Method::PUT).query_has("partNumber=2").times(1)),
        ];
        let half = Gate::default();
        proxy.add(Rule::on(Method::GET).key_ends("/in1.dat").times(1).then(Fault::HoldDownload(100_000, half.clone())));
        job.agent("one").arg("--slots").arg("4").through(&proxy).start().ended().await.expect(0, &[]);
        assert_eq!(gates.each_ref().map(Gate::came), [1, 1, 1], "each stalled once");
        assert_eq!(half.came(), 1, "the download stalled half-way");
        job.finish(&[]).await;
    }

    /// An agent is killed at each point of its way, before the write and after it: another one goes on from there.
    async fn death_at_every_point(world: &World) {
        let task = |rule: Rule| rule.key_has("in3.dat");
        let deletes = || Rule::on(Method::DELETE).key_has("/semaphores/");
        let points: Vec<(&str, Rule, Rule)> = vec![
            ("check", puts("/store.json"), puts("/store.json")),
            ("plan-text", puts("/plan/0001.txt"), puts("/plan/0001.txt")),
            ("plan", puts("/plan/0001.json"), puts("/plan/0001.json")),
            ("claim", task(puts("/semaphores/")), task(puts("/semaphores/"))),
            ("input", task(Rule::on(Method::GET)), task(Rule::on(Method::GET))),
            ("output", puts("/out3.dat"), puts("/out3.dat")),
            ("result", task(puts("/results/")), task(puts("/results/"))),
            ("delete", task(deletes()), task(deletes())),
            ("completed", puts("/completed.txt"), puts("/completed.txt")),
            ("tasklist", puts("/tasklist.txt"), puts("/tasklist.txt")),
            ("summary", puts("/summary.json"), puts("/summary.json")),
            ("record", puts("/agents/"), puts("/agents/")),
        ];
        let mut deaths = Vec::new();
        for (name, before, after) in points {
            deaths.push(death_at(world, format!("{name}-before"), before, Fault::Hold));
            deaths.push(death_at(world, format!("{name}-after"), after, Fault::HoldAnswer));
        }
        futures::future::join_all(deaths).await;
    }
}

async fn death_at(world: &World, prefix: String, rule: Rule, hold: fn(Gate) -> Fault) {
    let mut job = Layout::new(5).prefix(&prefix).lay_out(world).await;
    let proxy = world.proxy(1).await;
    let gate = Gate::default();
    proxy.add(rule.then(hold(gate.clone())));
    let mut first = job.agent(&format!("first-{prefix}")).through(&proxy).start();
    // Not every agent passes every point: one that ends instead, ends well.
    world.until("it is held, or has ended", async || gate.came() > 0 || !first.runs()).await;
    if first.runs() {
        first.kill();
    } else {
        first.ended().await.expect(0, &[]);
    }
    job.agent(&format!("second-{prefix}")).start().ended().await.expect(0, &[]);
    job.finish(&[]).await;
}
