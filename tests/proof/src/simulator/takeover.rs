//! How soon the chunk of a killed agent is taken over while another agent has a free slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::claim::WHOLE_ROW;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::rng::{Dice, StdDice};

use super::agent::Birth;
use super::faults::Profile;
use super::scenario::{Nature, Scenario};
use super::schedule::{Director, runtime};

/// One killed agent.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    /// The lease's ttl.
    pub ttl: Duration,
    /// From the kill to the takeover's applied write.
    pub took: Duration,
    /// How long one listing takes in this schedule, at most, but for the odd one that takes ten times that.
    pub listing: Duration,
}

impl Takeover {
    /// What is promised: the ttl and a tenth, and one listing.
    pub fn bound(&self) -> Duration {
        self.ttl.mul_f64(1.1) + self.listing
    }
}

/// Three agents with a slot each, two long tasks: the third waits. One that works is killed at some moment.
pub fn run(seed: u64) -> Option<Takeover> {
    let dice = StdDice::seeded(seed);
    let ttl = Duration::from_secs([30, 60, 120][usize::try_from(dice.below(3)).unwrap_or(0)]);
    let names = vec!["in0.dat".to_owned(), "in1.dat".to_owned()];
    let nature = Nature { takes: ttl * 6, fails: 0, kills: 0 };
    let birth = Birth { boot_spread: Duration::from_millis(300), ..Birth::healthy() };
    let births = (0..3).map(|_| (dice.up_to(ttl / 3), birth.clone())).collect();
    let profile = Profile::calm(Duration::from_millis(10 + dice.below(30)));
    let scenario = Scenario {
        job: Location::new("bucket", "job").ok()?,
        settings: JobSettings {
            agents: 3,
            lease_ttl_seconds: u32::try_from(ttl.as_secs()).ok()?,
            ..JobSettings::default()
        },
        natures: names.iter().map(|name| (name.clone(), nature)).collect::<BTreeMap<_, _>>(),
        names,
        missing: Vec::new(),
        done_before: Vec::new(),
        chunks: None,
        store_checked: true,
        whole_row: WHOLE_ROW,
        births,
        blows: Vec::new(),
        replaces: false,
        // Some while after everybody is at work.
        calm_at: ttl + dice.up_to(ttl),
        profile: profile.clone(),
    };
    runtime().block_on(async move {
        let mut director = Director::new(dice, Arc::new(scenario), false);
        director.direct_until_calm().await;
        let killed = director.kill_a_holder()?;
        let took = director.wait_for_takeover(killed, ttl * 3).await?;
        // There and back, each half to one and a half times the median.
        Some(Takeover { ttl, took, listing: profile.travel * 3 })
    })
}
