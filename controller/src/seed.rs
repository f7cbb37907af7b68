//! `dayfly seed`: puts a job in place. Everything that agents need stands before the task list does, so whenever it is
//! interrupted, agents see no job or a whole one, and running it again goes on.

mod check;
mod completed;
mod container;
mod demo;
mod folder;
mod kernel;
mod objects;
mod program;
mod redo;
mod report;
mod settings;
mod sources;
mod upload;

use std::collections::HashSet;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::problem_with;
use dayfly_shared::records::ControlState;
use dayfly_shared::store::{Attributes, Condition, ListQuery};
use dayfly_shared::views::Ledger;

use crate::ask;
use crate::cli::SeedArgs;
use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::{human, merge, progress};

pub use report::SeedReport;
pub use upload::digest_of;

use kernel::Kernel;
use program::Program;
use sources::Source;
use upload::Content;

/// `dayfly seed`.
///
/// # Errors
/// What is missing or in the way, each with its name.
pub async fn command(parts: &Parts, args: &SeedArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job()?.as_ref())?;
    let report = seed(parts, &job, args).await?;
    parts.output().result(&report);
    Ok(Exit::Done)
}

/// Puts the job in place.
///
/// # Errors
/// As [`command`].
pub async fn seed(parts: &Parts, location: &Location, args: &SeedArgs) -> Result<SeedReport> {
    // What is wrong on this machine shows before anything is asked of the store.
    let program = Program::read(args)?;
    let source = Source::read(parts, args).await?;
    #[cfg(feature = "ec2")]
    crate::cloud::check_way(parts, location).await?;
    let job = open(parts, location).await?;
    let mut ledger = Ledger::default();
    job.catch_up(&mut ledger).await?;
    let stored = job.job_settings().await?;
    let standing = settings::Standing { stored: stored.as_ref(), frozen: ledger.settings() };
    let settings = settings::settle(standing, args, program.as_ref(), location, &job.place(&job.keys.job()))?;
    let mut report = SeedReport::new(location, &settings);

    let inputs_store = parts.bucket(settings.inputs(location).bucket(), Patience::Long).await?;
    let outputs_store = parts.bucket(settings.outputs(location).bucket(), Patience::Long).await?;
    let there = objects::list(&*inputs_store, settings.inputs(location)).await?;
    let outputs = match settings.inputs(location) == settings.outputs(location) {
        true => there.clone(),
        false => objects::list(&*outputs_store, settings.outputs(location)).await?,
    };
    let kernel = match settings.processor.kernel() {
        Some(name) => Some(Kernel::find(parts, &job, name, args, &source).await?),
        None => None,
    };
    let stands = kernel.as_ref().is_some_and(Kernel::stands);
    let demo_stands = source.is_demo() && args.demo_seed.is_none() && stands;
    let source = if demo_stands { Source::Objects } else { source };
    let (names, contents) = source.inputs(args, &settings, location, &there, &mut report)?;
    refuse_bad_names(&names, &settings, location)?;
    report.inputs = names.len() as u64;

    let redo = redo::choose(&args.redo, &names, &outputs, &settings, &ledger, location)?;
    let plan = sources::compare(parts, &inputs_store, settings.inputs(location), contents, &there).await?;
    if let Some(kernel) = &kernel {
        kernel.check(&ledger, &outputs)?;
    }
    confirm(parts, &plan.changed, &redo)?;

    check::store(parts, &job).await?;
    report.sent = plan.items.len() as u64;
    report.sent_bytes = plan.items.iter().map(|item| item.content.size()).sum();
    let bar = progress::bytes(parts.output(), "sending", report.sent_bytes);
    upload::send(parts, &inputs_store, plan.items, &bar).await?;
    bar.finish_and_clear();
    if let Some(kernel) = &kernel {
        report.kernel_replaced = kernel.put(parts, &job).await?;
    }
    if let Some(program) = &program {
        program.send(parts, &job).await?;
    }
    let made = put_outputs(parts, &settings, location, &source).await?;
    settings::put(parts, &job, &settings).await?;

    let has_output = |name: &String| {
        let output = settings.commit_name(name);
        (outputs.contains_key(&output) || made.contains(&output)) && !redo.contains(name)
    };
    let (done, to_do): (Vec<String>, Vec<String>) = names.into_iter().partition(has_output);
    let outputs_now = made.iter().map(|name| (name.clone(), sources::entry_of(name))).chain(outputs.clone()).collect();
    completed::update(parts, &job, &settings, &outputs_now, &done, &redo).await?;
    redo::delete_outputs(parts, &job, &*outputs_store, &settings, &outputs, &redo).await?;
    report.stale = sources::stale(&settings, &done, &there, &outputs, &plan.changed);
    report.redone = redo.len() as u64;
    report.done = done.len() as u64;
    report.to_do = to_do.len() as u64;
    report.list = merge::add_lines(parts, &job, &ledger, &to_do).await.map_err(|f| f.during("the task list"))?;
    report.control = job.control().await?.map(|(control, _)| control.state).filter(|s| *s != ControlState::Running);
    Ok(report)
}

/// The job's bucket, spoken to once, so that what is wrong with it shows at once.
async fn open(parts: &Parts, location: &Location) -> Result<JobBucket> {
    let store = parts.bucket_made(location.bucket()).await?;
    store.list(&ListQuery { limit: 1, ..ListQuery::under(location.prefix()) }).await?;
    parts.job(location, Patience::Long).await
}

fn refuse_bad_names(names: &[String], settings: &JobSettings, job: &Location) -> Result<()> {
    let bad: Vec<String> =
        names.iter().filter_map(|n| Some(format!("{n:?}: {}", problem_with(n, settings, job)?))).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} cannot be tasks: {}",
        human::count(bad.len() as u64, "input name"),
        human::some(&bad)
    ))
    .left("nothing was written")
    .fix("rename them, choose with --glob, or put them in a place of their own and pass --inputs s3://…"))
}

fn confirm(parts: &Parts, changed: &[String], redo: &HashSet<String>) -> Result<()> {
    let declined = |what: &str| Failure::new(format!("{what} was declined")).left("nothing was changed");
    if !changed.is_empty() {
        let (differ, those) = if changed.len() == 1 { ("differs", "it") } else { ("differ", "them") };
        let question = format!(
            "{} in the bucket {differ} from the folder's: {}. Replace {those}? Outputs that stand stay those of the old \
             content.",
            human::count(changed.len() as u64, "input"),
            human::some(changed)
        );
        if !ask::confirm(&parts.settings, &question)? {
            return Err(declined("replacing inputs"));
        }
    }
    if !redo.is_empty() {
        let mut names: Vec<&String> = redo.iter().collect();
        names.sort();
        let question = format!(
            "Delete {} to make anew: those of {}?",
            human::count(redo.len() as u64, "output"),
            human::some(&names)
        );
        if !ask::confirm(&parts.settings, &question)? {
            return Err(declined("deleting outputs"));
        }
    }
    Ok(())
}

/// Puts the outputs that a demo has from the beginning. Those that stand stay.
async fn put_outputs(
    parts: &Parts,
    settings: &JobSettings,
    job: &Location,
    source: &Source,
) -> Result<HashSet<String>> {
    let place = settings.outputs(job);
    let store = parts.bucket(place.bucket(), Patience::Long).await?;
    let mut made = HashSet::new();
    for (name, bytes) in source.outputs() {
        let key = place.key(name);
        crate::write::put(parts, &*store, &key, bytes.clone(), &Attributes::default(), &Condition::Create).await?;
        made.insert(name.clone());
    }
    Ok(made)
}

/// Names with what is to stand under them.
type Contents = Vec<(String, Content)>;
