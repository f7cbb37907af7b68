//! How long to wait before another try: exponential, with full jitter, so that a fleet that failed together does not
//! come back together (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog).

use std::time::Duration;

use crate::rng::Dice;

/// The first wait is at most this: about the time that one S3 request takes.
const BASE: Duration = Duration::from_millis(100);
/// No wait is longer: long enough to relieve a store, short beside a lease.
const CAP: Duration = Duration::from_secs(5);

/// Draws the waits between the tries of one call.
#[derive(Clone, Debug)]
pub struct Backoff {
    most: Duration,
    cap: Duration,
}

impl Default for Backoff {
    /// From at most 100 ms, doubling, to at most 5 s.
    fn default() -> Self {
        Self::new(BASE, CAP)
    }
}

impl Backoff {
    /// From at most `base`, doubling, to at most `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { most: base.min(cap), cap }
    }

    /// The wait before the next try, drawn evenly from zero to the current most, which then doubles.
    pub fn next(&mut self, dice: &dyn Dice) -> Duration {
        let wait = dice.up_to(self.most);
        self.most = self.most.saturating_mul(2).min(self.cap);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always draws the longest wait.
    struct Longest;
    impl Dice for Longest {
        fn next_u64(&self) -> u64 {
            u64::MAX
        }
        fn up_to(&self, most: Duration) -> Duration {
            most
        }
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(&Longest).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn waits_are_spread_and_belong_to_the_seed() {
        let draw = |seed| {
            let dice = crate::rng::StdDice::seeded(seed);
            let mut backoff = Backoff::new(CAP, CAP);
            (0..100).map(|_| backoff.next(&dice)).collect::<Vec<_>>()
        };
        let waits = draw(1);
        assert_eq!(waits, draw(1));
        assert_ne!(waits, draw(2));
        assert!(waits.iter().all(|wait| *wait <= CAP));
        assert!(waits.iter().any(|wait| *wait < CAP / 4) && waits.iter().any(|wait| *wait > CAP * 3 / 4));
    }
}
