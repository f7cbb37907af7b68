//! The page: one file that holds its data, its style, its program and the plotting library, and asks no network.

use super::Report;

const FRAME: &str = include_str!("page/frame.html");
const STYLE: &str = include_str!("page/style.css");
const PROGRAM: &str = include_str!("page/program.js");
const PLOT_STYLE: &str = include_str!("../../vendor/uplot/uPlot.min.css");
const PLOT_PROGRAM: &str = include_str!("../../vendor/uplot/uPlot.iife.min.js");
const PLOT_LICENCE: &str = include_str!("../../vendor/uplot/LICENSE");

/// What is embedded that is not dayfly's own: name, content, and its line of `vendor/uplot/SHA256SUMS`.
pub const VENDORED: [(&str, &str); 3] =
    [("uPlot.min.css", PLOT_STYLE), ("uPlot.iife.min.js", PLOT_PROGRAM), ("LICENSE", PLOT_LICENCE)];

/// The page of a report; `live` is the address of newer data beside it, where there is any.
pub fn html(report: &Report, live: Option<&str>) -> String {
    let data = data(report);
    let parts = [
        ("@TITLE@", escape(&report.job.to_string())),
        ("@LIVE@", escape(live.unwrap_or_default())),
        ("@CONNECT@", if live.is_some() { "'self'" } else { "'none'" }.to_owned()),
        ("@LICENCE@", format!("uPlot 1.6.32, {}", PLOT_LICENCE.replace("--", "- -"))),
        ("@STYLE@", format!("{PLOT_STYLE}\n{STYLE}")),
        ("@PLOT@", PLOT_PROGRAM.to_owned()),
        ("@PROGRAM@", PROGRAM.to_owned()),
        ("@DATA@", data),
    ];
    let mut page = String::with_capacity(FRAME.len() + parts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = FRAME;
    // One pass from front to back: what is put in is not looked through again.
    while let Some(at) = rest.find('@') {
        let (before, from) = rest.split_at(at);
        page += before;
        match parts.iter().find(|(mark, _)| from.starts_with(mark)) {
            Some((mark, text)) => {
                page += text;
                rest = &from[mark.len()..];
            }
            None => {
                page.push('@');
                rest = &from[1..];
            }
        }
    }
    page + rest
}

/// The data as JSON that can stand in a page: nothing in it ends the element that holds it.
pub fn data(report: &Report) -> String {
    // A report is plain data with text keys: serialising it cannot fail.
    serde_json::to_string(report).unwrap_or_default().replace('<', "\\u003c")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn what_is_embedded_is_what_was_taken() {
        let sums = include_str!("../../vendor/uplot/SHA256SUMS");
        for (name, content) in VENDORED {
            let sum: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(sums.lines().any(|line| line == format!("{sum}  {name}")), "{name} has {sum}");
        }
    }

    #[test]
    fn every_part_has_its_place() {
        for mark in ["@TITLE@", "@LIVE@", "@CONNECT@", "@LICENCE@", "@STYLE@", "@PLOT@", "@PROGRAM@", "@DATA@"] {
            assert!(FRAME.contains(mark), "{mark}");
        }
        assert!(!PLOT_PROGRAM.contains("</script") && !PROGRAM.contains("</script"));
    }
}
