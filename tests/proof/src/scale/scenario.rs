//! What is simulated: a job, a fleet, and what befalls it.

use std::time::Duration;

use dayfly_shared::job::JobSettings;
use dayfly_shared::plan::chunk_sizes;

/// A job and its fleet. One slot an agent.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Tasks of the job.
    pub tasks: u32,
    /// Machines.
    pub agents: u32,
    /// How many the job was told of; none: it was told the truth.
    pub told: Option<u32>,
    /// Shape of the lognormal task durations; their mean is [`MEAN_SECONDS`].
    pub sigma: f64,
    /// Every chunk one task, whatever the job's size.
    pub one_task_chunks: bool,
    /// Over so long the machines come up, evenly.
    pub boot_spread: Duration,
    /// Machines that die without a word, an agent-hour.
    pub crashes: f64,
    /// Machines taken away with two minutes' notice, an agent-hour.
    pub reclaims: f64,
    /// After so long a machine is replaced.
    pub replaced_after: Duration,
    /// Of all that is drawn at random.
    pub seed: u64,
}

/// The mean of the task durations.
pub const MEAN_SECONDS: f64 = 10.0;

/// EC2 gives a spot instance two minutes' notice; the last seconds are kept for giving chunks back.
pub const NOTICE: Duration = Duration::from_secs(105);

/// An agent spreads its first claim over so long (`dayfly-agent`'s own default).
pub const CLAIM_SPREAD: Duration = Duration::from_millis(300);

impl Scenario {
    /// The table's fleet: machines come up within a minute, 1 % an hour die, 5 % an hour are reclaimed, and a new one is up
    /// three minutes later.
    pub fn new(tasks: u32, agents: u32, sigma: f64) -> Self {
        Self {
            tasks,
            agents,
            told: None,
            sigma,
            one_task_chunks: false,
            boot_spread: Duration::from_secs(60),
            crashes: 0.01,
            reclaims: 0.05,
            replaced_after: Duration::from_secs(180),
            seed: 1,
        }
    }

    /// The job's settings: the defaults but for the fleet's size.
    pub fn job(&self) -> JobSettings {
        JobSettings { agents: self.told.unwrap_or(self.agents), ..JobSettings::default() }
    }

    /// How many tasks each chunk has.
    pub fn cut(&self) -> Vec<u32> {
        if self.one_task_chunks {
            return vec![1; self.tasks as usize];
        }
        let sizes = chunk_sizes(self.tasks as usize, self.job().agents);
        sizes.into_iter().map(|n| u32::try_from(n).unwrap_or(u32::MAX)).collect()
    }
}
