//! `dayfly doctor`: is this store one that a job may be trusted to? Tries what dayfly relies on, at scratch keys, and says
//! in a minute or two what else shows when two agents overwrite each other's work.

mod access;
mod clients;
mod measure;
mod report;

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use dayfly_shared::store::conformance::{self, Check, Finding, Scope, Verdict as Kept};
use dayfly_shared::store::{Counted, Result as StoreResult, Store, StoreError};
use futures::{StreamExt, stream};

use crate::cli::DoctorArgs;
use crate::failure::{Failure, Result};
use crate::parts::{Parts, Patience};
use crate::stop::Stop;
use clients::Clients;
use report::{Confidence, Group, Line, Mark, Report, Verdict};

/// Separate clients, each with its own connections.
const CLIENTS: usize = 4;
/// Contenders of each round: one of each client.
const WIDTH: u32 = 4;
/// Rounds at once: with the width, 64 requests under way, which S3 answers at some 1,000 a second, a third of what one
/// prefix takes (3,500 writes a second; S3 user guide, "Best practices design patterns").
const ROUNDS_AT_ONCE: u32 = 16;
/// Checks at once, of those that are no races: each makes hundreds of requests one after the other.
const CHECKS_AT_ONCE: usize = 8;
/// A request whose answer nobody waited for may still be under way: what it left is swept up after this.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Sweeps until one finds nothing.
const SWEEPS: u32 = 10;

/// `dayfly doctor`.
///
/// # Errors
/// A store that is not there; one that is not safe, after the report of it.
pub async fn command(parts: &Parts, args: &DoctorArgs) -> Result<Exit> {
    let place = parts.settings.job(args.place.as_ref())?;
    let mut stop = Stop::listen()?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(parts.bucket(place.bucket(), Patience::Brief).await?);
    }
    let store = Counted::new(Arc::new(Clients::new(clients)) as Arc<dyn Store>);
    let scratch = place.key(&format!("scratch/doctor-{}/", parts.dice.nonce()));
    let examined = tokio::select! {
        biased;
        () = stop.asked() => None,
        report = examine(parts, args, &place, &store, &scratch) => Some(report),
    };
    let counts = store.snapshot();
    let wrote = counts.put + counts.multipart > 0;
    let swept = tokio::select! {
        biased;
        () = stop.asked() => Err(Failure::new("told to stop a second time")),
        swept = async {
            if wrote { sweep(parts, &store, &scratch, examined.is_none()).await } else { Ok(()) }
        } => swept,
    };
    let left =
        |failure: Failure| failure.left(format!("objects or uploads may be left below {}", store.place(&scratch)));
    let Some(report) = examined else {
        swept.map_err(left)?;
        parts.output().note("stopped; nothing is left behind");
        return Ok(Exit::Drained);
    };
    let mut report = match (report, &swept) {
        (Err(failure), Err(_)) => return Err(left(failure)),
        (report, _) => report?,
    };
    report.requests = store.snapshot();
    report.clean &= swept.is_ok();
    parts.output().result(&report);
    let failure = match report.verdict {
        Verdict::Safe => return swept.map(|()| Exit::Done).map_err(left),
        Verdict::NotSafe => Failure::new(format!("{place} is not safe for dayfly: {}", report.why.join("; ")))
            .fix("use Amazon S3, a folder (--local), or another store that keeps If-None-Match and If-Match"),
        Verdict::Undecided => {
            Failure::new(format!("whether {place} is safe could not be decided: {}", report.why.join("; ")))
        }
    };
    Err(if report.clean { failure } else { left(failure) })
}

/// An examination under way.
struct Examination<'a> {
    parts: &'a Parts,
    args: &'a DoctorArgs,
    store: &'a dyn Store,
    scratch: &'a str,
    findings: Vec<Finding>,
}

async fn examine(
    parts: &Parts,
    args: &DoctorArgs,
    place: &Location,
    store: &dyn Store,
    scratch: &str,
) -> Result<Report> {
    parts.output().note(format!("trying what is allowed in {place}"));
    let mut access = Group { title: "Access", lines: access::trials(store, place, scratch).await? };
    // What cannot be listed and aborted cannot be removed.
    let uploads = |line: &&Line| line.name == access::ABORT || line.name == access::LIST_UPLOADS;
    let clean = access.lines.iter().filter(uploads).all(|line| line.mark == Mark::Ok);
    let mut examination = Examination { parts, args, store, scratch, findings: Vec::new() };
    let mut clocks = Group { title: "Clocks", lines: Vec::new() };
    let mut speeds = [None, None];
    // What is refused would be refused again, in every check.
    if access.lines.iter().all(|line| line.mark != Mark::Refused) {
        let ended = async {
            examination.checks().await?;
            parts.output().note("looking at clocks and speed");
            clocks.lines = measure::clocks(store, &*parts.clock, scratch).await?;
            speeds = measure::speed(store, &*parts.clock, scratch).await?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = ended.await {
            access.lines.push(Line::new(Mark::Open, "all else", "", error.to_string()));
        }
    }
    let findings = examination.findings;
    // A race without rounds counts steps instead.
    let races = findings.iter().filter(|finding| finding.needed() && finding.rounds > 0);
    let confidence = races.map(|finding| finding.rounds).min().map(|rounds| Confidence::of(rounds, args.rounds));
    let groups: Vec<Group> = [access].into_iter().chain(report::groups(&findings)).chain([clocks]).collect();
    let (verdict, why) = report::verdict(&groups);
    let [put, swap] = speeds;
    Ok(Report {
        place: place.clone(),
        store: parts.endpoint(),
        scratch: scratch.to_owned(),
        groups,
        put,
        swap,
        confidence,
        requests: Default::default(),
        clean,
        verdict,
        why,
    })
}

impl Examination<'_> {
    /// Every check of the conformance suite: conditions; then, where they hold, content, listings and names; then races.
    /// An error: the store has stopped answering.
    async fn checks(&mut self) -> StoreResult<()> {
        let (conditions, others): (Vec<Check>, Vec<Check>) =
            conformance::checks().into_iter().partition(|check| report::is_condition(check.name));
        let (races, others): (Vec<Check>, Vec<Check>) =
            others.into_iter().partition(|check| check.name.starts_with("races/"));
        self.parts.output().note("trying conditions");
        self.side_by_side(&conditions).await?;
        // A store that fails here is out already, and may well not survive the odd names.
        if !self.findings.iter().any(|finding| finding.needed() && matches!(finding.verdict, Kept::Violated(_))) {
            self.parts.output().note("trying content, listings and names");
            self.side_by_side(&others).await?;
        }
        let rounds = crate::human::thousands(self.args.rounds.into());
        self.parts.output().note(format!("racing, {rounds} rounds of each race"));
        self.races(&races).await
    }

    fn scope(&self) -> Scope {
        Scope { prefix: self.scratch.to_owned(), width: WIDTH, ..Scope::default() }
    }

    async fn side_by_side(&mut self, checks: &[Check]) -> StoreResult<()> {
        let scope = self.scope();
        let run = checks.iter().map(|check| check.run(self.store, &*self.parts.dice, &scope));
        let findings: Vec<Finding> = stream::iter(run).buffered(CHECKS_AT_ONCE).collect().await;
        self.findings.extend(findings);
        self.still_there().await
    }

    /// One race after the other, several rounds at once.
    async fn races(&mut self, races: &[Check]) -> StoreResult<()> {
        let clock = &*self.parts.clock;
        let scope = Scope { rounds: self.args.rounds, at_once: ROUNDS_AT_ONCE, ..self.scope() };
        let end = clock.now().at.after(self.args.time_limit);
        for (index, race) in races.iter().enumerate() {
            // An equal share of what is left; who is quick leaves more to those after it.
            let now = clock.now().at;
            let share = end.since(now) / u32::try_from(races.len() - index).unwrap_or(1);
            let until = now.after(share);
            let go_on = || clock.now().at < until;
            self.findings.push(race.run_while(self.store, &*self.parts.dice, &scope, &go_on).await);
            self.still_there().await?;
        }
        Ok(())
    }

    async fn still_there(&self) -> StoreResult<()> {
        self.store.head(&format!("{}nothing", self.scratch)).await.map(|_| ())
    }
}

/// Removes what is left. `stragglers`: requests may be under way whose answers nobody waits for.
async fn sweep(parts: &Parts, store: &dyn Store, scratch: &str, stragglers: bool) -> Result<()> {
    for _ in 0..SWEEPS {
        if stragglers {
            parts.clock.sleep(STRAGGLERS).await;
        }
        if conformance::sweep(store, scratch).await? == 0 {
            return Ok(());
        }
    }
    Err(Failure::new(format!("after {SWEEPS} sweeps there still are objects below {}", store.place(scratch))))
}
