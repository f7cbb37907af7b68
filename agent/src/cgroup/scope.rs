//! The group of one task's program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayfly_shared::clock::Clock;
use serde::{Deserialize, Serialize};

use super::enter;

/// Between two tries to remove a scope whose processes are dying, and how many: ten seconds in all.
const AGAIN: Duration = Duration::from_millis(5);
const TRIES: u32 = 2000;

/// Where a scope is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeOrder {
    /// Its folder, not there yet.
    pub folder: PathBuf,
    /// The folder of the group that who supervises it lives in.
    pub home: PathBuf,
}

impl ScopeOrder {
    /// Ends whatever is in it, where who was to has been killed.
    pub async fn put_away(self, clock: &dyn Clock) {
        if self.folder.exists() {
            Scope { order: self, bounds_memory: false }.end(clock).await;
        }
    }
}

/// The group of one task's program.
#[derive(Debug)]
pub struct Scope {
    order: ScopeOrder,
    bounds_memory: bool,
}

impl Scope {
    /// Makes it, and bounds its memory where the kernel offers that here.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(order: &ScopeOrder, memory_bytes: Option<u64>) -> io::Result<Self> {
        fs::create_dir(&order.folder)?;
        let mut scope = Self { order: order.clone(), bounds_memory: false };
        if scope.counts_memory() {
            // All of a task or nothing: what goes on without a part of it comes to no good.
            let bounds = [("memory.oom.group", "1".to_owned())].into_iter().chain(
                memory_bytes
                    .into_iter()
                    .flat_map(|bytes| [("memory.max", bytes.to_string()), ("memory.swap.max", "0".to_owned())]),
            );
            for (name, value) in bounds {
                let file = scope.at(name);
                // Without swap in the kernel there is no bound to it.
                if file.exists()
                    && let Err(error) = fs::write(file, value)
                {
                    let _ = fs::remove_dir(&order.folder);
                    return Err(error);
                }
            }
            scope.bounds_memory = memory_bytes.is_some();
        }
        Ok(scope)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.order.folder.join(name)
    }

    /// Whether the kernel keeps its memory within bounds.
    pub fn bounds_memory(&self) -> bool {
        self.bounds_memory
    }

    /// Whether the kernel counts its memory.
    pub fn counts_memory(&self) -> bool {
        self.at("memory.current").exists()
    }

    /// Does something, such as starting a program, while this process is in it.
    ///
    /// # Errors
    /// When it cannot be entered, or not be left again.
    pub fn inside<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        enter(&self.order.folder)?;
        let done = act();
        enter(&self.order.home)?;
        done
    }

    /// The memory in use now that could not be given back: all but the cache of files, shared memory counting as used.
    pub fn memory(&self) -> Option<u64> {
        let current = number(&self.at("memory.current"))?;
        let stat = fs::read_to_string(self.at("memory.stat")).ok()?;
        let of = |name| field(&stat, name).unwrap_or(0);
        let cache = of("file").saturating_sub(of("shmem")) + of("slab_reclaimable");
        Some(current.saturating_sub(cache))
    }

    /// The most memory that was ever charged to it, the cache of files included (Linux 5.19).
    pub fn peak_with_cache(&self) -> Option<u64> {
        number(&self.at("memory.peak"))
    }

    /// How often the kernel has killed in it for want of memory.
    pub fn memory_kills(&self) -> u64 {
        fs::read_to_string(self.at("memory.events")).ok().and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }

    /// CPU time of all that ever was in it, in milliseconds.
    pub fn cpu_ms(&self) -> Option<u64> {
        Some(field(&fs::read_to_string(self.at("cpu.stat")).ok()?, "usage_usec")? / 1000)
    }

    /// Kills all in it at once (Linux 5.14).
    pub fn kill(&self) {
        let _ = fs::write(self.at("cgroup.kill"), "1");
    }

    /// Kills all in it, and removes it.
    pub async fn end(self, clock: &dyn Clock) {
        for _ in 0..TRIES {
            self.kill();
            match fs::remove_dir(&self.order.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => clock.sleep(AGAIN).await,
                _ => return,
            }
        }
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A value of a flat keyed file: lines of `NAME VALUE`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
