//! `dayfly run` on EC2: it stays with machines that need nobody to stay.

use dayfly_tests::Instances;
use dayfly_tests::aws::End;
use rustix::process::Signal;

use crate::ground::{TYPES, on_ground};

#[test]
fn a_job_is_run_to_its_end_and_its_machines_are_gone() {
    on_ground(async |ground| {
        let url = ground.job.url();
        let arguments = ["run", &url, "-n", "2", "--spot", "--instance-type", TYPES, "--fetch", "results"];
        let mut run = ground.start(&arguments);
        let mut machines = Instances::new(ground.aws, ground.job.location(), ground.world.folder());
        machines.until("dayfly run has ended", async |_| !run.runs()).await;
        let ended = run.ended().await;
        ended.expect(0, &["2 machines started", "2 spot", "all machines of the launch are gone"]);
        assert_eq!(ground.up().len(), 0);
        let reasons: Vec<String> = ground.aws.machines().into_iter().map(|machine| machine.reason).collect();
        assert_eq!(reasons, ["Client.InstanceInitiatedShutdown"; 2], "each ended by its own power-off");
        assert_eq!(std::fs::read_dir(ground.world.folder().join("results")).expect("the outputs").count(), 4);
        ground.job.finish(&[]).await;
    });
}

#[test]
fn a_signal_leaves_the_machines_and_says_how_to_end_them() {
    on_ground(async |ground| {
        let url = ground.job.url();
        let mut run = ground.start(&["run", &url, "-n", "2", "--instance-type", TYPES]);
        ground.world.until("the machines run", async || run.said().contains("2 machines started")).await;
        ground.world.until("it watches", async || run.said().lines().count() > 3).await;
        run.signal(Signal::INT);
        run.ended().await.expect(
            4,
            &["go on by themselves", "dayfly watch s3://test-bucket/job/", "dayfly terminate s3://test-bucket/job/"],
        );
        assert_eq!(ground.up().len(), 2);
    });
}

#[test]
fn machines_that_all_end_too_early_are_said() {
    on_ground(async |ground| {
        let url = ground.job.url();
        let mut run = ground.start(&["run", &url, "-n", "1", "--instance-type", TYPES]);
        ground.world.until("the machine runs", async || ground.up().len() == 1).await;
        ground.aws.end(&ground.up()[0].id, End::Kill);
        run.ended().await.expect(1, &["all machines ended before the job was over", "4 tasks to do", "dayfly launch"]);
    });
}
