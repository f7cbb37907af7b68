//! How fast a job goes, from when its tasks were done.

use std::time::Duration;

use dayfly_shared::clock::Timestamp;

/// The pace is that of the last so long: short enough to follow a fleet that grows, long enough to be steady.
const WINDOW: Duration = Duration::from_secs(300);

/// How fast a job goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Tasks done in a second.
    pub per_second: f64,
}

impl Pace {
    /// From the times at which tasks were done, in any order; none if they tell nothing. All are times of agents, which
    /// are near enough to each other for this; the reader's own clock has no part in it.
    pub fn of(ends: &[Timestamp]) -> Option<Self> {
        let last = *ends.iter().max()?;
        let recent = ends.iter().filter(|end| last.since(**end) <= WINDOW);
        let (mut first, mut count) = (last, 0_u32);
        for end in recent {
            first = first.min(*end);
            count += 1;
        }
        let span = last.since(first).as_secs_f64();
        // Between n ends lie n - 1 tasks.
        (span > 0.0).then(|| Self { per_second: f64::from(count - 1) / span })
    }

    /// How long so many tasks take.
    pub fn time_for(self, tasks: u64) -> Option<Duration> {
        Duration::try_from_secs_f64(tasks as f64 / self.per_second).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_minutes() {
        let at = |s: u64| Timestamp::from_unix_ms(s * 1000);
        assert_eq!(Pace::of(&[]), None);
        assert_eq!(Pace::of(&[at(5)]), None);
        assert_eq!(Pace::of(&[at(5), at(5)]), None);
        // Slow long ago, two a second now; not in order.
        let pace = Pace::of(&[at(0), at(1001), at(1000), at(1002), at(1002), at(1001)]).unwrap();
        assert_eq!(pace.per_second, 2.0);
        assert_eq!(pace.time_for(100), Some(Duration::from_secs(50)));
    }
}
