//! `dayfly launch`: starts agents, and stays with those that need it.

mod crew;

use std::fmt;

use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use serde::Serialize;

use crate::cli::LaunchArgs;
use crate::failure::Result;
use crate::fleet::Member;
use crate::human;
use crate::observe::{JobState, Observer};
use crate::parts::{Parts, Patience};
use crate::settings::Place;
use crate::status;

pub use crew::Crew;

/// `dayfly launch`.
///
/// # Errors
/// No job there, no agent program, a folder or a store that refuses.
pub async fn command(parts: &Parts, args: &LaunchArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job.job.as_ref())?;
    let mut observer = Observer::new(parts.job(&job, Patience::Brief).await?);
    let before = observer.look().await?;
    match before.state {
        JobState::Over if !args.agents.linger => {
            parts.output().result(&LaunchReport { job, agents: Vec::new(), over: true });
            return Ok(watch_exit(before.tasks.failed));
        }
        JobState::Paused | JobState::Suspended | JobState::Cancelled => {
            parts.output().warn(format!("the job is {}", status::state(&before)));
        }
        _ => {}
    }
    let mut crew = Crew::assemble(parts, &job, &args.agents).await?;
    let agents = crew.launch(parts, &args.agents).await?;
    // Agents of a folder need its endpoint, which is here.
    if matches!(parts.settings.place, Place::Local(_)) || args.wait {
        let outcome = crew.stay(parts, &mut observer).await;
        crew.dismiss().await;
        let (snapshot, exit) = outcome?;
        parts.output().result(&status::StatusReport {
            snapshot: &snapshot,
            now: parts.clock.now().wall,
            shown: agents.len(),
        });
        return Ok(exit);
    }
    parts.output().result(&LaunchReport { job, agents, over: false });
    Ok(Exit::Done)
}

fn watch_exit(failed: u64) -> Exit {
    if failed > 0 { Exit::TasksFailed } else { Exit::Done }
}

/// What was started.
#[derive(Clone, Debug, Serialize)]
struct LaunchReport {
    job: Location,
    agents: Vec<Member>,
    over: bool,
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.over {
            return write!(f, "{} is over: nothing is left to do, and no agent was started", self.job);
        }
        writeln!(f, "{} started for {}", human::count(self.agents.len() as u64, "agent"), self.job)?;
        for agent in &self.agents {
            writeln!(f, "  {}  pid {}  log {}", agent.name, agent.id, agent.log)?;
        }
        write!(f, "they go on by themselves; to follow them: dayfly watch {}", self.job)
    }
}
