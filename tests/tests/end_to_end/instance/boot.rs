//! The boot script of stock images and the units' scripts: run against an S3 server and a metadata service, in a folder,
//! with stubs in systemd's place that note how they were called.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dayfly_shared::boot::{Boot, USER_DATA_BYTES};
use dayfly_shared::instance::InstanceSettings;
use dayfly_shared::store::{Attributes, Condition};
use dayfly_tests::server::{REGION, sources};
use dayfly_tests::{Metadata, World, on_endpoint, world};

use super::{lines, write_program};

const KEY: &str = "a place/dayfly/agents/0.1.0/x86_64/dayfly-agent";
const AGENT: &[u8] = b"#!/bin/sh\necho an agent\n";

/// A machine to boot: a folder for a root, and stubs.
struct Machine {
    root: PathBuf,
    stubs: PathBuf,
    service: Metadata,
}

impl Machine {
    fn new(world: &World, name: &str) -> Self {
        let root = world.folder().join(name);
        let stubs = world.folder().join(format!("{name}-stubs"));
        for folder in [&root, &stubs] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        for stub in ["systemctl", "systemd-run", "systemd-sysusers", "poweroff"] {
            let calls = root.join("calls");
            write_program(&stubs.join(stub), &format!("#!/bin/sh\necho \"{stub} $*\" >>'{}'\n", calls.display()));
        }
        let service = Metadata::serve(dayfly_tests::Machine::made_up());
        let keys = world.server().keys().clone();
        service.set("meta-data/iam/security-credentials/", Some("the-role"));
        let json = format!(
            "{{\n  \"Code\" : \"Success\",\n  \"AccessKeyId\" : \"{}\",\n  \"SecretAccessKey\" : \"{}\",\n  \"Token\" : \"a/token==\"\n}}",
            keys.access, keys.secret
        );
        service.set("meta-data/iam/security-credentials/the-role", Some(&json));
        Self { root, stubs, service }
    }

    fn run(&self, program: &Path) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let text = std::fs::read_to_string(program).expect("a program");
        Command::new(if text.starts_with("#!/bin/bash") { "bash" } else { "sh" })
            .arg(program)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.stubs.display()))
            .env("DAYFLY_ROOT", &self.root)
            .env("DAYFLY_IMDS", self.service.url())
            .env("DAYFLY_TRIES", "1")
            .env("DAYFLY_CONSOLE", self.root.join("console"))
            .output()
            .expect("a shell")
    }

    fn boot(&self, script: &str) -> Output {
        let file = self.root.join("user-data");
        std::fs::write(&file, script).expect("a file");
        self.run(&file)
    }

    fn calls(&self) -> Vec<String> {
        lines(&self.root.join("calls"))
    }

    fn has(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn settings() -> InstanceSettings {
    InstanceSettings {
        job: Some("s3://test-bucket/it's $(a) `job`".parse().expect("a job")),
        max_lifetime_seconds: Some(7200),
        ..InstanceSettings::default()
    }
}

async fn script(world: &World, sha256: &str, key: &str) -> String {
    let store = world.server().store(world::BUCKET).await;
    store.put(KEY, AGENT.into(), &Attributes::default(), &Condition::Overwrite).await.expect("the agent in the bucket");
    let (settings, endpoint) = (settings(), world.server().url().to_owned());
    Boot { endpoint: &endpoint, bucket: world::BUCKET, key, sha256, region: REGION, settings: &settings }.user_data()
}

fn sha256_of(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("a file");
    let output = Command::new("sha256sum").arg(file.path()).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// Dayfly's endpoint checks signatures, as S3 does and moto does not.
on_endpoint! {
    /// The lifetime is armed first; the agent is what is in the bucket; the units are there and started last.
    async fn a_stock_image_boots(world: &World) {
        let machine = Machine::new(world, "stock");
        let script = script(world, &sha256_of(AGENT), KEY).await;
        assert!(script.len() < USER_DATA_BYTES);
        let output = machine.boot(&script);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(machine.has("usr/local/bin/dayfly-agent").as_bytes(), AGENT);
        let written: InstanceSettings =
            serde_json::from_str(&machine.has("etc/dayfly/settings.json")).expect("settings");
        assert_eq!(written, settings());
        for unit in ["dayfly-agent.service", "dayfly-lifetime.timer", "dayfly-poweroff.path", "dayfly-poweroff.service"] {
            assert!(machine.has(&format!("etc/systemd/system/{unit}")).contains("[Unit]"), "{unit}");
        }
        let calls = machine.calls();
        assert!(calls[0].starts_with("systemd-run ") && calls[0].contains("--on-active=7200s"), "{calls:?}");
        assert!(calls[0].ends_with("systemctl poweroff"), "{calls:?}");
        assert_eq!(calls.last().map(String::as_str), Some("systemctl start --no-block dayfly-agent.service"));
        assert!(!machine.root.join("console").exists(), "nothing went wrong: {}", machine.has("console"));
        for program in ["power-off", "lifetime", "scratch"] {
            let path = machine.root.join("usr/local/lib/dayfly").join(program);
            let checked = Command::new("sh").arg("-n").arg(path).output().expect("a shell");
            assert!(checked.status.success(), "{program}: {}", stderr(&checked));
        }
    }

    /// Another agent than the one meant is not run; no agent at all ends the machine, too. Each is said on the console.
    async fn a_stock_image_that_cannot_boot_powers_off(world: &World) {
        let wrong_role = "the-role-that-is-not";
        for (name, sha256, key, said) in [
            ("other", "0".repeat(64), KEY, "SHA-256 differs"),
            ("absent", sha256_of(AGENT), "no/such/key", "answers 404 (does role the-role reach it?)"),
            ("refused", sha256_of(AGENT), KEY, "answers 403"),
            ("unready", sha256_of(AGENT), KEY, "has no credentials yet"),
        ] {
            let machine = Machine::new(world, name);
            match name {
                "refused" => machine.service.set(
                    "meta-data/iam/security-credentials/the-role",
                    Some(r#"{"AccessKeyId": "ASIANOBODY", "SecretAccessKey": "no", "Token": "none"}"#),
                ),
                "unready" => machine.service.set("meta-data/iam/security-credentials/", Some(wrong_role)),
                _ => {}
            }
            let script = script(world, &sha256, key).await;
            let output = machine.boot(&script);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
            let console = machine.has("console");
            assert!(console.contains(said) && console.contains("; powering off"), "{name}: {console}");
            let calls = machine.calls();
            assert!(calls[0].starts_with("systemd-run "), "{name}: armed first: {calls:?}");
            assert_eq!(calls.last().map(String::as_str), Some("systemctl poweroff"), "{name}");
            assert!(!calls.iter().any(|call| call.contains("start --no-block")), "{name}: {calls:?}");
        }
    }

    /// The lifetime comes from a stock image's settings, else from the user data, else it is 12 hours.
    async fn the_lifetime_is_what_the_launch_said(world: &World) {
        let lifetime = sources().join("ami/lib/lifetime");
        for (name, user_data, file, seconds) in [
            ("baked", Some(r#"{"job": "s3://b/j", "max_lifetime_seconds": 3600, "slots": 2}"#), None, 3600),
            ("long", Some(r#"{"job": "s3://b/j", "max_lifetime_seconds": 86400}"#), None, 86400),
            ("silent", Some(r#"{"job": "s3://b/j"}"#), None, 43200),
            ("bare", None, None, 43200),
            ("deaf", None, None, 43200),
            ("stock", Some("#!/bin/sh\n"), Some(r#"{"max_lifetime_seconds":60}"#), 60),
        ] {
            let machine = Machine::new(world, name);
            if let Some(text) = user_data {
                machine.service.set("user-data", Some(text));
            }
            machine.service.fail((name == "deaf").then_some(503));
            if let Some(text) = file {
                std::fs::create_dir_all(machine.root.join("etc/dayfly")).expect("a folder");
                std::fs::write(machine.root.join("etc/dayfly/settings.json"), text).expect("a file");
            }
            let output = machine.run(&lifetime);
            assert!(output.status.success(), "{name}: {}", stderr(&output));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains(&format!("powers off {seconds} s after")), "{name}: {said}");
            // Twelve hours are armed already; an earlier end comes on top, and a later one takes their place.
            let sooner = format!("systemd-run --quiet --on-boot={seconds}s --timer-property=AccuracySec=1s --unit=dayfly-poweroff.service");
            let drop_in = machine.root.join("run/systemd/system/dayfly-lifetime.timer.d/lifetime.conf");
            assert_eq!(drop_in.exists(), seconds > 43200, "{name}");
            let calls: &[&str] = match seconds {
                43200 => &[],
                ..43200 => &[&sooner],
                _ => {
                    let text = machine.has("run/systemd/system/dayfly-lifetime.timer.d/lifetime.conf");
                    assert!(text.ends_with(&format!("OnBootSec=\nOnBootSec={seconds}s\n")), "{name}: {text}");
                    &["systemctl daemon-reload"]
                }
            };
            assert_eq!(machine.calls(), calls, "{name}");
        }
    }
}

/// The agent's wish is a file with the reason.
#[test]
fn the_power_off_program_leaves_the_reason() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(root.path().join("run/dayfly")).expect("a folder");
    let status = Command::new(sources().join("ami/lib/power-off"))
        .arg("the job is over")
        .env("DAYFLY_ROOT", root.path())
        .status()
        .expect("a shell");
    assert!(status.success());
    assert_eq!(lines(&root.path().join("run/dayfly/power-off")), ["the job is over"]);
}

/// Where systemd is there to ask, it finds nothing wrong with the units.
#[test]
fn systemd_reads_the_units() {
    let root = tempfile::tempdir().expect("a folder");
    let units = root.path().join("etc/systemd/system");
    std::fs::create_dir_all(&units).expect("a folder");
    // What units name has to be there.
    for program in [
        "usr/bin/systemctl",
        "bin/sh",
        "usr/local/bin/dayfly-agent",
        "usr/local/lib/dayfly/lifetime",
        "usr/local/lib/dayfly/scratch",
    ] {
        let path = root.path().join(program);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        write_program(&path, "#!/bin/sh\n");
    }
    let system = root.path().join("usr/lib/systemd");
    std::fs::create_dir_all(&system).expect("a folder");
    let copied = Command::new("cp").arg("-r").arg("/usr/lib/systemd/system").arg(&system).status();
    let mut checked = 0;
    for entry in std::fs::read_dir(sources().join("ami/units")).expect("the units").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".conf") {
            continue;
        }
        std::fs::copy(entry.path(), units.join(&name)).expect("a unit");
        checked += 1;
    }
    assert_eq!(checked, 6);
    if !copied.is_ok_and(|status| status.success()) {
        return println!("SKIPPED: no systemd here");
    }
    for entry in std::fs::read_dir(&units).expect("the units").flatten() {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(format!("--root={}", root.path().display()));
        let Ok(output) = command.arg(entry.path()).output() else {
            return println!("SKIPPED: no systemd-analyze here");
        };
        let said = stderr(&output);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", entry.path().display());
    }
}
