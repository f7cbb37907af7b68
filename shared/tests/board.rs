//! The board: which chunk an agent tries next, and when it may believe that there is none.

use std::time::Duration;

use dayfly_shared::claim::{Board, Candidate, Coverage, Policy};
use dayfly_shared::clock::{Moment, Timestamp};
use dayfly_shared::ids::{AgentId, ChunkId, Nonce};
use dayfly_shared::job::JobSettings;
use dayfly_shared::records::{LeaseState, Semaphore};
use dayfly_shared::store::ETag;

fn chunk(index: u32) -> ChunkId {
    ChunkId { segment: 1, index }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn policy() -> Policy {
    Policy::of(&JobSettings::default())
}

fn board(chunks: u32) -> Board {
    let mut board = Board::new(policy());
    board.add_segment(chunks);
    board
}

fn held(index: u32, etag: &str, age: Option<u64>) -> (ChunkId, ETag, Option<Duration>, bool) {
    (chunk(index), ETag::new(etag), age.map(Duration::from_secs), false)
}

fn semaphore(state: LeaseState) -> Semaphore {
    Semaphore {
        schema: 1,
        agent: AgentId::of("other", Nonce(1)),
        tenure: Nonce(1),
        write: 1,
        epoch: 1,
        ttl_seconds: 60,
        state,
        since: Timestamp::default(),
        name: None,
        decided: 0,
        running: None,
        attempts: Vec::new(),
        losses: 0,
        tenures: Vec::new(),
    }
}

/// Answers a search's listings from what `world` says of each chunk until it offers something else.
fn search(board: &mut Board, draw: u64, now: Moment, page: u32, world: &Coverage) -> Candidate {
    for _ in 0..10_000 {
        let candidate = board.next(draw, now);
        let Candidate::List(from) = candidate else { return candidate };
        let to = from.index + page - 1;
        let within = |c: &ChunkId| (from.index..=to).contains(&c.index);
        let coverage = Coverage {
            from: Some(from),
            to: (to < board.total()).then(|| chunk(to)),
            results: world.results.iter().copied().filter(within).collect(),
            semaphores: world.semaphores.iter().filter(|s| within(&s.0)).cloned().collect(),
        };
        board.on_page(&coverage, now);
    }
    panic!("the search does not end");
}

#[test]
fn the_only_free_chunk_is_found_wherever_the_search_starts() {
    for draw in 0..50 {
        for free in [1, 7, 25, 50] {
            let mut board = board(50);
            let others = (1..=50).filter(|n| *n != free);
            let (closed, held_ones): (Vec<u32>, Vec<u32>) = others.partition(|n| n % 2 == 0);
            let world = Coverage {
                results: closed.into_iter().map(chunk).collect(),
                semaphores: held_ones.into_iter().map(|n| held(n, "v1", Some(1))).collect(),
                ..Coverage::default()
            };
            assert_eq!(search(&mut board, draw, at(100), 10, &world), Candidate::Open(chunk(free)), "draw {draw}");
        }
    }
}

#[test]
fn a_search_that_finds_nothing_has_been_all_the_way_round() {
    let mut board = board(30);
    let world = Coverage {
        results: (1..=20).map(chunk).collect(),
        semaphores: (21..=30).map(|n| held(n, "v1", Some(10))).collect(),
        ..Coverage::default()
    };
    let Candidate::None(verdict) = search(&mut board, 13, at(100), 7, &world) else { panic!() };
    assert!(!verdict.all_closed);
    // The youngest lease was renewed 10 s ago by the store's clock: 53 s are left of 60 and 3.
    assert_eq!(verdict.look_again, Some(at(153)));
    let all = Coverage { results: (1..=30).map(chunk).collect(), ..Coverage::default() };
    let Candidate::None(verdict) = search(&mut board, 13, at(100), 7, &all) else { panic!() };
    assert!(verdict.all_closed);
}

#[test]
fn a_verdict_never_rests_on_a_listing_from_before_a_claim() {
    let mut board = board(2);
    let world = Coverage { semaphores: vec![held(2, "v1", Some(1))], ..Coverage::default() };
    assert_eq!(search(&mut board, 0, at(1), 10, &world), Candidate::Open(chunk(1)));
    board.begin(chunk(1));
    board.end_closed(chunk(1));
    // Chunk 2 has come free meanwhile: only a new listing shows it.
    assert!(matches!(board.next(0, at(1000)), Candidate::List(_)));
}

#[test]
fn a_lease_expires_by_the_stores_clock_or_by_ones_own_and_is_read_before_it_is_taken() {
    for (age, wait) in [(Some(64), 0), (Some(1), 64), (None, 64)] {
        let mut board = board(1);
        let world = Coverage { semaphores: vec![held(1, "v1", age)], ..Coverage::default() };
        let mut candidate = search(&mut board, 0, at(100), 10, &world);
        if wait > 0 {
            assert!(matches!(candidate, Candidate::None(_)), "{age:?}");
            candidate = search(&mut board, 0, at(100 + wait), 10, &world);
        }
        assert_eq!(candidate, Candidate::Look(chunk(1)), "{age:?}");
        let age = age.map(Duration::from_secs);
        board.on_look(chunk(1), Some((semaphore(LeaseState::Held), ETag::new("v1"), age)), at(100 + wait));
        assert!(matches!(board.next(0, at(100 + wait)), Candidate::Take(c, _) if c == chunk(1)));
    }
}

/// A store tells ages in whole seconds: of several looks the one that shows most counts, and not the last.
#[test]
fn a_lease_expires_by_the_look_that_shows_most() {
    let mut board = board(1);
    // By its last look the lease, of 60 s and 3, would have to wait for 164.
    for (now, age) in [(100, 0), (120, 21), (140, 40)] {
        let world = Coverage { semaphores: vec![held(1, "v1", Some(age))], ..Coverage::default() };
        let Candidate::None(verdict) = search(&mut board, 0, at(now), 10, &world) else { panic!("at {now}") };
        assert_eq!(verdict.look_again, Some(at(if now == 100 { 163 } else { 162 })), "at {now}");
    }
    let late = |age| Coverage { semaphores: vec![held(1, "v1", Some(age))], ..Coverage::default() };
    assert!(matches!(search(&mut board, 0, at(162), 10, &late(62)), Candidate::None(_)));
    let moment = at(162).after(Duration::from_millis(50));
    assert_eq!(search(&mut board, 0, moment, 10, &late(62)), Candidate::Look(chunk(1)));
}

#[test]
fn a_lease_that_is_renewed_does_not_expire() {
    let mut board = board(1);
    for n in 0..20 {
        let world = Coverage { semaphores: vec![held(1, &format!("v{n}"), None)], ..Coverage::default() };
        let candidate = search(&mut board, 0, at(100 + n * 40), 10, &world);
        assert!(matches!(candidate, Candidate::None(_)), "{candidate:?}");
    }
}

#[test]
fn a_holder_that_renewed_between_listing_and_reading_keeps_its_lease() {
    let mut board = board(1);
    let world = Coverage { semaphores: vec![held(1, "v1", Some(100))], ..Coverage::default() };
    assert_eq!(search(&mut board, 0, at(100), 10, &world), Candidate::Look(chunk(1)));
    let renewed = (semaphore(LeaseState::Held), ETag::new("v2"), Some(Duration::ZERO));
    board.on_look(chunk(1), Some(renewed), at(100));
    let world = Coverage { semaphores: vec![held(1, "v2", Some(1))], ..Coverage::default() };
    assert!(matches!(search(&mut board, 0, at(101), 10, &world), Candidate::None(_)));
}

#[test]
fn a_longer_lease_than_the_jobs_is_honoured() {
    let mut board = board(1);
    let world = Coverage { semaphores: vec![held(1, "v1", Some(100))], ..Coverage::default() };
    assert_eq!(search(&mut board, 0, at(100), 10, &world), Candidate::Look(chunk(1)));
    let long = Semaphore { ttl_seconds: 600, ..semaphore(LeaseState::Held) };
    board.on_look(chunk(1), Some((long, ETag::new("v1"), Some(Duration::from_secs(100)))), at(100));
    assert!(matches!(search(&mut board, 0, at(101), 10, &world), Candidate::None(_)));
}

#[test]
fn a_released_chunk_is_seen_in_the_listing_by_its_size() {
    let mut board = board(2);
    let mut world =
        Coverage { semaphores: vec![held(1, "v1", Some(1)), held(2, "v1", Some(1))], ..Coverage::default() };
    world.semaphores[1].3 = Board::released_hint(101);
    assert_eq!(search(&mut board, 0, at(100), 10, &world), Candidate::Look(chunk(2)));
    let released = (semaphore(LeaseState::Released), ETag::new("v1"), Some(Duration::from_secs(1)));
    board.on_look(chunk(2), Some(released), at(100));
    assert!(matches!(board.next(0, at(100)), Candidate::Take(c, _) if c == chunk(2)));
    let bodies = [LeaseState::Held, LeaseState::Released].map(|s| dayfly_shared::bucket::semaphore_body(&semaphore(s)));
    assert_eq!(bodies.map(|b| Board::released_hint(b.len() as u64)), [false, true]);
}

#[test]
fn a_semaphore_that_is_gone_when_read_leaves_a_free_chunk() {
    let mut board = board(1);
    let world = Coverage { semaphores: vec![held(1, "v1", Some(100))], ..Coverage::default() };
    assert_eq!(search(&mut board, 0, at(100), 10, &world), Candidate::Look(chunk(1)));
    board.on_look(chunk(1), None, at(100));
    assert_eq!(board.next(0, at(100)), Candidate::Open(chunk(1)));
}

#[test]
fn after_lost_claims_the_listing_is_made_anew() {
    let mut board = board(10);
    let world = Coverage::default();
    for _ in 0..2 {
        let Candidate::Open(lost) = search(&mut board, 0, at(1), 10, &world) else { panic!() };
        board.begin(lost);
        board.end(lost, true, at(1));
    }
    assert!(matches!(board.next(0, at(1)), Candidate::List(_)));
}

#[test]
fn slots_of_one_agent_never_get_the_same_chunk() {
    let mut board = board(3);
    let mut got = Vec::new();
    for draw in [0, 0, 0] {
        let Candidate::Open(one) = search(&mut board, draw, at(1), 10, &Coverage::default()) else { panic!() };
        board.begin(one);
        got.push(one);
    }
    got.sort();
    assert_eq!(got, [chunk(1), chunk(2), chunk(3)]);
    assert!(matches!(search(&mut board, 0, at(1), 10, &Coverage::default()), Candidate::None(v) if !v.all_closed));
}

#[test]
fn new_segments_go_on_the_ring() {
    let mut board = board(2);
    board.close(chunk(1));
    board.close(chunk(2));
    assert!(board.all_closed());
    board.add_segment(1);
    assert!(!board.all_closed());
    let world = Coverage { results: vec![chunk(1), chunk(2)], ..Coverage::default() };
    let mut from = None;
    if let Candidate::List(at) = board.next(5, at(1)) {
        from = Some(at);
    }
    board.on_page(&Coverage { from, ..world }, at(1));
    let found = loop {
        match board.next(5, at(1)) {
            Candidate::List(from) => board.on_page(&Coverage { from: Some(from), ..Coverage::default() }, at(1)),
            other => break other,
        }
    };
    assert_eq!(found, Candidate::Open(ChunkId { segment: 2, index: 1 }));
}
