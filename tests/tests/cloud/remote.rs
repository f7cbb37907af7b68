//! `dayfly exec`, `connect`: an instance at hand without SSH.

use std::os::unix::fs::PermissionsExt as _;

use dayfly_tests::aws::{Account, Aws};
use dayfly_tests::{Kind, World, run};

/// With one machine.
fn on_a_machine(body: impl AsyncFn(&World, &Aws, &str)) {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        let account = Account::make(&aws);
        assert_eq!(account.launch(&aws, &account.request("t", 1)).status, 200);
        let id = aws.machines().pop().expect("a machine").id;
        body(world, &aws, &id).await;
    });
}

/// What it prints is printed, and its exit code is dayfly's.
#[test]
fn a_command_is_run_and_its_exit_code_handed_on() {
    on_a_machine(async |world, aws, id| {
        aws.register_with_ssm(id);
        let line = "echo to the one; echo to the other >&2; exit 7";
        world.dayfly(&["exec", "-i", id, "--", line]).await.expect(7, &["to the one", "to the other"]);
        world.dayfly(&["exec", "-i", id, "--", "echo", "a  b", "$HOME"]).await.expect(0, &["a  b $HOME"]);
        let long = "head -c 30000 /dev/zero | tr '\\0' x";
        world.dayfly(&["exec", "-i", id, "--", long]).await.expect(0, &["the output is cut", "24000"]);
        let json = world.dayfly(&["exec", "--json", "-i", id, "--", "exit 3"]).await;
        json.expect(3, &["\"exit_code\": 3"]);
    });
}

/// An instance that has just been born registers some time later.
#[test]
fn registration_is_waited_for() {
    on_a_machine(async |world, aws, id| {
        let mut waiting = world.start_dayfly(&["exec", "-i", id, "--", "echo here"]);
        world.until("it says that it waits", async || waiting.said().contains("to register")).await;
        aws.register_with_ssm(id);
        waiting.ended().await.expect(0, &["here"]);
        let never = ["exec", "-i", "i-00000000000000001", "--wait", "1s", "--", "true"];
        world.dayfly(&never).await.expect(1, &["i-00000000000000001", "nothing was run", "--ssm"]);
        world.dayfly(&["exec", "-i", "web-1", "--", "true"]).await.expect(2, &["web-1", "i-"]);
    });
}

#[test]
fn a_deployment_without_ssm_says_so() {
    on_a_machine(async |world, aws, id| {
        let place = "s3://made-by-setup/jobs";
        world.dayfly(&["setup", place]).await.expect(0, &["made"]);
        let line = ["exec", "s3://made-by-setup/jobs/one", "-i", id, "--", "true"];
        world.dayfly(&line).await.expect(1, &["without --ssm", "dayfly setup"]);
        world.dayfly(&["setup", place, "--ssm"]).await.expect(0, &["made      managed policy"]);
        aws.register_with_ssm(id);
        world.dayfly(&line).await.expect(0, &[]);
    });
}

/// The terminal goes to AWS's plugin; without it the command to use is said.
#[test]
fn connect_hands_over_to_the_plugin() {
    on_a_machine(async |world, aws, id| {
        let without = |path: &std::path::Path| {
            let path = path.display().to_string();
            world.start_dayfly_with(&["connect", "-i", id], |command| {
                command.env("PATH", path);
            })
        };
        let folder = world.folder().join("bin");
        std::fs::create_dir(&folder).expect("a folder");
        let said = format!("aws ssm start-session --target {id} --region us-east-1");
        without(&folder).ended().await.expect(1, &["session-manager-plugin is not installed", &said]);
        let plugin = folder.join("session-manager-plugin");
        std::fs::write(&plugin, "#!/bin/sh\necho \"plugin: $2 $3 $5\"\nexit 6\n").expect("a script");
        std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).expect("a program");
        aws.register_with_ssm(id);
        let target = format!("{{\"Target\":\"{id}\"}}");
        without(&folder).ended().await.expect(6, &["plugin: us-east-1 StartSession", &target]);
    });
}
