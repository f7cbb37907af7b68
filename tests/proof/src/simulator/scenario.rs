//! What one schedule is about: drawn whole from its seed, before anything runs.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfly_agent::processor::PART_BYTES;
use dayfly_shared::claim::WHOLE_ROW;
use dayfly_shared::job::{JobSettings, Location, SCHEMA};
use dayfly_shared::rng::{Dice, StdDice};

use super::agent::Birth;
use super::faults::Profile;

/// What a task is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nature {
    /// How long it takes.
    pub takes: Duration,
    /// How often, in a hundred, it fails.
    pub fails: u64,
    /// How often, in a hundred, its agent dies of it.
    pub kills: u64,
}

/// Something that befalls the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// An agent dies.
    Kill,
    /// An agent is stopped for so long, then goes on.
    Pause(Duration),
    /// An agent is told to drain within so long, and dies then.
    SpotNotice(Duration),
    /// An agent's wall clock steps by so many milliseconds.
    ClockStep(i64),
    /// The store says 503 to everybody for so long.
    Burst(Duration),
    /// The job is paused for so long.
    Suspend(Duration),
    /// One more agent comes.
    Join,
    /// A person adds lines to the list, having looked at it so long ago.
    AddLines(u32, Duration),
    /// A person takes a line out.
    TakeOut(Duration),
}

/// What one schedule is about.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where the job is.
    pub job: Location,
    /// Its settings.
    pub settings: JobSettings,
    /// Lines of the first tasklist.txt.
    pub names: Vec<String>,
    /// Names without an input.
    pub missing: Vec<String>,
    /// Names whose output stands before the job begins.
    pub done_before: Vec<String>,
    /// Sizes of the first segment's chunks, where it is planned beforehand.
    pub chunks: Option<Vec<usize>>,
    /// Up to how many chunks a search goes all the way round: in some schedules hardly any, as with thousands of chunks.
    pub whole_row: u32,
    /// Whether the store's conditions were tried before.
    pub store_checked: bool,
    /// What each task is like.
    pub natures: BTreeMap<String, Nature>,
    /// When which agent is launched.
    pub births: Vec<(Duration, Birth)>,
    /// What befalls the fleet, and when.
    pub blows: Vec<(Duration, Blow)>,
    /// Whether an agent that is gone is replaced before the calm.
    pub replaces: bool,
    /// From then on nothing goes wrong any more.
    pub calm_at: Duration,
    /// How requests fare until then.
    pub profile: Profile,
}

/// What the simulated processor makes of an input.
pub fn output_of(input: &[u8]) -> Vec<u8> {
    input.iter().map(|byte| byte ^ 0x55).collect()
}

/// The input of a name.
pub fn input_of(name: &str) -> Vec<u8> {
    format!("the input {name}").into_bytes()
}

fn pick<T: Copy>(dice: &dyn Dice, from: &[T]) -> T {
    from[usize::try_from(dice.below(from.len() as u64)).unwrap_or(0)]
}

fn one_in(dice: &dyn Dice, n: u64) -> bool {
    dice.below(n) == 0
}

impl Birth {
    /// An ordinary agent, or, now and then, an odd one.
    pub fn draw(dice: &dyn Dice) -> Self {
        Self {
            slots: pick(dice, &[1, 1, 2, 3]),
            drift_ppm: pick(dice, &[0, 0, 0, 100, -100, 10_000, -10_000]),
            has_namesakes: one_in(dice, 3),
            part_bytes: pick(dice, &[PART_BYTES, PART_BYTES, 6]),
            disk_full: one_in(dice, 30),
            boot_spread: Duration::from_millis(pick(dice, &[0, 300, 300, 3000])),
            give_up_after: Duration::from_secs(pick(dice, &[30, 120, 600])),
        }
    }

    /// An agent that nothing is wrong with.
    pub fn healthy() -> Self {
        Self {
            slots: 1,
            drift_ppm: 0,
            has_namesakes: false,
            part_bytes: PART_BYTES,
            disk_full: false,
            boot_spread: Duration::ZERO,
            give_up_after: Duration::from_secs(600),
        }
    }
}

fn nature(dice: &dyn Dice, ttl: Duration) -> Nature {
    let takes = match dice.below(8) {
        0 => Duration::ZERO,
        1 => ttl + dice.up_to(ttl),
        _ => dice.up_to(ttl / 2),
    };
    let sometimes = |one_in_so_many, often: &[u64]| if one_in(dice, one_in_so_many) { pick(dice, often) } else { 0 };
    Nature { takes, fails: sometimes(8, &[30, 60, 99, 100]), kills: sometimes(16, &[30, 60, 100]) }
}

impl Scenario {
    /// The scenario of a seed; the dice go on to decide the fates of its requests.
    pub fn draw(dice: &StdDice) -> Self {
        let ttl_seconds = pick(dice, &[3, 6, 10, 20, 25]);
        let ttl = Duration::from_secs(ttl_seconds.into());
        let whole_row = if one_in(dice, 5) { u32::try_from(dice.below(4)).unwrap_or(0) } else { WHOLE_ROW };
        let large = whole_row < WHOLE_ROW;
        let count = if large { 4 + dice.below(16) } else { 1 + dice.below(6) };
        let mut names: Vec<String> = (0..count).map(|n| format!("in{n}.dat")).collect();
        if one_in(dice, 6) {
            names.push(pick(dice, &["../outside", "a name with spaces", "semaphores/x", "ü+%"]).to_owned());
        }
        let some = |of: &[String], one_in_so_many| {
            of.iter().filter(|_| one_in(dice, one_in_so_many)).cloned().collect::<Vec<String>>()
        };
        let missing = some(&names, 15);
        let done_before = some(&names, 15);
        let chunks = one_in(dice, 3).then(|| {
            let mut left = names.len();
            let mut sizes = Vec::new();
            while left > 0 {
                let size = (1 + usize::try_from(dice.below(4)).unwrap_or(0)).min(left);
                sizes.push(size);
                left -= size;
            }
            sizes
        });
        let expected = u32::try_from(1 + dice.below(if large { 8 } else { 4 })).unwrap_or(1);
        let settings = JobSettings {
            schema: SCHEMA,
            agents: expected,
            lease_ttl_seconds: ttl_seconds,
            max_attempts: pick(dice, &[1, 2, 3]),
            max_losses: pick(dice, &[1, 2, 3]),
            task_time_limit_seconds: 3600,
            ..JobSettings::default()
        };
        let natures = names.iter().chain(&later_names()).map(|name| (name.clone(), nature(dice, ttl))).collect();
        let spread = pick(dice, &[Duration::ZERO, Duration::from_secs(1), ttl, 3 * ttl]);
        let births = (0..expected).map(|_| (dice.up_to(spread), Birth::draw(dice))).collect();
        let calm_at = ttl * u32::try_from(1 + dice.below(6)).unwrap_or(1);
        Self {
            job: Location::new("bucket", pick(dice, &["job", "", "a/b"])).unwrap_or_else(|e| panic!("{e}")),
            settings,
            names,
            missing,
            done_before,
            chunks,
            whole_row,
            store_checked: !one_in(dice, 8),
            natures,
            births,
            blows: blows(dice, ttl, calm_at),
            replaces: one_in(dice, 2),
            calm_at,
            profile: Profile::draw(dice, ttl),
        }
    }

    /// What a task is like.
    pub fn nature(&self, name: &str) -> Nature {
        self.natures.get(name).copied().unwrap_or_default()
    }
}

/// Names that a person may add later.
pub fn later_names() -> Vec<String> {
    (100..106).map(|n| format!("in{n}.dat")).collect()
}

fn blows(dice: &dyn Dice, ttl: Duration, until: Duration) -> Vec<(Duration, Blow)> {
    let mut blows = Vec::new();
    // A few kinds in each schedule, each several times: they meet each other more often so.
    for _ in 0..dice.below(4) {
        let kind = dice.below(9);
        for _ in 0..=dice.below(3) {
            let long = dice.up_to(2 * ttl);
            let blow = match kind {
                0 => Blow::Kill,
                1 => Blow::Pause(long),
                2 => Blow::SpotNotice(dice.up_to(ttl)),
                3 => Blow::ClockStep(pick(dice, &[-3_600_000, -30_000, 500, 30_000, 3_600_000])),
                4 => Blow::Burst(long / 2),
                5 => Blow::Suspend(long / 2),
                6 => Blow::Join,
                7 => Blow::AddLines(1 + u32::try_from(dice.below(3)).unwrap_or(0), dice.up_to(ttl / 2)),
                _ => Blow::TakeOut(dice.up_to(ttl / 4)),
            };
            blows.push((dice.up_to(until), blow));
        }
    }
    blows.sort_by_key(|(at, _)| *at);
    blows
}
