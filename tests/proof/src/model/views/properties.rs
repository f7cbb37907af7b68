//! What must hold of plan and views in every state.

use std::collections::BTreeSet;

use dayfly_shared::keys::View;
use stateright::Property;

use super::{Desk, Sheet, Views};

/// All of them.
pub fn all() -> Vec<Property<Views>> {
    vec![
        Property::always("no line is lost", no_line_is_lost),
        Property::always("completed.txt names committed outputs only", completed_is_true),
        Property::always("completed.txt only grows", completed_only_grows),
        Property::always("nothing is planned twice unasked", nothing_is_planned_twice),
    ]
}

/// Guarantee 2. (Every planned line was added by somebody.)
pub fn no_line_is_lost(_: &Views, desk: &Desk) -> bool {
    let everywhere: BTreeSet<String> = View::ALL.iter().flat_map(|view| desk.sheet.lines(*view)).collect();
    desk.sheet.added.is_subset(&everywhere) && desk.sheet.planned().all(|(_, _, name)| everywhere.contains(name))
}

/// Guarantee 3, first half.
pub fn completed_is_true(_: &Views, desk: &Desk) -> bool {
    desk.sheet.lines(View::Completed).is_subset(&desk.sheet.outputs)
}

/// Guarantee 3, second half.
pub fn completed_only_grows(_: &Views, desk: &Desk) -> bool {
    !desk.shrank
}

/// A name is in as many segments as it was listed anew, and in one.
pub fn nothing_is_planned_twice(views: &Views, desk: &Desk) -> bool {
    let setup = views.setup();
    let made = &setup.additions[..usize::from(desk.additions)];
    let listed = |name: &str| setup.seeded.iter().chain(made).filter(|listed| **listed == name).count();
    let planned = |name: &str| desk.sheet.planned().filter(|(_, _, other)| *other == name).count();
    desk.sheet.added.iter().all(|name| planned(name) <= listed(name))
}

/// Every line is planned and decided, and the views say so.
pub fn is_over(sheet: &Sheet) -> bool {
    let planned: BTreeSet<&str> = sheet.planned().map(|(_, _, name)| name).collect();
    let closed = sheet.planned().all(|(chunk, ..)| sheet.results.contains(&chunk));
    let (completed, failed) = (sheet.lines(View::Completed), sheet.lines(View::Failed));
    let both: BTreeSet<String> = completed.union(&failed).cloned().collect();
    closed
        && planned.len() == sheet.added.len()
        && sheet.lines(View::Tasklist).is_empty()
        && completed == sheet.outputs
        && completed.is_disjoint(&failed)
        && both == sheet.added
}
