//! The model checker's slice, and the checker itself against another.

use std::time::Duration;

use dayfly_proof::model::configurations::{CATCHES, Configuration, LEFT_TO_THE_SIMULATOR, slice};
use dayfly_proof::model::fleet::Fleet;
use dayfly_proof::model::planting::look_for;
use dayfly_proof::model::search::{Caps, Findings, Verdict, search};
use dayfly_proof::model::views::Views;
use dayfly_shared::planted::Defect;
use stateright::{Checker, Model};

/// A guard against a model that has grown without bounds, far above what the slice takes.
const CAPS: Caps = Caps { states: 20_000_000, time: Duration::from_secs(1200), threads: 2 };

/// Planted defects are the whole process's, and cargo's own runner has all tests in one: so there is just one.
#[test]
fn the_slice_holds_its_defects_are_found_and_both_checkers_agree() {
    let mut unseen: Option<Vec<&str>> = None;
    for configuration in slice() {
        let found = configuration.search(CAPS);
        assert_eq!(found.verdict, Verdict::Holds, "{}", configuration.name());
        // What stateright visits by itself: everything small.
        if found.states < 600_000 {
            assert_eq!(found.states, visited_by_stateright(&configuration), "{}", configuration.name());
        }
        if matches!(configuration, Configuration::Fleet(_)) {
            let before = unseen.take().unwrap_or_else(|| found.unseen.clone());
            unseen = Some(before.into_iter().filter(|name| found.unseen.contains(name)).collect());
        }
    }
    assert_eq!(unseen, Some(Vec::new()), "every stage and every end of a tenure is in some state");
    for (defect, name) in CATCHES {
        let found = look_for(defect, name, CAPS);
        let is_violated = |f: &Findings| matches!(f.verdict, Verdict::Violated { .. });
        assert!(found.as_ref().is_some_and(is_violated), "{defect:?} is not found in {name}");
    }
    for defect in Defect::ALL {
        let caught = CATCHES.iter().any(|(claimed, _)| *claimed == defect);
        assert!(
            caught != LEFT_TO_THE_SIMULATOR.contains(&defect),
            "{defect:?} is either found here or left to another"
        );
    }
    a_model_without_a_way_out_is_stuck();
    a_cut_search_does_not_hold();
}

/// How many states stateright's own breadth-first checker visits; it must find nothing wrong.
fn visited_by_stateright(configuration: &Configuration) -> usize {
    match configuration {
        Configuration::Fleet(setup) => count(Fleet::new(setup.clone())),
        Configuration::Views(setup) => count(Views::new(setup.clone())),
    }
}

fn count<M>(model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::hash::Hash + PartialEq + Send + Sync + std::fmt::Debug,
    M::Action: Clone + PartialEq + std::fmt::Debug,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    let broken: Vec<&str> = checker.discoveries().into_keys().collect();
    assert!(broken.is_empty(), "stateright: {broken:?}");
    checker.unique_state_count()
}

/// Counts up to ten; from five on it may also go to a hundred and on from there for ever.
struct Trap;

impl Model for Trap {
    type State = u32;
    type Action = u32;

    fn init_states(&self) -> Vec<u32> {
        vec![0]
    }

    fn actions(&self, state: &u32, actions: &mut Vec<u32>) {
        match state {
            0..10 => actions.push(state + 1),
            100 => actions.push(101),
            101 => actions.push(100),
            _ => {}
        }
        if *state == 5 {
            actions.push(100);
        }
    }

    fn next_state(&self, _: &u32, action: u32) -> Option<u32> {
        Some(action)
    }
}

impl dayfly_proof::model::search::Searched for Trap {
    fn is_end(&self, state: &u32) -> Option<bool> {
        Some(*state == 10)
    }

    fn describe(&self, _: &u32, step: &u32) -> String {
        step.to_string()
    }
}

fn a_model_without_a_way_out_is_stuck() {
    let found = search(&Trap, CAPS);
    let trace = ["1", "2", "3", "4", "5", "100"].map(str::to_owned).to_vec();
    assert_eq!(found.verdict, Verdict::Violated { property: "never stuck", trace });
    assert_eq!((found.states, found.transitions), (13, 13));
}

fn a_cut_search_does_not_hold() {
    let found = search(&Trap, Caps { states: 5, ..CAPS });
    assert_eq!(found.verdict, Verdict::Cut("number of states"));
}
