//! What the searched states showed of the tenure's stages and ends: a stage that no state shows is not checked at all.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dayfly_shared::claim::{Stage, TenureOver};

/// Stages, then ends, in the order of their bits. (A store that refuses for good is not in the model.)
const NAMES: [&str; 21] = [
    "claiming",
    "checking the result",
    "inspecting an output",
    "inspecting a dead letter",
    "renewing",
    "isolating",
    "announcing",
    "running",
    "pausing",
    "committing",
    "confirming",
    "giving up",
    "giving up: head",
    "giving up: put",
    "closing",
    "deleting",
    "releasing",
    "over: not ours or lost",
    "over: already closed",
    "over: closed",
    "over: released",
];

/// Which were seen.
#[derive(Debug, Default)]
pub struct Witness(AtomicU32);

impl Witness {
    fn note(&self, bit: u32) {
        // Read first: nearly always it is known, and a write would take the line from the other thread.
        if self.0.load(Relaxed) >> bit & 1 == 0 {
            self.0.fetch_or(1 << bit, Relaxed);
        }
    }

    /// A tenure stands there.
    pub fn stage(&self, stage: &Stage) {
        self.note(match stage {
            Stage::Claiming => 0,
            Stage::CheckingResult => 1,
            Stage::InspectingOutput => 2,
            Stage::InspectingDeadLetter => 3,
            Stage::Renewing => 4,
            Stage::Isolating(_) => 5,
            Stage::Announcing(_) => 6,
            Stage::Running(..) => 7,
            Stage::Pausing(_) => 8,
            Stage::Committing { .. } => 9,
            Stage::Confirming(..) => 10,
            Stage::GivingUp(_) => 11,
            Stage::GivingUpHead(_) => 12,
            Stage::GivingUpPut(_) => 13,
            Stage::Closing(_) => 14,
            Stage::Deleting(_) => 15,
            Stage::Releasing => 16,
            Stage::Over => return,
        });
    }

    /// A tenure ended so.
    pub fn over(&self, over: &TenureOver) {
        self.note(match over {
            TenureOver::NotOurs | TenureOver::Lost => 17,
            TenureOver::AlreadyClosed => 18,
            TenureOver::Closed(_) => 19,
            TenureOver::Released => 20,
            TenureOver::Broken(_) => return,
        });
    }

    /// What was not seen.
    pub fn missing(&self) -> Vec<&'static str> {
        let seen = self.0.load(Relaxed);
        NAMES.iter().zip(0..).filter(|(_, bit)| seen >> bit & 1 == 0).map(|(name, _)| *name).collect()
    }
}
