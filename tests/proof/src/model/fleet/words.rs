//! Steps in words, for traces.

use dayfly_shared::claim::Reply;

use super::tenures::name_of;
use super::world::{Agent, Lane, World};
use super::{Fleet, Step, Which};

fn name(agent: &Agent) -> String {
    agent.name.map_or_else(|| "an agent that wrote nothing yet".to_owned(), |name| format!("agent {name}"))
}

fn request(agent: &Agent, which: Which) -> String {
    let lane = match which {
        Which::Lease => &agent.lease,
        Which::Work => &agent.work,
    };
    match lane {
        Lane::Free => "nothing".to_owned(),
        Lane::Sent(request) => format!("its {} of {}", name_of(&request.ask), request.chunk),
        Lane::Answered(reply) => format!("the answer {}", short(reply)),
    }
}

fn short(reply: &Reply) -> &'static str {
    match reply {
        Reply::Applied(_) => "applied",
        Reply::Rejected => "412",
        Reply::Missing => "404",
        Reply::Conflict => "409",
        _ => "of a read",
    }
}

/// The step in words.
pub fn describe(fleet: &Fleet, before: &World, step: Step) -> String {
    let who = |n: u8| &*before.agents[usize::from(n)];
    let line = match step {
        Step::Launch(_) => "a new agent is launched".to_owned(),
        Step::Choose(n, draw) => format!("{} looks for a chunk (draws {draw})", name(who(n))),
        Step::Page(n, old, _) => {
            format!("{} gets the listing of semaphores{}", name(who(n)), if old { "; leases look expired" } else { "" })
        }
        Step::End(n) => format!("{} ends: nothing to claim", name(who(n))),
        Step::Sweep(n) => format!("{} sweeps, or ends", name(who(n))),
        Step::Apply(n, which) => format!("{}: {} is carried out", name(who(n)), request(who(n), which)),
        Step::Deliver(n, which) => format!("{}: {} arrives", name(who(n)), request(who(n), which)),
        Step::DeliverLate(n, which) => {
            format!("{}: {} arrives, with the lease too old to begin anything", name(who(n)), request(who(n), which))
        }
        Step::Lose(n, which) => format!("{}: {} is lost", name(who(n)), request(who(n), which)),
        Step::LoseAnswer(n, which) => {
            format!("{}: {} is carried out, the answer lost", name(who(n)), request(who(n), which))
        }
        Step::GiveUp(n, which) => {
            format!("{}: {} goes unanswered; it may yet be applied", name(who(n)), request(who(n), which))
        }
        Step::Conflict(n, which) => format!("{}: {} gets a 409", name(who(n)), request(who(n), which)),
        Step::Restage(n) => format!("{}: its upload is gone", name(who(n))),
        Step::Ghost(n) => {
            let ghost = &before.ghosts[usize::from(n)];
            format!("a {} of tenure {} that was given up is carried out", name_of(&ghost.ask), ghost.author)
        }
        Step::Staged(n) => format!("{}: the task has run", name(who(n))),
        Step::Fail(n) => format!("{}: the task fails", name(who(n))),
        Step::Tick(n) => format!("{}: a timer is due", name(who(n))),
        Step::Alone(n) => format!("{}: nothing else runs", name(who(n))),
        Step::Drain(n) => format!("{} is told to end", name(who(n))),
        Step::Halt(n) => format!("{} is told to end at once", name(who(n))),
        Step::Yield(n) => format!("{} is told to give its chunk back", name(who(n))),
        Step::Crash(n) => format!("{} vanishes", name(who(n))),
        Step::Pause(n) => format!("{} stands still", name(who(n))),
        Step::Resume(n) => format!("{} goes on", name(who(n))),
        Step::Advance => "half a second passes".to_owned(),
    };
    match fleet.setup().horizon {
        Some(_) => format!("{:4.1} s  {line}", f64::from(before.time) / 2.0),
        None => line,
    }
}
