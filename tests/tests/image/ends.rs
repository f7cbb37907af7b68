//! Machines that end otherwise.

use dayfly_shared::job::JobSettings;
use dayfly_tests::{Kind, Rule, World, run};
use hyper::Method;

use crate::claims::dataset;
use crate::guest::{Boot, expect};

/// User data that are none: the reason is on the console, and the machine goes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn broken_user_data() {
    run(Kind::Endpoint, async |world: &World| {
        let guest = Boot::new(world, "broken").user_data(r#"{"jobb": "s3://bucket/job"}"#).start();
        let said = guest.powered_off().await;
        expect(&said, &["dayfly: powering off: ", "jobb"]);
    });
}

/// An agent that hangs, stopped in the middle of its work by a unit of the test's: the lifetime limit ends the machine.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn an_agent_that_hangs() {
    run(Kind::Endpoint, async |world: &World| {
        let job = dataset(2).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_ends("/in1.dat"));
        let stopper = "while ! journalctl -u dayfly-agent -o cat | grep -q 'task begins'; do sleep 1; done\n\
                       kill -STOP \"$(systemctl show -P MainPID dayfly-agent)\"\necho the agent is stopped\n";
        // The limit counts from the boot: long enough for a slow one.
        let boot = Boot::new(world, "hanging")
            .through(&job, &proxy, |settings| settings.max_lifetime_seconds = Some(90))
            .beside_the_agent("stopper", stopper);
        let mut guest = boot.start();
        world.held(&mut guest.machine, &gate).await;
        guest.until_said("the agent is stopped").await;
        let said = guest.powered_off().await;
        expect(
            &said,
            &["powers off 90 s after its boot", "powering off: the agent has ended, or the lifetime is over"],
        );
        assert!(!said.contains("the job is over"), "{said}");
    });
}

/// An agent that is killed once is started again and finishes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn a_killed_agent_is_started_again() {
    run(Kind::Endpoint, async |world: &World| {
        // What the killed agent held is free again after a lease.
        let settings = JobSettings { agents: 1, lease_ttl_seconds: 20, ..JobSettings::default() };
        let mut job = dataset(2).settings(Some(settings)).lay_out(world).await;
        let proxy = world.proxy(1).await;
        let gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
        let killer = "[ ! -e /run/killed ] || exit 0\nwhile ! journalctl -u dayfly-agent -o cat | grep -q 'task begins'; do sleep 1; \
                      done\nkill -KILL \"$(systemctl show -P MainPID dayfly-agent)\"\ntouch /run/killed\n\
                      echo the agent is killed\n";
        let boot = Boot::new(world, "killed").through(&job, &proxy, |_| {}).beside_the_agent("killer", killer);
        let mut guest = boot.start();
        guest.until_said("the agent is killed").await;
        gate.open();
        let said = guest.powered_off().await;
        expect(&said, &["the agent is killed", "dayfly: powering off: the job is over"]);
        assert_eq!(job.agents_named("killed").await.len(), 2, "it was started twice");
        job.finish(&[]).await;
    });
}

/// An agent that aborts again and again in the middle of its work, as a panic makes it, ends the machine.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn three_crashes() {
    run(Kind::Endpoint, async |world: &World| {
        // Two for each of three lives: what an aborted agent held is nobody's for a lease.
        let job = dataset(6).unwatched().lay_out(world).await;
        let proxy = world.proxy(1).await;
        let _gate = proxy.hold(Rule::on(Method::GET).key_has("/in"));
        let killer = "begun() { grep -c 'task begins' /var/lib/dayfly/work/log.txt 2>/dev/null || :; }\nkills=0 seen=0\nwhile :; do\n  \
                      count=$(begun)\n  if [ \"${count:-0}\" -gt \"$seen\" ]; then\n    \
                      kill -ABRT \"$(systemctl show -P MainPID dayfly-agent)\" && kills=$((kills + 1))\n    \
                      echo \"aborted $kills times at work\"\n    sleep 2\n    seen=$(begun)\n  fi\n  sleep 0.5\ndone\n";
        let boot = Boot::new(world, "crashing").through(&job, &proxy, |_| {}).beside_the_agent("killer", killer);
        let said = boot.start().powered_off().await;
        expect(&said, &["aborted 3 times at work"]);
        assert!(!said.contains("aborted 4 times"), "{said}");
    });
}

/// An agent that trusts nobody, as there are no certificates: the reason is on the console, and the machine goes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn no_certificates() {
    run(Kind::Endpoint, async |world: &World| {
        let guest = Boot::new(world, "trustless")
            .user_data(r#"{"job": "s3://bucket/job", "endpoint_url": "https://169.254.10.2:1", "region": "us-east-1"}"#)
            .without("/etc/ssl/certs")
            .start();
        let said = guest.powered_off().await;
        expect(&said, &["dayfly: powering off: connect to s3://bucket/: no CA certificates were found"]);
    });
}

/// An agent that panics before it can ask for the end (it gets no thread): it is started again, and then the machine goes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn a_panic_at_the_start() {
    run(Kind::Endpoint, async |world: &World| {
        let job = dataset(1).unwatched().lay_out(world).await;
        let alone = "[Service]\nLimitNPROC=1\n";
        let boot = Boot::new(world, "panicking").file("/etc/systemd/system/dayfly-agent.service.d/alone.conf", alone);
        let said = boot.on(&job).start().powered_off().await;
        assert_eq!(said.matches("panicked at").count(), 3, "{said}");
    });
}

/// A timer that cannot be armed: no agent is started, and the machine goes.
#[test]
#[ignore = "boots a machine; run by scripts/test-ami"]
fn no_agent_without_an_armed_end() {
    run(Kind::Endpoint, async |world: &World| {
        let job = dataset(1).unwatched().lay_out(world).await;
        let never = "[Unit]\nConditionPathExists=/nonexistent\n";
        let boot = Boot::new(world, "unarmed").file("/etc/systemd/system/dayfly-lifetime.timer.d/never.conf", never);
        let said = boot.on(&job).start().powered_off().await;
        expect(&said, &["dayfly: powering off: the agent has ended"]);
        assert!(!said.contains("dayfly-agent["), "{said}");
        assert!(job.agents_named("unarmed").await.is_empty());
    });
}
