//! Real agents on machines of the stand-in.

use std::process::Command;

use dayfly_tests::aws::{Account, End};
use dayfly_tests::instances::power_off_program;
use dayfly_tests::metadata::key_of;
use dayfly_tests::{Instances, Kind, World, run};

use crate::ground::on_ground;

#[test]
fn agents_find_their_job_and_their_credentials_through_metadata_alone() {
    on_ground(async |ground| {
        ground.launch("-n 3 --slots 1 --instance-type m5.large").await.expect(0, &["3 machines started"]);
        let role = ground.deployment().await.role.name;
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        let started = machines.catch_up();
        assert_eq!(started.len(), 3);
        machines.kill(&started[0]);
        assert_eq!(ground.aws.machine(&started[0]).state, "terminated");
        machines.until("the other agents have ended", async |all| all.running().is_empty()).await;
        for id in &started[1..] {
            let mine = machines.get(id);
            mine.agent.ended().await.expect(0, &[]);
            let asked = mine.metadata.asked();
            let credentials = format!("iam/security-credentials/{role} 200");
            assert!(asked.iter().any(|a| a.contains(&credentials)), "{asked:?}");
            let calls = ground.aws.calls_by(&key_of(id));
            let outputs = calls.iter().filter(|call| call.action == "PutObject" && call.request.contains("/out"));
            for call in outputs {
                let [check] = &call.checks[..] else { panic!("one check: {call:#?}") };
                assert!(check.resource.starts_with("arn:aws:s3:::test-bucket/job/out"), "{check:?}");
                assert_eq!(check.context["s3:if-none-match"], ["*"]);
                assert_eq!(check.context["s3:ObjectCreationOperation"], ["true"]);
            }
        }
        ground.job.finish(&[]).await;
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
