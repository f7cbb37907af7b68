//! What was tried and what came, line by line, and the verdict.

use std::fmt;

use dayfly_shared::job::Location;
use dayfly_shared::store::RequestCounts;
use dayfly_shared::store::conformance::{Finding, Verdict as Kept};
use serde::Serialize;

use super::measure::Speed;
use crate::human;

/// How a line came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it has to be.
    Ok,
    /// Not as on Amazon S3, and dayfly does without it.
    Noted,
    /// Not as it has to be.
    Failed,
    /// Not allowed.
    Refused,
    /// It could not be found out.
    Open,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// How it came out.
    pub mark: Mark,
    /// Its name.
    pub name: String,
    /// What was tried.
    pub tried: String,
    /// What came.
    pub came: String,
}

impl Line {
    /// A line.
    pub fn new(mark: Mark, name: &str, tried: &str, came: String) -> Self {
        Self { mark, name: name.to_owned(), tried: tried.to_owned(), came }
    }

    fn of(finding: &Finding) -> Self {
        let (mark, came) = match (&finding.verdict, finding.harmless) {
            (Kept::Holds(seen), _) => (Mark::Ok, seen.clone()),
            (Kept::Violated(seen), None) => (Mark::Failed, seen.clone()),
            (Kept::Open(why), None) => (Mark::Open, format!("could not be found out: {why}")),
            (Kept::Violated(seen) | Kept::Open(seen), Some(why)) => (Mark::Noted, format!("{seen}; harmless: {why}")),
        };
        Self::new(mark, finding.name, finding.meaning, came)
    }
}

/// Whether dayfly may work there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Safe,
    /// No: agents could overwrite each other's work, or miss some.
    NotSafe,
    /// Something could not be tried.
    Undecided,
}

/// Lines of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Their heading.
    pub title: &'static str,
    /// The lines.
    pub lines: Vec<Line>,
}

/// The races that safety hangs on, and what so many rounds of them show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Confidence {
    /// The rounds of the race that had fewest.
    pub rounds: u32,
    /// The rounds that were asked for.
    pub wanted: u32,
    /// The probability that a store is seen which loses one race in [`LOSES_ONE_IN`].
    pub seen: f64,
}

/// How seldom a store may lose a race and still be caught: as the default of `--rounds` is chosen for.
pub const LOSES_ONE_IN: f64 = 200.0;

impl Confidence {
    /// Of so many rounds: each shows it by itself, so all miss it with the power of their number.
    pub fn of(rounds: u32, wanted: u32) -> Self {
        Self { rounds, wanted, seen: 1.0 - (1.0 - 1.0 / LOSES_ONE_IN).powf(rounds.into()) }
    }
}

/// What `dayfly doctor` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The place that was asked about.
    pub place: Location,
    /// The store, as jobs record it.
    pub store: String,
    /// Below which key it was tried.
    pub scratch: String,
    /// All that was tried.
    pub groups: Vec<Group>,
    /// A put of a new object.
    pub put: Option<Speed>,
    /// A compare-and-swap.
    pub swap: Option<Speed>,
    /// What the races show; none if they were not run.
    pub confidence: Option<Confidence>,
    /// The requests that it took.
    pub requests: RequestCounts,
    /// Whether everything was removed again.
    pub clean: bool,
    /// Whether dayfly may work there.
    pub verdict: Verdict,
    /// The lines that decided it; empty if it is safe.
    pub why: Vec<String>,
}

/// The checks of conditions on whole objects.
const CONDITIONS: [&str; 5] =
    ["objects/create", "objects/update", "objects/overwrite", "objects/delete", "objects/stale-delete"];

/// Whether a check is about conditions on one write at a time.
pub fn is_condition(name: &str) -> bool {
    CONDITIONS.contains(&name) || name.starts_with("multipart/")
}

/// Findings under their headings.
pub fn groups(findings: &[Finding]) -> Vec<Group> {
    let title = |name: &str| match name {
        _ if is_condition(name) => "Conditions",
        _ if name.starts_with("races/") => "Races",
        _ => "Reading and listing",
    };
    ["Conditions", "Races", "Reading and listing"]
        .into_iter()
        .map(|wanted| {
            let lines = findings.iter().filter(|finding| title(finding.name) == wanted).map(Line::of).collect();
            Group { title: wanted, lines }
        })
        .collect()
}

/// The verdict of these lines, and the ones that decided it.
pub fn verdict(groups: &[Group]) -> (Verdict, Vec<String>) {
    let with = |marks: &[Mark]| {
        let lines = groups.iter().flat_map(|group| &group.lines).filter(|line| marks.contains(&line.mark));
        lines.map(|line| format!("{}: {}", line.name, line.came)).collect::<Vec<_>>()
    };
    let failed = with(&[Mark::Failed]);
    if !failed.is_empty() {
        return (Verdict::NotSafe, failed);
    }
    match with(&[Mark::Refused, Mark::Open]) {
        open if open.is_empty() => (Verdict::Safe, open),
        open => (Verdict::Undecided, open),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (store: {}), tried below {}", self.place, self.store, self.scratch)?;
        for group in self.groups.iter().filter(|group| !group.lines.is_empty()) {
            writeln!(f, "\n{}", group.title)?;
            let width = group.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
            for line in &group.lines {
                let mark = match line.mark {
                    Mark::Ok => "ok",
                    Mark::Noted => "noted",
                    Mark::Failed => "FAILED",
                    Mark::Refused => "REFUSED",
                    Mark::Open => "OPEN",
                };
                let parts = [&line.tried, &line.came].map(String::as_str).into_iter().filter(|part| !part.is_empty());
                writeln!(f, "  {mark:7}  {:width$}  {}", line.name, parts.collect::<Vec<_>>().join(": "))?;
            }
        }
        let speeds = [("put of a new object", self.put), ("compare-and-swap", self.swap)];
        if speeds.iter().any(|(_, speed)| speed.is_some()) {
            writeln!(f, "\nSpeed")?;
        }
        for (what, speed) in speeds {
            if let Some(Speed { samples, median_ms, p99_ms }) = speed {
                writeln!(f, "  {what:19}  median {median_ms:.1} ms, p99 {p99_ms:.1} ms, of {samples}")?;
            }
        }
        // S3's prices in us-east-1: $5 a million PUT-class requests, $0.40 a million GETs (S3 pricing page).
        let dollars = (self.requests.put_class() as f64 * 5.0 + self.requests.get_class() as f64 * 0.4) / 1e6;
        let total = human::count(self.requests.total(), "request");
        let left = if self.clean { "nothing is left behind" } else { "not everything could be removed again" };
        writeln!(f, "\n{total}, which cost ${dollars:.2} on Amazon S3; {left}")?;
        match self.verdict {
            Verdict::Safe => {
                writeln!(f, "Verdict: safe for dayfly.")?;
                let Some(Confidence { rounds, wanted, seen }) = self.confidence else { return Ok(()) };
                let (rounds_said, percent) = (human::thousands(rounds.into()), seen * 100.0);
                write!(
                    f,
                    "({rounds_said} rounds of a race show a store that loses 1 in {LOSES_ONE_IN} with {percent:.1} %"
                )?;
                if rounds < wanted {
                    write!(f, "; time ran out before {}: --time-limit gives more", human::thousands(wanted.into()))?;
                }
                write!(f, ".)")
            }
            Verdict::NotSafe => write!(f, "Verdict: NOT SAFE for dayfly."),
            Verdict::Undecided => write!(f, "Verdict: undecided; not everything could be tried."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_rounds_see_one_in_two_hundred() {
        assert!((Confidence::of(1000, 1000).seen - 0.9933).abs() < 0.0001);
        assert!((Confidence::of(10, 10).seen - 0.0489).abs() < 0.0001);
    }

    #[test]
    fn the_worst_line_decides() {
        let group = |marks: &[Mark]| {
            let lines = marks.iter().map(|&mark| Line::new(mark, "x", "", format!("{mark:?}"))).collect();
            vec![Group { title: "Races", lines }]
        };
        let decided = |marks: &[Mark]| verdict(&group(marks));
        assert_eq!(decided(&[Mark::Ok, Mark::Noted]), (Verdict::Safe, vec![]));
        assert_eq!(decided(&[Mark::Ok, Mark::Refused, Mark::Open]).0, Verdict::Undecided);
        assert_eq!(decided(&[Mark::Open, Mark::Failed]), (Verdict::NotSafe, vec!["x: Failed".to_owned()]));
    }
}
