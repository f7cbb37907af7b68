//! Podman with settings and storage of one test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use dayfly_tests::{Agent, Ended, World};

/// The image that tests run in: busybox and a table of users, nothing else.
pub const TOOLS: &str = "localhost/tools:1";

/// The commands of busybox that tests use.
const APPLETS: [&str; 24] = [
    "sh", "cat", "cp", "cut", "dd", "echo", "env", "false", "grep", "head", "id", "kill", "ls", "mkdir", "mount", "rm",
    "sleep", "sort", "stat", "touch", "tr", "true", "wc", "yes",
];

/// Hybrid cgroups, no right to raise limits, no journal: what podman needs on such a machine (containers.conf(5)). Storage
/// without mounts, so that a test's folder can be removed.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// Podman, and the world that it belongs to.
pub struct Podman<'a> {
    /// The world.
    pub world: &'a World,
    folder: PathBuf,
}

impl<'a> Podman<'a> {
    /// With [`TOOLS`] in it.
    pub fn new(world: &'a World) -> Self {
        let podman = Self { world, folder: world.folder().join("podman") };
        let at = |name: &str| podman.folder.join(name).display().to_string();
        fs::create_dir(&podman.folder).expect("a folder");
        fs::write(at("containers.conf"), format!("{SETTINGS}tmp_dir = \"{}\"\n", at("tmp"))).expect("settings");
        let storage =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", at("graph"), at("run"));
        fs::write(at("storage.conf"), storage).expect("settings");
        // Others may pass through the folders above, as on an instance.
        fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).expect("a mode");
        podman.import(TOOLS, &[], &[]);
        podman
    }

    fn settings(&self) -> [(&'static str, String); 2] {
        let at = |name: &str| self.folder.join(name).display().to_string();
        [("CONTAINERS_CONF", at("containers.conf")), ("CONTAINERS_STORAGE_CONF", at("storage.conf"))]
    }

    /// Runs podman; what it says.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let output = Command::new("podman").args(["--log-level", "error"]).args(words).envs(self.settings()).output();
        let output = output.expect("podman is there: scripts/test containers installs it");
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "podman {words:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The root of an image, as an archive: busybox, users, and these scripts.
    pub fn root(&self, name: &str, scripts: &[(&str, &str)]) -> PathBuf {
        let root = self.folder.join(name);
        for folder in ["bin", "etc", "data", "tmp"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
        let users = "root:x:0:0::/:/bin/sh\nworker:x:1234:1235::/:/bin/sh\n";
        fs::write(root.join("etc/passwd"), users).expect("a table");
        for (name, text) in scripts {
            let path = root.join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let archive = root.with_extension("tar");
        let made = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
        assert!(made.expect("tar runs").success());
        archive
    }

    /// Makes an image with these scripts and changes (as `podman import --change` has them).
    pub fn import(&self, image: &str, scripts: &[(&str, &str)], changes: &[&str]) {
        let archive = self.root(&image.replace(['/', ':'], "-"), scripts).display().to_string();
        let changes = changes.iter().flat_map(|change| ["--change", *change]);
        let words: Vec<&str> = ["import", "--quiet"].into_iter().chain(changes).chain([&*archive, image]).collect();
        self.run(&words);
    }

    /// An agent that uses it.
    pub fn agent(&self, name: &str) -> Agent {
        let job = super::JOB.parse().expect("a place");
        self.settings().into_iter().fold(self.world.agent(&job, name), |agent, (name, value)| agent.env(name, &value))
    }

    /// Runs one agent to its end.
    pub async fn work(&self, name: &str) -> Ended {
        self.agent(name).start().ended().await
    }

    /// The containers that there are, running or not.
    pub fn containers(&self) -> Vec<String> {
        self.run(&["ps", "-aq"]).lines().map(str::to_owned).collect()
    }

    /// Whether a process runs that has `mark` on its command line and is not podman's.
    pub fn runs(mark: &str) -> bool {
        let pids = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
        let lines = pids.filter_map(|path| fs::read(path.join("cmdline")).ok());
        let mut lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.any(|line| line.starts_with("/bin/sh ") && line.contains(mark))
    }

    /// A path in the test's folder that is nobody else's: a mark for [`Podman::runs`].
    pub fn mark(&self, name: &str) -> String {
        Path::new(self.world.folder()).join(name).display().to_string()
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // Where a test failed, what it started goes all the same.
        let words = ["--log-level", "error", "rm", "-f", "-a", "-t", "0"];
        let _ = Command::new("podman").args(words).envs(self.settings()).output();
    }
}
