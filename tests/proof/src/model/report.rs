//! Runs configurations and says what came of it.

use std::fmt::Write as _;

use super::configurations::Configuration;
use super::fleet::{AGENTS, Bounds, Fleet};
use super::search::{Caps, Findings, Verdict, search};
use super::views::{Troubles, Views};

impl Configuration {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fleet(setup) => setup.name,
            Self::Views(setup) => setup.name,
        }
    }

    /// What it has, and what the adversary may do, in words.
    pub fn bounds(&self) -> String {
        match self {
            Self::Fleet(setup) => {
                let mut text = format!("{} of at most {AGENTS} agents, chunks {:?}", setup.agents, setup.segments);
                if let Some(horizon) = setup.horizon {
                    let _ = write!(text, ", {} s by the clock", f64::from(horizon) / 2.0);
                }
                let Bounds {
                    crashes,
                    drains,
                    lost,
                    late,
                    conflicts,
                    expiries,
                    heartbeats,
                    failures,
                    stalls,
                    launches,
                    pauses,
                } = setup.bounds;
                for (name, n) in [
                    ("crashes", crashes),
                    ("drains or pauses of the job", drains),
                    ("requests or answers lost", lost),
                    ("writes applied late or never", late),
                    ("409s", conflicts),
                    ("expiries of living holders", expiries),
                    ("heartbeats", heartbeats),
                    ("failures of the processor", failures),
                    ("stalls beyond ttl/2", stalls),
                    ("extra launches", launches),
                    ("agents that stand still", pauses),
                ] {
                    add(&mut text, name, n);
                }
                text
            }
            Self::Views(setup) => {
                let mut text = format!("2 refreshers, list {:?}, added by hand {:?}", setup.seeded, setup.additions);
                let Troubles { lost, late, conflicts, crashes, letters, late_outputs } = setup.troubles;
                for (name, n) in [
                    ("requests or answers lost", lost),
                    ("writes applied late or never", late),
                    ("409s", conflicts),
                    ("crashes", crashes),
                    ("tasks given up", letters),
                    ("outputs after all", late_outputs),
                ] {
                    add(&mut text, name, n);
                }
                text
            }
        }
    }

    /// Searches it.
    pub fn search(&self, caps: Caps) -> Findings {
        match self {
            Self::Fleet(setup) => {
                let fleet = Fleet::new(setup.clone());
                let found = search(&fleet, caps);
                Findings { unseen: fleet.witness().missing(), ..found }
            }
            Self::Views(setup) => search(&Views::new(setup.clone()), caps),
        }
    }
}

fn add(text: &mut String, name: &str, n: u8) {
    if n > 0 {
        let _ = write!(text, ", {name} {n}");
    }
}

/// Searches each and prints the figures. Whether all of them hold; one that was cut does not count as held.
pub fn run(configurations: impl Iterator<Item = Configuration>, caps: Caps) -> bool {
    let mut all = true;
    let (mut states, mut largest) = (0, 0);
    let mut unseen: Option<Vec<&str>> = None;
    for configuration in configurations {
        println!("{}\n    {}", configuration.name(), configuration.bounds());
        let found = configuration.search(caps);
        print_findings(&found);
        all &= found.verdict == Verdict::Holds;
        states += found.states;
        if matches!(configuration, Configuration::Fleet(_)) {
            let before = unseen.unwrap_or_else(|| found.unseen.clone());
            unseen = Some(before.into_iter().filter(|name| found.unseen.contains(name)).collect());
        }
        largest = largest.max(found.states);
    }
    println!(
        "{states} states in all, {largest} in the largest configuration: {}",
        if all { "all hold" } else { "NOT all hold" }
    );
    if let Some(unseen) = unseen {
        println!(
            "stages and ends of a tenure that no state showed: {}",
            if unseen.is_empty() { "none".to_owned() } else { unseen.join(", ") }
        );
    }
    all
}

/// Prints what a search came to.
pub fn print_findings(found: &Findings) {
    let verdict = match &found.verdict {
        Verdict::Holds => "complete, holds".to_owned(),
        Verdict::Cut(why) => format!("CUT by {why}; no violation so far"),
        Verdict::Violated { property, trace } => format!("VIOLATED after {} steps: {property}", trace.len()),
    };
    println!(
        "    {} states, {} transitions, depth {}, {} ends, {:.1} s: {verdict}",
        found.states,
        found.transitions,
        found.depth,
        found.ends,
        found.took.as_secs_f64()
    );
    if let Verdict::Violated { trace, .. } = &found.verdict {
        for (n, line) in (1..).zip(trace) {
            println!("    {n:4}  {line}");
        }
    }
}
