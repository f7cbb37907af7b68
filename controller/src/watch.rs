//! `dayfly watch`: follows a job until it is over. It reads the bucket alone, so it can watch from anywhere.

mod bell;
mod display;
mod news;
mod screen;
mod view;
mod web;

use std::pin::pin;
use std::time::Duration;

use dayfly_shared::clock::Moment;
use dayfly_shared::exit::Exit;

#[cfg(feature = "ec2")]
use crate::cap;
use crate::cli::WatchArgs;
use crate::failure::Result;
use crate::human;
use crate::notices;
use crate::observe::{JobState, Observer, Snapshot};
use crate::parts::{Parts, Patience};
use crate::report::{self, Spent};
use crate::status::{self, StatusReport};
use crate::stop::Stop;

use display::line;
use news::{Event, Standing};
use screen::Screen;
use view::View;

pub use display::Display;

/// Between two looks at a small job: what a person takes for at once.
const SOON: Duration = Duration::from_secs(1);
/// A look lists the results; for each page of 1,000 of them it waits so much longer, so that looking costs no more than
/// some requests a second.
const PER_PAGE: Duration = Duration::from_millis(500);
/// Between two looks at what the job has cost: prices are by the hour.
const BILL: Duration = Duration::from_mins(1);
/// Between two drawings of the screen: ages go on, and a window that was resized is filled again, before anybody wonders.
const FRAME: Duration = Duration::from_millis(250);
/// A look that takes longer than this is not slow: nobody answers.
const SILENCE: Duration = Duration::from_secs(5);
/// Lines of agents in the display that moves: with the rest they fit on the smallest terminal (24 lines).
const AGENT_LINES: usize = 16;

/// `dayfly watch`.
///
/// # Errors
/// No job there, a store that refuses.
pub async fn command(parts: &Parts, args: &WatchArgs) -> Result<Exit> {
    let job = parts.settings.job(args.job.job.as_ref())?;
    if args.web {
        return web::serve(parts, &job, args.port).await;
    }
    let mut stop = Stop::listen()?;
    let mut observer = Observer::new(parts.job(&job, Patience::Long).await?);
    // No job, or a store that refuses, is said before the screen is taken.
    let first = observer.look().await?;
    let mut watcher = Watcher::new(parts);
    let (snapshot, ending) = watcher.follow(&mut observer, first, &mut stop).await?;
    let spent = watcher.spent.take();
    drop(watcher);
    if !matches!(ending, Ending::Stopped) {
        bell::ring(parts, &args.notify, &format!("{job} is {}: {}", snapshot.state.word(), status::tally(&snapshot)))
            .await;
        notices::catch_up(parts, &observer, &snapshot).await;
    }
    if parts.output().json {
        // The last line of the stream said it all.
        return Ok(if matches!(ending, Ending::Stopped) { Exit::Drained } else { exit(&snapshot) });
    }
    let console = parts.console(snapshot.settings.outputs(&job)).await;
    let now = parts.clock.now().wall;
    parts.output().result(&StatusReport { snapshot: &snapshot, now, shown: AGENT_LINES, console, spent });
    match ending {
        Ending::Over => Ok(exit(&snapshot)),
        Ending::Deserted => {
            let (resume, launch) = (parts.settings.command("resume", &job), parts.settings.command("launch", &job));
            parts.output().note(format!("drained: no agent is left; to go on: {resume}, then {launch}"));
            Ok(Exit::Drained)
        }
        Ending::Stopped => {
            let again = parts.settings.command("watch", &job);
            parts.output().note(format!("the job goes on by itself; to watch it again: {again}"));
            Ok(Exit::Drained)
        }
    }
}

/// Why the watching ended.
enum Ending {
    /// The job is over, or cancelled.
    Over,
    /// The job was drained, and no agent is left.
    Deserted,
    /// Somebody asked.
    Stopped,
}

/// What is watched, and how it is shown.
struct Watcher<'a> {
    parts: &'a Parts,
    screen: Option<Screen>,
    view: View,
    next_bill: Moment,
    spent: Option<Spent>,
    before: Option<Snapshot>,
    said: Option<String>,
}

impl<'a> Watcher<'a> {
    fn new(parts: &'a Parts) -> Self {
        let screen = (parts.output().live() && !parts.output().json).then(Screen::enter);
        let (view, next_bill) = (View::default(), parts.clock.now().at);
        Self { parts, screen, view, next_bill, spent: None, before: None, said: None }
    }

    async fn follow(
        &mut self,
        observer: &mut Observer,
        first: Snapshot,
        stop: &mut Stop,
    ) -> Result<(Snapshot, Ending)> {
        let mut snapshot = first;
        loop {
            let ending = match snapshot.state {
                JobState::Over | JobState::Cancelled => Some(Ending::Over),
                _ if is_deserted(&snapshot) => Some(Ending::Deserted),
                _ => None,
            };
            if ending.is_some() {
                // The last word says all of it.
                self.next_bill = self.parts.clock.now().at;
            }
            self.bill(observer, &snapshot).await?;
            self.tell(&snapshot);
            if let Some(ending) = ending {
                return Ok((snapshot, ending));
            }
            let until = self.parts.clock.now().at.after(wait(&snapshot));
            while self.parts.clock.now().at < until {
                let left = until.since(self.parts.clock.now().at);
                tokio::select! {
                    () = self.parts.clock.sleep(left.min(FRAME)) => self.draw(&snapshot),
                    () = stop.asked() => return Ok((snapshot, Ending::Stopped)),
                }
            }
            let begun = self.parts.clock.now().at;
            let looked = {
                let mut look = pin!(observer.look());
                loop {
                    tokio::select! {
                        looked = &mut look => break looked?,
                        () = self.parts.clock.sleep(FRAME) => self.wait_for(&snapshot, begun),
                        () = stop.asked() => return Ok((snapshot, Ending::Stopped)),
                    }
                }
            };
            self.view.unanswered = None;
            snapshot = looked;
        }
    }

    /// Says, once that is worth a word, that what is shown is old.
    fn wait_for(&mut self, snapshot: &Snapshot, begun: Moment) {
        let silent = self.parts.clock.now().at.since(begun);
        if silent < SILENCE {
            return;
        }
        if self.view.unanswered.replace(silent).is_none() && self.screen.is_none() {
            self.parts.output().note(format!("no answer from the store for {}; still asking", human::duration(silent)));
        }
        self.draw(snapshot);
    }

    /// What it has cost, and whether it may cost more.
    async fn bill(&mut self, observer: &Observer, snapshot: &Snapshot) -> Result<()> {
        let now = self.parts.clock.now();
        if now.at < self.next_bill {
            return Ok(());
        }
        self.next_bill = now.at.after(BILL);
        #[cfg(feature = "ec2")]
        cap::keep(self.parts, snapshot).await?;
        if snapshot.agents.iter().any(|agent| agent.instance_id.is_some()) {
            let spent = report::spent(self.parts, observer.job(), snapshot, now.wall).await?;
            self.view.dollars = spent.dollars;
            self.spent = Some(spent).filter(|spent| spent.dollars.is_some());
        }
        Ok(())
    }

    /// Shows or says what is new.
    fn tell(&mut self, snapshot: &Snapshot) {
        let events = news::between(self.before.as_ref(), snapshot);
        let output = self.parts.output();
        if output.json {
            for event in &events {
                output.line(event);
            }
            if self.is_news(snapshot) || !events.is_empty() {
                let standing = Standing { snapshot: snapshot.clone(), dollars: self.view.dollars };
                output.line(&Event::Status(Box::new(standing)));
            }
        } else if self.screen.is_some() {
            self.draw(snapshot);
        } else {
            let time = self.parts.clock.now().wall.to_string();
            for event in &events {
                output.note(format!("{} {event}", &time[11..19]));
            }
            if self.is_news(snapshot) {
                let cost = self.view.dollars.map(|dollars| format!("; ${dollars:.2} so far")).unwrap_or_default();
                output.note(format!("{} {}{cost}", &time[11..19], line(snapshot, &status::state(snapshot))));
            }
        }
        self.before = Some(snapshot.clone());
    }

    fn draw(&mut self, snapshot: &Snapshot) {
        if let Some(screen) = &mut self.screen {
            let (width, height) = screen.size();
            screen.draw(&self.view.lines(snapshot, self.parts.clock.now().wall, width, height), width);
        }
    }

    /// Whether anything changed but the pace, which does all the time.
    fn is_news(&mut self, snapshot: &Snapshot) -> bool {
        is_news(&mut self.said, snapshot)
    }
}

/// Whether the job was told to end, and nobody is left who could.
fn is_deserted(snapshot: &Snapshot) -> bool {
    snapshot.state == JobState::Draining
        && snapshot.live_agents() == 0
        && !snapshot.running.iter().any(|lease| lease.holds())
}

fn is_news(said: &mut Option<String>, snapshot: &Snapshot) -> bool {
    let news = format!("{} {}", status::tally(snapshot), snapshot.state.word());
    let changed = said.as_ref() != Some(&news);
    *said = Some(news);
    changed
}

/// How a job ended, as an exit code.
pub fn exit(snapshot: &Snapshot) -> Exit {
    match snapshot.state {
        JobState::Over if snapshot.tasks.failed > 0 => Exit::TasksFailed,
        JobState::Over => Exit::Done,
        JobState::Cancelled => Exit::Cancelled,
        _ => Exit::Drained,
    }
}

fn wait(snapshot: &Snapshot) -> Duration {
    let pages = u32::try_from(snapshot.chunks_closed / 1000).unwrap_or(u32::MAX);
    SOON + PER_PAGE.saturating_mul(pages)
}
