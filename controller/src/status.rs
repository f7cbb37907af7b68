//! `dayfly status`: how a job stands, in one look.

use std::fmt;
use std::time::Duration;

use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use serde::{Serialize, Serializer};

#[cfg(feature = "ec2")]
use crate::cap;
use crate::cli::StatusArgs;
use crate::failure::Result;
use crate::gist::{self, Gist};
use crate::human;
use crate::notices;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};
use crate::report::{self, Spent};

/// Lines of each kind that are shown without `--all`: what fits on a screen together.
const SHOWN: usize = 12;

/// `dayfly status`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn command(parts: &Parts, args: &StatusArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job.job.as_ref())?;
    let mut observer = Observer::new(parts.job(&job, Patience::Brief).await?);
    let snapshot = observer.look().await?;
    #[cfg(feature = "ec2")]
    cap::keep(parts, &snapshot).await?;
    let spent = match args.cost {
        true => Some(report::spent(parts, observer.job(), &snapshot, parts.clock.now().wall).await?),
        // What dayfly cost found last lies in the bucket.
        false if snapshot.state == JobState::Over => report::noted(observer.job()).await?,
        false => None,
    };
    let shown = if args.all { usize::MAX } else { SHOWN };
    let console = match snapshot.state {
        JobState::Over => parts.console(snapshot.settings.outputs(&job)).await,
        _ => None,
    };
    let now = parts.clock.now().wall;
    parts.output().result(&StatusReport { snapshot: &snapshot, now, shown, console, spent });
    notices::catch_up(parts, &observer, &snapshot).await;
    Ok(Exit::Done)
}

/// A snapshot as it is printed.
pub struct StatusReport<'a> {
    /// What was seen.
    pub snapshot: &'a Snapshot,
    /// When: for "since".
    pub now: Timestamp,
    /// Lines of each kind.
    pub shown: usize,
    /// The results in the S3 console.
    pub console: Option<String>,
    /// What it has cost, where somebody asked.
    pub spent: Option<Spent>,
}

impl Serialize for StatusReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            snapshot: &'a Snapshot,
            console: Option<&'a str>,
            spent: Option<&'a Spent>,
        }
        let fields = Fields { snapshot: self.snapshot, console: self.console.as_deref(), spent: self.spent.as_ref() };
        fields.serialize(serializer)
    }
}

/// `7 of 10 done, 1 given up, 2 running`.
pub fn tally(snapshot: &Snapshot) -> String {
    let tasks = &snapshot.tasks;
    let mut text = format!("{} of {} done", human::thousands(tasks.done), human::thousands(tasks.total));
    if tasks.failed > 0 {
        text += &format!(", {} given up", human::thousands(tasks.failed));
    }
    let running = snapshot.running.iter().filter(|r| r.holds()).count() as u64;
    if running > 0 {
        text += &format!(", {} running", human::thousands(running));
    }
    text
}

/// `1.2 a second, 3 min left`, where it can be told.
pub fn pace(snapshot: &Snapshot) -> Option<String> {
    let rate = snapshot.tasks_per_second?;
    // A slow job is better told by the minute or the hour.
    let mut text = match rate {
        1.0.. => format!("{rate:.1} a second"),
        0.017.. => format!("{:.1} a minute", rate * 60.0),
        _ => format!("{:.1} an hour", rate * 3600.0),
    };
    if let Some(left) = snapshot.seconds_left {
        text += &format!(", {} left", human::duration(Duration::from_secs(left)));
    }
    Some(text)
}

/// What a job's state means for who watches it.
pub fn state(snapshot: &Snapshot) -> String {
    let mut text = snapshot.state.word().to_owned();
    match snapshot.state {
        JobState::Idle => text += ": no agent is at work (dayfly launch)",
        JobState::Over if snapshot.tasks.failed > 0 => text += ", and some tasks were given up (dayfly retry)",
        JobState::Paused | JobState::Suspended | JobState::Draining | JobState::Cancelled => {
            if let Some(why) = &snapshot.why {
                text += &format!(": {}", gist::told(why));
            }
            if let Some(by) = &snapshot.told_by {
                text += &format!(" (by {by})");
            }
            text += "; to go on: dayfly resume";
            match snapshot.live_agents() {
                0 => text += " and dayfly launch",
                _ if snapshot.state == JobState::Suspended => {
                    text += " (until then agents wait, ten minutes at most)";
                }
                _ => {}
            }
        }
        JobState::Running | JobState::Over => {}
    }
    text
}

impl fmt::Display for StatusReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot;
        writeln!(f, "job      {}", snapshot.job)?;
        writeln!(f, "state    {}", state(snapshot))?;
        write!(f, "tasks    {}", tally(snapshot))?;
        match snapshot.tasks.unplanned {
            0 => writeln!(f)?,
            new => writeln!(f, "; {} of tasklist.txt not planned yet", human::count(new, "line"))?,
        }
        if let Some(pace) = pace(snapshot).filter(|_| snapshot.state == JobState::Running) {
            writeln!(f, "pace     {pace}")?;
        }
        if let (Some(first), Some(last)) = (snapshot.first, snapshot.last) {
            writeln!(
                f,
                "took     {}{}, {}, outputs {}",
                human::duration(last.since(first)),
                if snapshot.state == JobState::Over { "" } else { " so far" },
                human::count(snapshot.attempts, "attempt"),
                human::bytes(snapshot.output_bytes)
            )?;
        }
        if let Some(usage) = &snapshot.usage {
            writeln!(f, "used     {usage}")?;
            for line in &usage.advice {
                writeln!(f, "advice   {line}")?;
            }
        }
        if let Some(spent) = &self.spent {
            writeln!(f, "cost     {spent}")?;
            if spent.seconds.is_some() || snapshot.state != JobState::Over {
                writeln!(f, "machines {}", spent.machine_time())?;
            }
        }
        if let Some(link) = self.console.as_deref().filter(|_| snapshot.state == JobState::Over) {
            writeln!(f, "results  {link}")?;
        }
        self.running(f)?;
        self.agents(f)?;
        self.given_up(f)
    }
}

impl StatusReport<'_> {
    fn more(&self, f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
        match all.saturating_sub(self.shown) {
            0 => Ok(()),
            more => writeln!(f, "  … and {} more (--all)", human::thousands(more as u64)),
        }
    }

    fn running(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = &self.snapshot.running;
        if !running.is_empty() {
            writeln!(f, "in hand")?;
        }
        for lease in running.iter().take(self.shown) {
            let name = lease.name.clone().unwrap_or_else(|| format!("chunk {}", lease.chunk));
            let since = human::duration(self.now.since(lease.since));
            write!(f, "  {name}  on {} for {since}", lease.agent)?;
            if let Some(tasks) = lease.tasks.filter(|t| *t > 1) {
                write!(f, ", {} of {tasks} in the chunk", lease.decided)?;
            }
            write!(f, "; {}", lease.lease())?;
            if let Some(age) = lease.age_seconds {
                write!(f, ", renewed {age} s ago (of {} s)", lease.ttl_seconds)?;
            }
            if lease.epoch > 1 {
                write!(f, ", holder number {}", lease.epoch)?;
            }
            writeln!(f)?;
        }
        self.more(f, running.len())
    }

    fn agents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents = &self.snapshot.agents;
        if !agents.is_empty() {
            writeln!(f, "agents   {} at work, {} in all", self.snapshot.live_agents(), agents.len())?;
        }
        for agent in agents.iter().take(self.shown) {
            write!(f, "  {}  {}", agent.agent, agent.doing())?;
            if let Some(why) = &agent.why {
                write!(f, " ({})", gist::told(why))?;
            }
            if let Some(engine) = &agent.engine {
                write!(f, ", {engine}")?;
            }
            write!(f, ", {} done", human::thousands(agent.done))?;
            if agent.failed > 0 {
                write!(f, ", {} given up", human::thousands(agent.failed))?;
            }
            if agent.live {
                write!(f, ", {} of {} running", agent.running, human::count(agent.slots.into(), "slot"))?;
            }
            if let Some(age) = agent.seen_seconds_ago.filter(|_| agent.doing() != "ended") {
                write!(f, ", seen {} ago", human::duration(Duration::from_secs(age)))?;
            }
            writeln!(f)?;
        }
        self.more(f, agents.len())
    }

    fn given_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given_up = &self.snapshot.given_up;
        if !given_up.is_empty() {
            writeln!(
                f,
                "given up (dayfly logs --failed has what they wrote, dayfly retry puts them back on the list)"
            )?;
        }
        for letter in given_up.iter().take(self.shown) {
            let (attempts, gist) = (human::count(letter.attempts, "attempt"), Gist::of(&letter.error));
            write!(f, "  {}  after {attempts}: {}", letter.name, gist.point.unwrap_or(gist.headline))?;
            let log = letter.log.as_ref().map(|log| format!("log: s3://{}/{log}", self.snapshot.job.bucket()));
            let more: Vec<String> = gist.point.map(|_| gist.headline.to_owned()).into_iter().chain(log).collect();
            match more.as_slice() {
                [] => writeln!(f)?,
                more => writeln!(f, " ({})", more.join("; "))?,
            }
        }
        self.more(f, usize::try_from(self.snapshot.tasks.failed).unwrap_or(usize::MAX))
    }
}
