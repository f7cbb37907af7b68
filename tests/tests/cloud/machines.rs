//! Real agents on machines of the stand-in.

use std::process::Command;

use dayfly_tests::aws::{Account, End, OPERATOR};
use dayfly_tests::instances::power_off_program;
use dayfly_tests::metadata::key_of;
use dayfly_tests::{Instances, Kind, Layout, World, run};
use serde_json::json;

#[test]
fn agents_find_their_job_and_their_credentials_through_metadata_alone() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        let mut job = Layout::new(6).lay_out(world).await;
        let place = job.location().to_string();
        let settings = json!({"job": place, "slots": 1});
        let version = account.version(&aws, &settings, &[("dayfly:job", &place)]);
        account.launch(&aws, &dayfly_tests::aws::FleetRequest { version, ..account.request("t", 3) });
        let mut machines = Instances::new(&aws, job.location(), world.folder());
        let started = machines.catch_up();
        assert_eq!(started.len(), 3);
        machines.kill(&started[0]);
        assert_eq!(aws.machine(&started[0]).state, "terminated");
        machines.until("the other agents have ended", async |all| all.running().is_empty()).await;
        for id in &started[1..] {
            let mine = machines.get(id);
            let ended = mine.agent.ended().await;
            ended.expect(0, &[]);
            let asked = mine.metadata.asked();
            assert!(asked.iter().any(|a| a.contains("iam/security-credentials/dayfly-test 200")), "{asked:?}");
            let calls = aws.calls_by(&key_of(id));
            assert!(calls.iter().any(|call| call.action == "PutObject" && call.status == Some(200)), "{calls:#?}");
        }
        assert_eq!(aws.calls_by(OPERATOR).iter().filter(|call| call.service != "s3").count(), 0);
        job.finish(&[]).await;
    });
}

#[test]
fn a_machine_that_powers_off_is_terminated_and_its_reason_kept() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        account.launch(&aws, &account.request("t", 2));
        let [one, other] = &aws.machines()[..] else { panic!("two machines") };
        let program = power_off_program(world.folder(), &aws, &one.id);
        let status = Command::new(&program).arg("the job is done").env_clear().status().expect("it runs");
        assert!(status.success());
        assert_eq!(aws.machine(&one.id).reason, "Client.InstanceInitiatedShutdown");
        assert_eq!((aws.machine(&one.id).state, aws.machine(&other.id).state), ("terminated".into(), "running".into()));
        let noted = std::fs::read_to_string(world.folder().join("powered-off")).expect("the reasons");
        assert_eq!(noted, "the job is done\n");
        aws.end(&other.id, End::Kill);
    });
}
