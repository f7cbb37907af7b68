//! `dayfly run`: seed, launch, watch and, if asked, fetch.

#[cfg(feature = "ec2")]
mod on_ec2;

use std::fmt;

use dayfly_shared::exit::Exit;
use serde::{Serialize, Serializer};

use crate::cli::{RunArgs, SeedArgs};
#[cfg(feature = "ec2")]
use crate::cloud::Cloud;
use crate::failure::{Failure, Result};
use crate::fetch::{self, FetchReport};
#[cfg(feature = "ec2")]
use crate::launch::ec2::{rehearse, start};
use crate::launch::{Crew, Ground, ground};
use crate::notices;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};
use crate::seed::{self, SeedReport};
use crate::status::StatusReport;
#[cfg(feature = "ec2")]
use crate::stop::Stop;
use crate::watch;

/// `dayfly run`.
///
/// # Errors
/// As those of its parts.
pub async fn command(parts: &Parts, args: &RunArgs) -> Result<Exit> {
    let job = parts.settings.job(args.seed.job()?.as_ref())?;
    // Where agents would run is settled before anything is copied.
    let ground = ground(parts, &job, &args.agents).await?;
    #[cfg(feature = "ec2")]
    if args.agents.machines.dry_run
        && let Ground::Ec2(deployment) = &ground
    {
        let cloud = Cloud::connect_in(parts, Some(&deployment.region)).await?;
        let rehearsal = rehearse(parts, &cloud, deployment, &job, &args.agents).await?;
        parts.output().result(&rehearsal);
        return Ok(if rehearsal.is_good() { Exit::Done } else { Exit::Failed });
    }
    let mut observer = None;
    let seeded = match args.seed.says_anything()? {
        true => {
            // Unless it says otherwise, the job expects the agents that it gets.
            let agents = args.seed.agents.or((!standing(parts, &job).await).then_some(args.agents.count));
            #[cfg_attr(not(feature = "ec2"), expect(unused_mut, reason = "machines with GPUs are EC2's"))]
            let mut seed = SeedArgs { agents, ..args.seed.clone() };
            #[cfg(feature = "ec2")]
            if args.agents.machines.gpus.is_some() && seed.program.container.has_image() {
                // Whoever asks for machines with GPUs wants them used.
                seed.program.container.task_gpus.get_or_insert_with(|| "all".to_owned());
            }
            let report = seed::seed(parts, &job, &seed).await?;
            parts.output().note(&report);
            Some(report)
        }
        false => None,
    };
    let observer = observer.insert(Observer::new(parts.job(&job, Patience::Long).await?));
    let before = observer.look().await?;
    #[cfg(feature = "ec2")]
    let mut machines = None;
    let (snapshot, exit) = match before.state {
        JobState::Over if !args.agents.linger => {
            let exit = watch::exit(&before);
            (before, exit)
        }
        JobState::Paused | JobState::Suspended | JobState::Draining | JobState::Cancelled => {
            return Err(Failure::new(format!("the job is {}", crate::status::state(&before)))
                .left("it is seeded; no agent was started"));
        }
        _ => match &ground {
            #[cfg(feature = "ec2")]
            Ground::Ec2(deployment) => {
                let cloud = Cloud::connect_in(parts, Some(&deployment.region)).await?;
                let (launch, report) = start(parts, &cloud, deployment, &job, &args.agents).await?;
                parts.output().note(&report);
                let watched = on_ec2::stay(parts, &cloud, &launch, observer).await?;
                machines = Some((cloud, launch));
                watched
            }
            Ground::Here => {
                let mut crew = Crew::assemble(parts, &job, &args.agents).await?;
                let outcome = match crew.launch(parts, &args.agents, true).await {
                    Ok(_) => crew.stay(parts, observer).await,
                    Err(failure) => Err(failure),
                };
                crew.dismiss().await;
                outcome?
            }
        },
    };
    let fetched = match &args.fetch {
        Some(dir) if matches!(exit, Exit::Done | Exit::TasksFailed) => {
            Some(fetch::fetch(parts, &job, dir, None).await?)
        }
        _ => None,
    };
    #[cfg(feature = "ec2")]
    if let Some((cloud, launch)) = machines.filter(|_| !matches!(exit, Exit::Drained)) {
        let mut stop = Stop::listen()?;
        on_ec2::see_off(parts, &cloud, &job, &launch, args.agents.machines.observe, &mut stop).await;
    }
    let console = parts.console(snapshot.settings.outputs(&job)).await;
    let report = RunReport { seeded, snapshot: &snapshot, parts, fetched, console };
    parts.output().result(&report);
    notices::catch_up(parts, observer, &snapshot).await;
    Ok(exit)
}

/// Whether the job has settings that flags would have to agree with.
async fn standing(parts: &Parts, job: &dayfly_shared::job::Location) -> bool {
    // A bucket that is not there, or a store that refuses, is for the seeding to say.
    match parts.job(job, Patience::Brief).await {
        Ok(bucket) => !matches!(bucket.job_settings().await, Ok(None)),
        Err(_) => false,
    }
}

/// What it all came to.
struct RunReport<'a> {
    seeded: Option<SeedReport>,
    snapshot: &'a Snapshot,
    parts: &'a Parts,
    fetched: Option<FetchReport>,
    console: Option<String>,
}

impl Serialize for RunReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            seeded: Option<&'a SeedReport>,
            job: &'a Snapshot,
            fetched: Option<&'a FetchReport>,
            console: Option<&'a str>,
        }
        let fields = Fields {
            seeded: self.seeded.as_ref(),
            job: self.snapshot,
            fetched: self.fetched.as_ref(),
            console: self.console.as_deref(),
        };
        fields.serialize(serializer)
    }
}

impl fmt::Display for RunReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.snapshot.agents.len().min(16);
        let (console, now) = (self.console.clone(), self.parts.clock.now().wall);
        write!(f, "{}", StatusReport { snapshot: self.snapshot, now, shown, console, spent: None })?;
        if let Some(fetched) = &self.fetched {
            write!(f, "{fetched}")?;
        }
        Ok(())
    }
}
