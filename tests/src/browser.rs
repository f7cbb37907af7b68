//! A real browser, headless: Debian's Chromium, driven by playwright-core.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A browser that can be started.
pub struct Browser {
    chromium: PathBuf,
    library: PathBuf,
}

impl Browser {
    /// The one that is installed; none, and a line that says so, where there is none. `scripts/test pages` installs it.
    pub fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        let library = std::env::var_os("DAYFLY_TEST_PLAYWRIGHT")
            .map_or_else(|| root.join(".venv/pages/node_modules/playwright-core"), PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
        let missing = match (found("chromium"), found("node"), library.is_dir()) {
            (Some(chromium), Some(_), true) => return Some(Self { chromium, library }),
            (None, ..) => "chromium",
            (_, None, _) => "node",
            _ => "playwright-core",
        };
        println!("SKIPPED: there is no {missing}; scripts/test pages installs it");
        None
    }

    /// Opens a page and says what there was to see (`tests/browser/look.mjs`).
    ///
    /// # Panics
    /// If the browser cannot.
    pub async fn look(&self, url: &str, options: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/look.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(&self.library).arg(&self.chromium).arg(url).args(options);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("node runs");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "looking at {url}: {said}{complained}");
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}{complained}"))
    }
}
