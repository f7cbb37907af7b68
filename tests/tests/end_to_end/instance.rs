//! Agents as on an instance: metadata, notices, lifetime, and the power-off at whatever end. The power-off is a program of
//! the test's that notes the reason.

mod boot;
mod calls;
mod posts;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dayfly_shared::clock::{Clock, SystemClock, Timestamp};
use dayfly_shared::records::{AgentState, AttemptEnd, LeaseState};
use dayfly_tests::{Agent, Ended, Job, Layout, Machine, Metadata, Rule, World, everywhere, on_endpoint};
use hyper::Method;
use rustix::process::Signal;

const ACTION: &str = "meta-data/spot/instance-action";

/// What a test sees of a machine's end.
struct End {
    program: PathBuf,
    reasons: PathBuf,
    console: PathBuf,
}

/// Writes a program.
fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a program");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
}

impl End {
    fn new(world: &World) -> Self {
        let at = |name: &str| world.folder().join(name);
        let end = Self { program: at("power-off"), reasons: at("reasons"), console: at("console") };
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >>'{}'\n", end.reasons.display());
        write_program(&end.program, &text);
        end
    }

    /// The agent ends this machine.
    fn of(&self, agent: Agent) -> Agent {
        let agent = agent.arg("--power-off").arg(&self.program.display().to_string());
        agent.arg("--console").arg(&self.console.display().to_string())
    }

    fn reasons(&self) -> Vec<String> {
        lines(&self.reasons)
    }

    fn console(&self) -> String {
        lines(&self.console).join("\n")
    }

    /// The machine was powered off once, for a reason with these words, and the console says so.
    fn came(&self, words: &str) {
        let reasons = self.reasons();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains(words), "{reasons:?}");
        let console = self.console();
        assert!(console.contains(words) && console.ends_with("; powering off"), "{console}");
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// An agent that asks this metadata service.
fn on(service: &Metadata, agent: Agent) -> Agent {
    agent.arg("--metadata").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url())
}

/// Seconds from now, as a notice says it.
fn ahead(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(SystemClock.now().wall.unix_ms + seconds * 1000)
}

async fn ended(mut agent: dayfly_tests::Program) -> Ended {
    agent.ended().await
}

/// The record of the only agent of this name.
async fn record(job: &Job<'_>, name: &str) -> Option<dayfly_shared::records::AgentRecord> {
    job.agents_named(name).await.pop()
}

everywhere! {
    /// A notice in the middle of a task: the task is given back in time, the record says why, the machine ends.
    async fn a_spot_notice_in_the_middle_of_a_task(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut first = end.of(on(&service, job.agent("first").through(&proxy))).start();
        world.held(&mut first, &gate).await;
        // 40 s of it are kept for uploads.
        service.set(ACTION, Some(&format!(r#"{{"action": "terminate", "time": "{}"}}"#, ahead(42))));
        ended(first).await.expect(4, &["spot notice: EC2 will terminate this instance"]);
        end.came("spot notice");
        let semaphore = job.semaphore_of("in3.dat").await.expect("it stays, so that its epoch goes on counting");
        assert_eq!((semaphore.state, semaphore.losses), (LeaseState::Released, 0));
        assert_eq!(semaphore.attempts.iter().map(|a| a.end).collect::<Vec<_>>(), [AttemptEnd::Preempted]);
        let record = record(&job, "first").await.expect("a record");
        assert_eq!(record.state, AgentState::Ended);
        assert!(record.why.as_deref().is_some_and(|why| why.starts_with("spot notice")), "{record:?}");
        assert_eq!(record.machine.instance_id.as_deref(), Some("i-0123456789abcdef0"));
        assert_eq!(record.machine.market.as_deref(), Some("spot"));
        assert_eq!(record.machine.region.as_deref(), Some("us-east-1"));
        assert_eq!(record.machine.image.as_deref(), Some("ami-0123456789abcdef0"));
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }
}

on_endpoint! {
    /// A recommendation is in the record and stops nothing; a service that fails for a while is no notice. (It is about the
    /// metadata service; which server the bucket is on makes no difference.)
    async fn a_rebalance_recommendation_is_noted(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut agent = end.of(on(&service, job.agent("first").through(&proxy))).start();
        world.held(&mut agent, &gate).await;
        service.fail(Some(503));
        let asked = service.asked().len();
        job.until("the agent asked in vain", async |_| service.asked().len() > asked).await;
        service.set("meta-data/events/recommendations/rebalance", Some(r#"{"noticeTime": "2026-01-01T00:00:00Z"}"#));
        service.fail(None);
        job.until("the record tells of the recommendation", async |job| {
            record(job, "first").await.is_some_and(|record| {
                record.state == AgentState::Working
                    && record.why.is_some_and(|why| why.contains("since 2026-01-01T00:00:00Z"))
            })
        })
        .await;
        gate.open();
        ended(agent).await.expect(0, &[]);
        end.came("the job is over");
        job.finish(&[]).await;
    }

    /// … unless the user data say that it should.
    async fn a_rebalance_recommendation_drains_where_wanted(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        service.set("user-data", Some(r#"{"drain_on_rebalance": true}"#));
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let agent = job.agent("first").through(&proxy).drain_grace(Duration::ZERO);
        let mut agent = end.of(on(&service, agent)).start();
        world.held(&mut agent, &gate).await;
        service.set("meta-data/events/recommendations/rebalance", Some(r#"{"noticeTime": "2026-01-01T00:00:00Z"}"#));
        ended(agent).await.expect(4, &["rebalance recommendation"]);
        end.came("rebalance");
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// The bucket does not answer (nothing listens there): said on the console, and the machine ends after a while.
    async fn an_agent_that_cannot_reach_its_bucket_ends_the_machine(world: &World) {
        let job = Layout::new(1).unwatched().lay_out(world).await;
        let end = End::new(world);
        let agent = job.agent("first").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").arg("--reach-within").arg("3");
        end.of(agent).start().ended().await.expect(1, &["cannot reach s3://test-bucket/job/"]);
        end.came("cannot reach s3://test-bucket/job/");
        assert!(end.console().contains("giving up in 2 s"), "{}", end.console());
    }

    /// The bucket answers a little later than the machine is up, as a role's rights do, and not all of them at once.
    async fn an_agent_waits_for_a_bucket_that_refuses_at_first(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        for (name, refused) in
            [("some", Rule::on(Method::HEAD).key_ends("/tasklist.txt").times(1)), ("all", Rule::any().times(3))]
        {
            let end = End::new(world);
            let proxy = world.proxy(1).await;
            proxy.add(refused.then(dayfly_tests::Fault::Answer(403, "AccessDenied".to_owned())));
            let agent = job.agent(name).through(&proxy).arg("--reach-within").arg("60");
            end.of(agent).start().ended().await.expect(0, &[]);
            assert!(end.console().contains("cannot reach"), "{name}: {}", end.console());
            end.came("the job is over");
            for file in [&end.reasons, &end.console] {
                std::fs::remove_file(file).expect("a file");
            }
        }
        job.finish(&[]).await;
    }

    /// What the agent cannot start with ends the machine, too.
    async fn an_agent_that_cannot_start_ends_the_machine(world: &World) {
        let job = Layout::new(1).unwatched().lay_out(world).await;
        for (n, user_data, words) in [
            (0, "#!/bin/bash\necho hello\n", "user data is not what the agent reads"),
            (1, r#"{"jobb": "s3://bucket/job"}"#, "jobb"),
            (2, r#"{"slots": 0}"#, "slots: 0"),
        ] {
            let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
            service.set("user-data", Some(user_data));
            end.of(on(&service, job.agent(&format!("broken{n}")))).start().ended().await.expect(1, &[words]);
            end.came(words);
            std::fs::remove_file(&end.reasons).expect("the reasons");
            std::fs::remove_file(&end.console).expect("the console");
        }
        let end = End::new(world);
        end.of(job.agent("misspelt").arg("--no-such-flag")).start().ended().await.expect(2, &["--no-such-flag"]);
        end.came("command line is wrong");
        std::fs::remove_file(&end.reasons).expect("the reasons");
        let agent = job.agent("none").arg("--settings").arg("/nonexistent/settings.json");
        end.of(agent).start().ended().await.expect(1, &["/nonexistent/settings.json cannot be read"]);
        end.came("cannot be read");
    }

    /// Near the end of its machine's life an agent gives back what it has.
    async fn a_lifetime_ends_in_time(world: &World) {
        let mut job = Layout::new(5).lay_out(world).await;
        let end = End::new(world);
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in3.dat"));
        let mut agent = end.of(job.agent("first").through(&proxy).arg("--max-lifetime").arg("10")).start();
        world.held(&mut agent, &gate).await;
        ended(agent).await.expect(4, &["lifetime of 10 s is nearly over"]);
        end.came("lifetime of 10 s");
        assert_eq!(job.semaphore_of("in3.dat").await.expect("a semaphore").state, LeaseState::Released);
        job.agent("second").start().ended().await.expect(0, &[]);
        job.finish(&[]).await;
    }

    /// An agent that is done keeps its machine for somebody who watches, until a signal.
    async fn an_observer_has_time(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        service.set("user-data", Some(r#"{"observe_seconds": 86400}"#));
        let mut agent = end.of(on(&service, job.agent("first"))).start();
        job.until("a remark on the console", async |_| end.console().contains("kept for an observer")).await;
        assert_eq!(end.reasons(), Vec::<String>::new(), "not yet");
        assert_eq!(record(&job, "first").await.map(|r| r.state), Some(AgentState::Ended), "the record does not wait");
        agent.signal(Signal::TERM);
        ended(agent).await.expect(0, &[]);
        end.came("the job is over");
        job.finish(&[]).await;
    }

    /// A spot notice ends the pause as well.
    async fn a_spot_notice_ends_the_observers_time(world: &World) {
        let mut job = Layout::new(3).lay_out(world).await;
        let (end, service) = (End::new(world), Metadata::serve(Machine::made_up()));
        let agent = end.of(on(&service, job.agent("first").arg("--observe").arg("86400"))).start();
        job.until("a remark on the console", async |_| end.console().contains("kept for an observer")).await;
        service.set(ACTION, Some(r#"{"action": "stop"}"#));
        ended(agent).await.expect(0, &[]);
        end.came("the job is over");
        job.finish(&[]).await;
    }

    /// A power-off program that fails is tried again, and said.
    async fn a_power_off_that_fails_is_said(world: &World) {
        let mut job = Layout::new(1).lay_out(world).await;
        let end = End::new(world);
        write_program(&end.program, &format!("#!/bin/sh\necho tried >>'{}'\nexit 1\n", end.reasons.display()));
        end.of(job.agent("first")).start().ended().await.expect(0, &["could not be powered off"]);
        assert_eq!(end.reasons(), ["tried"; 3]);
        assert!(end.console().contains("goes on until its lifetime is over"), "{}", end.console());
        job.finish(&[]).await;
    }
}
