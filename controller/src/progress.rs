//! Bars on standard error, where somebody watches.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// Often enough to look alive, too seldom to cost anything.
const TICK: Duration = Duration::from_millis(200);

/// A bar over `total` bytes: how many, how fast, how long yet.
pub fn bytes(output: &Output, doing: &'static str, total: u64) -> ProgressBar {
    if !output.live() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style);
    bar.set_message(doing);
    bar.enable_steady_tick(TICK);
    bar
}

/// Some lines that are drawn over again and again.
pub struct Lines {
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Lines {
    /// None yet.
    pub fn new() -> Self {
        Self { screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), lines: Vec::new() }
    }

    /// Shows these lines in place of those before.
    pub fn show(&mut self, texts: &[String]) {
        for line in self.lines.drain(texts.len().min(self.lines.len())..) {
            line.finish_and_clear();
            self.screen.remove(&line);
        }
        while self.lines.len() < texts.len() {
            let line = self.screen.add(ProgressBar::new_spinner());
            line.set_style(
                ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text.clone());
            line.tick();
        }
    }

    /// Takes them off the screen.
    pub fn clear(&mut self) {
        self.show(&[]);
    }
}
