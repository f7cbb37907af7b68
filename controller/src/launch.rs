//! `dayfly launch`: starts agents, and stays with those that need it.

mod crew;
#[cfg(feature = "ec2")]
pub mod ec2;
mod place;

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
use crate::{status, watch};

pub use crew::Crew;
pub use place::{Ground, ground};

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
            if before.tasks.failed > 0 {
                let (failed, retry) = (before.tasks.failed, parts.settings.command("retry", &job));
                parts.output().note(format!("{} given up; to try again: {retry} --all", human::count(failed, "task")));
            }
            parts.output().result(&LaunchReport { job, agents: Vec::new(), follow: None });
            return Ok(watch::exit(&before));
        }
        JobState::Paused | JobState::Suspended | JobState::Draining | JobState::Cancelled => {
            parts.output().warn(format!("the job is {}", status::state(&before)));
        }
        _ => {}
    }
    match place::ground(parts, &job, &args.agents).await? {
        #[cfg(feature = "ec2")]
        Ground::Ec2(deployment) => return ec2::command(parts, args, &deployment, &job).await,
        Ground::Here => {}
    }
    let mut crew = Crew::assemble(parts, &job, &args.agents).await?;
    // Agents of a folder need its endpoint, which is here.
    let stays = matches!(parts.settings.place, Place::Local(_)) || args.wait;
    let agents = crew.launch(parts, &args.agents, stays).await?;
    if stays {
        let outcome = crew.stay(parts, &mut observer).await;
        crew.dismiss().await;
        let (snapshot, exit) = outcome?;
        let console = parts.console(snapshot.settings.outputs(&job)).await;
        parts.output().result(&status::StatusReport {
            console,
            snapshot: &snapshot,
            now: parts.clock.now().wall,
            shown: agents.len(),
            spent: None,
        });
        return Ok(exit);
    }
    let follow = Some(parts.settings.command("watch", &job));
    parts.output().result(&LaunchReport { job, agents, follow });
    Ok(Exit::Done)
}

/// What was started.
#[derive(Clone, Debug, Serialize)]
struct LaunchReport {
    job: Location,
    agents: Vec<Member>,
    #[serde(skip)]
    follow: Option<String>,
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(follow) = &self.follow else {
            return write!(f, "{} is over: nothing is left to do, and no agent was started", self.job);
        };
        writeln!(f, "{} started for {}", human::count(self.agents.len() as u64, "agent"), self.job)?;
        for agent in &self.agents {
            writeln!(f, "  {}  pid {}  log {}", agent.name, agent.id, agent.log)?;
        }
        write!(f, "they go on by themselves; to follow them: {follow}")
    }
}
