//! Watches for what EC2 announces for this instance.

use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use tokio::sync::watch;

use super::notice::{Interruption, Scheduled, WARNING, rebalance};
use super::{InstanceMetadata, Wishes};
use crate::driver::Stop;

/// Between two looks (EC2 user guide, "Spot Instance interruption notices": "every 5 seconds").
const POLL: Duration = Duration::from_secs(5);

/// Before the first look: an agent's start has better things to ask the service for, and notices come minutes ahead.
const FIRST: Duration = Duration::from_secs(1);

/// Scheduled events are announced days ahead: one look of so many, a minute.
const LOOKS_AN_EVENT_LOOK: u32 = 12;

/// A scheduled event is met as early as an interruption, and a minute more for the look that sees it coming.
const AHEAD: Duration = Duration::from_secs(WARNING.as_secs() + 60);

/// Turns notices of the metadata service into wishes to stop.
pub struct SpotWatcher {
    metadata: Arc<dyn InstanceMetadata>,
    clock: Arc<dyn Clock>,
    wishes: Wishes,
    notice: watch::Sender<Option<String>>,
    drain_on_rebalance: bool,
    /// What stopping for a rebalance recommendation may take: there is no known end.
    grace: Duration,
    mute: bool,
}

impl SpotWatcher {
    /// One that has not looked yet. What is no reason to stop goes to `notice`.
    pub fn new(
        metadata: Arc<dyn InstanceMetadata>,
        clock: Arc<dyn Clock>,
        wishes: Wishes,
        notice: watch::Sender<Option<String>>,
    ) -> Self {
        Self { metadata, clock, wishes, notice, drain_on_rebalance: false, grace: WARNING, mute: false }
    }

    /// Whether a rebalance recommendation is a reason to stop, and how long running tasks get then.
    #[must_use]
    pub fn drain_on_rebalance(mut self, drains: bool, grace: Duration) -> Self {
        (self.drain_on_rebalance, self.grace) = (drains, grace);
        self
    }

    /// Looks until there is an interruption notice: nothing worse can come.
    pub async fn run(mut self) {
        let mut looks = 0;
        self.clock.sleep(FIRST).await;
        while !self.look(looks).await {
            looks = (looks + 1) % LOOKS_AN_EVENT_LOOK;
            self.clock.sleep(POLL).await;
        }
    }

    /// One look; whether the instance is about to end.
    async fn look(&mut self, looks: u32) -> bool {
        if let Some(text) = self.value("spot/instance-action").await {
            if let Some(notice) = Interruption::parse(&text) {
                self.stop(notice.why(), notice.deadline(self.clock.now()));
                return true;
            }
            self.complain(&format!("spot/instance-action is no notice that this agent knows: {text:.200}"));
        }
        if let Some(text) = self.value("events/recommendations/rebalance").await {
            let why = rebalance(&text);
            if self.announce(&why) && self.drain_on_rebalance {
                self.stop(why, self.clock.now().at.after(self.grace));
            }
        }
        if looks == 0
            && let Some(event) =
                self.value("events/maintenance/scheduled").await.and_then(|text| Scheduled::first(&text))
        {
            self.announce(&event.why());
            if let Some(deadline) = event.deadline(self.clock.now(), AHEAD) {
                self.stop(event.why(), deadline);
            }
        }
        false
    }

    fn stop(&self, why: String, deadline: dayfly_shared::clock::Moment) {
        tracing::warn!(why, "this instance is about to end");
        self.wishes.wish(Stop { why, deadline });
    }

    /// Notes what was announced; whether it is news.
    fn announce(&self, what: &str) -> bool {
        let news = self.notice.send_if_modified(|standing| {
            let news = standing.as_deref() != Some(what);
            if news {
                *standing = Some(what.to_owned());
            }
            news
        });
        if news {
            tracing::warn!(what, "EC2 announces");
        }
        news
    }

    /// The value; a service that does not answer says nothing, and is complained about once until it answers again.
    async fn value(&mut self, name: &str) -> Option<String> {
        match self.metadata.value(name).await {
            Ok(value) => {
                self.mute = false;
                value
            }
            Err(error) => {
                self.complain(&error);
                None
            }
        }
    }

    fn complain(&mut self, what: &str) {
        if !std::mem::replace(&mut self.mute, true) {
            tracing::warn!(what, "looking for notices");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use dayfly_shared::clock::{Moment, Now, Timestamp};
    use futures::future::BoxFuture;

    use super::*;

    const WALL: &str = "2026-01-01T00:00:00Z";

    /// Time that passes when somebody sleeps.
    #[derive(Default)]
    struct SleepClock(Mutex<Duration>);

    impl Clock for SleepClock {
        fn now(&self) -> Now {
            let at = *self.0.lock().unwrap();
            let wall: Timestamp = WALL.parse().unwrap();
            Now { at: Moment(at), wall: Timestamp::from_unix_ms(wall.unix_ms + at.as_millis() as u64) }
        }

        fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
            *self.0.lock().unwrap() += wait;
            Box::pin(async {})
        }
    }

    /// Answers by look: what is not listed is 404; `None` is a service that does not answer.
    struct Script {
        clock: Arc<SleepClock>,
        says: HashMap<&'static str, Vec<(u64, Option<&'static str>)>>,
    }

    #[async_trait]
    impl InstanceMetadata for Script {
        async fn user_data(&self) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn identity(&self) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn value(&self, name: &str) -> Result<Option<String>, String> {
            let now = self.clock.now().at.0.as_secs();
            let said = self.says.get(name).and_then(|says| says.iter().rfind(|(from, _)| *from <= now));
            match said {
                None => Ok(None),
                Some((_, None)) => Err("503".to_owned()),
                Some((_, Some(text))) => Ok(Some((*text).to_owned())),
            }
        }
    }

    struct Seen {
        stop: Option<Stop>,
        notice: Option<String>,
        at: u64,
    }

    async fn watch_it(drains: bool, says: &[(&'static str, u64, Option<&'static str>)]) -> Seen {
        let clock = Arc::new(SleepClock::default());
        let mut script: HashMap<_, Vec<_>> = HashMap::new();
        for (name, from, text) in says {
            script.entry(*name).or_default().push((*from, *text));
        }
        let metadata = Arc::new(Script { clock: clock.clone(), says: script });
        let wishes = Wishes::default();
        let (sender, notice) = watch::channel(None);
        let watcher = SpotWatcher::new(metadata, clock.clone(), wishes.clone(), sender)
            .drain_on_rebalance(drains, Duration::from_secs(90));
        watcher.run().await;
        let stop = wishes.receiver().borrow().clone();
        let notice = notice.borrow().clone();
        Seen { stop, notice, at: clock.now().at.0.as_secs() }
    }

    const ACTION: &str = "spot/instance-action";
    const NOTICE: &str = r#"{"action": "terminate", "time": "2026-01-01T00:05:00Z"}"#;

    #[tokio::test]
    async fn a_notice_is_seen_within_five_seconds_and_outages_are_none() {
        let says = [(ACTION, 20, None), (ACTION, 60, Some("<html>")), (ACTION, 181, Some(NOTICE))];
        let seen = watch_it(false, &says).await;
        assert_eq!(seen.at, 181);
        let stop = seen.stop.unwrap();
        assert_eq!(stop.deadline, Moment(Duration::from_secs(300 - 40)));
        assert!(stop.why.starts_with("spot notice"), "{stop:?}");
        assert_eq!(seen.notice, None);
    }

    #[tokio::test]
    async fn a_recommendation_is_noted_and_stops_only_who_wants_it() {
        let recommendation =
            ("events/recommendations/rebalance", 10, Some(r#"{"noticeTime": "2026-01-01T00:00:10Z"}"#));
        // A late notice ends the watch.
        let end = (ACTION, 1000, Some(r#"{"action": "stop", "time": "2026-01-01T01:00:00Z"}"#));
        let seen = watch_it(false, &[recommendation, end]).await;
        assert!(seen.stop.unwrap().why.starts_with("spot notice"));
        assert!(seen.notice.unwrap().contains("rebalance"));
        let seen = watch_it(true, &[recommendation, end]).await;
        let stop = seen.stop.unwrap();
        assert!(stop.why.starts_with("rebalance"), "{stop:?}");
        assert_eq!(stop.deadline, Moment(Duration::from_secs(101)));
    }

    #[tokio::test]
    async fn an_event_stops_the_agent_only_when_it_is_near() {
        let event = r#"[{"NotBefore": "1 Jan 2026 00:30:00 GMT", "Code": "instance-stop", "State": "active"}]"#;
        let end = (ACTION, 3000, Some(r#"{"action": "stop", "time": "2026-01-01T01:00:00Z"}"#));
        let seen = watch_it(false, &[("events/maintenance/scheduled", 0, Some(event)), end]).await;
        let stop = seen.stop.unwrap();
        assert!(stop.why.starts_with("scheduled event: instance-stop"), "{stop:?}");
        let minute = stop.deadline.0.as_secs() / 60;
        assert!((28..30).contains(&minute), "{stop:?}");
        assert!(seen.notice.unwrap().starts_with("scheduled event"));
    }
}
