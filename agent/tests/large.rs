//! Large objects pass through in parts: whatever the cut, the output is the input changed, and input that is not what the
//! store promised never becomes an output.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dayfly_agent::processor::{Around, Failure, OpenUpload, Place, Staged, StagedBody, TaskIo};
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, SystemClock};
use dayfly_shared::ids::{Attempt, Nonce, TaskId};
use dayfly_shared::job::Location;
use dayfly_shared::plan::Task;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListPage, ListQuery, MemoryStore, Object, ObjectMeta, Outcome, Part, Result, Store,
    StoreExt, Upload,
};
use futures::future::FutureExt as _;
use futures::stream::StreamExt as _;

/// What is wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// A bit of one range is flipped on the way.
    Flips,
    /// The object is replaced by another of its size once some of it was read.
    Replaces,
    /// Each range breaks off once.
    BreaksOff,
}

/// A store in memory with trouble in its ranges.
struct Troubled {
    inner: MemoryStore,
    trouble: Trouble,
    ranges: AtomicU64,
    begun: Mutex<BTreeSet<u64>>,
}

#[async_trait]
impl Store for Troubled {
    fn place(&self, key: &str) -> String {
        self.inner.place(key)
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        let ranged = range.is_some();
        let n = if ranged { self.ranges.fetch_add(1, SeqCst) } else { 0 };
        if ranged && self.trouble == Trouble::Replaces && n == 2 {
            let other = Bytes::from(vec![9; INPUT_BYTES]);
            self.inner.put(key, other, &Attributes::default(), &Condition::Overwrite).await?;
        }
        let first = range.as_ref().is_some_and(|range| self.begun.lock().unwrap().insert(range.start));
        let Some(object) = self.inner.get(key, range).await? else { return Ok(None) };
        let meta = object.meta.clone();
        if !ranged || matches!(self.trouble, Trouble::None | Trouble::Replaces) {
            return Ok(Some(object));
        }
        let mut bytes = object.bytes().await?.to_vec();
        match self.trouble {
            Trouble::Flips if n == 3 => bytes[5] ^= 1,
            Trouble::BreaksOff if first => bytes.truncate(7),
            _ => {}
        }
        Ok(Some(Object { meta, body: futures::stream::iter([Ok(Bytes::from(bytes))]).boxed() }))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage> {
        self.inner.list(query).await
    }

    async fn put(&self, key: &str, body: Bytes, with: &Attributes, condition: &Condition) -> Result<Outcome<ETag>> {
        self.inner.put(key, body, with, condition).await
    }

    async fn delete(&self, key: &str, only: Option<&ETag>) -> Result<Outcome<()>> {
        self.inner.delete(key, only).await
    }

    async fn upload_begin(&self, key: &str, attributes: &Attributes) -> Result<Upload> {
        self.inner.upload_begin(key, attributes).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> Result<Part> {
        self.inner.upload_part(upload, number, body).await
    }

    async fn upload_complete(&self, upload: &Upload, parts: &[Part], condition: &Condition) -> Result<Outcome<ETag>> {
        self.inner.upload_complete(upload, parts, condition).await
    }

    async fn upload_abort(&self, upload: &Upload) -> Result<()> {
        self.inner.upload_abort(upload).await
    }

    async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.inner.uploads(prefix).await
    }
}

const INPUT_BYTES: usize = 123_456;
const PART_BYTES: usize = 1000;

fn input() -> Vec<u8> {
    (0..INPUT_BYTES as u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A change that depends on where a byte lies.
fn change(data: &[u8], out: &mut [u8], offset: u64) {
    for (n, (to, from)) in out.iter_mut().zip(data).enumerate() {
        *to = from ^ (offset + n as u64).to_be_bytes()[6] ^ 0x55;
    }
}

async fn pass(trouble: Trouble) -> (Arc<dyn Store>, std::result::Result<Staged, Failure>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let inner = MemoryStore::with_least_part("bucket", Arc::clone(&clock), 1);
    let store: Arc<dyn Store> =
        Arc::new(Troubled { inner, trouble, ranges: AtomicU64::new(0), begun: Mutex::default() });
    store.put("in", input().into(), &Attributes::default(), &Condition::Create).await.unwrap();
    let place = |key: &str| Place { store: Arc::clone(&store), key: key.to_owned() };
    let job = Location::new("bucket", "job").unwrap();
    let around = Around {
        job: JobBucket::new(job.clone(), Arc::clone(&store)),
        outputs: job,
        slug: None,
        work_dir: std::env::temp_dir(),
        open_upload: OpenUpload::default(),
        clock,
        waiting: Default::default(),
        others_were_read: false,
        part_bytes: PART_BYTES,
        part_budget: Default::default(),
        size_hint: Default::default(),
        drained: Arc::new(|_| futures::future::pending().boxed()),
        last_log: Arc::default(),
        usage: Arc::default(),
    };
    let task = Task { id: TaskId { segment: 1, line: 1 }, name: "in".to_owned(), problem: None };
    let attempt = Attempt { epoch: 1, tenure: Nonce(1), n: 1 };
    let mut io = TaskIo::new((task, attempt), place("in"), place("out"), Attributes::default(), around);
    let staged = match io.transform(&change).await {
        Ok(()) => io.finish().await,
        Err(failure) => Err(failure),
    };
    (store, staged)
}

async fn check_output(store: &Arc<dyn Store>, staged: &Staged) {
    let StagedBody::Parts(upload, parts) = &staged.body else { panic!("it is in parts") };
    assert_eq!(parts.len(), INPUT_BYTES.div_ceil(PART_BYTES));
    store.upload_complete(upload, parts, &Condition::Create).await.unwrap();
    let (_, out) = store.read("out").await.unwrap().unwrap();
    let mut wanted = vec![0; INPUT_BYTES];
    change(&input(), &mut wanted, 0);
    assert!(out == wanted, "the output is the input, changed");
    assert_eq!((staged.bytes, staged.crc32), (INPUT_BYTES as u64, crc32fast::hash(&wanted)));
}

#[tokio::test]
async fn parts_come_to_the_whole_with_its_checksum() {
    let (store, staged) = pass(Trouble::None).await;
    check_output(&store, &staged.unwrap()).await;
}

#[tokio::test]
async fn a_part_that_breaks_off_is_read_again() {
    let (store, staged) = pass(Trouble::BreaksOff).await;
    check_output(&store, &staged.unwrap()).await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_by_the_checksum_of_the_whole() {
    let (_, staged) = pass(Trouble::Flips).await;
    let failure = staged.unwrap_err();
    assert!(matches!(&failure, Failure::Interrupted(why) if why.contains("checksum")), "{failure}");
}

#[tokio::test]
async fn two_versions_are_never_mixed() {
    let (_, staged) = pass(Trouble::Replaces).await;
    let failure = staged.unwrap_err();
    assert!(matches!(&failure, Failure::Interrupted(why) if why.contains("replaced")), "{failure}");
}
