//! `docs/commands.md`: what it says of each command is what the command line says of itself, and each example is run, in the
//! page's order, and must print what the page says.

use dayfly_tests::page::{Shell, Step, Transcript, difference, named, steps};
use dayfly_tests::{Instances, Kind, World, run};

/// Where the generated part begins.
const GENERATED: &str = "## Options of every command";
/// The job whose machines are EC2's.
const JOB: &str = "s3://my-bucket/jobs/words";

/// The page without its examples, and without blank lines.
fn without_examples(page: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in page[page.find(GENERATED).expect("the options of every command")..].lines() {
        let begins = line == "```console";
        if !inside && !begins && !line.is_empty() && !line.starts_with("<!--") && !line.starts_with("*Not run") {
            lines.push(line);
        }
        inside = begins || (inside && line != "```");
    }
    lines
}

#[test]
fn the_page_has_what_the_command_line_says() {
    run(Kind::Folder, async |world: &World| {
        let said = world.dayfly_command().args(["man", "--markdown"]).output().expect("dayfly runs");
        let said = String::from_utf8(said.stdout).expect("text");
        let page = named("commands.md");
        let (page, said) = (without_examples(&page), without_examples(&said));
        let differs = page.iter().zip(&said).position(|(one, other)| one != other);
        let shown = |lines: &[&str], at: usize| lines.iter().skip(at).take(2).copied().collect::<Vec<_>>().join("\n");
        let at = differs.unwrap_or(page.len().min(said.len()));
        assert!(
            page == said,
            "docs/commands.md and `dayfly man --markdown` differ (scripts/commands writes it anew); the page has\n{}\n\
             and the command line\n{}",
            shown(&page, at),
            shown(&said, at)
        );
    });
}

#[test]
fn every_command_has_an_example() {
    let page = named("commands.md");
    let sections = page[page.find(GENERATED).expect("options")..].split("\n## dayfly ").skip(1);
    let bare: Vec<&str> = sections
        .filter(|section| !section.contains("```console") && !section.contains("\n*Not run"))
        .map(|section| section.lines().next().unwrap_or_default())
        .collect();
    assert!(bare.is_empty(), "no example: {bare:?}");
}

#[test]
fn each_example_prints_what_the_page_says() {
    run(Kind::Aws, async |world: &World| {
        let aws = world.aws();
        aws.add_dayfly_image(env!("CARGO_PKG_VERSION"));
        let shell = Shell::new(world, &[]);
        let mut machines = Instances::new(&aws, &JOB.parse().expect("a place"), world.folder());
        let mut transcript = Transcript::default();
        let mut differences = String::new();
        for step in steps(&named("commands.md")) {
            let (command, shown) = match step {
                Step::Command(command, shown) => (command, Some(shown)),
                Step::Mark(command) => (command, None),
            };
            let printed = match command.as_str() {
                "the machines work" => {
                    let over = async |_: &mut Instances| {
                        shell.run(&format!("dayfly status {JOB}")).await.contains("state    over")
                    };
                    machines.until("the job is over", over).await;
                    machines.gone().await;
                    String::new()
                }
                // It goes on until Ctrl-C: what it prints first is the example.
                "dayfly serve buckets" => {
                    let serve = world.start_dayfly(&["serve", "buckets"]);
                    world.until("it serves", async || serve.said().contains("# then")).await;
                    serve.said()
                }
                _ => shell.run(&command).await,
            };
            transcript.note(&command, &printed);
            if let Some(difference) = shown.and_then(|shown| difference(&shown, &printed)) {
                differences += &format!("$ {command}\n{difference}\n");
            }
        }
        assert!(differences.is_empty(), "{differences}");
    });
}
