//! `docs/walkthrough.md`: every command of it is run, in its order, and must print what the page says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use dayfly_shared::job::Location;
use dayfly_tests::aws::{ACCOUNT, Aws};
use dayfly_tests::page::{Shell, Step, Transcript, difference, named, steps};
use dayfly_tests::server::sources;
use dayfly_tests::terminal::Terminal;
use dayfly_tests::{Instances, Kind, World, run};

const JOB: &str = "s3://clinic-data/jobs/first";

/// A folder with a bucket in it; it is let go at the end, however the test ends.
struct Mount<'w>(&'w World);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fusermount").args(["-u", "-z"]).arg(self.0.folder().join("mnt")).output();
    }
}

/// The page's program sleeps. Here that waits for this file instead: the audience takes as long as the machine needs.
fn slow_sleep(world: &World) -> String {
    let folder = world.folder().join("slow");
    fs::create_dir(&folder).expect("a folder");
    let gate = world.folder().join("gate");
    let text = format!("#!/bin/sh\nuntil [ -e '{}' ]; do /bin/sleep 0.1; done\n", gate.display());
    let program = folder.join("sleep");
    fs::write(&program, text).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program that can be run");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", folder.display())
}

/// What the clinic brings: ten texts, the first of one word, the tenth of ten.
fn texts(world: &World) {
    fs::create_dir(world.folder().join("texts")).expect("a folder");
    for n in 1..=10 {
        fs::write(world.folder().join(format!("texts/letter{n:02}.txt")), "word ".repeat(n)).expect("a text");
    }
}

#[test]
fn each_step_shows_what_the_page_says() {
    run(Kind::Aws, async |world: &World| {
        let tools = sources().join(".venv/walkthrough/bin");
        let shell = Shell::new(world, &[tools]);
        let wanted = ["aws", "s3fs", "fusermount", "tmux"];
        let missing: Vec<&str> = wanted.into_iter().filter(|program| !shell.has(program)).collect();
        if !missing.is_empty() || !std::path::Path::new("/dev/fuse").exists() {
            println!("SKIPPED: there is no {}; scripts/test walkthrough installs it", missing.join(" and no "));
            return;
        }
        let aws: Aws = world.aws();
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        shell.run(&format!("aws s3 rb s3://{}", dayfly_tests::world::BUCKET)).await;
        texts(world);
        let _mount = Mount(world);
        let job: Location = JOB.parse().expect("a place");
        let mut machines = Instances::new(&aws, &job, world.folder()).with_variable("PATH", &slow_sleep(world));
        let mut transcript = Transcript::default();
        let mut differences = String::new();
        for step in steps(&named("walkthrough.md")) {
            match step {
                Step::Mark(name) => happens(&name, world, &shell, &mut machines).await,
                Step::Command(command, shown) => {
                    let printed = match command.as_str() {
                        "dayfly watch" => watched(world).await,
                        _ => shell.run(&command).await,
                    };
                    transcript.note(&command, &printed);
                    if let Some(difference) = difference(&shown, &printed) {
                        differences += &format!("$ {command}\n{difference}\n");
                    }
                    machines.catch_up();
                }
            }
        }
        assert!(differences.is_empty(), "{differences}\naccount {ACCOUNT}");
    });
}

/// What the page says with `<!-- run: … -->`.
async fn happens(name: &str, world: &World, shell: &Shell<'_>, machines: &mut Instances) {
    match name {
        "three machines work" => {
            let place = format!("{JOB}/semaphores/");
            let three = async |_: &mut Instances| shell.run(&format!("aws s3 ls {place}")).await.lines().count() == 3;
            machines.until("three tasks are in hand", three).await;
        }
        "one machine is gone" => machines.until("its agent is gone", async |all| all.running().len() == 2).await,
        "the programs end" => {
            fs::write(world.folder().join("gate"), "").expect("a file");
            let over = async |_: &mut Instances| {
                shell.run(&format!("aws s3 ls {JOB}/summary.json")).await.contains("summary.json")
            };
            machines.until("the job is over", over).await;
            machines.gone().await;
        }
        _ => panic!("the page wants '{name}', and nobody knows what that is"),
    }
}

/// The screen of `dayfly watch`, when it tells of what each machine has in hand.
async fn watched(world: &World) -> String {
    let terminal = Terminal::open(world, 100, 16).expect("tmux");
    terminal.enter(&format!("dayfly watch {JOB}"));
    world.until("the screen tells of three tasks", async || terminal.screen().matches("letter").count() == 3).await;
    let screen = terminal.screen();
    terminal.press("C-c");
    world.until("the screen is left", async || !terminal.modes().0).await;
    screen
}
