//! Plants each defect that the model must find, and looks for it.

use dayfly_shared::planted::{Defect, plant};

use super::configurations::{CATCHES, LEFT_TO_THE_SIMULATOR, slice};
use super::search::{Caps, Findings, Verdict};

/// Searches the configuration `name` with the defect planted.
pub fn look_for(defect: Defect, name: &str, caps: Caps) -> Option<Findings> {
    let configuration = slice().into_iter().find(|c| c.name() == name)?;
    plant(Some(defect));
    let found = configuration.search(caps);
    plant(None);
    Some(found)
}

/// Looks for each and prints where it was found. Whether all were.
pub fn run(caps: Caps) -> bool {
    let mut all = true;
    for (defect, name) in CATCHES {
        let found = look_for(defect, name, caps);
        match found.as_ref().map(|f| (&f.verdict, f)) {
            Some((Verdict::Violated { property, trace }, found)) => println!(
                "{defect:?}: found after {} steps, state {}, {:.1} s: \"{property}\" ({name})",
                trace.len(),
                found.states,
                found.took.as_secs_f64()
            ),
            other => {
                all = false;
                let (verdict, states) = other.map_or((None, 0), |(verdict, f)| (Some(verdict), f.states));
                println!("{defect:?}: NOT found in {states} states ({name}; {verdict:?})");
            }
        }
    }
    for defect in LEFT_TO_THE_SIMULATOR {
        println!("{defect:?}: left to the simulator");
    }
    all
}
