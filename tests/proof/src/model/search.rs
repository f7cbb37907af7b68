//! Visits every state that a model can reach, breadth first, checks its properties in each, and then walks backwards
//! from the ends: a state that is not met on the way is one from which no path leads to an end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock};
use stateright::Model;

use super::pooled::{AsIs, fingerprint};

/// The name under which a state without a path to an end is reported.
pub const NEVER_STUCK: &str = "never stuck";

/// A model that can be searched here.
pub trait Searched: Model {
    /// Whether all is done; `None`: the model has no end, and [`NEVER_STUCK`] is not checked.
    fn is_end(&self, state: &Self::State) -> Option<bool>;

    /// What the step does, for people.
    fn describe(&self, before: &Self::State, step: &Self::Action) -> String;
}

/// Where a search gives up.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// After so many states.
    pub states: usize,
    /// After so long.
    pub time: Duration,
    /// On so many threads.
    pub threads: usize,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every state was visited, and all is well.
    Holds,
    /// The search was cut; so far all is well.
    Cut(&'static str),
    /// A property does not hold.
    Violated {
        /// Which.
        property: &'static str,
        /// A shortest way there, step by step.
        trace: Vec<String>,
    },
}

/// A search's figures.
#[derive(Clone, Debug)]
pub struct Findings {
    /// States that differ.
    pub states: usize,
    /// Steps between them.
    pub transitions: usize,
    /// Steps on the longest of the shortest ways.
    pub depth: usize,
    /// States in which all is done.
    pub ends: usize,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub verdict: Verdict,
    /// What the model should have shown, and no state did.
    pub unseen: Vec<&'static str>,
}

const SHARDS: usize = 256;
/// States that a thread takes at a time.
const BATCH: usize = 256;

/// Which states were visited, by fingerprint, and their numbers.
struct Visited {
    shards: Vec<Mutex<HashMap<u64, u32, AsIs>>>,
    count: AtomicU32,
}

impl Visited {
    fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicU32::new(0) }
    }

    /// The state's number, and whether it is new.
    fn visit(&self, print: u64) -> (u32, bool) {
        let shard = &self.shards[(print >> 56) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        match shard.entry(print) {
            std::collections::hash_map::Entry::Occupied(known) => (*known.get(), false),
            std::collections::hash_map::Entry::Vacant(free) => (*free.insert(self.count.fetch_add(1, Relaxed)), true),
        }
    }
}

/// What one thread found on one level.
struct Found<S> {
    next: Vec<(u32, S)>,
    /// Number of each new state, and of the state it was reached from.
    parents: Vec<(u32, u32)>,
    /// For each expanded state: its number, how many successors, and these.
    edges: Vec<u32>,
    ends: Vec<u32>,
    transitions: usize,
    broken: Option<(u32, &'static str)>,
}

/// Searches `model` to its end or to the caps.
pub fn search<M>(model: &M, caps: Caps) -> Findings
where
    M: Searched + Sync,
    M::State: Hash + Clone + Send + Sync,
{
    let clock = SystemClock;
    let began = clock.now().at;
    let visited = Visited::new();
    let mut level: Vec<(u32, M::State)> = Vec::new();
    let mut parents: Vec<u32> = Vec::new();
    let mut edges: Vec<Vec<u32>> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    let (mut transitions, mut depth) = (0, 0);
    let mut broken = None;
    for state in model.init_states() {
        let (number, new) = visited.visit(fingerprint(&state));
        if new {
            parents.push(u32::MAX);
            if model.is_end(&state) == Some(true) {
                ends.push(number);
            }
            level.push((number, state));
        }
    }
    let has_end = level.first().is_some_and(|(_, state)| model.is_end(state).is_some());
    let mut cut = None;
    while !level.is_empty() && broken.is_none() && cut.is_none() {
        let next = AtomicUsize::new(0);
        let found: Vec<Found<M::State>> = std::thread::scope(|scope| {
            let work = || expand(model, &visited, &level, &next, caps, began);
            let threads: Vec<_> = (1..caps.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mine = work();
            threads.into_iter().filter_map(|t| t.join().ok()).chain([mine]).collect()
        });
        if next.load(Relaxed) < level.len() {
            let late = clock.now().at.since(began) >= caps.time;
            cut = Some(if late { "time" } else { "number of states" });
        }
        parents.resize(visited.count.load(Relaxed) as usize, u32::MAX);
        level.clear();
        for mut one in found {
            for (child, parent) in &one.parents {
                parents[*child as usize] = *parent;
            }
            level.append(&mut one.next);
            one.edges.shrink_to_fit();
            edges.push(one.edges);
            ends.append(&mut one.ends);
            transitions += one.transitions;
            broken = broken.or(one.broken);
        }
        depth += usize::from(!level.is_empty());
    }
    drop(level);
    if broken.is_none() && cut.is_none() && has_end {
        broken = first_stuck(parents.len(), &edges, &ends).map(|number| (number, NEVER_STUCK));
    }
    let verdict = match (broken, cut) {
        (Some((number, property)), _) => {
            Verdict::Violated { property, trace: trace(model, &visited, &parents, number) }
        }
        (None, Some(why)) => Verdict::Cut(why),
        (None, None) => Verdict::Holds,
    };
    let took = clock.now().at.since(began);
    Findings { states: parents.len(), transitions, depth, ends: ends.len(), took, verdict, unseen: Vec::new() }
}

fn expand<M>(
    model: &M,
    visited: &Visited,
    level: &[(u32, M::State)],
    next: &AtomicUsize,
    caps: Caps,
    began: Moment,
) -> Found<M::State>
where
    M: Searched,
    M::State: Hash + Clone,
{
    let properties = model.properties();
    let mut found = Found {
        next: Vec::new(),
        parents: Vec::new(),
        edges: Vec::new(),
        ends: Vec::new(),
        transitions: 0,
        broken: None,
    };
    let mut steps = Vec::new();
    loop {
        let full = visited.count.load(Relaxed) as usize >= caps.states;
        if full || found.broken.is_some() || SystemClock.now().at.since(began) >= caps.time {
            return found;
        }
        let from = next.fetch_add(BATCH, Relaxed);
        let Some(batch) = level.get(from..level.len().min(from + BATCH)).filter(|b| !b.is_empty()) else {
            return found;
        };
        for (number, state) in batch {
            model.actions(state, &mut steps);
            found.edges.push(*number);
            let count_at = found.edges.len();
            found.edges.push(0);
            for step in steps.drain(..) {
                let Some(after) = model.next_state(state, step) else { continue };
                found.transitions += 1;
                let (child, new) = visited.visit(fingerprint(&after));
                found.edges.push(child);
                found.edges[count_at] += 1;
                if !new {
                    continue;
                }
                found.parents.push((child, *number));
                if model.is_end(&after) == Some(true) {
                    found.ends.push(child);
                }
                if let Some(property) = properties.iter().find(|p| !(p.condition)(model, &after)) {
                    found.broken = found.broken.or(Some((child, property.name)));
                }
                found.next.push((child, after));
            }
        }
    }
}

/// The lowest number of a state from which no path leads to an end.
fn first_stuck(states: usize, edges: &[Vec<u32>], ends: &[u32]) -> Option<u32> {
    let each = |visit: &mut dyn FnMut(u32, u32)| {
        for part in edges {
            let mut at = 0;
            while let Some([from, count]) = part.get(at..at + 2) {
                let to = at + 2 + *count as usize;
                part[at + 2..to].iter().for_each(|child| visit(*from, *child));
                at = to;
            }
        }
    };
    // Predecessors of every state, one after the other: where each one's begin, then the numbers.
    let mut begins = vec![0usize; states + 1];
    each(&mut |_, child| begins[child as usize + 1] += 1);
    for n in 0..states {
        begins[n + 1] += begins[n];
    }
    let mut fill = begins.clone();
    let mut before = vec![0u32; begins[states]];
    each(&mut |from, child| {
        before[fill[child as usize]] = from;
        fill[child as usize] += 1;
    });
    drop(fill);
    let mut met = vec![false; states];
    let mut todo: Vec<u32> = ends.to_vec();
    ends.iter().for_each(|end| met[*end as usize] = true);
    while let Some(number) = todo.pop() {
        for from in &before[begins[number as usize]..begins[number as usize + 1]] {
            if !std::mem::replace(&mut met[*from as usize], true) {
                todo.push(*from);
            }
        }
    }
    met.iter().position(|met| !met).and_then(|n| u32::try_from(n).ok())
}

/// The steps that lead to a state, by going there again.
fn trace<M>(model: &M, visited: &Visited, parents: &[u32], mut number: u32) -> Vec<String>
where
    M: Searched,
    M::State: Hash,
{
    let mut way = vec![number];
    while let Some(parent) = parents.get(number as usize).copied().filter(|p| *p != u32::MAX) {
        way.push(parent);
        number = parent;
    }
    way.reverse();
    let is = |state: &M::State, number: u32| visited.visit(fingerprint(state)).0 == number;
    let Some(mut state) = model.init_states().into_iter().find(|s| is(s, way[0])) else { return Vec::new() };
    let mut lines = Vec::new();
    for number in &way[1..] {
        let mut steps = Vec::new();
        model.actions(&state, &mut steps);
        let mut again = Vec::new();
        model.actions(&state, &mut again);
        let taken = steps.into_iter().zip(again).find_map(|(step, same)| {
            let after = model.next_state(&state, step).filter(|after| is(after, *number))?;
            Some((model.describe(&state, &same), after))
        });
        let Some((line, after)) = taken else { break };
        lines.push(line);
        state = after;
    }
    lines
}
