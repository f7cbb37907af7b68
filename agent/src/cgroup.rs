//! Control groups, version 2 (the kernel's admin-guide/cgroup-v2.rst): each task's program in a scope of its own, which
//! bounds its memory, counts what it uses, and ends all of it at once.
//!
//! They are there where the agent may divide its own group: in a unit with `Delegate=yes`, or as root where nothing else
//! is in the group. A group with processes of its own cannot be divided, so the agent first moves to a leaf of it.

mod scope;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use scope::{Scope, ScopeOrder};

/// What the names of the groups that agents make begin with.
const PREFIX: &str = "dayfly-";
/// What the name of the leaf that an agent moves to goes on with, before the number of its process.
const HOME: &str = "agent-";
/// What scopes are to bound or count, where the kernel offers it here.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The agent's own part of the tree of control groups.
#[derive(Debug)]
pub struct Cgroups {
    base: PathBuf,
    home: PathBuf,
}

impl Cgroups {
    /// Divides this process's group: it moves to a leaf, and scopes can be made beside that.
    ///
    /// # Errors
    /// Why it cannot be divided: there is none of version 2, no right to, or something else is in it.
    pub fn take() -> io::Result<Self> {
        let base = own()?;
        let home = base.join(format!("{PREFIX}{HOME}{}", std::process::id()));
        sweep(&base);
        fs::create_dir(&home)?;
        let cgroups = Self { base, home };
        enter(&cgroups.home)?;
        let offered = fs::read_to_string(cgroups.base.join("cgroup.controllers"))?;
        for name in CONTROLLERS.iter().filter(|name| offered.split_whitespace().any(|one| one == **name)) {
            // Dropping what was taken so far moves back.
            fs::write(cgroups.base.join("cgroup.subtree_control"), format!("+{name}"))?;
        }
        Ok(cgroups)
    }

    /// A scope of that name, to be made by who supervises a task.
    pub fn scope(&self, name: &str) -> ScopeOrder {
        ScopeOrder { folder: self.base.join(format!("{PREFIX}{}-{name}", std::process::id())), home: self.home.clone() }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // Where other groups were made of it, the way back is closed; then the leaf goes with the unit, or by a sweep.
        if enter(&self.base).is_ok() {
            let _ = fs::remove_dir(&self.home);
        }
    }
}

/// Moves this process, with all its threads.
fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Removes what agents before left; what is in use cannot be removed, and what a living agent has just made is not.
fn sweep(base: &Path) {
    // Another agent's that lives; one with this process's number is gone.
    let lives = |pid: u32| pid != std::process::id() && Path::new("/proc").join(pid.to_string()).exists();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if maker(&entry.file_name().to_string_lossy()).is_some_and(|pid| !lives(pid)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The process that made a group of this name, if an agent did.
fn maker(name: &str) -> Option<u32> {
    let name = name.strip_prefix(PREFIX)?;
    name.strip_prefix(HOME).unwrap_or(name).split('-').next()?.parse().ok()
}

/// The folder of this process's group.
fn own() -> io::Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    find(&groups, &mounts).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no cgroup2 file system"))
}

/// By `/proc/self/cgroup` (the line `0::PATH`) and `/proc/self/mountinfo` (proc(5)): fields 4 and 5 are the part of the
/// file system that is mounted and where, the type comes after a lone dash.
fn find(groups: &str, mounts: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, _, _, part, at, ..] = fields[..] else { return None };
        let inner = Path::new(path).strip_prefix(part).ok()?;
        Some(Path::new(at).join(inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_left_is_removed() {
        let base = tempfile::tempdir().unwrap();
        // Linux's highest process number is 4,194,304 (proc(5), pid_max).
        let (dead, mine, living) = (4_999_999, std::process::id(), 1);
        for pid in [dead, mine, living] {
            fs::create_dir(base.path().join(format!("dayfly-{pid}-1-a"))).unwrap();
            fs::create_dir(base.path().join(format!("dayfly-agent-{pid}"))).unwrap();
        }
        fs::create_dir(base.path().join("dayfly-of-others")).unwrap();
        sweep(base.path());
        let mut left: Vec<String> =
            fs::read_dir(base.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["dayfly-1-1-a", "dayfly-agent-1", "dayfly-of-others"]);
    }

    #[test]
    fn the_own_group_is_found_where_it_is_mounted() {
        let mounts = "25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n\
                      36 25 0:30 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let found = |groups: &str, mounts: &str| find(groups, mounts).map(|path| path.display().to_string());
        assert_eq!(found("4:memory:/x\n0::/a/b\n", mounts).as_deref(), Some("/sys/fs/cgroup/unified/a/b"));
        assert_eq!(found("0::/\n", mounts).as_deref(), Some("/sys/fs/cgroup/unified/"));
        assert_eq!(found("4:memory:/x\n", mounts), None, "version 1 alone");
        let part = "36 25 0:30 /inner /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/inner/x\n", part).as_deref(), Some("/sys/fs/cgroup/x"));
        assert_eq!(found("0::/outer\n", part), None, "a group that is not in sight");
    }
}
