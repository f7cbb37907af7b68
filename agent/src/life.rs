//! An agent's life, from its command line to the end of its machine. Whatever ends it, the last thing it does is to ask
//! for the power-off, if it was told how.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::backoff::Backoff;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::notice::Herald;
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::services::{Account, Heralds, Services, Vault};
use dayfly_shared::store::{StoreError, StoreErrorKind, sdk_config};
use tokio::sync::watch;

use crate::driver::{self, Ending, FirstLook, FleetSwitch, Stop, Stores};
use crate::instance::{
    Console, InstanceMetadata, PowerOffProgram, ProcGauge, SpotWatcher, Stays, Terminator, Wishes, end_in_time,
    observe, signals,
};
use crate::log::Log;
use crate::options::{End, Options, Resolved};
use crate::processor::{self, Means, Workshop};
use crate::services::{Ec2Fleet, EcrLogins, Lines, LogGroup};
use crate::stores::S3Stores;

/// Lives as the command line says; the exit code.
pub async fn live(options: Options) -> Exit {
    let life = Life::new(options.end());
    let (exit, why) = match life.work(options).await {
        Ok(ending) => (ending.exit, ending.why),
        Err(why) => {
            eprintln!("error: {why}");
            (Exit::Failed, why)
        }
    };
    life.end(exit, &why).await;
    exit
}

/// The command line was wrong: says so, and ends the machine if even that line names a way to.
pub async fn end_at_once(arguments: &[OsString], why: &str) -> Exit {
    let life = Life::new(End::salvage(arguments));
    life.end(Exit::Usage, why).await;
    Exit::Usage
}

struct Life {
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    console: Arc<Console>,
    powers_off: bool,
    terminator: Box<dyn Terminator>,
    wishes: Wishes,
}

impl Life {
    fn new(end: End) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let console = Arc::new(Console::new(end.console, Arc::clone(&clock)));
        let terminator: Box<dyn Terminator> = match &end.power_off {
            Some(program) => Box::new(PowerOffProgram::new(program.clone(), Arc::clone(&clock))),
            None => Box::new(Stays),
        };
        if let Some(program) = &end.power_off {
            end_on_abort(program.clone(), Arc::clone(&console));
        }
        Self {
            clock,
            dice: Arc::new(StdDice::from_os()),
            console,
            powers_off: end.power_off.is_some(),
            terminator,
            wishes: Wishes::default(),
        }
    }

    /// Asks for the end of the machine.
    async fn end(&self, exit: Exit, why: &str) {
        if self.powers_off {
            self.console.say_last(&format!("{why}; powering off"));
        } else if exit != Exit::Done {
            self.console.say_last(why);
        }
        if let Err(error) = self.terminator.power_off(why).await {
            tracing::error!(error, "the machine could not be powered off");
            self.console.say_last(&format!("{error}; this machine goes on until its lifetime is over"));
        }
    }

    /// Works until there is nothing left to do.
    async fn work(&self, options: Options) -> Result<Ending, String> {
        let resolved = options.resolve(&*self.dice, &*self.clock, &self.console).await?;
        signals(&self.wishes, Arc::clone(&self.clock), resolved.drain_grace).map_err(|e| e.to_string())?;
        let lines = resolved.log_group.is_some().then(|| Lines::new(Arc::clone(&self.clock)));
        let log = Log::open(&resolved.settings.work_dir, resolved.quiet, lines.clone())?;
        if resolved.user.is_some() {
            keep_private(&resolved.settings.work_dir)?;
        }
        let services = self.services(&resolved).await?;
        let group = self.log_group(&resolved, services.as_ref(), lines);
        let outcome = self.run(&resolved, log, services).await;
        if let Err(why) = &outcome {
            tracing::error!(why, "the agent ends");
        }
        if outcome.as_ref().map_or(true, |ending| ending.exit != Exit::Drained) {
            observe(resolved.observe, &self.clock, &self.console, &self.wishes.receiver()).await;
        }
        if let Some(group) = group {
            group.lock().await.farewell().await;
        }
        outcome
    }

    async fn run(&self, resolved: &Resolved, log: Log, services: Option<Arc<Services>>) -> Result<Ending, String> {
        if let Some(lifetime) = resolved.max_lifetime {
            tokio::spawn(end_in_time(lifetime, Arc::clone(&self.clock), self.wishes.clone()));
        }
        let notice = self.watch_notices(resolved);
        let (clock, dice) = (Arc::clone(&self.clock), Arc::clone(&self.dice));
        let stores = S3Stores::connect(resolved.store.clone(), clock, dice).await.map_err(|e| e.to_string())?;
        let mut stop = self.wishes.receiver();
        let look = match resolved.reach_within.is_zero() {
            true => None,
            false => self.reach(&stores, &resolved.settings.job, resolved.reach_within, &mut stop).await?,
        };
        let region = resolved.settings.machine.region.clone();
        let account = Arc::new(Account::new(resolved.store.clone(), region, Arc::clone(&self.clock)));
        let vault = Arc::new(Vault::new(Arc::clone(&account)));
        let herald: Arc<dyn Herald> = Arc::new(Heralds::new(account, Arc::clone(&vault)));
        let launch = resolved.launch.filter(|_| resolved.shut_off_fleet);
        let fleet = launch.zip(services).map(|(launch, s)| Arc::new(Ec2Fleet::new(s, launch)) as Arc<dyn FleetSwitch>);
        let workshop = Workshop {
            work_dir: resolved.settings.work_dir.clone(),
            // Where /proc is not mounted, built-in processors work all the same.
            supervisor: std::env::current_exe()
                .unwrap_or_else(|_| std::env::args_os().next().unwrap_or_default().into()),
            user: resolved.user,
            metadata: resolved.metadata.clone().map(|imds| imds as Arc<dyn InstanceMetadata>),
            cgroups: Arc::default(),
            clock: Arc::clone(&self.clock),
            vault: Some(vault),
            containers: Means {
                engine: resolved.container_engine.clone(),
                builder: resolved.settings.me.to_string(),
                logins: Some(Arc::new(EcrLogins::new(resolved.store.clone(), Arc::clone(&self.clock)))),
            },
        };
        let parts = driver::Parts {
            stores: Arc::new(stores),
            stop,
            notice,
            fleet,
            herald: Some(herald),
            clock: Arc::clone(&self.clock),
            dice: Arc::clone(&self.dice),
            processors: Arc::new(move |job| processor::of(job, &workshop)),
            gauge: Arc::new(ProcGauge::default()),
            journal: Arc::new(log),
        };
        driver::run(parts, resolved.settings.clone(), look).await.map_err(|e| e.to_string())
    }

    /// What is signed by hand, where anything is to be called.
    async fn services(&self, resolved: &Resolved) -> Result<Option<Arc<Services>>, String> {
        if resolved.log_group.is_none() && !resolved.shut_off_fleet {
            return Ok(None);
        }
        let config = sdk_config(&resolved.store, Arc::clone(&self.clock)).await.map_err(|e| e.to_string())?;
        let region = resolved.settings.machine.region.as_deref();
        Ok(Some(Arc::new(Services::new(&config, region, Arc::clone(&self.clock))?)))
    }

    fn log_group(
        &self,
        resolved: &Resolved,
        services: Option<&Arc<Services>>,
        lines: Option<Lines>,
    ) -> Option<Arc<tokio::sync::Mutex<LogGroup>>> {
        let (group, stream) = (resolved.log_group.clone()?, resolved.settings.me.to_string());
        let group = LogGroup::new(Arc::clone(services?), group, stream, lines?, Arc::clone(&self.clock));
        let group = Arc::new(tokio::sync::Mutex::new(group));
        tokio::spawn(LogGroup::run(Arc::clone(&group), Arc::clone(&self.clock)));
        Some(group)
    }

    fn watch_notices(&self, resolved: &Resolved) -> watch::Receiver<Option<String>> {
        let (sender, notice) = watch::channel(None);
        if let Some(metadata) = &resolved.metadata {
            let metadata = Arc::clone(metadata) as Arc<dyn InstanceMetadata>;
            let watcher = SpotWatcher::new(metadata, Arc::clone(&self.clock), self.wishes.clone(), sender)
                .drain_on_rebalance(resolved.drain_on_rebalance, resolved.drain_grace);
            tokio::spawn(watcher.run());
        }
        notice
    }

    /// Waits until the job's bucket answers: the network, the role and the bucket policy may come a little later than the
    /// machine. Not for long, as the machine costs money. What it answers is the agent's first look at its job; none if the
    /// agent is told to stop meanwhile.
    async fn reach(
        &self,
        stores: &S3Stores,
        job: &Location,
        within: Duration,
        stop: &mut watch::Receiver<Option<Stop>>,
    ) -> Result<Option<FirstLook>, String> {
        let bucket = JobBucket::new(job.clone(), stores.impatient(job.bucket()));
        let endpoint = stores.endpoint();
        let until = self.clock.now().at.after(within);
        let mut backoff = Backoff::default();
        loop {
            let error = match FirstLook::take(&bucket, &endpoint, self.clock.now().at).await {
                Ok(look) => return Ok(Some(look)),
                Err(error) if error.kind == StoreErrorKind::BadRecord => return Err(error.to_string()),
                Err(error) => error,
            };
            let left = until.since(self.clock.now().at);
            if left.is_zero() || !may_pass(&error) {
                return Err(format!("cannot reach {job}: {error}; tried for {} s at most", within.as_secs()));
            }
            let remark = format!("cannot reach {job}: {error}; giving up in {} s", left.as_secs());
            tracing::warn!("{remark}");
            self.console.say(&remark);
            tokio::select! {
                biased;
                // The driver sees the same wish, and says so.
                _ = stop.wait_for(Option::is_some) => return Ok(None),
                () = self.clock.sleep(backoff.next(&*self.dice).min(left)) => {}
            }
        }
    }
}

/// Who runs programs passes through the agent's folder to their own, and sees nothing of it.
fn keep_private(work_dir: &Path) -> Result<(), String> {
    let private = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let all = || {
        for entry in fs::read_dir(work_dir)?.flatten() {
            if entry.file_type()?.is_file() {
                private(&entry.path(), 0o600)?;
            }
        }
        private(work_dir, 0o711)
    };
    all().map_err(|e: std::io::Error| format!("{} cannot be kept private: {e}", work_dir.display()))
}

/// Whether what keeps an agent from its bucket may be over in a minute: a role's rights take a while to be seen.
fn may_pass(error: &StoreError) -> bool {
    use StoreErrorKind::{Corrupt, Denied, ExpiredCredentials, NoCredentials, Transient};
    matches!(error.kind, Transient | Corrupt | Denied | NoCredentials | ExpiredCredentials)
}

/// Where a panic ends the process at once, nothing else is left to ask for the power-off.
fn end_on_abort(program: PathBuf, console: Arc<Console>) {
    if cfg!(panic = "abort") {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            let why = format!("the agent panicked: {panic}");
            console.say_last(&why);
            PowerOffProgram::run_now(&program, &why);
        }));
    }
}
