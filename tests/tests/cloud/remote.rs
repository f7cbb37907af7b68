//! `dayfly exec`, `connect`: an instance at hand without SSH.

use std::os::unix::fs::PermissionsExt as _;

use dayfly_tests::Layout;
use dayfly_tests::program::Ended;

use crate::court::in_court;
use crate::ground::{Ground, on_ground};
use crate::ledger::Page;

/// With some machines of the deployment.
fn on_machines(count: usize, body: impl AsyncFn(&mut Ground<'_, '_>, Vec<String>)) {
    on_ground(async |ground| {
        ground.launch(&format!("-n {count} --instance-type m5.large")).await.expect(0, &["started"]);
        let ids = ground.up().into_iter().map(|machine| machine.id).collect();
        body(ground, ids).await;
    });
}

async fn exec(ground: &Ground<'_, '_>, words: &[&str]) -> Ended {
    ground.start(&[&["exec"][..], words].concat()).ended().await
}

/// What it prints is printed, and its exit code is dayfly's.
#[test]
fn a_command_is_run_and_its_exit_code_handed_on() {
    on_machines(1, async |ground, ids| {
        ground.court.shows(Page::Exec);
        let id = ids[0].as_str();
        ground.aws.register_with_ssm(id);
        let line = "echo to the one; echo to the other >&2; exit 7";
        exec(ground, &["-i", id, "--", line]).await.expect(7, &["to the one", "to the other"]);
        exec(ground, &["-i", id, "--", "echo", "a  b", "$HOME"]).await.expect(0, &["a  b $HOME"]);
        let long = "head -c 30000 /dev/zero | tr '\\0' x";
        exec(ground, &["-i", id, "--", long]).await.expect(0, &["the output is cut", "24000"]);
        exec(ground, &["--json", "-i", id, "--", "exit 3"]).await.expect(3, &["\"exit_code\": 3"]);
        // With a job its deployment is looked up first.
        exec(ground, &[&ground.job.url(), "-i", id, "--", "true"]).await.expect(0, &[]);
    });
}

/// An instance that has just been born registers some time later.
#[test]
fn registration_is_waited_for() {
    on_machines(2, async |ground, ids| {
        let (late, never) = (ids[0].as_str(), ids[1].as_str());
        let mut waiting = ground.start(&["exec", "-i", late, "--", "echo here"]);
        ground.world.until("it says that it waits", async || waiting.said().contains("to register")).await;
        ground.aws.register_with_ssm(late);
        waiting.ended().await.expect(0, &["here"]);
        let refused = exec(ground, &["-i", never, "--wait", "1s", "--", "true"]).await;
        refused.expect(1, &[never, "nothing was run", "--ssm"]);
        exec(ground, &["-i", "web-1", "--", "true"]).await.expect(2, &["web-1", "i-"]);
    });
}

#[test]
fn a_deployment_without_ssm_says_so() {
    in_court(async |court| {
        let place = "s3://made-by-setup/jobs";
        court.aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let crew = court.crew(place, &["--ssm"]).await;
        crew.sets(&["setup", place]).await.expect(0, &["made"]);
        let job = Layout::new(1).unwatched().bucket("made-by-setup").prefix("jobs/one").lay_out(court.world).await;
        let url = job.url();
        crew.runs(&["launch", &url, "-n", "1", "--instance-type", "m5.large"]).await.expect(0, &["1 machine started"]);
        let id = court.aws.machines().pop().expect("a machine").id;
        let line = ["exec", &url, "-i", &id, "--", "true"];
        crew.runs(&line).await.expect(1, &["without --ssm", "dayfly setup"]);
        assert_eq!(court.aws.calls_of("ssm", "SendCommand").len(), 0);
        crew.sets(&["setup", place, "--ssm"]).await.expect(0, &["made      managed policy"]);
        court.aws.register_with_ssm(&id);
        crew.runs(&line).await.expect(0, &[]);
    });
}

/// The terminal goes to AWS's plugin; without it the command to use is said.
#[test]
fn connect_hands_over_to_the_plugin() {
    on_machines(1, async |ground, ids| {
        ground.court.shows(Page::Connect);
        let id = ids[0].as_str();
        let folder = ground.world.folder().join("bin");
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.display().to_string();
        let connect = || {
            ground.start_with(&["connect", "-i", id], |command| {
                command.env("PATH", &path);
            })
        };
        let said = format!("aws ssm start-session --target {id} --region us-east-1");
        connect().ended().await.expect(1, &["session-manager-plugin is not installed", &said]);
        let plugin = folder.join("session-manager-plugin");
        std::fs::write(&plugin, "#!/bin/sh\necho \"plugin: $2 $3 $5\"\nexit 6\n").expect("a script");
        std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("a program");
        connect().ended().await.expect(1, &["TargetNotConnected", "not known to Systems Manager"]);
        ground.aws.register_with_ssm(id);
        let target = format!("{{\"Target\":\"{id}\"}}");
        connect().ended().await.expect(6, &["plugin: us-east-1 StartSession", &target]);
    });
}
