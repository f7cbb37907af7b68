//! The timeline as a picture.

use std::fmt::Write as _;

use dayfly_shared::clock::Timestamp;

use super::Report;
use super::timeline::Kind;
use crate::human;

/// Pixels: of the rows' names, of the time, and around.
const NAMES: f64 = 220.0;
const WIDE: f64 = 1000.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 28.0;
/// About so many times are written below.
const TICKS: u64 = 8;
/// Steps between them, in seconds, that read well.
const STEPS: [u64; 17] =
    [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800];

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Done => "d",
        Kind::Failed => "f",
        Kind::Preempted => "p",
        Kind::Interrupted => "i",
        Kind::Vanished => "v",
        Kind::Running => "r",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The timeline as SVG: a group of class `agent` for each agent; light or dark as the reader's system is.
pub fn svg(report: &Report) -> String {
    let timeline = &report.timeline;
    // High enough for a name in small fleets; a fleet of a thousand fits a poster.
    let high = match timeline.rows.len() {
        0..=80 => 16.0,
        81..=400 => 8.0,
        _ => 3.0,
    };
    let body = high * timeline.rows.len() as f64;
    let (width, height) = (NAMES + WIDE + 24.0, TOP + body + BOTTOM);
    let x = |ms: u64| NAMES + WIDE * ms as f64 / timeline.span_ms as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
    );
    let tasks = report.tasks;
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"18\" font-size=\"14\">{}</text>\n<text class=\"soft\" x=\"8\" y=\"36\">{}: {} of {} done, {} given up, {}</text>",
        escape(&report.job.to_string()),
        escape(&report.state),
        human::thousands(tasks.done),
        human::count(tasks.total, "task"),
        human::thousands(tasks.failed),
        human::count(timeline.rows.len() as u64, "agent"),
    );
    let seconds = timeline.span_ms / 1000;
    let step = STEPS.into_iter().find(|step| seconds / step <= TICKS).unwrap_or(seconds / TICKS);
    let first = timeline.origin_ms.div_ceil(step * 1000) * step * 1000;
    for at in (first..=timeline.origin_ms + timeline.span_ms).step_by(usize::try_from(step * 1000).unwrap_or(1000)) {
        let place = x(at - timeline.origin_ms);
        let time = &Timestamp::from_unix_ms(at).to_string()[11..19];
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"soft\" x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{time}</text>",
            TOP + body,
            TOP + body + 16.0
        );
    }
    for (n, row) in timeline.rows.iter().enumerate() {
        let top = TOP + high * n as f64;
        let tall = high * 0.85;
        let _ = write!(svg, "<g class=\"agent\"><title>{} ({})</title>", row.agent, escape(&row.machine));
        if high >= 10.0 {
            let _ = write!(svg, "<text x=\"8\" y=\"{:.1}\">{}</text>", top + tall - 3.0, row.agent);
        }
        if let (Some(born), Some(seen)) = (row.born_ms, row.seen_ms) {
            rect(&mut svg, "there", x(born), top, x(seen) - x(born), tall);
        }
        let lane = tall / f64::from(row.lanes);
        for bar in &row.bars {
            let wide = x(bar.from_ms + bar.ms) - x(bar.from_ms);
            rect(&mut svg, class(bar.kind), x(bar.from_ms), top + lane * f64::from(bar.lane), wide.max(0.3), lane);
        }
        for mark in &row.marks {
            let place = x(mark.at.unix_ms.saturating_sub(timeline.origin_ms));
            rect(&mut svg, mark.what, place - 1.0, top, 2.0, tall);
        }
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn rect(svg: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64) {
    let _ =
        write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>");
}

/// The page's colours.
const STYLE: &str = "\
.paper{fill:#fff}text{fill:#1b1f24}.soft{fill:#5b6470}.grid{stroke:#d9dee4}.there{fill:#e6eaef}.d{fill:#47a}.f{fill:#c31}\
.p,.given_back{fill:#e73}.i{fill:#bba100}.v,.lost{fill:#a37}.r,.taken_over{fill:#283}\
@media(prefers-color-scheme:dark){.paper{fill:#14171b}text{fill:#e6e9ed}.soft{fill:#9aa4b0}.grid{stroke:#333a43}\
.there{fill:#262c34}.d{fill:#7ad}.f{fill:#ff6e54}.p,.given_back{fill:#f2a65a}.v,.lost{fill:#d678b5}.r,.taken_over{fill:#5fbf72}}";
