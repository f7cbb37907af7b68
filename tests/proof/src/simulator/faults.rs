//! What can go wrong, how often in one schedule, and how often it did.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use dayfly_shared::rng::Dice;

/// The kinds of request that faults tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The answer has a body.
    Get,
    /// Neither of the others.
    Read,
    /// It takes effect at one moment, perhaps a late one.
    Write,
}

/// What becomes of one request, or of the agent that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// 500 or 503: not applied.
    Unavailable,
    /// It never arrives; the client gives up waiting.
    LostRequest,
    /// It is applied, and its answer never arrives.
    LostAnswer,
    /// It is applied after the client gave up waiting.
    Late,
    /// It is applied after the client gave up waiting, and then once more.
    LateTwice,
    /// 200, then an error in the body instead of an answer.
    ErrorInside,
    /// 409: not applied.
    Conflict,
    /// The body breaks off.
    Truncated,
    /// The body arrives damaged.
    Corrupted,
    /// The agent dies before the request is sent.
    CrashBefore,
    /// The agent dies while the request is on its way; it is applied.
    CrashDuring,
    /// The agent dies when the request is applied, before it hears of it.
    CrashAfter,
    /// A burst of 503 to everybody.
    Burst,
    /// The agent is stopped, for longer than its lease at times, and goes on.
    Pause,
    /// The agent's wall clock steps.
    ClockStep,
    /// The agent is killed.
    Kill,
    /// The agent gets a notice, drains, and is killed after the notice ran out.
    SpotNotice,
    /// A person writes `tasklist.txt`.
    Edit,
    /// The job is paused and resumed.
    Suspend,
    /// The processor fails.
    TaskFails,
    /// The task takes its agent with it.
    TaskKills,
    /// No space is left on the agent's disk.
    DiskFull,
}

impl Fault {
    /// Those that befall a request, in the order in which they are drawn.
    pub const OF_REQUESTS: [Fault; 12] = [
        Fault::Unavailable,
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Late,
        Fault::LateTwice,
        Fault::ErrorInside,
        Fault::Conflict,
        Fault::Truncated,
        Fault::Corrupted,
        Fault::CrashBefore,
        Fault::CrashDuring,
        Fault::CrashAfter,
    ];

    /// Those that befall agents, tasks and the job.
    pub const OF_FLEETS: [Fault; 10] = [
        Fault::Burst,
        Fault::Pause,
        Fault::ClockStep,
        Fault::Kill,
        Fault::SpotNotice,
        Fault::Edit,
        Fault::Suspend,
        Fault::TaskFails,
        Fault::TaskKills,
        Fault::DiskFull,
    ];

    /// Whether it can befall a request of this kind.
    fn befalls(self, call: Call) -> bool {
        match self {
            Fault::Truncated | Fault::Corrupted => call == Call::Get,
            Fault::Late | Fault::LateTwice | Fault::ErrorInside | Fault::Conflict => call == Call::Write,
            any => Fault::OF_REQUESTS.contains(&any),
        }
    }

    fn is_crash(self) -> bool {
        matches!(self, Fault::CrashBefore | Fault::CrashDuring | Fault::CrashAfter)
    }
}

/// How often each fault befalls a request, in ten-thousandths, and how slow the store is. Each schedule has a profile of
/// its own, with many faults switched off: rare combinations show more in schedules that have just these.
#[derive(Clone, Debug)]
pub struct Profile {
    rates: Vec<(Fault, u64)>,
    /// The median of one way of a request.
    pub travel: Duration,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    /// How late a late request is applied, at most.
    pub late: Duration,
    /// Keys on one page of a listing, at most.
    pub page: usize,
}

impl Profile {
    /// A profile drawn from the dice.
    pub fn draw(dice: &dyn Dice, ttl: Duration) -> Self {
        let mut rates = Vec::new();
        for fault in Fault::OF_REQUESTS {
            let rate = match dice.below(6) {
                0..3 => continue,
                3 => 20,
                4 => 100,
                _ => 400,
            };
            rates.push((fault, if fault.is_crash() { rate / 10 } else { rate }));
        }
        let ms = |choices: [u64; 4]| Duration::from_millis(choices[usize::try_from(dice.below(4)).unwrap_or(0)]);
        Self {
            rates,
            travel: ms([5, 15, 40, 300]),
            timeout: ms([2000, 5000, 10_000, 10_000]),
            late: ms([1000, 4000, 15_000, 1]).max(if dice.below(4) == 0 { 2 * ttl } else { Duration::ZERO }),
            page: if dice.below(2) == 0 { 1000 } else { 1 + usize::try_from(dice.below(4)).unwrap_or(0) },
        }
    }

    /// Without faults.
    pub fn calm(travel: Duration) -> Self {
        let timeout = Duration::from_secs(10);
        Self { rates: Vec::new(), travel, timeout, late: Duration::ZERO, page: 1000 }
    }

    /// From now on without faults, and quick.
    pub fn calm_down(&mut self) {
        self.rates.clear();
        self.travel = Duration::from_millis(15);
    }

    /// What becomes of a request.
    pub fn fate(&self, dice: &dyn Dice, call: Call) -> Option<Fault> {
        let mut draw = dice.below(10_000);
        for (fault, rate) in &self.rates {
            if draw < *rate {
                return fault.befalls(call).then_some(*fault);
            }
            draw -= rate;
        }
        None
    }

    /// How long one way takes: mostly about the median, now and then ten times that.
    pub fn travel(&self, dice: &dyn Dice) -> Duration {
        let spread = self.travel / 2 + dice.up_to(self.travel);
        if dice.below(50) == 0 { spread * 10 } else { spread }
    }
}

/// How many faults of each kind there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(pub BTreeMap<Fault, u64>);

impl FaultCounts {
    /// One more.
    pub fn note(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// Whether there were any by which an agent can lose what it holds.
    pub fn takes_agents_away(&self) -> bool {
        let harmless = |fault: &Fault| {
            matches!(fault, Fault::Edit | Fault::ClockStep | Fault::TaskFails | Fault::Truncated | Fault::Corrupted)
        };
        self.0.keys().any(|fault| !harmless(fault))
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl AddAssign<&FaultCounts> for FaultCounts {
    fn add_assign(&mut self, other: &FaultCounts) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}
