//! A secret's service that takes every call and answers none: those who can be told are told once all the same.

use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, Moment, Now, Timestamp};
use dayfly_shared::notice::{Address, Herald, Notice, NoticeState, Teller, Telling, Untold};
use dayfly_shared::records::{Summary, to_json};
use dayfly_shared::rng::StdDice;
use dayfly_shared::services::{Account, Heralds, Vault};
use dayfly_shared::store::{Attributes, Condition, MemoryStore, S3Settings};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

/// Time that passes when nothing else can be done.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<Sleepers>>);

#[derive(Default)]
struct Sleepers {
    now: Duration,
    until: Vec<(Duration, Waker)>,
}

struct Sleep(Idle, Duration);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.0.0.lock().unwrap();
        if sleepers.now >= self.1 {
            return Poll::Ready(());
        }
        sleepers.until.push((self.1, cx.waker().clone()));
        Poll::Pending
    }
}

impl Clock for Idle {
    fn now(&self) -> Now {
        let now = self.0.lock().unwrap().now;
        let ms = 1_700_000_000_000 + u64::try_from(now.as_millis()).unwrap();
        Now { at: Moment(now), wall: Timestamp::from_unix_ms(ms) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let until = self.0.lock().unwrap().now + wait;
        Sleep(self.clone(), until).boxed()
    }
}

impl Idle {
    /// Lets time pass, sleeper by sleeper, each after everybody had a turn.
    async fn pass(&self) {
        loop {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let mut sleepers = self.0.lock().unwrap();
            let now = sleepers.until.iter().map(|(until, _)| *until).min().unwrap_or(sleepers.now);
            sleepers.now = sleepers.now.max(now);
            sleepers.until.retain(|(until, waker)| {
                let is_due = *until <= now;
                is_due.then(|| waker.wake_by_ref());
                !is_due
            });
        }
    }
}

/// A webhook that takes everything, and the rest by real heralds.
struct Both {
    told: AtomicUsize,
    heralds: Heralds,
}

#[async_trait]
impl Herald for Both {
    async fn tell(&self, to: &Address, notice: &Notice) -> Result<(), Untold> {
        if matches!(to, Address::Webhook(_)) {
            self.told.fetch_add(1, SeqCst);
            return Ok(());
        }
        self.heralds.tell(to, notice).await
    }
}

/// Three agents at the end of a job, one of them telling, the others waiting until it is told or the teller is dead.
#[tokio::test]
async fn whoever_can_be_told_is_told_once() {
    let clock = Idle::default();
    // Connections are taken by the system, and nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = S3Settings {
        endpoint_url: Some(format!("http://{}", silent.local_addr().unwrap())),
        region: Some("eu-west-1".to_owned()),
        keys: Some(("key".to_owned(), "secret".to_owned())),
        ..S3Settings::new("bucket")
    };
    let store = Arc::new(MemoryStore::new("bucket", Arc::new(clock.clone())));
    let job = JobBucket::new("s3://bucket/job".parse().unwrap(), store);
    let summary: Summary = serde_json::from_value(serde_json::json!({
        "schema": 1, "job": "s3://bucket/job/", "segments": 1, "tasks": 2, "done": 2, "failed": 0, "bytes": 0,
        "attempts": 2, "by": "one-00000001", "at": clock.now().wall,
    }))
    .unwrap();
    job.store()
        .put(&job.keys.summary(), to_json(&summary).into(), &Attributes::json(), &Condition::Create)
        .await
        .unwrap();
    let account = Arc::new(Account::new(settings, None, Arc::new(clock.clone())));
    let heralds = Heralds::new(account.clone(), Arc::new(Vault::new(account)));
    let both = Arc::new(Both { told: AtomicUsize::new(0), heralds });
    let to: Vec<Address> = ["https://hooks.example/good", "ssm:/hook"].map(|text| text.parse().unwrap()).into();
    let notice = Notice::new(&summary, None);
    let agents = (0..3).map(|n| {
        let (both, job, to, notice, clock) = (both.clone(), &job, &to, &notice, clock.clone());
        async move {
            let dice = Arc::new(StdDice::seeded(n));
            let clock: Arc<dyn Clock> = Arc::new(clock);
            let (me, after) = (format!("agent {n}"), Duration::ZERO);
            let teller = Teller { herald: both, me, after, clock: clock.clone(), dice };
            while teller.tell(job, to, notice).await.unwrap() == Telling::UnderWay {
                clock.sleep(Duration::from_secs(5)).await;
            }
        }
    });
    tokio::select! {
        biased;
        _ = join_all(agents) => {}
        () = clock.pass() => {}
    }
    let (record, _) = job.notice(&summary).await.unwrap().unwrap();
    assert_eq!((both.told.load(SeqCst), record.state), (1, NoticeState::Sent), "{record:?}");
    let error = record.told.iter().find(|one| one.to == "ssm:/hook").and_then(|one| one.error.as_deref());
    assert!(error.is_some_and(|why| why.contains("ssm:/hook") && why.contains("no answer")), "{error:?}");
    assert!(clock.now().at < Moment(Duration::from_secs(120)), "{:?}", clock.now().at);
}
