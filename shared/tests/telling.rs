//! An end is told once: by many tellers at a time, over a store that leaves writes unanswered, and after one has died.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, Moment, Now, Timestamp};
use dayfly_shared::ids::AgentId;
use dayfly_shared::notice::{Address, Herald, Notice, NoticeState, Teller, Telling, Untold};
use dayfly_shared::records::{Summary, to_json};
use dayfly_shared::rng::StdDice;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, MemoryStore, Object, ObjectMeta, Outcome, Part, Result, Store,
    Upload,
};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

/// Time that passes where somebody waits, and nowhere else.
#[derive(Default)]
struct Waited(AtomicU64);

impl Clock for Waited {
    fn now(&self) -> Now {
        let ms = self.0.load(SeqCst);
        Now { at: Moment(Duration::from_millis(ms)), wall: Timestamp::from_unix_ms(1_700_000_000_000 + ms) }
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.0.fetch_add(u64::try_from(wait.as_millis()).unwrap(), SeqCst);
        tokio::task::yield_now().boxed()
    }
}

/// What becomes of a put whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    Request,
    Answer,
    /// It comes in the end.
    Time,
}

/// Longer than a telling may take after its announcement, and shorter than what makes that one old.
const SLOW: Duration = Duration::from_secs(85);

/// A store that loses what its list says, put by put.
struct Losing(Arc<MemoryStore>, Mutex<Vec<Option<Lost>>>, Arc<Waited>);

#[async_trait]
impl Store for Losing {
    async fn put(&self, key: &str, body: Bytes, with: &Attributes, condition: &Condition) -> Result<Outcome<ETag>> {
        let lost = self.1.lock().unwrap().pop().flatten();
        let unknown = Outcome::Unknown("no answer".to_owned());
        match lost {
            Some(Lost::Request) => Ok(unknown),
            Some(Lost::Time) => {
                let outcome = self.0.put(key, body, with, condition).await;
                self.2.sleep(SLOW).await;
                outcome
            }
            lost => {
                let outcome = self.0.put(key, body, with, condition).await?;
                Ok(if lost.is_some() { unknown } else { outcome })
            }
        }
    }

    fn place(&self, key: &str) -> String {
        self.0.place(key)
    }
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        self.0.get(key, range).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.0.head(key).await
    }
    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.0.list(query).await
    }
    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.0.delete(key, only).await
    }
    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.0.upload_begin(key, attributes).await
    }
    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.0.upload_part(upload, number, body).await
    }
    async fn upload_complete(&self, upload: &Upload, parts: &[Part], on: &Condition) -> Result<Outcome<ETag>> {
        self.0.upload_complete(upload, parts, on).await
    }
    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.0.upload_abort(upload).await
    }
    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.0.uploads(prefix).await
    }
}

/// Counts what it tells; the first so many are refused, for good or for a moment, and one may be its last.
#[derive(Default)]
struct Counting {
    told: AtomicUsize,
    refusals: AtomicUsize,
    is_final: bool,
    dies: bool,
}

#[async_trait]
impl Herald for Counting {
    async fn tell(&self, _: &Address, _: &Notice) -> std::result::Result<(), Untold> {
        if self.refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Untold { why: "not now".to_owned(), is_final: self.is_final });
        }
        self.told.fetch_add(1, SeqCst);
        if self.dies {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

struct Rig {
    clock: Arc<Waited>,
    store: Arc<MemoryStore>,
    notice: Notice,
    to: Vec<Address>,
}

impl Rig {
    async fn new() -> Self {
        let clock = Arc::new(Waited::default());
        let store = Arc::new(MemoryStore::new("bucket", clock.clone()));
        let at = clock.now().wall;
        let by: AgentId = "one-00000001".parse().unwrap();
        let json = serde_json::json!({
            "schema": 1, "job": "s3://bucket/job/", "segments": 1, "tasks": 2, "done": 1, "failed": 1, "bytes": 0,
            "attempts": 2, "by": by, "at": at,
        });
        let summary: Summary = serde_json::from_value(json).unwrap();
        let rig = Self { clock, store, notice: Notice::new(&summary, None), to: vec!["ssm:/hook".parse().unwrap()] };
        let job = rig.job(Vec::new());
        let body = to_json(&summary).into();
        job.store().put(&job.keys.summary(), body, &Attributes::json(), &Condition::Create).await.unwrap();
        rig
    }

    /// The job, over a store that loses these puts.
    fn job(&self, mut losses: Vec<Option<Lost>>) -> JobBucket {
        losses.reverse();
        JobBucket::new(
            "s3://bucket/job".parse().unwrap(),
            Arc::new(Losing(self.store.clone(), Mutex::new(losses), self.clock.clone())),
        )
    }

    async fn tell(&self, job: &JobBucket, herald: &Arc<Counting>, seed: u64, after: Duration) -> Telling {
        let herald: Arc<dyn Herald> = herald.clone();
        let dice = Arc::new(StdDice::seeded(seed));
        let teller = Teller { herald, me: format!("teller {seed}"), after, clock: self.clock.clone(), dice };
        teller.tell(job, &self.to, &self.notice).await.unwrap()
    }

    async fn state(&self) -> Option<NoticeState> {
        let standing = self.job(Vec::new()).notice(&self.notice.summary).await.unwrap();
        standing.map(|(record, _)| record.state)
    }
}

#[tokio::test]
async fn of_many_tellers_one_tells() {
    let (rig, herald) = (Rig::new().await, Arc::new(Counting { refusals: 2.into(), ..Counting::default() }));
    let job = rig.job(Vec::new());
    let all = join_all((0..32).map(|seed| rig.tell(&job, &herald, seed, Duration::ZERO))).await;
    assert_eq!(all.iter().filter(|telling| matches!(telling, Telling::Now(_))).count(), 1, "{all:?}");
    assert!(matches!(rig.tell(&job, &herald, 99, Duration::ZERO).await, Telling::Before(_)));
    assert_eq!((herald.told.load(SeqCst), rig.state().await), (1, Some(NoticeState::Sent)));
}

/// Announcement and record, each answered, unanswered, or lost: it is told once, and nobody is left to tell.
#[tokio::test]
async fn lost_answers_are_found_out() {
    let fates = [None, Some(Lost::Answer), Some(Lost::Request)];
    for first in fates {
        for second in fates {
            for third in fates {
                let (rig, herald) = (Rig::new().await, Arc::new(Counting::default()));
                let job = rig.job(vec![first, second, third]);
                let mut tells = 0;
                while !matches!(rig.tell(&job, &herald, tells, Duration::ZERO).await, Telling::Before(_)) {
                    tells += 1;
                    assert!(tells < 5, "{first:?} {second:?} {third:?}");
                }
                let seen = (herald.told.load(SeqCst), rig.state().await);
                assert_eq!(seen, (1, Some(NoticeState::Sent)), "{first:?} {second:?} {third:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_dead_teller_is_waited_for_and_then_stood_in_for() {
    let rig = Rig::new().await;
    let job = rig.job(Vec::new());
    let dying = Arc::new(Counting { dies: true, ..Counting::default() });
    assert!(rig.tell(&job, &dying, 1, Duration::ZERO).now_or_never().is_none());
    assert_eq!((dying.told.load(SeqCst), rig.state().await), (1, Some(NoticeState::Sending)));
    let herald = Arc::new(Counting::default());
    rig.clock.sleep(Duration::from_secs(119)).await;
    assert_eq!(rig.tell(&job, &herald, 2, Duration::ZERO).await, Telling::UnderWay);
    rig.clock.sleep(Duration::from_secs(3)).await;
    assert!(matches!(rig.tell(&job, &herald, 3, Duration::ZERO).await, Telling::Now(_)));
    assert_eq!((herald.told.load(SeqCst), rig.state().await), (1, Some(NoticeState::Sent)));
}

/// A command that looks on lets agents go first, and what it cannot do it leaves to the next.
#[tokio::test]
async fn who_looks_on_waits_and_leaves_what_it_cannot() {
    let rig = Rig::new().await;
    let job = rig.job(Vec::new());
    let after = Duration::from_secs(60);
    let refused = Arc::new(Counting { refusals: 1.into(), is_final: true, ..Counting::default() });
    assert_eq!(rig.tell(&job, &refused, 1, after).await, Telling::UnderWay);
    assert_eq!(rig.state().await, None);
    rig.clock.sleep(Duration::from_secs(61)).await;
    let Telling::Now(told) = rig.tell(&job, &refused, 2, after).await else { panic!("it is time") };
    assert_eq!(told[0].error.as_deref(), Some("not now"));
    assert_eq!(rig.state().await, Some(NoticeState::Sending));
    rig.clock.sleep(Duration::from_secs(122)).await;
    assert!(matches!(rig.tell(&job, &refused, 3, after).await, Telling::Now(_)));
    assert_eq!((refused.told.load(SeqCst), rig.state().await), (1, Some(NoticeState::Sent)));
}

/// Takes what is for all but one, and writes down whom it told.
struct Picky {
    refused: Mutex<String>,
    told: Mutex<Vec<String>>,
}

#[async_trait]
impl Herald for Picky {
    async fn tell(&self, to: &Address, _: &Notice) -> std::result::Result<(), Untold> {
        if *self.refused.lock().unwrap() == to.to_string() {
            return Err(Untold { why: "not you".to_owned(), is_final: true });
        }
        self.told.lock().unwrap().push(to.to_string());
        Ok(())
    }
}

/// Two webhooks of one host look the same in the record, and are not taken for each other.
#[tokio::test]
async fn the_next_who_looks_on_tells_only_who_is_left() {
    let both = ["https://hooks.example/a", "https://hooks.example/b"];
    for (bad, good) in [(0, 1), (1, 0)] {
        let mut rig = Rig::new().await;
        rig.to = both.map(|text| text.parse().unwrap()).into();
        let job = rig.job(Vec::new());
        let picky = Arc::new(Picky { refused: Mutex::new(both[bad].to_owned()), told: Mutex::default() });
        for seed in 0..4 {
            rig.clock.sleep(Duration::from_secs(122)).await;
            if seed == 3 {
                picky.refused.lock().unwrap().clear();
            }
            let (herald, dice) = (picky.clone(), Arc::new(StdDice::seeded(seed)));
            let (me, after) = (format!("teller {seed}"), Duration::from_secs(60));
            let teller = Teller { herald, me, after, clock: rig.clock.clone(), dice };
            let Telling::Now(told) = teller.tell(&job, &rig.to, &rig.notice).await.unwrap() else { panic!("{seed}") };
            assert_eq!(told.len(), if seed == 0 { 2 } else { 1 }, "{told:?}");
            assert_eq!(rig.tell(&job, &Arc::default(), 99, after).await == Telling::UnderWay, seed < 3);
        }
        assert_eq!(*picky.told.lock().unwrap(), [both[good], both[bad]]);
        assert_eq!(rig.state().await, Some(NoticeState::Sent));
    }
}

/// By the time it is done the next would take it for dead, and tell as well.
#[tokio::test]
async fn who_could_announce_itself_only_slowly_leaves_it_to_the_next() {
    let (rig, herald) = (Rig::new().await, Arc::new(Counting::default()));
    let job = rig.job(vec![Some(Lost::Time)]);
    assert_eq!(rig.tell(&job, &herald, 1, Duration::ZERO).await, Telling::UnderWay);
    assert_eq!((herald.told.load(SeqCst), rig.state().await), (0, Some(NoticeState::Sending)));
    rig.clock.sleep(Duration::from_secs(40)).await;
    assert!(matches!(rig.tell(&job, &herald, 2, Duration::ZERO).await, Telling::Now(_)));
    assert_eq!((herald.told.load(SeqCst), rig.state().await), (1, Some(NoticeState::Sent)));
}
