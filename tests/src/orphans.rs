//! Agents that `dayfly` started and left running: they outlive it by design, and must not outlive the test.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// How deep launch records lie in a test's folder.
const DEPTH: usize = 8;

/// The launch records (`launch.json`) below a folder.
pub fn launches(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, DEPTH, &mut found);
    found
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == "launch.json") {
            found.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, depth - 1, found);
        }
    }
}

/// The ids of the agents that run with a work folder below this one.
pub fn running(folder: &Path) -> Vec<u32> {
    let id = |path: &PathBuf| {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let id = u32::try_from(record.get("pid")?.as_u64()?).ok()?;
        // An id may have been given to another process since: this one was told to work here.
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let here = path.parent()?.to_string_lossy().into_owned();
        String::from_utf8_lossy(&command).contains(&here).then_some(id)
    };
    launches(folder).iter().filter_map(id).collect()
}

/// Kills them.
pub fn kill(folder: &Path) {
    for id in running(folder) {
        if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(id, Signal::KILL);
        }
    }
}
