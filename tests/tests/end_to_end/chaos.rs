//! Faults as they come: agents that are killed, frozen, drained and replaced while the proxy breaks their requests and a
//! person adds lines; a seed decides. All guarantees hold on the way and at the end.
//!
//! `DAYFLY_SEED=7 DAYFLY_ROUNDS=1` repeats the choices of one round. Not what the processes make of them: those run as
//! they like.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment, SystemClock};
use dayfly_shared::job::JobSettings;
use dayfly_shared::plan::{Frozen, Segment, Span, join_lines};
use dayfly_shared::rng::{Dice, StdDice};
use dayfly_shared::store::{Outcome, StoreExt};
use dayfly_tests::{Fault, Job, Layout, Program, Proxy, Rule, World, content, everywhere, short_lease};
use hyper::Method;
use rustix::process::Signal;

/// Rounds of each server where nothing says otherwise: with some 20 s each they fit into the test command.
const ROUNDS: u64 = 2;
/// How long things go wrong in a round: some leases' lengths.
const STORM: Duration = Duration::from_secs(12);
/// Agents at once.
const CREW: usize = 4;
/// Of a thousand requests, so many meet a fault of their own (beside bursts).
const FAULTS_PER_MILLE: u64 = 60;
/// A task takes up to so long: some are longer than a heartbeat's distance, none as long as a lease.
const TASK: Duration = Duration::from_millis(1800);
/// One that is frozen sleeps up to so long: well past the lease and its slack.
const SLEEP: Duration = Duration::from_secs(7);

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

everywhere! {
    async fn anything_goes_wrong_at_any_time(world: &World) {
        let seed = told("DAYFLY_SEED").unwrap_or_else(|| StdDice::from_os().below(1_000_000));
        for seed in seed..seed + told("DAYFLY_ROUNDS").unwrap_or(ROUNDS) {
            // Shown if the round fails; repeated by the same two variables.
            println!("chaos on {:?}: DAYFLY_SEED={seed} DAYFLY_ROUNDS=1", world.kind());
            Round::new(world, seed).await.run().await;
        }
    }
}

/// An agent of the crew.
struct Member {
    program: Program,
    /// When it wakes up, if it is frozen.
    wakes: Option<Moment>,
    /// Whether it was told to end.
    drained: bool,
}

/// A round under way.
struct Round<'w> {
    job: Job<'w>,
    seed: u64,
    dice: StdDice,
    proxy: Proxy,
    burst: Arc<AtomicBool>,
    burst_ends: Option<Moment>,
    crew: Vec<Member>,
    /// Inputs that the list does not have yet.
    later: Vec<String>,
    born: usize,
    killed: Vec<String>,
    done: BTreeMap<&'static str, usize>,
}

fn now() -> Moment {
    SystemClock.now().at
}

impl<'w> Round<'w> {
    async fn new(world: &'w World, seed: u64) -> Self {
        let dice = StdDice::seeded(seed);
        let count = 40 + usize::try_from(dice.below(40)).unwrap_or(0);
        let mut inputs: Vec<(String, Vec<u8>)> = content::names(count)
            .into_iter()
            .enumerate()
            .map(|(n, name)| {
                // Now and then one that goes up in parts.
                let bytes = if n % 20 == 7 { 17 << 20 } else { content::size(n) };
                let bytes = content::of(&name, bytes);
                (name, bytes)
            })
            .collect();
        let later: Vec<String> = inputs.iter().skip(count - 8).map(|(name, _)| name.clone()).collect();
        inputs.sort();
        let first: Vec<String> = content::names(count - 8);
        // Agents that die by the test's hand are no fault of the task that they had in hand; errors of a task, which would
        // give it up after three, are never the store's.
        let settings = JobSettings { max_losses: 1000, ..short_lease() };
        let layout = Layout::of(inputs).prefix(&format!("round-{seed}")).settings(Some(settings));
        let job = layout.list(join_lines(&first)).lay_out(world).await;
        if dice.below(2) == 0 {
            plan_in_chunks(&job, &first, 2 + usize::try_from(dice.below(6)).unwrap_or(0)).await;
        }
        let proxy = world.proxy(seed).await;
        let burst = Arc::new(AtomicBool::new(false));
        let rages = Arc::clone(&burst);
        // The check of the store asks only some seconds for a clear answer, and is not what is tried here.
        let any = || Rule::any().and(|asked| !asked.key.contains("/scratch/"));
        proxy.add(any().and(move |_| rages.load(SeqCst)).then(Fault::slow_down()));
        proxy.add(any().per_mille(FAULTS_PER_MILLE).then_one_of(fault));
        // Tasks that take some time, so that there are some in hand whenever something happens.
        let inputs = Rule::on(Method::GET).key_ends(".dat").and(|asked| asked.key.contains("/in"));
        proxy.add(inputs.uncounted().then_one_of(|dice| Fault::Delay(dice.up_to(TASK))));
        Self {
            job,
            seed,
            dice,
            proxy,
            burst,
            burst_ends: None,
            crew: Vec::new(),
            later,
            born: 0,
            killed: Vec::new(),
            done: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        let end = now().after(STORM);
        while now() < end {
            self.tend();
            self.strike().await;
            self.job.check();
            SystemClock.sleep(Duration::from_millis(100 + self.dice.below(500))).await;
        }
        self.finish().await;
    }

    fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// What is due: the frozen wake up, bursts end, those that have ended leave.
    fn tend(&mut self) {
        if self.burst_ends.take_if(|ends| now() >= *ends).is_some() {
            self.burst.store(false, SeqCst);
        }
        for member in &mut self.crew {
            if member.wakes.take_if(|wakes| now() >= *wakes).is_some() {
                member.program.signal(Signal::CONT);
            }
        }
        self.crew.retain_mut(|member| {
            let runs = member.program.runs();
            if !runs {
                let code = member.program.code();
                expect_good_end(member, code);
            }
            runs
        });
    }

    /// One thing that goes wrong, or that somebody does.
    async fn strike(&mut self) {
        if self.crew.is_empty() || (self.crew.len() < CREW && self.dice.below(3) == 0) {
            self.start_agent();
            return;
        }
        let victim = usize::try_from(self.dice.below(self.crew.len() as u64)).unwrap_or(0);
        match self.dice.below(12) {
            0 | 1 => {
                let mut member = self.crew.swap_remove(victim);
                if member.program.runs() {
                    member.program.kill();
                    self.killed.push(member.program.name().to_owned());
                    self.note("killed");
                }
            }
            2 | 3 => {
                let member = &mut self.crew[victim];
                if member.wakes.is_none() && member.program.runs() {
                    member.program.signal(Signal::STOP);
                    member.wakes = Some(now().after(self.dice.up_to(SLEEP)));
                    self.note("frozen");
                }
            }
            4 => {
                let member = &mut self.crew[victim];
                if member.wakes.is_none() && member.program.runs() {
                    member.program.signal(Signal::TERM);
                    member.drained = true;
                    self.note("drained");
                }
            }
            5 | 6 => {
                if let Some(name) = self.later.pop() {
                    self.job.add_lines(&[&name]).await;
                    self.note("lines added");
                }
            }
            7 if self.burst_ends.is_none() => {
                self.burst.store(true, SeqCst);
                self.burst_ends = Some(now().after(Duration::from_millis(200 + self.dice.below(1500))));
                self.note("bursts");
            }
            _ => {}
        }
    }

    fn start_agent(&mut self) {
        self.born += 1;
        let slots = (1 + self.dice.below(3)).to_string();
        let grace = self.dice.below(4).to_string();
        let agent = self.job.agent(&format!("a{}", self.born)).through(&self.proxy);
        let agent = agent.arg("--slots").arg(&slots).arg("--drain-grace").arg(&grace);
        self.crew.push(Member { program: agent.start(), wakes: None, drained: false });
        self.note("started");
    }

    /// The storm is over: who is left, and two more, bring the job to its end.
    async fn finish(mut self) {
        self.burst.store(false, SeqCst);
        self.proxy.clear();
        for name in std::mem::take(&mut self.later) {
            self.job.add_lines(&[&name]).await;
        }
        for member in &mut self.crew {
            if member.wakes.take().is_some() && member.program.runs() {
                member.program.signal(Signal::CONT);
            }
        }
        let mut last = [self.job.agent("last").start(), self.job.agent("latest").arg("--slots").arg("2").start()];
        for member in &mut self.crew {
            let code = member.program.ended().await.code;
            expect_good_end(member, code);
        }
        for program in &mut last {
            program.ended().await.expect(0, &[]);
        }
        self.seats_of_the_dead().await;
        if !self.killed.is_empty() {
            // What the dead had begun, and what they had asked for when they died.
            self.job.clean().await;
        }
        self.job.finish(&[]).await;
        println!(
            "chaos: seed {} ok: {} tasks, {} requests; agents {:?}; requests {:?}",
            self.seed,
            self.job.inputs.len(),
            self.proxy.seen().len(),
            self.done,
            self.proxy.faults_by_kind()
        );
    }

    /// Seats that are left are those of agents that were killed on them; they expire, and nobody is in their way.
    async fn seats_of_the_dead(&self) {
        let store = self.job.bucket.store();
        for entry in store.list_all(&self.job.bucket.keys.seats()).await.expect("a listing") {
            let Some((seat, _)) = self.job.bucket.semaphore(&entry.key).await.expect("a seat") else { continue };
            let of = |name: &String| seat.agent.as_str().starts_with(&format!("{name}-"));
            assert!(self.killed.iter().any(of), "a seat is left, and its agent ended well: {seat:?}");
            let deleted = store.delete(&entry.key, Some(&entry.etag)).await;
            assert!(matches!(deleted, Ok(Outcome::Applied(()))), "deleting {}: {deleted:?}", entry.key);
        }
    }
}

/// It was done, or had been told to end; also so early that it had said nothing yet and did not listen for signals.
fn expect_good_end(member: &Member, code: Option<i32>) {
    let (name, said) = (member.program.name(), member.program.said());
    let unborn = code.is_none() && member.drained && said.is_empty();
    assert!(unborn || matches!(code, Some(0 | 4)), "{name} ended with {code:?}; it said:\n{said}");
}

/// What one request meets.
fn fault(dice: &StdDice) -> Fault {
    // Mostly within the small objects, now and then within a part.
    let bytes = |dice: &StdDice| usize::try_from(dice.below([600, 5000, 6 << 20][dice.below(3) as usize])).unwrap_or(0);
    match dice.below(8) {
        0 | 1 => Fault::CutAnswer,
        2 => Fault::Cut,
        3 => Fault::Delay(Duration::from_millis(dice.below(1500))),
        4 => Fault::CutUpload(bytes(dice)),
        5 => Fault::CutDownload(bytes(dice)),
        6 => Fault::AnswerAfter(500, "InternalError".to_owned()),
        _ => Fault::slow_down(),
    }
}

/// Commits the plan of these lines with so many tasks a chunk.
async fn plan_in_chunks(job: &Job<'_>, names: &[String], tasks: usize) {
    let text = join_lines(names);
    let frozen = Frozen {
        settings: Some(job.settings.clone()),
        source: None,
        by: "nobody-00000000".parse().expect("an agent's id"),
        at: SystemClock.now().wall,
    };
    let mut segment = Segment::cut(1, &text, 1, frozen);
    let merge = |spans: &[Span]| Span {
        tasks: spans.iter().map(|span| span.tasks).sum(),
        bytes: spans.iter().map(|span| span.bytes).sum(),
    };
    segment.chunks = segment.chunks.chunks(tasks).map(merge).collect();
    assert!(matches!(job.bucket.put_segment_text(1, text).await, Ok(Outcome::Applied(_))));
    assert!(matches!(job.bucket.put_segment(&segment).await, Ok(Outcome::Applied(_))));
}
