//! What an agent does when it finds nothing, and the views: mirrors `slot::idle`, `seat`, `closing` and `refresher`.
//!
//! Two aggregates: a seat is a plain compare-and-swap with an age, renewed without a tick of its own; a refresh of the
//! views is its requests, the time they take, and a collision with any other that wrote meanwhile.

use std::time::Duration;

use dayfly_shared::claim::Verdict;
use dayfly_shared::views::refresh_interval;
use rand::Rng;

use super::agent::Request;
use super::bill::{Kind, Prefix, Purpose};
use super::bucket::Seat;
use super::fleet::{Fleet, Happening};
use super::{Micros, latency};

/// As `slot::FIRST_LOOK`.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// As `seat::TRIES`.
const SEAT_TRIES: u32 = 3;
/// As `bucket::READS_AT_ONCE`.
const READS_AT_ONCE: u64 = 16;
/// As `refresher::ROUNDS`.
const ROUNDS: u32 = 20;
/// Of a line of a view: `in123456.dat` and its newline.
const LINE_BYTES: u64 = 13;
/// Views move at so many bytes a second (as `refresh_interval` assumes).
const BYTES_A_SECOND: f64 = 20e6;

/// Where an agent stands that has nothing to do, and what it knows of the views.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    pub verdict: Option<Verdict>,
    looks: u32,
    /// The seat held: number, version, since when.
    pub seat: Option<(u32, u64, Micros)>,
    /// While seats are tried: the first, how many were tried, and whether one may be a dead agent's.
    first_seat: u32,
    tried: u32,
    doubt: bool,
}

/// One refresh of the views under way.
#[derive(Clone, Copy, Debug)]
pub struct Refreshing {
    pub agent: u32,
    /// The version of the views that it read.
    pub version: u64,
    pub round: u32,
    /// Whether the agent closes the job with it.
    pub closing: bool,
}

impl Fleet {
    /// After a look for new segments: waits, takes a seat, or ends.
    pub fn decide(&mut self, n: u32) {
        let Some(verdict) = self.agents[n as usize].idle.verdict else { return };
        if verdict.all_closed {
            return self.refresh(n, true);
        }
        self.keep_seat(n);
        if self.agents[n as usize].idle.seat.is_some() {
            return self.wait(n);
        }
        let first = self.rng.random_range(0..self.seats());
        let idle = &mut self.agents[n as usize].idle;
        (idle.first_seat, idle.tried, idle.doubt) = (first, 0, false);
        self.try_seat(n);
    }

    fn seats(&self) -> u32 {
        u32::try_from(self.bucket.seats.len()).unwrap_or(u32::MAX)
    }

    fn try_seat(&mut self, n: u32) {
        let idle = &self.agents[n as usize].idle;
        if idle.tried < self.seats().min(SEAT_TRIES) {
            let seat = (idle.first_seat + idle.tried) % self.seats();
            return self.send(n, Kind::Get, Request::Seat(seat));
        }
        if idle.doubt { self.wait(n) } else { self.end(n) }
    }

    pub fn look_at_seat(&mut self, seat: u32) -> Option<(u64, Duration)> {
        self.bill.count(self.now, Prefix::Standby, Kind::Get, Purpose::Listings);
        let seat = self.bucket.seats[seat as usize]?;
        Some((seat.version, Duration::from_secs(self.now / 1_000_000 - seat.modified / 1_000_000)))
    }

    pub fn seen_seat(&mut self, n: u32, standing: Option<(u64, Duration)>) {
        let (heartbeat, slack, expiry) = (self.policy.heartbeat(), self.policy.slack, self.policy.expiry());
        let seats = self.seats();
        let idle = &mut self.agents[n as usize].idle;
        let seat = (idle.first_seat + idle.tried) % seats;
        match standing {
            Some((_, age)) if age <= expiry => {
                idle.doubt |= age > heartbeat * 3 / 2 + slack;
                idle.tried += 1;
                self.try_seat(n);
            }
            standing => self.send(n, Kind::Put, Request::TakeSeat(seat, standing.map(|s| s.0))),
        }
    }

    /// The new version, if nobody was faster.
    pub fn take_seat(&mut self, _n: u32, seat: u32, expected: Option<u64>) -> Option<u64> {
        self.bill.count(self.now, Prefix::Standby, Kind::Put, Purpose::Listings);
        if self.bucket.seats[seat as usize].map(|s| s.version) != expected {
            self.bill.reject(Purpose::Listings);
            return None;
        }
        let version = self.bucket.version();
        self.bucket.seats[seat as usize] = Some(Seat { version, modified: self.now });
        Some(version)
    }

    pub fn took_seat(&mut self, n: u32, version: Option<u64>) {
        let (now, seats) = (self.now, self.seats());
        let idle = &mut self.agents[n as usize].idle;
        if let Some(version) = version {
            idle.seat = Some(((idle.first_seat + idle.tried) % seats, version, now));
            self.agents[n as usize].board.stand_by(true);
            return self.wait(n);
        }
        idle.doubt = true;
        idle.tried += 1;
        self.try_seat(n);
    }

    /// Renews the seat when that is due.
    fn keep_seat(&mut self, n: u32) {
        let Some((seat, version, since)) = self.agents[n as usize].idle.seat else { return };
        if Duration::from_micros(self.now - since) < self.policy.heartbeat() {
            return;
        }
        let new = self.bucket.version();
        self.bill.count(self.now, Prefix::Standby, Kind::Put, Purpose::Heartbeats);
        let standing = &mut self.bucket.seats[seat as usize];
        let ours = standing.is_some_and(|s| s.version == version);
        if ours {
            *standing = Some(Seat { version: new, modified: self.now });
        } else {
            self.bill.reject(Purpose::Heartbeats);
        }
        self.agents[n as usize].idle.seat = ours.then_some((seat, new, self.now));
        self.agents[n as usize].board.stand_by(ours);
    }

    pub fn leave_seat(&mut self, n: u32) {
        let Some((seat, version, _)) = self.agents[n as usize].idle.seat.take() else { return };
        self.agents[n as usize].board.stand_by(false);
        self.bill.count(self.now, Prefix::Standby, Kind::Delete, Purpose::Listings);
        let standing = &mut self.bucket.seats[seat as usize];
        if standing.is_some_and(|s| s.version == version) {
            *standing = None;
        }
    }

    fn wait(&mut self, n: u32) {
        let (at, heartbeat) = (self.at(), self.policy.heartbeat());
        let idle = &mut self.agents[n as usize].idle;
        let pages = u32::try_from(self.sizes.len() / 1000).unwrap_or(u32::MAX);
        let first = FIRST_LOOK.saturating_mul(pages.max(1));
        let mut wait = first.saturating_mul(1 << idle.looks.min(16)).min(heartbeat);
        idle.looks += 1;
        if let Some(again) = idle.verdict.and_then(|v| v.look_again) {
            wait = wait.min(again.since(at) + Duration::from_millis(50));
        }
        if let Some((_, _, since)) = idle.seat {
            // Renewed in time, whatever else there is to wait for.
            wait = wait.min(heartbeat.saturating_sub(Duration::from_micros(self.now - since)));
        }
        self.waits += 1;
        self.after(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX), Happening::LookAgain(n));
    }

    /// An idle agent looks again.
    pub fn look_again(&mut self, n: u32) {
        self.keep_seat(n);
        self.search(n);
    }

    /// A chunk was closed: the views are behind.
    pub fn mark_dirty(&mut self, n: u32) {
        let n = n as usize;
        if !self.refreshes[n].1 {
            self.refreshes[n].1 = true;
            let at = self.refreshes[n].0.max(self.now);
            self.schedule(at, Happening::Refresh(u32::try_from(n).unwrap_or(u32::MAX)));
        }
    }

    /// Begins a refresh: reads the views, lists, writes.
    pub fn refresh(&mut self, n: u32, closing: bool) {
        let begun = Refreshing { agent: n, version: self.views, round: 1, closing };
        self.refresh_round(begun);
    }

    fn refresh_round(&mut self, begun: Refreshing) {
        self.refreshed += 1;
        let bytes = 2 * u64::from(self.scenario.tasks) * LINE_BYTES;
        let mut wait = latency::seconds(bytes as f64 / BYTES_A_SECOND);
        for _ in 0..3 {
            wait += self.views_request(wait, Prefix::Root, Kind::Get);
        }
        wait += self.views_request(wait, Prefix::Plan, Kind::List);
        for _ in 0..=self.bucket.closed() / 1000 {
            wait += self.views_request(wait, Prefix::Results, Kind::List);
        }
        wait += self.views_request(wait, Prefix::Failed, Kind::List);
        // completed.txt, then tasklist.txt; failed.txt does not change. The first shows a collision.
        wait += self.views_request(wait, Prefix::Root, Kind::Put);
        self.after(wait, Happening::Refreshed(begun));
    }

    fn views_request(&mut self, after: Micros, prefix: Prefix, kind: Kind) -> Micros {
        self.bill.count(self.now + after, prefix, kind, Purpose::Views);
        latency::of(kind, &mut self.rng)
    }

    /// The write of completed.txt has been answered.
    pub fn refresh_done(&mut self, refreshing: Refreshing) {
        let Refreshing { agent: n, version, round, closing } = refreshing;
        if !self.agents[n as usize].alive {
            return;
        }
        if version != self.views && round < ROUNDS {
            self.bill.reject(Purpose::Views);
            return self.refresh_round(Refreshing { version: self.views, round: round + 1, ..refreshing });
        }
        self.views += 1;
        let after = self.views_request(0, Prefix::Root, Kind::Put);
        if closing {
            self.after(after, Happening::Finish(n));
            return;
        }
        let bytes = u64::from(self.scenario.tasks) * LINE_BYTES;
        let interval = refresh_interval(self.scenario.tasks.into(), self.scenario.job().agents, bytes);
        let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        let next = self.now + interval + self.rng.random_range(0..=interval / 2);
        self.refreshes[n as usize] = (next, false);
    }

    /// Every chunk is closed and the views are written: the sweep, and the summary unless it stands.
    pub fn finish(&mut self, n: u32) {
        let mut wait = self.views_request(0, Prefix::Semaphores, Kind::List);
        for _ in 0..self.bucket.sweep() {
            wait += self.views_request(wait, Prefix::Semaphores, Kind::Delete);
        }
        wait += self.views_request(wait, Prefix::Root, Kind::Get);
        if self.summary_at.is_none_or(|at| at > self.now) {
            for _ in 0..=self.bucket.closed() / 1000 {
                wait += self.views_request(wait, Prefix::Results, Kind::List);
            }
            let results = u64::from(self.bucket.closed());
            for read in 0..results {
                let took = self.views_request(wait, Prefix::Results, Kind::Get);
                wait += took / READS_AT_ONCE.min(results - read);
            }
            wait += self.views_request(wait, Prefix::Root, Kind::Head);
            wait += self.views_request(wait, Prefix::Root, Kind::Put);
            self.summaries += 1;
            let at = self.now + wait;
            self.summary_at = Some(self.summary_at.map_or(at, |before| before.min(at)));
        }
        self.after(wait, Happening::End(n));
    }
}
