//! CloudWatch Logs: the agent's log lines, a second time, for those who watch there. The bucket stays the record; what
//! does not get through is counted and said.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dayfly_shared::clock::{Clock, Moment};
use dayfly_shared::services::{Answer, Service, Services};
use serde::Serialize;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

const LOGS: Service = Service { name: "logs", variable: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS" };

// The limits of one call (CloudWatch Logs API reference, "PutLogEvents").
const BATCH_EVENTS: usize = 10_000;
const BATCH_BYTES: usize = 1_048_576;
/// What an event counts for besides its text.
const EVENT_BYTES: usize = 26;
const BATCH_SPAN_MS: u64 = 24 * 3600 * 1000;
/// The limit on one event that held until 2025, and still does in some partitions.
const MESSAGE_BYTES: usize = 262_144 - EVENT_BYTES;

/// Four full calls: the memory of an agent whose log does not get through.
const WAITING_BYTES: usize = 4 * BATCH_BYTES;
/// Between two calls.
const EVERY: Duration = Duration::from_secs(5);
/// After failures in a row the wait doubles up to this.
const SELDOM: Duration = Duration::from_secs(120);
/// How long the last lines are tried for at the end: the machine costs money.
const FAREWELL: Duration = Duration::from_secs(5);

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Event {
    timestamp: u64,
    message: String,
}

impl Event {
    fn bytes(&self) -> usize {
        self.message.len() + EVENT_BYTES
    }
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    lost: u64,
}

impl Queue {
    /// Adds an event; the oldest ones make room.
    fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(event);
        self.trim();
    }

    /// Takes back what could not be sent.
    fn put_back(&mut self, batch: Vec<Event>) {
        for event in batch.into_iter().rev() {
            self.bytes += event.bytes();
            self.events.push_front(event);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.bytes > WAITING_BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.bytes();
            self.lost += 1;
        }
    }

    /// The next call's events, within its limits, in the order of their times.
    fn batch(&mut self) -> Vec<Event> {
        let mut batch: Vec<Event> = Vec::new();
        let (mut bytes, mut first, mut last) = (0, u64::MAX, 0);
        while let Some(event) = self.events.front() {
            let (from, to) = (first.min(event.timestamp), last.max(event.timestamp));
            let full = batch.len() == BATCH_EVENTS || bytes + event.bytes() > BATCH_BYTES;
            if full || to - from >= BATCH_SPAN_MS {
                break;
            }
            (first, last) = (from, to);
            bytes += event.bytes();
            batch.extend(self.events.pop_front());
        }
        self.bytes -= bytes;
        batch.sort_by_key(|event| event.timestamp);
        batch
    }
}

/// Lines on their way to CloudWatch Logs; the log writes into it.
#[derive(Clone)]
pub struct Lines {
    queue: Arc<Mutex<Queue>>,
    clock: Arc<dyn Clock>,
}

impl Lines {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { queue: Arc::default(), clock }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Lines {
    /// One event of the log comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            let message = text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned();
            let timestamp = self.clock.now().wall.unix_ms;
            self.queue().push(Event { timestamp, message });
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Sends lines to a stream of a log group.
pub struct LogGroup {
    services: Arc<Services>,
    group: String,
    stream: String,
    lines: Lines,
    clock: Arc<dyn Clock>,
    has_stream: bool,
    failures: u32,
    next: Moment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_events: Option<&'a [Event]>,
}

/// How many of `all` events PutLogEvents says that it took no notice of: it names indices into the batch.
fn rejected(answer: &str, all: u64) -> u64 {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let index = |name: &str| answer["rejectedLogEventsInfo"][name].as_u64();
    let new = index("tooNewLogEventStartIndex").map_or(0, |start| all.saturating_sub(start));
    let old = index("tooOldLogEventEndIndex").max(index("expiredLogEventEndIndex")).unwrap_or(0);
    (new + old).min(all)
}

impl LogGroup {
    /// The stream is the agent's own.
    pub fn new(services: Arc<Services>, group: String, stream: String, lines: Lines, clock: Arc<dyn Clock>) -> Self {
        let next = clock.now().at;
        Self { services, group, stream, lines, clock, has_stream: false, failures: 0, next }
    }

    /// Sends what there is, again and again.
    pub async fn run(group: Arc<tokio::sync::Mutex<Self>>, clock: Arc<dyn Clock>) {
        loop {
            clock.sleep(EVERY).await;
            let mut group = group.lock().await;
            if clock.now().at >= group.next {
                group.send().await;
            }
        }
    }

    /// Sends what is left, for a few seconds.
    pub async fn farewell(&mut self) {
        let clock = Arc::clone(&self.clock);
        tokio::select! {
            biased;
            () = self.send() => {}
            () = clock.sleep(FAREWELL) => {}
        }
    }

    async fn send(&mut self) {
        loop {
            let batch = self.lines.queue().batch();
            if batch.is_empty() {
                return;
            }
            match self.put(&batch).await {
                Ok(rejected) => {
                    self.failures = 0;
                    let lost = rejected + std::mem::take(&mut self.lines.queue().lost);
                    if lost > 0 {
                        tracing::warn!(
                            lost,
                            "log lines did not get to CloudWatch Logs; the log in the bucket has them"
                        );
                    }
                }
                Err(error) => {
                    self.lines.queue().put_back(batch);
                    self.failures += 1;
                    self.next = self.clock.now().at.after(SELDOM.min(EVERY * (1 << self.failures.min(6))));
                    tracing::warn!(error, group = self.group, "sending the log to CloudWatch Logs; trying again later");
                    return;
                }
            }
        }
    }

    /// Puts events; how many were not taken.
    async fn put(&mut self, events: &[Event]) -> Result<u64, String> {
        if !self.has_stream {
            let answer = self.call("CreateLogStream", None).await?;
            if answer.status != 200 && !answer.body.contains("ResourceAlreadyExistsException") {
                return Err(refusal("logs:CreateLogStream", &answer));
            }
            self.has_stream = true;
        }
        let answer = self.call("PutLogEvents", Some(events)).await?;
        if answer.status != 200 {
            self.has_stream &= !answer.body.contains("ResourceNotFoundException");
            return Err(refusal("logs:PutLogEvents", &answer));
        }
        Ok(rejected(&answer.body, events.len() as u64))
    }

    async fn call(&self, action: &str, log_events: Option<&[Event]>) -> Result<Answer, String> {
        let call = Call { log_group_name: &self.group, log_stream_name: &self.stream, log_events };
        let body = serde_json::to_string(&call).map_err(|e| e.to_string())?;
        let target = format!("Logs_20140328.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        self.services.post(LOGS, &headers, body).await.map_err(|e| format!("logs:{action}: {e}"))
    }
}

fn refusal(action: &str, answer: &Answer) -> String {
    let words: String = answer.body.chars().take(300).collect();
    format!("{action}: HTTP {} {words}", answer.status)
}

#[cfg(test)]
#[path = "logs_test.rs"]
mod tests;
