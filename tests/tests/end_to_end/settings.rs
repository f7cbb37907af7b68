//! Where settings come from: the command line, the environment, a project's file, a profile.

use std::path::Path;

use dayfly_tests::terminal::Terminal;
use dayfly_tests::{World, on_endpoint};
use serde_json::Value;

/// What `config show` says of a setting: its value and where that came from.
async fn shown(world: &World, setting: &str, line: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let line: Vec<&str> = ["config", "show", "--json"].iter().chain(line).copied().collect();
    let mut show = world.start_dayfly_with(&line, |command| {
        command.env_remove("AWS_REGION").envs(variables.iter().copied());
    });
    let ended = show.ended().await;
    ended.expect(0, &[]);
    let told: Value = serde_json::from_str(&ended.said).expect("JSON");
    let all = told["settings"].as_array().expect("settings");
    let source = all.iter().find(|source| source["setting"] == setting).expect("the setting");
    let text = |field: &str| source[field].as_str().unwrap_or("-").to_owned();
    (text("value"), text("from"))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

on_endpoint! {
    // Files and variables, not the store.
    async fn each_outranks_the_next(world: &World) {
        let job = "s3://test-bucket/job";
        world.dayfly(&["seed", job, "--demo"]).await.expect(0, &[]);
        world.dayfly(&["status"]).await.expect(2, &["which job? none is named"]);
        assert_eq!(shown(world, "region", &[], &[]).await, ("-".to_owned(), "-".to_owned()));

        // A profile, the only one, is used by itself.
        world.dayfly(&["config", "save", "work", job, "--region", "eu-west-1"]).await.expect(0, &["work.toml"]);
        world.dayfly(&["status"]).await.expect(0, &["job      s3://test-bucket/job/", "3 of 10 done"]);
        let (value, from) = shown(world, "region", &[], &[]).await;
        assert!(value == "eu-west-1" && from.ends_with(".config/dayfly/profiles/work.toml"), "{value} {from}");

        // A project's file outranks it, and lies in this folder or above.
        let file = world.folder().join("dayfly.toml");
        write(&file, "region = \"eu-central-1\"\n");
        let (value, from) = shown(world, "region", &[], &[]).await;
        assert!(value == "eu-central-1" && from.ends_with("/dayfly.toml"), "{value} {from}");
        assert!(shown(world, "job", &[], &[]).await.1.ends_with("work.toml"), "what it leaves open is the profile's");
        // The environment outranks it, and the command line that.
        let variable = [("AWS_REGION", "us-west-2")];
        let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
        assert_eq!(shown(world, "region", &[], &variable).await, pair("us-west-2", "AWS_REGION"));
        assert_eq!(shown(world, "region", &["--region", "ap-south-1"], &variable).await, pair("ap-south-1", "--region"));
        let job = [("DAYFLY_JOB", "s3://other/place/")];
        assert_eq!(shown(world, "job", &[], &job).await, pair("s3://other/place/", "DAYFLY_JOB"));

        // Of two profiles none is taken unasked.
        std::fs::remove_file(&file).expect("the project's file");
        world.dayfly(&["config", "save", "play", "s3://test-bucket/play"]).await.expect(0, &[]);
        world.dayfly(&["status"]).await.expect(2, &["which job?", "--settings: play, work"]);
        world.dayfly(&["status", "--settings", "work"]).await.expect(0, &["3 of 10 done"]);
        world.dayfly(&["config", "list"]).await.expect(0, &["play\nwork"]);
        world.dayfly(&["status", "--settings", "wrok"]).await.expect(2, &["no profile 'wrok'", "play, work"]);
        world.dayfly(&["config", "save", "../x", "s3://test-bucket/b"]).await.expect(2, &["no name for a profile"]);
    }

    /// Of several profiles somebody at a terminal chooses, and nobody else is asked.
    async fn several_profiles_are_asked_for(world: &World) {
        let job = "s3://test-bucket/job";
        world.dayfly(&["seed", job, "--demo"]).await.expect(0, &[]);
        world.dayfly(&["config", "save", "work", job]).await.expect(0, &[]);
        world.dayfly(&["config", "save", "play", "s3://test-bucket/play"]).await.expect(0, &[]);
        let Some(terminal) = Terminal::open(world, 100, 40) else { return };
        let sees = async |words: &str| world.until(words, async || terminal.screen().contains(words)).await;
        terminal.enter("dayfly status; echo first $?");
        sees("Which profile of settings? [1-2]").await;
        let screen = terminal.screen();
        assert!(screen.contains("  1  play") && screen.contains("  2  work"), "{screen}");
        terminal.enter("3");
        sees("there is no '3'").await;
        terminal.enter("2");
        sees("first 0").await;
        assert!(terminal.screen().contains("3 of 10 done"), "{}", terminal.screen());
        terminal.enter("clear; dayfly status; echo second $?");
        sees("[1-2]").await;
        terminal.enter("work");
        sees("second 0").await;
        // Nobody wants to say; nobody is to be asked; what the command line names needs no profile.
        terminal.enter("clear; dayfly status; echo third $?");
        sees("[1-2]").await;
        terminal.enter("");
        sees("third 2").await;
        assert!(terminal.screen().contains("--settings: play, work"), "{}", terminal.screen());
        for (option, code) in [("--yes", "fourth"), ("--json", "fifth")] {
            terminal.enter(&format!("clear; dayfly status {option}; echo {code} $?"));
            sees(&format!("{code} 2")).await;
            assert!(!terminal.screen().contains("[1-2]"), "{}", terminal.screen());
        }
        terminal.enter(&format!("clear; dayfly status {job}; echo sixth $?"));
        sees("sixth 0").await;
        world.dayfly(&["status"]).await.expect(2, &["which job?", "--settings: play, work"]);
    }

    async fn files_hold_no_secrets_and_nothing_unknown(world: &World) {
        let file = world.folder().join("dayfly.toml");
        write(&file, "secret_access_key = \"x\"\n");
        world.dayfly(&["status"]).await.expect(2, &["dayfly.toml", "secret_access_key", "no secrets here"]);
        write(&file, "regoin = \"x\"\n");
        world.dayfly(&["status"]).await.expect(2, &["dayfly.toml", "regoin", "it may hold job, local"]);
        write(&file, "job = \"my-bucket\"\n");
        world.dayfly(&["status"]).await.expect(2, &["dayfly.toml", "s3://BUCKET/PREFIX"]);
        // The environment's credentials are not kept.
        std::fs::remove_file(&file).expect("the project's file");
        world.dayfly(&["config", "save", "work", "s3://test-bucket/b"]).await.expect(0, &[]);
        let text = std::fs::read_to_string(world.folder().join("home/.config/dayfly/profiles/work.toml")).expect("a profile");
        let keys = &world.server().keys().secret.clone();
        assert!(!text.contains(keys.as_str()) && !text.contains("key"), "{text}");
        // A folder, from the file's own.
        write(&world.folder().join("dayfly.toml"), "local = \"demo\"\n");
        world.dayfly(&["seed", "--demo"]).await.expect(0, &[]);
        assert!(world.folder().join("demo").is_dir(), "the bucket is in the folder that the file names");
    }

    async fn shells_and_the_manual(world: &World) {
        for shell in ["bash", "zsh", "fish"] {
            world.dayfly(&["completions", shell]).await.expect(0, &["describe", "tail"]);
        }
        let dir = world.folder().join("man").display().to_string();
        world.dayfly(&["man", &dir]).await.expect(0, &[]);
        for page in ["dayfly.1", "dayfly-logs.1", "dayfly-report.1", "dayfly-run.1"] {
            let text = std::fs::read_to_string(Path::new(&dir).join(page)).expect(page);
            assert!(text.contains(".TH dayfly"), "{page}: {text}");
        }
    }
}
