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

/// A board whose one segment has `rounds` of so many tasks a chunk, each of `agents` chunks.
fn cut(rounds: &[u32], agents: u32) -> Board {
    let mut board = Board::new(policy());
    board.add_cut(rounds.iter().flat_map(|size| std::iter::repeat_n(*size, agents as usize)), agents);
    board
}

/// Before every claim that may take a glance, this draw takes none.
const NO_GLANCE: u64 = 299 << 32;

#[test]
fn an_agent_goes_along_its_lane_without_a_listing() {
    for draw in 0..20 {
        let mut board = cut(&[8, 4, 2], 4);
        let mut got = vec![board.first_choice(draw).unwrap()];
        while got.len() < 3 {
            let last = *got.last().unwrap();
            board.begin(last);
            board.end_closed(last);
            let Candidate::Open(next) = board.next(NO_GLANCE, at(1)) else { panic!("{got:?}") };
            got.push(next);
        }
        let lane = got[0].index;
        assert!(lane <= 4, "a lane begins in the first round");
        assert_eq!(got, [chunk(lane), chunk(lane + 4), chunk(lane + 8)]);
        board.begin(got[2]);
        board.end_closed(got[2]);
        assert!(matches!(board.next(NO_GLANCE, at(1)), Candidate::List(_)), "the lane is done");
    }
}

#[test]
fn the_lanes_of_agents_are_drawn_from_all_of_them() {
    let board = cut(&[8, 4], 50);
    let lanes: std::collections::BTreeSet<u32> =
        (0..200).map(|n| board.first_choice(n * 7919).unwrap().index).collect();
    assert_eq!(lanes, (1..=50).collect());
}

#[test]
fn who_loses_a_lane_gets_a_free_one_of_the_same_round_and_goes_on_there() {
    let mut board = cut(&[8, 4, 2], 4);
    let lost = board.first_choice(0).unwrap();
    board.begin(lost);
    board.end(lost, true, at(1));
    let world = Coverage { semaphores: [1, 2, 4].map(|n| held(n, "v1", Some(1))).to_vec(), ..Coverage::default() };
    for draw in [0, 5, 11] {
        let mut board = board.clone();
        assert_eq!(search(&mut board, draw, at(1), 100, &world), Candidate::Open(chunk(3)));
        board.begin(chunk(3));
        board.end_closed(chunk(3));
        assert_eq!(board.next(NO_GLANCE, at(2)), Candidate::Open(chunk(7)));
    }
}

#[test]
fn more_agents_than_expected_spread_over_later_rounds() {
    // Two were expected, forty are at work: who looks must not be led to the one free chunk of the lowest round.
    let world = Coverage { semaphores: (1..=40).map(|n| held(n, "v1", Some(1))).collect(), ..Coverage::default() };
    let mut got = std::collections::BTreeSet::new();
    for draw in 0..200 {
        let mut board = Board::new(policy());
        board.add_cut(std::iter::repeat_n(8, 200), 2);
        let Candidate::Open(one) = search(&mut board, draw, at(1), 1000, &world) else { panic!() };
        got.insert(one);
    }
    assert!(got.len() > 20, "{got:?}");
}

#[test]
fn what_was_left_of_an_earlier_round_goes_before_ones_own_smaller_chunk() {
    let mut board = cut(&[8, 4, 2], 4);
    board.begin(chunk(5));
    board.end_closed(chunk(5));
    let mut world = Coverage {
        results: [1, 3, 4].map(chunk).to_vec(),
        semaphores: [6, 7, 8].map(|n| held(n, "v1", Some(1))).to_vec(),
        ..Coverage::default()
    };
    // Nobody ever had chunk 2.
    let mut free = board.clone();
    assert_eq!(search(&mut free, 0, at(1), 100, &world), Candidate::Open(chunk(2)));
    free.begin(chunk(2));
    free.end_closed(chunk(2));
    assert_eq!(free.next(NO_GLANCE, at(2)), Candidate::Open(chunk(9)), "its own comes next, as chunk 6 is held");
    // Or its holder is dead.
    world.semaphores.push(held(2, "v1", Some(100)));
    let mut expired = board.clone();
    assert_eq!(search(&mut expired, 0, at(1), 100, &world), Candidate::Look(chunk(2)));
    let found = (semaphore(LeaseState::Held), ETag::new("v1"), Some(Duration::from_secs(100)));
    expired.on_look(chunk(2), Some(found), at(1));
    assert!(matches!(expired.next(NO_GLANCE, at(1)), Candidate::Take(c, _) if c == chunk(2)));
    // Without a glance nobody knows of it.
    assert_eq!(board.next(NO_GLANCE, at(1)), Candidate::Open(chunk(9)));
}

#[test]
fn the_largest_of_what_is_free_is_taken_first() {
    for draw in 0..50 {
        let mut board = cut(&[8, 4, 2], 4);
        let world = Coverage { results: [1, 2, 4].map(chunk).to_vec(), ..Coverage::default() };
        let Candidate::List(_) = board.next(draw, at(1)) else { panic!() };
        board.on_page(&Coverage { from: Some(chunk(1)), ..world }, at(1));
        assert_eq!(board.next(draw, at(1)), Candidate::Open(chunk(3)), "draw {draw}");
    }
}

#[test]
fn what_is_known_to_be_closed_is_not_listed_again() {
    for draw in 0..50 {
        let mut board = board(100);
        for n in (1..=90).chain(95..=100) {
            board.close(chunk(n));
        }
        let semaphores = (91..=94).map(|n| held(n, "v1", Some(1))).collect();
        let mut pages = 0;
        while let Candidate::List(from) = board.next(draw, at(1)) {
            pages += 1;
            assert!((91..=94).contains(&from.index), "{from}");
            let to = (from.index + 9 < 100).then(|| chunk(from.index + 9));
            let page = Coverage { from: Some(from), to, semaphores: Vec::clone(&semaphores), ..Coverage::default() };
            board.on_page(&page, at(1));
        }
        assert!((1..=2).contains(&pages), "{pages} pages");
    }
}

/// A large row, every chunk held but one.
fn all_held_but(free: u32, chunks: u32) -> Coverage {
    let others = (1..=chunks).filter(|n| *n != free);
    Coverage { semaphores: others.map(|n| held(n, "v1", Some(1))).collect(), ..Coverage::default() }
}

#[test]
fn a_small_row_is_searched_all_the_way_round() {
    for free in [1, 999, 2000, 3000] {
        let world = all_held_but(free, 3000);
        for draw in [0, 1234, 2999, u64::MAX] {
            let mut board = cut(&[3, 2, 1], 1000);
            assert_eq!(search(&mut board, draw, at(1), 1000, &world), Candidate::Open(chunk(free)));
        }
    }
}

#[test]
fn a_large_row_is_searched_by_samples_unless_the_agent_stands_by() {
    let free = 2345;
    let world = all_held_but(free, 8000);
    let mut missed = 0;
    for draw in 0..20 {
        let draw = 0x1234_5678_9abc_def1_u64.wrapping_mul(draw);
        let mut board = cut(&[8, 4, 2, 1], 2000);
        board.begin(chunk(8000));
        board.end_closed(chunk(8000));
        let mut guard = board.clone();
        guard.stand_by(true);
        let found = search(&mut board, draw, at(1), 1000, &world);
        missed += u32::from(matches!(found, Candidate::None(verdict) if !verdict.all_closed));
        assert_eq!(search(&mut guard, draw, at(1), 1000, &world), Candidate::Open(chunk(free)), "draw {draw}");
    }
    assert!(missed > 10, "a sample is no proof: {missed}");
}

#[test]
fn a_search_by_samples_takes_few_pages() {
    let world = Coverage { results: (1..=40_000).map(chunk).collect(), ..Coverage::default() };
    for draw in 0..20 {
        let draw = 0x1234_5678_9abc_def1_u64.wrapping_mul(draw);
        let mut board = cut(&[8, 4, 2, 1], 10_000);
        board.begin(chunk(40_000));
        board.end_closed(chunk(40_000));
        let mut pages = 0;
        while let Candidate::List(from) = board.next(draw, at(1)) {
            pages += 1;
            let to = from.index + 999;
            let results = world.results.iter().copied().filter(|c| (from.index..=to).contains(&c.index)).collect();
            let to = (to < 40_000).then(|| chunk(to));
            board.on_page(&Coverage { from: Some(from), to, results, semaphores: Vec::new() }, at(1));
        }
        assert!((1..=2).contains(&pages), "{pages} pages, draw {draw}");
    }
}

#[test]
fn a_guard_knows_when_the_first_lease_may_expire_and_remembers_no_more_than_that() {
    let mut board = cut(&[8, 4, 2, 1], 2000);
    board.stand_by(true);
    let mut world =
        Coverage { semaphores: (1..=8000).map(|n| held(n, "v1", Some(1))).collect(), ..Coverage::default() };
    world.semaphores[4999] = held(5000, "v1", Some(50));
    let Candidate::None(verdict) = search(&mut board, 17, at(100), 1000, &world) else { panic!() };
    assert_eq!(verdict.look_again, Some(at(113)));
    assert!(board.sightings().is_empty());
}

#[test]
fn among_lanes_a_listing_is_old_after_a_heartbeat() {
    let world = Coverage::default();
    for (wait, lanes, fresh) in [(19, 4, true), (21, 4, false), (21, 0, true)] {
        let mut board = Board::new(policy());
        board.add_cut(std::iter::repeat_n(1, 12), lanes);
        let Candidate::Open(one) = search(&mut board, 0, at(100), 100, &world) else { panic!() };
        board.begin(one);
        board.end(one, false, at(100));
        let next = board.next(0, at(100 + wait));
        assert_eq!(matches!(next, Candidate::Open(_)), fresh, "{wait} {lanes} {next:?}");
    }
}

#[test]
fn an_agent_that_comes_late_is_not_led_along_a_lane_that_is_done() {
    let mut board = cut(&[1, 1, 1], 4);
    let first = board.first_choice(1).unwrap();
    board.begin(first);
    // Its result stood already.
    board.close(first);
    board.end(first, true, at(1));
    assert!(matches!(board.next(NO_GLANCE, at(1)), Candidate::List(_)));
    assert!(board.sightings().is_empty());
}

#[test]
fn what_is_at_hand_takes_no_listing() {
    let mut board = board(50);
    assert!(!board.is_next_at_hand(at(0)), "nothing was listed yet");
    let world = Coverage { results: (1..=48).map(chunk).collect(), ..Coverage::default() };
    let Candidate::Open(first) = search(&mut board, 3, at(0), 100, &world) else { panic!("two are free") };
    board.begin(first);
    assert!(board.is_next_at_hand(at(0)), "the other one was listed");
    assert!(matches!(board.next(3, at(0)), Candidate::Open(_)));
    assert!(!board.is_next_at_hand(at(0)), "both were offered");
}

#[test]
fn a_lane_goes_on_beside_the_last_upload() {
    let mut board = Board::new(policy());
    board.add_cut(std::iter::repeat_n(1, 40), 4);
    let first = board.first_choice(1).expect("a lane");
    board.begin(first);
    assert!(!board.is_next_at_hand(at(0)));
    board.lead_on(first);
    assert!(board.is_next_at_hand(at(0)));
    let next = chunk(first.index + 4);
    assert_eq!(board.next(0, at(0)), Candidate::Open(next));
    board.begin(next);
    board.end_closed(first);
    assert!(!board.is_next_at_hand(at(0)), "what follows is promised once");
}
