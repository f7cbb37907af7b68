//! The most likely mistakes, as `docs/mistakes.md` has them: each is made, and must be answered as it says there.

use std::process::Command;

use dayfly_tests::proxy::Asked;
use dayfly_tests::{Fault, Proxy, Rule, World, on_endpoint};

const PAGE: &str = include_str!("../../../docs/mistakes.md");

/// A command, the words it must say, and its exit code.
struct Mistake<'a> {
    line: &'a str,
    words: &'a str,
    code: i32,
}

/// What stands between fences.
fn mistakes() -> Vec<Mistake<'static>> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    let read = |block: &'static str| {
        let mut lines = block.trim().lines();
        let line = lines.next()?.strip_prefix("$ ")?;
        let words = lines.next()?;
        let code = lines.next()?.strip_prefix("exit code ")?.parse().ok()?;
        lines.next().is_none().then_some(Mistake { line, words, code })
    };
    blocks.map(|block| read(block).unwrap_or_else(|| panic!("not a mistake: {block}"))).collect()
}

/// Whether the words are said, in this order; `…` is anything.
fn says(said: &str, words: &str) -> bool {
    let mut rest = said;
    words.split('…').map(str::trim).all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// What `docs/failure.md` says is tested is tested: each line names a test that there is.
#[test]
fn every_line_of_the_page_on_failure_has_its_test() {
    let page = include_str!("../../../docs/failure.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| when"));
    let named: Vec<&str> =
        rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once("| `")?.1.strip_suffix('`')).collect();
    let all = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| when")).count();
    assert!(named.len() == all && all > 30, "{} of {all} lines name a test", named.len());
    let mut source = String::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => folders.push(entry.path()),
                false => source += &std::fs::read_to_string(entry.path()).unwrap_or_default(),
            }
        }
    }
    for name in named {
        assert!(source.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

/// What S3 would say and no server here does: of a bucket elsewhere, of another's, of a token that has expired.
async fn proxied(world: &World) -> Proxy {
    let proxy = world.proxy(1).await;
    let answer = |rule: Rule, status, code: &str| proxy.add(rule.then(Fault::Answer(status, code.to_owned())));
    answer(Rule::any().and(|asked| asked.bucket == "far-bucket"), 301, "PermanentRedirect");
    answer(Rule::any().and(|asked| asked.bucket == "locked-bucket"), 403, "AccessDenied");
    let old = |asked: &Asked| asked.headers.get("x-amz-security-token").is_some_and(|token| token == "old");
    answer(Rule::any().and(old), 400, "ExpiredToken");
    proxy
}

/// A folder of its own on a disk that has room for one page; none where nothing can be mounted.
fn with_a_full_disk(line: &str) -> Option<Command> {
    let mount = "mount -t tmpfs -o size=4k dayfly-test full";
    let probe = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs dayfly-test /mnt"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("SKIPPED: nothing can be mounted here, so no disk is full");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec {line}")]);
    Some(command)
}

on_endpoint! {
    // What is said before or instead of asking the store; its own answers are tested elsewhere on both servers.
    async fn each_is_answered_as_the_page_says(world: &World) {
        world.server().create_bucket("my-bucket").await;
        for folder in ["data", "empty", "full", "home/.aws"] {
            std::fs::create_dir(world.folder().join(folder)).expect("a folder");
        }
        for name in ["data/in0.dat", "data/in1.dat", "data/in2.dat", "k.dat"] {
            std::fs::write(world.folder().join(name), name).expect("a file");
        }
        std::fs::write(world.folder().join("empty.dat"), "").expect("a file");
        let config = "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n\
            [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
        std::fs::write(world.folder().join("home/.aws/config"), config).expect("a file");
        world.dayfly(&["seed", "s3://my-bucket/job", "--inputs", "data", "--kernel", "k.dat"]).await.expect(0, &[]);
        let mut agent = world.agent(&"s3://my-bucket/job".parse().expect("a location"), "one").start();
        agent.ended().await.expect(0, &[]);
        let proxy = proxied(world).await;
        let all = mistakes();
        assert!(all.len() >= 20, "{} mistakes", all.len());
        for mistake in all {
            let dayfly = world.dayfly_command();
            let path = std::env::var("PATH").unwrap_or_default();
            let beside = std::path::Path::new(dayfly.get_program()).parent().expect("a folder").display().to_string();
            let mut command = match mistake.line.ends_with(" full") {
                true => match with_a_full_disk(mistake.line) {
                    Some(command) => command,
                    None => continue,
                },
                false => {
                    let mut command = Command::new("sh");
                    command.args(["-c", mistake.line]);
                    command
                }
            };
            command.env_clear().current_dir(world.folder());
            command.envs(dayfly.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.env("PATH", format!("{beside}:{path}")).env("AWS_ENDPOINT_URL", proxy.url());
            let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("a shell");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(says(&said, mistake.words), "{}\nwas to say\n{}\nand said\n{said}", mistake.line, mistake.words);
            assert_eq!(output.status.code(), Some(mistake.code), "{}\n{said}", mistake.line);
        }
        let bucket = world.job_bucket("my-bucket", "new").await;
        let left = dayfly_shared::store::StoreExt::list_all(&**bucket.store(), "new/").await.expect("a listing");
        assert_eq!(left, [], "nothing was written");
    }
}
