//! What EC2 announces for an instance, read: interruption notices, rebalance recommendations, scheduled events.

use std::time::Duration;

use dayfly_shared::clock::{Moment, Now, Timestamp};
use serde_json::Value;

/// The time between an interruption notice and the interruption (EC2 user guide, "Spot Instance interruption notices").
pub const WARNING: Duration = Duration::from_secs(120);

/// What is left of it for giving chunks back (15 s at most), the last record and the log (20 s at most).
const UPLOADS: Duration = Duration::from_secs(40);

/// How events for an instance write months.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `21 Jan 2019 09:00:43 GMT` (EC2 user guide, "View scheduled events for your instances").
fn event_time(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[day, month, year, clock, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day:0>2}T{clock}Z").parse().ok()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

/// `spot/instance-action`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// `terminate`, `stop` or `hibernate`.
    action: String,
    time: Option<String>,
}

impl Interruption {
    /// Reads the notice; `None` for anything that is none.
    pub fn parse(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let notice = Self { action: text(&value, "action")?, time: text(&value, "time") };
        matches!(notice.action.as_str(), "terminate" | "stop" | "hibernate").then_some(notice)
    }

    /// In words.
    pub fn why(&self) -> String {
        let at = self.time.as_deref().map(|time| format!(" at {time}")).unwrap_or_default();
        format!("spot notice: EC2 will {} this instance{at}", self.action)
    }

    /// When what runs has to be stopped.
    pub fn deadline(&self, now: Now) -> Moment {
        deadline(self.time.as_deref().and_then(|time| time.parse().ok()), now)
    }
}

/// Before what EC2 does at `time`, with what uploads take left. Never later than the usual warning allows: this machine's
/// clock may be wrong.
fn deadline(time: Option<Timestamp>, now: Now) -> Moment {
    let left = time.map_or(WARNING, |time| time.since(now.wall)).min(WARNING);
    now.at.after(left.saturating_sub(UPLOADS))
}

/// An entry of `events/maintenance/scheduled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    code: String,
    not_before: String,
}

impl Scheduled {
    /// Reads the list and gives the first event to come that is not cancelled or over.
    pub fn first(json: &str) -> Option<Self> {
        let events: Value = serde_json::from_str(json).ok()?;
        let active = events.as_array()?.iter().filter(|event| event["State"] == "active");
        let read = |event| Some(Self { code: text(event, "Code")?, not_before: text(event, "NotBefore")? });
        active.filter_map(read).min_by_key(Self::at)
    }

    /// The earliest time at which it happens; one that cannot be read is taken for far.
    fn at(&self) -> Timestamp {
        event_time(&self.not_before).unwrap_or(Timestamp::from_unix_ms(u64::MAX))
    }

    /// In words.
    pub fn why(&self) -> String {
        format!("scheduled event: {}, from {} on", self.code, self.not_before)
    }

    /// When what runs has to be stopped; `None`: not yet, `ahead` being how long before the event the agent begins to stop.
    pub fn deadline(&self, now: Now, ahead: Duration) -> Option<Moment> {
        let at = self.at();
        (at.since(now.wall) <= ahead).then(|| deadline(Some(at), now))
    }
}

/// `events/recommendations/rebalance`, in words.
pub fn rebalance(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let at = text(&value, "noticeTime").map(|time| format!(", since {time}")).unwrap_or_default();
    format!("rebalance recommendation: this instance is at a higher risk of interruption{at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: &str) -> Now {
        Now { at: Moment(Duration::from_secs(1000)), wall: wall.parse().unwrap() }
    }

    fn after(seconds: u64) -> Moment {
        Moment(Duration::from_secs(1000 + seconds))
    }

    #[test]
    fn a_notice_leaves_what_uploads_take() {
        let notice = Interruption::parse(r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#).unwrap();
        assert_eq!(notice.why(), "spot notice: EC2 will terminate this instance at 2017-09-18T08:22:00Z");
        assert_eq!(notice.deadline(now("2017-09-18T08:20:30Z")), after(50));
        assert_eq!(notice.deadline(now("2017-09-18T08:21:40Z")), after(0), "too late for anything but giving back");
        assert_eq!(notice.deadline(now("2017-09-18T07:20:00Z")), after(80), "a clock that is an hour late");
    }

    #[test]
    fn a_notice_without_a_readable_time_is_one_of_two_minutes() {
        for text in [r#"{"action": "hibernate"}"#, r#"{"action": "stop", "time": "soon"}"#] {
            assert_eq!(Interruption::parse(text).unwrap().deadline(now("2017-09-18T08:20:00Z")), after(80), "{text}");
        }
    }

    #[test]
    fn what_is_no_notice_is_none() {
        for text in ["", "<html>", "{}", r#"{"action": "none"}"#] {
            assert_eq!(Interruption::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_active_event_counts_and_only_when_it_is_near() {
        let text = r#"[
            {"NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-reboot", "Description": "d", "EventId": "e",
             "NotAfter": "21 Jan 2019 09:17:23 GMT", "State": "completed"},
            {"NotBefore": "23 Jan 2019 09:00:43 GMT", "Code": "instance-stop", "State": "active"},
            {"NotBefore": "2 Jan 2020 09:00:00 GMT", "Code": "instance-retirement", "State": "active"}]"#;
        let event = Scheduled::first(text).unwrap();
        assert_eq!(event.why(), "scheduled event: instance-stop, from 23 Jan 2019 09:00:43 GMT on");
        let ahead = Duration::from_secs(180);
        assert_eq!(event.deadline(now("2019-01-23T08:00:00Z"), ahead), None);
        assert_eq!(event.deadline(now("2019-01-23T08:58:43Z"), ahead), Some(after(80)));
        assert_eq!(Scheduled::first("[]"), None);
    }

    #[test]
    fn an_event_whose_time_cannot_be_read_stops_nothing() {
        let text = r#"[{"NotBefore": "soon", "Code": "instance-stop", "State": "active"}]"#;
        let event = Scheduled::first(text).unwrap();
        assert_eq!(event.deadline(now("2019-01-23T08:00:00Z"), Duration::from_secs(180)), None);
    }

    #[test]
    fn a_recommendation_says_since_when() {
        assert!(rebalance(r#"{"noticeTime": "2020-10-27T08:22:00Z"}"#).ends_with("since 2020-10-27T08:22:00Z"));
        assert!(rebalance("?").ends_with("interruption"));
    }
}
