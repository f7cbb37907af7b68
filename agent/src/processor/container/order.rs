//! The command line of one container: what it may use, and what it sees.

use std::path::Path;

use dayfly_shared::work::ContainerSettings;

use super::engine::{Engine, Kind};
use crate::supervisor::User;

/// Its output folder; the seed's data folder.
pub const DATA: &str = "/data";
/// Its input's folder.
pub const INPUT: &str = "/dayfly/in";
/// The folder of the files that came with the job.
pub const FILES: &str = "/dayfly/files";
/// What outlives a stop.
pub const CHECKPOINT: &str = "/dayfly/checkpoint";
/// For temporary files.
pub const SCRATCH: &str = "/tmp";

/// The label that names the lock which the container's agent holds while it lives.
pub const LABEL: &str = "dayfly.lock";

/// Processes and threads at once: podman's own default, which docker has not (containers.conf(5), `pids_limit`).
const PIDS: &str = "2048";

/// A folder of this machine in a container.
pub struct Mount<'a> {
    /// Here.
    pub from: &'a Path,
    /// There.
    pub to: &'static str,
    /// Whether it may be changed.
    pub writable: bool,
}

/// What is run.
pub struct ContainerOrder<'a> {
    /// The container's name.
    pub name: &'a str,
    /// The lock that its agent holds.
    pub lock: &'a Path,
    /// The image's id.
    pub image: &'a str,
    /// What it may use.
    pub settings: &'a ContainerSettings,
    /// The memory that it may use, in MiB.
    pub memory_mib: Option<u32>,
    /// Who it runs as, if not as the image says.
    pub user: Option<User>,
    /// What it sees.
    pub mounts: &'a [Mount<'a>],
    /// Its environment: a variable without a value is the client's own, so that nobody reads it in the table of processes.
    pub environment: &'a [(String, Option<String>)],
    /// Its arguments.
    pub argv: Vec<String>,
}

impl ContainerOrder<'_> {
    /// The words for an engine.
    pub fn line(self, engine: &Engine) -> Vec<String> {
        let mut words: Vec<String> = [
            "run",
            "--name",
            self.name,
            "--pull",
            "never",
            // What it says goes to the task's log, and nowhere else.
            "--log-driver",
            "none",
            "--network",
            self.settings.network.as_str(),
            "--read-only",
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
            "--pids-limit",
            PIDS,
        ]
        .map(str::to_owned)
        .into();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if engine.kind == Kind::Docker {
            // Podman's containers inherit the supervisor's; an option would put aside all limits that its settings have.
            option("--ulimit", "core=0".to_owned());
        }
        option("--label", format!("{LABEL}={}", self.lock.display()));
        if let Some(User { uid, gid }) = self.user {
            option("--user", format!("{uid}:{gid}"));
        }
        if let Some(mib) = self.memory_mib {
            option("--memory", format!("{mib}m"));
            // Memory and swap together: no swap.
            option("--memory-swap", format!("{mib}m"));
        }
        if let Some(milli) = self.settings.milli_cpus {
            option("--cpus", format!("{}.{:03}", milli / 1000, milli % 1000));
        }
        for (name, value) in gpus(engine.kind, self.settings.gpus.as_deref()) {
            option(name, value);
        }
        for mount in self.mounts {
            let mode = if mount.writable { "" } else { ":ro" };
            option("--volume", format!("{}:{}{mode}", mount.from.display(), mount.to));
        }
        for (name, value) in self.environment {
            option("--env", value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}")));
        }
        words.push(self.image.to_owned());
        words.extend(self.argv);
        engine.line(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Docker has an option of its own; podman knows devices by the names of the Container Device Interface, which NVIDIA's
/// toolkit writes (`nvidia-ctk cdi generate`).
fn gpus(kind: Kind, wanted: Option<&str>) -> Vec<(&'static str, String)> {
    match (kind, wanted) {
        (_, None) => Vec::new(),
        (Kind::Docker, Some(wanted)) => vec![("--gpus", wanted.to_owned())],
        (Kind::Podman, Some(wanted)) => match wanted.parse::<u32>() {
            Ok(n) => (0..n).map(|n| ("--device", format!("nvidia.com/gpu={n}"))).collect(),
            Err(_) => vec![("--device", "nvidia.com/gpu=all".to_owned())],
        },
    }
}

#[cfg(test)]
mod tests {
    use dayfly_shared::work::{ImageSource, Network};

    use super::*;

    fn line(kind: Kind, gpus: Option<&str>) -> String {
        let settings = ContainerSettings {
            image: ImageSource::Name("i".to_owned()),
            argv: Vec::new(),
            network: Network::Bridge,
            milli_cpus: Some(1500),
            gpus: gpus.map(str::to_owned),
        };
        let order = ContainerOrder {
            name: "n",
            lock: Path::new("/w/lock"),
            image: "id",
            settings: &settings,
            memory_mib: Some(64),
            user: Some(User { uid: 1, gid: 2 }),
            mounts: &[Mount { from: Path::new("/w/in"), to: INPUT, writable: false }],
            environment: &[("A".to_owned(), Some("1".to_owned())), ("SECRET".to_owned(), None)],
            argv: vec!["--x".to_owned()],
        };
        order.line(&Engine { kind, program: "/bin/e".into() }).join(" ")
    }

    #[test]
    fn limits_are_the_engines_options() {
        let podman = line(Kind::Podman, Some("2"));
        for words in [
            "--cap-drop all",
            "--network bridge",
            "--user 1:2",
            "--memory 64m --memory-swap 64m",
            "--cpus 1.500",
            "--device nvidia.com/gpu=0 --device nvidia.com/gpu=1",
            "--volume /w/in:/dayfly/in:ro",
            "--env A=1 --env SECRET",
        ] {
            assert!(podman.contains(words), "{words}: {podman}");
        }
        assert!(podman.starts_with("/bin/e --log-level error run --name n") && podman.ends_with(" id --x"), "{podman}");
        assert!(line(Kind::Podman, Some("all")).contains("--device nvidia.com/gpu=all"));
        let docker = line(Kind::Docker, Some("all"));
        assert!(docker.starts_with("/bin/e run") && docker.contains("--gpus all"), "{docker}");
    }
}
