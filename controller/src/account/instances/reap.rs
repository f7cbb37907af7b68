//! `dayfly reap`: finds what jobs left running by mistake, marks it, and ends it at a later look. It needs the account and
//! the buckets alone, so it works from any machine, and after whoever launched is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::launch::{Outcome, tags};
use dayfly_shared::store::{Attributes, Condition};
use serde::Serialize;

use super::judge::{Limits, Verdict, judge};
use super::leftovers::{self, Leftover};
use super::machine::{self, Machine, Scope};
use super::work::Work;
use super::{cut_off, fleets};
use super::{manage, reach};
use crate::ask::confirm;
use crate::cli::ReapArgs;
use crate::cloud::{Cloud, explain};
use crate::failure::{Failure, Result};
use crate::human;
use crate::launch::ec2::{found, journal};
use crate::observe::JobState;
use crate::parts::{Parts, Patience};

/// `dayfly reap`.
///
/// # Errors
/// No credentials, EC2 refuses, nobody to ask.
pub async fn reap(parts: &Parts, args: &ReapArgs) -> Result<Exit> {
    let (cloud, scope) = reach(parts, args.job.job.as_ref()).await?;
    let machines: Vec<Machine> = machine::list(&cloud, &scope).await?.into_iter().filter(Machine::is_there).collect();
    let fleets = fleets::list(&cloud, &scope).await?;
    let mut jobs: BTreeSet<Location> = machines.iter().filter_map(|machine| machine.job.clone()).collect();
    jobs.extend(fleets.iter().filter_map(|fleet| fleet.job.clone()));
    let mut report = ReapReport { scope: scope.to_string(), dry_run: args.dry_run, ..ReapReport::default() };
    jobs.extend(without_machines(parts, &cloud, &scope, args, &mut report).await?);
    let mut works: BTreeMap<Location, (Work, BTreeMap<u64, u64>)> = BTreeMap::new();
    for job in &jobs {
        match survey(parts, &cloud, job, args, &mut report).await {
            Ok(known) => drop(works.insert(job.clone(), known)),
            // Without its bucket nothing can be said of a job's machines: they stay.
            Err(failure) => report.unknown.push(format!("{job}: {failure:#}")),
        }
    }
    let over = |job: &Option<Location>| {
        let state = job.as_ref().and_then(|job| works.get(job)).map(|(work, _)| work.state);
        matches!(state, Some(None | Some(JobState::Over | JobState::Cancelled)))
    };
    let idle: Vec<String> = fleets.iter().filter(|fleet| over(&fleet.job)).map(|fleet| fleet.id.clone()).collect();
    let mut doomed = Vec::new();
    for machine in &machines {
        let known = machine.job.as_ref().and_then(|job| works.get(job));
        let Some((work, lifetimes)) = known else {
            report.kept.push(Line::of(machine, "its job cannot be read".to_owned()));
            continue;
        };
        let lifetime = machine.launch.and_then(|launch| lifetimes.get(&launch.0)).map(|s| Duration::from_secs(*s));
        match judge(machine, work, work.now, Limits { grace: args.grace, lifetime }) {
            Verdict::Keep(why) => {
                if machine.condemned.is_some() && !args.dry_run {
                    unmark(&cloud, machine).await?;
                }
                report.kept.push(Line::of(machine, why));
            }
            Verdict::Condemn(why) => {
                let ripe = machine.condemned.is_some_and(|since| work.now.since(since) >= args.again);
                if ripe || args.now {
                    doomed.push((machine.clone(), why));
                } else {
                    let since = machine.condemned.unwrap_or(work.now);
                    if machine.condemned.is_none() && !args.dry_run {
                        mark(&cloud, machine, since).await?;
                    }
                    report.marked.push(Line::of(machine, why));
                }
            }
        }
    }
    let ask = args.now && !args.dry_run && !doomed.is_empty();
    if ask && !confirm(&parts.settings, &format!("end {}?", human::count(doomed.len() as u64, "machine")))? {
        return Err(Failure::new("not confirmed").left("no machine was ended"));
    }
    if !args.dry_run {
        // The fleets first, or they replace what is ended.
        fleets::delete(&cloud, &idle).await?;
        for (machine, why) in &doomed {
            let silent = machine.job.as_ref().and_then(|job| works.get(job));
            if silent.is_some_and(|(work, _)| !work.reports.contains_key(&machine.id)) {
                match save_console(parts, &cloud, machine).await {
                    Ok(Some(key)) => report.consoles.push(key),
                    Ok(None) => {}
                    // What it said is worth less than its end.
                    Err(failure) => parts.output().warn(format!("{}: {why}: {failure}", machine.id)),
                }
            }
        }
        let ids: Vec<String> = doomed.iter().map(|(machine, _)| machine.id.clone()).collect();
        manage::end(&cloud, &ids).await?;
    }
    report.ended = doomed.iter().map(|(machine, why)| Line::of(machine, why.clone())).collect();
    report.fleets = idle;
    report.left_alone = leftovers::list(&cloud, &scope).await?;
    report.again_seconds = args.again.as_secs();
    report.again = match &args.job.job {
        Some(job) => parts.settings.command("reap", job),
        None => "dayfly reap".to_owned(),
    };
    parts.output().result(&report);
    Ok(Exit::Done)
}

/// The jobs that no machine leads to: the one that is meant, or those of the deployments with a launch that is open.
async fn without_machines(
    parts: &Parts,
    cloud: &Cloud,
    scope: &Scope,
    args: &ReapArgs,
    report: &mut ReapReport,
) -> Result<Vec<Location>> {
    let (places, silent) = match scope {
        Scope::Job(job) => return Ok(vec![job.clone()]),
        Scope::Account => cut_off::places(cloud).await?,
        Scope::Deployment(_) | Scope::Launch(_) => (args.job.job.iter().cloned().collect(), Vec::new()),
    };
    report.unknown.extend(silent.iter().map(|name| {
        format!("the deployment {name} does not tell where its jobs are: name its place, dayfly reap s3://…, to find launches that were cut off")
    }));
    let mut all = Vec::new();
    for place in places {
        match cut_off::jobs(parts, &place).await {
            Ok(jobs) => all.extend(jobs),
            Err(failure) => report.unknown.push(format!("{place}: {failure:#}")),
        }
    }
    Ok(all)
}

/// Reads one job, and closes its launches that were cut off; the lifetimes of its launches, in seconds.
async fn survey(
    parts: &Parts,
    cloud: &Cloud,
    job: &Location,
    args: &ReapArgs,
    report: &mut ReapReport,
) -> Result<(Work, BTreeMap<u64, u64>)> {
    let work = Work::read(parts, job).await?;
    let bucket = parts.job(job, Patience::Brief).await?;
    let mut lifetimes = BTreeMap::new();
    for mut entry in journal::all(&bucket).await? {
        lifetimes.insert(entry.launch.id.0, entry.launch.request.machine.lifetime_seconds);
        let since = entry.launch.last().at;
        if !entry.launch.is_open() || work.now.since(since) < args.grace {
            continue;
        }
        let seen = found(cloud, &entry.launch, work.now).await?.unwrap_or_default();
        let why = match (seen.instances.len(), &seen.fleet) {
            (0, None) => "it had started nothing".to_owned(),
            (n, None) => format!("it had started {}", human::count(n as u64, "machine")),
            (_, Some(fleet)) => format!("it had made {fleet}"),
        };
        report.closed.push(format!(
            "the launch {} that {} began at {since} was cut off: {why}",
            entry.launch.id, entry.launch.by
        ));
        if !args.dry_run {
            let closed = Some(format!("closed by dayfly reap: {why}"));
            entry.launch.last_mut().outcome = Some(Outcome { at: work.now, closed, ..seen });
            journal::save(parts, &bucket, &mut entry).await?;
        }
    }
    Ok((work, lifetimes))
}

async fn mark(cloud: &Cloud, machine: &Machine, at: Timestamp) -> Result<()> {
    let tag = Tag::builder().key(tags::CONDEMNED).value(at.to_string()).build();
    let call = cloud.ec2().create_tags().resources(&machine.id).tags(tag).send().await;
    call.map_err(|e| explain("ec2:CreateTags", &machine.id, &e))?;
    Ok(())
}

async fn unmark(cloud: &Cloud, machine: &Machine) -> Result<()> {
    let tag = Tag::builder().key(tags::CONDEMNED).build();
    let call = cloud.ec2().delete_tags().resources(&machine.id).tags(tag).send().await;
    call.map_err(|e| explain("ec2:DeleteTags", &machine.id, &e))?;
    Ok(())
}

/// Saves what an instance that never reported wrote to its serial console; where.
async fn save_console(parts: &Parts, cloud: &Cloud, machine: &Machine) -> Result<Option<String>> {
    use base64::Engine as _;
    let Some(location) = &machine.job else { return Ok(None) };
    // Instances on Nitro give the output of this moment; others the last that was kept, and refuse the flag.
    let call = cloud.ec2().get_console_output().instance_id(&machine.id);
    let answer = match call.clone().latest(true).send().await {
        Ok(answer) => answer,
        Err(_) => call.send().await.map_err(|e| explain("ec2:GetConsoleOutput", &machine.id, &e))?,
    };
    let encoded: String = answer.output().unwrap_or_default().split_whitespace().collect();
    let text = match base64::engine::general_purpose::STANDARD.decode(&encoded) {
        Ok(bytes) if !bytes.is_empty() => bytes,
        _ => return Ok(None),
    };
    let job: JobBucket = parts.job(location, Patience::Brief).await?;
    let key = job.keys.console(&machine.id);
    crate::write::put(parts, &**job.store(), &key, text.into(), &Attributes::default(), &Condition::Overwrite).await?;
    Ok(Some(job.place(&key)))
}

/// A machine, and why.
#[derive(Clone, Debug, Serialize)]
struct Line {
    id: String,
    job: Option<Location>,
    why: String,
}

impl Line {
    fn of(machine: &Machine, why: String) -> Self {
        Self { id: machine.id.clone(), job: machine.job.clone(), why }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
struct ReapReport {
    scope: String,
    dry_run: bool,
    ended: Vec<Line>,
    marked: Vec<Line>,
    kept: Vec<Line>,
    /// Fleets that replace nothing more.
    fleets: Vec<String>,
    /// Launches that were cut off.
    closed: Vec<String>,
    /// Consoles of machines that never reported.
    consoles: Vec<String>,
    /// What could not be looked at.
    unknown: Vec<String>,
    left_alone: Vec<Leftover>,
    again_seconds: u64,
    #[serde(skip)]
    again: String,
}

impl fmt::Display for ReapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would be " } else { "" };
        for line in &self.ended {
            writeln!(f, "{} {would}ended: {}", line.id, line.why)?;
        }
        for line in &self.marked {
            writeln!(f, "{} {would}condemned: {}", line.id, line.why)?;
        }
        for line in &self.kept {
            writeln!(f, "{} stays: {}", line.id, line.why)?;
        }
        for fleet in &self.fleets {
            writeln!(f, "{fleet} {would}deleted: its job is over")?;
        }
        for text in self.closed.iter().chain(&self.unknown) {
            writeln!(f, "{text}")?;
        }
        for key in &self.consoles {
            writeln!(f, "console saved: {key}")?;
        }
        for left in &self.left_alone {
            writeln!(f, "left alone: {left}")?;
        }
        if self.ended.is_empty() && self.marked.is_empty() && self.kept.is_empty() {
            writeln!(f, "no machines of {}", self.scope)?;
        }
        if !self.marked.is_empty() && !self.dry_run {
            let wait = human::duration(Duration::from_secs(self.again_seconds));
            write!(
                f,
                "what is condemned is ended by a look in {wait} or later, if it still does nothing: {}",
                self.again
            )?;
        }
        Ok(())
    }
}
