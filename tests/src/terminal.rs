//! A terminal with somebody at it: tmux, on a server of the test's own.

use std::process::Command;

use crate::world::World;

/// A terminal in which a shell waits. It goes, with all that runs in it, when it is dropped.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Of this size, in the world's folder, with the world's environment and `dayfly` as a function; none, and a line that
    /// says so, where there is no tmux.
    ///
    /// # Panics
    /// If it does not start.
    pub fn open(world: &World, width: u32, height: u32) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("SKIPPED: there is no tmux; scripts/test end-to-end installs it");
            return None;
        }
        let dayfly = world.dayfly_command();
        let profile = world.folder().join("profile");
        let function = format!("PS1='$ '\ndayfly() {{ '{}' \"$@\"; }}\n", dayfly.get_program().to_string_lossy());
        std::fs::write(&profile, function).expect("a profile");
        let socket = world.folder().join("tmux").display().to_string();
        let mut command = Command::new("tmux");
        command.args(["-S", &socket, "-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &width.to_string(), "-y", &height.to_string(), "sh -i"]).env_clear();
        for (name, value) in dayfly.get_envs() {
            if let Some(value) = value.filter(|_| name != "NO_COLOR") {
                command.env(name, value);
            }
        }
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8").env("ENV", &profile).current_dir(world.folder());
        let output = command.output().expect("tmux runs");
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        Some(Self { socket })
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-S", &self.socket]).args(arguments).output().expect("tmux runs");
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a line.
    pub fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Presses a key, such as `C-c`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Keeps all that is written to the terminal in a file, as it is.
    pub fn record(&self, file: &std::path::Path) {
        self.tmux(&["pipe-pane", "-o", &format!("cat >> '{}'", file.display())]);
    }

    /// Makes the window another size.
    pub fn resize(&self, width: u32, height: u32) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Whether the alternate screen is shown, and whether the cursor is.
    pub fn modes(&self) -> (bool, bool) {
        let modes = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let mut modes = modes.split_whitespace().map(|mode| mode == "1");
        (modes.next().unwrap_or(true), modes.next().unwrap_or(false))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}
