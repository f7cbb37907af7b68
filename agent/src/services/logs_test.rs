//! Batches within the limits, bounded memory, losses counted.

use super::*;

fn event(timestamp: u64, bytes: usize) -> Event {
    Event { timestamp, message: "x".repeat(bytes) }
}

fn queue(events: impl IntoIterator<Item = Event>) -> Queue {
    let mut queue = Queue::default();
    events.into_iter().for_each(|event| queue.push(event));
    queue
}

#[test]
fn a_batch_is_in_the_order_of_time() {
    let mut queue = queue([event(3, 1), event(1, 2), event(2, 3)]);
    let times: Vec<u64> = queue.batch().iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [1, 2, 3]);
    assert_eq!(queue.bytes, 0);
    assert!(queue.batch().is_empty());
}

#[test]
fn a_batch_has_at_most_ten_thousand_events() {
    let mut queue = queue((0..10_001).map(|n| event(n, 1)));
    assert_eq!(queue.batch().len(), 10_000);
    assert_eq!(queue.batch().len(), 1);
}

#[test]
fn a_batch_has_at_most_a_mebibyte_with_26_bytes_an_event() {
    let size = BATCH_BYTES / 8 - EVENT_BYTES;
    let mut queue = queue((0..9).map(|n| event(n, size)));
    assert_eq!(queue.batch().len(), 8);
    assert_eq!(queue.batch().len(), 1);
}

#[test]
fn a_batch_spans_less_than_a_day() {
    let mut queue = queue([event(10, 1), event(5, 1), event(5 + BATCH_SPAN_MS, 1)]);
    assert_eq!(queue.batch().len(), 2);
    assert_eq!(queue.batch().len(), 1);
}

#[test]
fn what_waits_is_bounded_and_what_is_lost_is_counted() {
    let mut queue = queue((0..100).map(|n| event(n, 100_000)));
    assert!(queue.bytes <= WAITING_BYTES);
    assert_eq!(queue.lost as usize + queue.events.len(), 100);
    assert_eq!(queue.events.back().map(|event| event.timestamp), Some(99), "the newest stay");
    let before = queue.lost;
    let batch = queue.batch();
    (100..200).for_each(|n| queue.push(event(n, 100_000)));
    queue.put_back(batch);
    assert!(queue.bytes <= WAITING_BYTES && queue.lost > before);
    assert_eq!(queue.bytes, queue.events.iter().map(Event::bytes).sum::<usize>());
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let mut lines = Lines::new(Arc::new(dayfly_shared::clock::SystemClock));
    let line = "é".repeat(MESSAGE_BYTES);
    io::Write::write_all(&mut lines, line.as_bytes()).unwrap();
    let message = lines.queue().batch().remove(0).message;
    assert!(message.len() <= MESSAGE_BYTES && message.ends_with('é'));
}

#[test]
fn rejected_events_are_counted() {
    let answer = r#"{"rejectedLogEventsInfo": {"tooNewLogEventStartIndex": 8, "tooOldLogEventEndIndex": 3,
        "expiredLogEventEndIndex": 1}}"#;
    assert_eq!(rejected(answer, 10), 5);
    assert_eq!(rejected("{}", 10), 0);
    assert_eq!(rejected("", 10), 0);
}
