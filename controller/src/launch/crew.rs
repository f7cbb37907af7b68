//! Agents on this machine with what they need, and somebody to stay with them until they end.

use std::path::PathBuf;
use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::records::ControlState;

use crate::cli::AgentsArgs;
use crate::failure::{Failure, Result};
use crate::fleet::{Ending, Fleet, LocalFleet, LocalSettings, Member, MemberState, Order};
use crate::gist;
use crate::human;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::Parts;
use crate::serve::Service;
use crate::settings::Place;
use crate::stop::Stop;
use crate::watch::{self, Display};

/// How often the agents are counted and the job is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Somebody is told at once that a job is suspended, and to start again costs nothing here: agents that are stayed with
/// wait less for `dayfly resume` than machines do.
const SUSPENDED_WAIT: Duration = Duration::from_mins(1);
/// In the environment, for agents too: how long they wait, in seconds.
const WAIT_VARIABLE: &str = "DAYFLY_SUSPENDED_WAIT";
/// The agent program beside this one.
const PROGRAM: &str = "dayfly-agent";

/// Agents of one job, and the endpoint that they work through.
pub struct Crew {
    job: Location,
    fleet: Box<dyn Fleet>,
    service: Option<Service>,
    drain_time: Duration,
    stop: Stop,
    launched: Vec<String>,
    linger: bool,
}

/// How far a person has asked for an end.
enum Asked {
    No,
    /// To drain, until then.
    Drain(Moment),
    /// Nothing more is waited for.
    GivenUp,
}

impl Crew {
    /// With the endpoint running where the job lies in a folder; no agent yet.
    ///
    /// # Errors
    /// No agent program, a folder that cannot be served.
    pub async fn assemble(parts: &Parts, job: &Location, args: &AgentsArgs) -> Result<Self> {
        let program = program(args)?;
        let dir = agents_dir(parts, args)?;
        // From here on signals are waited for: what was begun is ended in order.
        let stop = Stop::listen()?;
        let (service, environment) = match &parts.settings.place {
            Place::Local(folder) => {
                let service = Service::start(parts, folder, None).await?;
                let environment = service.environment();
                (Some(service), environment)
            }
            Place::S3 { endpoint_url, region, profile } => {
                let set = [("AWS_ENDPOINT_URL", endpoint_url), ("AWS_REGION", region), ("AWS_PROFILE", profile)];
                let set = set.into_iter().filter(|(_, value)| value.is_some());
                let mut environment: Vec<_> = set.map(|(name, value)| (name, value.clone())).collect();
                if profile.is_some() {
                    // Keys outrank a profile, and are another account's perhaps.
                    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
                    environment.extend(keys.map(|name| (name, None)));
                }
                (None, environment)
            }
        };
        let fleet = LocalFleet::new(LocalSettings { program, dir, environment }, parts.clock.clone());
        Ok(Self {
            job: job.clone(),
            fleet: Box::new(fleet),
            service,
            drain_time: args.drain_time,
            stop,
            launched: Vec::new(),
            linger: args.linger,
        })
    }

    /// Starts agents; `stays` says whether somebody stays with them.
    ///
    /// # Errors
    /// A program that does not start.
    pub async fn launch(&mut self, parts: &Parts, args: &AgentsArgs, stays: bool) -> Result<Vec<Member>> {
        let before = self.running().await?.len() as u64;
        if before > 0 {
            let count = human::count(before, "agent");
            parts.output().note(format!("{count} of an earlier launch still at work; more join"));
        }
        let order = Order {
            job: self.job.clone(),
            count: args.count,
            slots: args.slots,
            linger: args.linger,
            suspended_wait: (stays && asked_wait().is_none()).then_some(SUSPENDED_WAIT),
        };
        let members = self.fleet.launch(&order).await?;
        self.launched.extend(members.iter().map(|m| m.name.clone()));
        Ok(members)
    }

    async fn running(&self) -> Result<Vec<Member>> {
        Ok(self.fleet.list(&self.job).await?.into_iter().filter(Member::is_running).collect())
    }

    /// Stays until all agents have ended, and shows how the job goes. A first signal asks them to drain, a second ends
    /// them at once.
    ///
    /// # Errors
    /// Agents that ended though there is work, a store that refuses.
    pub async fn stay(&mut self, parts: &Parts, observer: &mut Observer) -> Result<(Snapshot, Exit)> {
        let mut display = Display::new(parts, asked_wait().unwrap_or(SUSPENDED_WAIT));
        let mut asked = Asked::No;
        let mut released = false;
        loop {
            let running = self.running().await?;
            let snapshot = match observer.look().await {
                Ok(snapshot) => snapshot,
                Err(failure) => {
                    display.clear();
                    let left = format!("{} at work", human::count(running.len() as u64, "agent"));
                    return Err(failure.left(left));
                }
            };
            let starting =
                (!running.is_empty()).then(|| format!("{} starting", human::count(running.len() as u64, "agent")));
            display.show(parts, &snapshot, starting);
            if self.is_in_vain(&snapshot) && !released {
                released = true;
                for member in running.iter().filter(|member| self.launched.contains(&member.name)) {
                    self.fleet.stop(member, Ending::Drain).await?;
                }
            }
            if let Asked::Drain(until) = asked
                && parts.clock.now().at >= until
            {
                asked = Asked::GivenUp;
            }
            if running.is_empty() || matches!(asked, Asked::GivenUp) {
                display.clear();
                let exit = self.verdict(parts, &snapshot, &asked, &running).await?;
                return Ok((snapshot, exit));
            }
            tokio::select! {
                () = parts.clock.sleep(TICK) => {}
                () = self.stop.asked() => {
                    // What is said now must not be drawn over.
                    display.clear();
                    asked = self.end(parts, asked, &running).await?;
                }
            }
        }
    }

    /// Whether agents wait for a word to go on with a job that is over.
    fn is_in_vain(&self, snapshot: &Snapshot) -> bool {
        let held = matches!(snapshot.told, ControlState::Paused | ControlState::Suspended);
        snapshot.state == JobState::Over && held && !self.linger
    }

    async fn end(&self, parts: &Parts, asked: Asked, running: &[Member]) -> Result<Asked> {
        let count = human::count(running.len() as u64, "agent");
        let how = match asked {
            Asked::No => Ending::Drain,
            _ => Ending::Now,
        };
        for member in running {
            self.fleet.stop(member, how).await?;
        }
        Ok(match how {
            Ending::Drain => {
                let time = human::duration(self.drain_time);
                parts.output().note(format!("{count} asked to stop; waiting up to {time} (again: end them at once)"));
                Asked::Drain(parts.clock.now().at.after(self.drain_time))
            }
            Ending::Now => {
                parts.output().note(format!("{count} ended; what they held is free again when its leases expire"));
                asked
            }
        })
    }

    /// What the end of the agents means.
    async fn verdict(&self, parts: &Parts, snapshot: &Snapshot, asked: &Asked, running: &[Member]) -> Result<Exit> {
        if !running.is_empty() {
            let logs: Vec<&str> = running.iter().map(|m| m.log.as_str()).collect();
            let count = human::count(running.len() as u64, "agent");
            let failure = Failure::new(format!("{count} did not end in {}", human::duration(self.drain_time)))
                .left(format!("still at work: {}", human::some(&logs)));
            return Err(match self.service {
                Some(_) => failure.fix("the endpoint ends with this program: run dayfly launch again to serve them"),
                None => failure.fix("wait, or end them by their process ids"),
            });
        }
        if matches!(snapshot.state, JobState::Over | JobState::Cancelled) {
            return Ok(watch::exit(snapshot));
        }
        if !matches!(asked, Asked::No) {
            return Ok(Exit::Drained);
        }
        let members = self.fleet.list(&self.job).await?;
        let mine = members.iter().filter(|m| self.launched.contains(&m.name));
        let drained = Some(i32::from(Exit::Drained.code()));
        let bad: Vec<String> = mine
            .filter_map(|m| match m.state {
                MemberState::Ended { code } if code != Some(0) && code != drained => {
                    let code = code.map_or("killed".to_owned(), |c| format!("exit code {c}"));
                    let words = m.last_words.as_deref().unwrap_or("no last words");
                    Some(format!("{} ({code}): {words} [{}]", m.name, m.log))
                }
                _ => None,
            })
            .collect();
        let left = format!("{} to do", human::count(snapshot.left(), "task"));
        if bad.is_empty() && snapshot.state == JobState::Suspended {
            let why = gist::told(snapshot.why.as_deref().unwrap_or("no reason was given"));
            let (resume, launch) =
                (parts.settings.command("resume", &self.job), parts.settings.command("launch", &self.job));
            return Err(Failure::new(format!("the job is suspended: {why}"))
                .left(format!("{left}, and nobody resumed it, so its agents ended"))
                .fix(format!("mend it, then: {resume}, and {launch}; or seed another job in a new place")));
        }
        if bad.is_empty() {
            let failure = Failure::new("all agents ended before the job was over").left(left);
            return Err(failure.fix("dayfly status tells what is left; dayfly launch goes on"));
        }
        Err(Failure::new(format!("agents failed: {}", human::some(&bad)))
            .left(left)
            .fix("mend what the log names, and launch again: the job goes on where it stands"))
    }

    /// Ends the endpoint.
    pub async fn dismiss(self) {
        if let Some(service) = self.service {
            service.stop().await;
        }
    }
}

/// How long agents of a suspended job are to wait, where the environment says so.
fn asked_wait() -> Option<Duration> {
    std::env::var(WAIT_VARIABLE).ok()?.parse().ok().map(Duration::from_secs)
}

/// The agent program: the one named, the one beside this one, or the one on the path.
fn program(args: &AgentsArgs) -> Result<PathBuf> {
    if let Some(program) = &args.agent {
        return match program.is_file() {
            true => std::path::absolute(program).map_err(|e| Failure::io("finding", program, &e)),
            false => Err(Failure::new(format!("there is no agent program {}", program.display()))
                .fix("check --agent, or DAYFLY_AGENT")),
        };
    }
    let beside = std::env::current_exe().ok().and_then(|me| Some(me.parent()?.join(PROGRAM)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(PROGRAM));
    beside.into_iter().chain(on_path).find(|program| program.is_file()).ok_or_else(|| {
        Failure::new(format!("there is no {PROGRAM} beside this program, nor on the PATH"))
            .fix("build or install it, or name it: --agent PATH, or DAYFLY_AGENT")
    })
}

/// Where agents' folders lie: with the buckets, else where programs keep such things (XDG Base Directory Specification).
fn agents_dir(parts: &Parts, args: &AgentsArgs) -> Result<PathBuf> {
    let dir = match (&args.agents_dir, &parts.settings.place) {
        (Some(dir), _) => dir.clone(),
        (None, Place::Local(folder)) => folder.join(".dayfly-agents"),
        (None, Place::S3 { .. }) => {
            let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
            let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
            let none = || Failure::new("no place for agents' logs: neither HOME nor XDG_STATE_HOME is set");
            state.ok_or_else(none).map_err(|f| f.fix("name one: --agents-dir DIR"))?.join("dayfly/agents")
        }
    };
    std::path::absolute(&dir).map_err(|e| Failure::io("finding", &dir, &e))
}
