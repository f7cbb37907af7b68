//! A task's way in and out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::bucket::JobBucket;
use dayfly_shared::clock::{Clock, Moment};
use dayfly_shared::ids::Attempt;
use dayfly_shared::job::Location;
use dayfly_shared::plan::Task;
use dayfly_shared::records::Usage;
use dayfly_shared::store::{Attributes, Object, Store, StoreError, StoreErrorKind, Upload};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;

use super::aside::next_piece;
use super::sink::Sink;
use super::{Failure, PartBudget, Scratch, SizeHint, Staged, on_disk, on_disk_by_name};

/// What an attempt leaves for its agent to tell of, once there is something.
pub type Note<T> = Arc<Mutex<Option<T>>>;

/// Remembers a multipart upload until it is committed or dropped by its owner, also if the work is stopped half-way.
pub type OpenUpload = Arc<Mutex<Option<Upload>>>;

/// An input that was asked for before its task's turn; none where that went wrong.
pub type EarlyInput = BoxFuture<'static, Option<Object>>;

/// A task's way in and out.
pub struct TaskIo {
    /// The task.
    pub task: Task,
    /// The attempt.
    pub attempt: Attempt,
    pub(super) input: Place,
    pub(super) output: Place,
    pub(super) attributes: Attributes,
    sink: Option<Sink>,
    pub(super) staged: Option<Staged>,
    pub(super) expected: u64,
    early: Mutex<Option<EarlyInput>>,
    pub(super) folder_bytes: Option<u64>,
    pub(super) around: Around,
}

/// The place of an object: its store and key.
pub struct Place {
    /// The store of its bucket.
    pub store: Arc<dyn Store>,
    /// Its key.
    pub key: String,
}

/// What a task's way in and out needs of its agent.
pub struct Around {
    /// The job.
    pub job: JobBucket,
    /// The outputs' place.
    pub outputs: Location,
    /// What stands for the task's name in keys.
    pub slug: Option<String>,
    /// Where scratch folders lie.
    pub work_dir: PathBuf,
    /// Notes a multipart upload while it is under way.
    pub open_upload: OpenUpload,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Notes since when the store is waited for.
    pub waiting: Waiting,
    /// Whether this agent has read inputs before: then one that is refused is that input's own trouble.
    pub others_were_read: bool,
    /// From which size on an output goes up in parts.
    pub part_bytes: usize,
    /// Room for parts in memory.
    pub part_budget: PartBudget,
    /// What the last input says of this one's size.
    pub size_hint: SizeHint,
    /// Tells by when the task has to be over, once the agent drains.
    pub drained: Deadlines,
    /// The key of the attempt's log, once there is one.
    pub last_log: Note<String>,
    /// What the attempt's program used, once it has ended.
    pub usage: Note<Usage>,
}

/// Completes when there is a deadline, nearer than the one known, if any is.
pub type Deadlines = Arc<dyn Fn(Option<Moment>) -> BoxFuture<'static, Moment> + Send + Sync>;

/// Since when a task waits for the store: a time limit that runs out meanwhile is the store's fault, not the task's.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Vec<Moment>>>);

/// Ends a wait when dropped.
pub(super) struct Wait(Waiting, Moment);

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = self.0.all();
        if let Some(mine) = waits.iter().position(|since| *since == self.1) {
            waits.swap_remove(mine);
        }
    }
}

impl Waiting {
    fn all(&self) -> MutexGuard<'_, Vec<Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, clock: &dyn Clock) -> Wait {
        let since = clock.now().at;
        self.all().push(since);
        Wait(self.clone(), since)
    }

    /// How long the store has been waited for, if it is waited for now. Of several requests at once the latest counts:
    /// it went out when another was answered.
    pub fn lasts(&self, now: Moment) -> Option<Duration> {
        self.all().iter().max().map(|since| now.since(*since))
    }

    /// The object, whose pieces are waited for under this watch.
    pub(super) fn watch(&self, object: Object, clock: Arc<dyn Clock>) -> Object {
        let pieces = futures::stream::unfold((object.body, self.clone(), clock), |(mut body, waiting, clock)| async {
            let wait = waiting.begin(&*clock);
            let piece = body.next().await?;
            drop(wait);
            Some((piece, (body, waiting, clock)))
        });
        Object { meta: object.meta, body: pieces.boxed() }
    }
}

impl TaskIo {
    /// For one attempt at `task`; `attributes` go with the output.
    pub fn new(
        (task, attempt): (Task, Attempt),
        input: Place,
        output: Place,
        attributes: Attributes,
        around: Around,
    ) -> Self {
        let (sink, staged, expected, early, folder_bytes) = (None, None, 0, Mutex::default(), None);
        Self { task, attempt, input, output, attributes, sink, staged, expected, early, folder_bytes, around }
    }

    /// The input is on its way already.
    pub fn expect(&mut self, early: Option<EarlyInput>) {
        self.early = Mutex::new(early);
    }

    /// Whether it is.
    pub(super) fn is_expected(&self) -> bool {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The input, as it arrives.
    ///
    /// # Errors
    /// A store that does not answer or refuses; an input that does not exist is a failure that no other try can mend.
    pub async fn open_input(&mut self) -> Result<Object, Failure> {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        let opened = {
            let _waiting = self.around.waiting.begin(&*self.around.clock);
            let early = match early {
                Some(early) => early.await,
                None => None,
            };
            match early {
                Some(object) => Ok(Some(object)),
                None => self.input.store.get(&self.input.key, None).await,
            }
        };
        match opened {
            Ok(Some(object)) => {
                self.expected = object.meta.size;
                self.around.size_hint.note(object.meta.size > self.around.part_bytes as u64);
                Ok(self.around.waiting.watch(object, Arc::clone(&self.around.clock)))
            }
            Err(error) => Err(self.not_opened(error)),
            Ok(None) => Err(Failure::Processor {
                error: format!(
                    "the input {} does not exist; put it there and run: dayfly retry",
                    self.input.store.place(&self.input.key)
                ),
                permanent: true,
            }),
        }
    }

    /// What comes of an error in opening the input: its own trouble, as long as others could be read.
    pub(super) fn not_opened(&self, error: StoreError) -> Failure {
        match error.kind {
            StoreErrorKind::Archived => Failure::Processor { error: error.to_string(), permanent: true },
            StoreErrorKind::Denied if self.around.others_were_read => {
                Failure::Processor { error: error.to_string(), permanent: true }
            }
            // Such as one under a key that the request has to bring along, or whose key was switched off. The store itself
            // was found to do what is asked of it before.
            StoreErrorKind::Unsupported => {
                Failure::Processor { error: error.to_string(), permanent: self.around.others_were_read }
            }
            _ => error.into(),
        }
    }

    /// Adds to the output.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        let sink = self.sink.get_or_insert_with(|| {
            let (store, key) = (Arc::clone(&self.output.store), self.output.key.clone());
            let parts = (self.around.part_bytes, self.around.part_budget.clone());
            Sink::new(store, key, self.attributes.clone(), parts, self.expected)
        });
        let written = {
            let _waiting = self.around.waiting.begin(&*self.around.clock);
            sink.write(piece).await
        };
        *self.around.open_upload.lock().unwrap_or_else(PoisonError::into_inner) = sink.upload().cloned();
        written
    }

    /// Notes what the program used.
    pub fn note_usage(&self, usage: Usage) {
        *self.around.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
    }

    /// A folder of the task's own.
    ///
    /// # Errors
    /// When it cannot be made: no task would fare better on this machine.
    pub fn scratch(&self) -> Result<Scratch, Failure> {
        let path = self.around.work_dir.join(format!("{}{}-{}", Scratch::PREFIX, self.task.id, self.attempt));
        let what = format!("the scratch folder {} cannot be made", path.display());
        Scratch::make(path).map_err(|e| on_disk(&what, &e))
    }

    /// Writes the input to a file.
    ///
    /// # Errors
    /// As [`TaskIo::open_input`], and a disk that is full.
    pub async fn input_to_file(&mut self, path: &Path) -> Result<u64, Failure> {
        let broken = |e: std::io::Error| on_disk_by_name(&format!("{} cannot be written", path.display()), &e);
        let mut input = self.open_input().await?;
        self.room_for_input(input.meta.size)?;
        let mut file = tokio::fs::File::create(path).await.map_err(broken)?;
        let mut bytes = 0;
        while let Some(piece) = input.body.next().await {
            let piece = piece?;
            bytes += piece.len() as u64;
            file.write_all(&piece).await.map_err(broken)?;
        }
        file.flush().await.map_err(broken)?;
        Ok(bytes)
    }

    /// What is free on the disk, and all of it.
    pub(super) fn disk(&self) -> Option<(u64, u64)> {
        let disk = rustix::fs::statvfs(&self.around.work_dir).ok()?;
        Some((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
    }

    /// Whether the disk takes so many bytes.
    fn room_for_input(&self, bytes: u64) -> Result<(), Failure> {
        let Some((free, all)) = self.disk() else { return Ok(()) };
        let place = self.input.store.place(&self.input.key);
        if bytes > all {
            let error = format!(
                "the input {place} has {bytes} bytes, and the disk of its machine {all}; take machines with a larger volume, \
                 and run: dayfly retry"
            );
            return Err(Failure::Processor { error, permanent: true });
        }
        if bytes > free {
            return Err(Failure::NoRoom(format!(
                "the input {place} has {bytes} bytes, and {free} are free on the disk of its machine, of {all}"
            )));
        }
        Ok(())
    }

    /// Adds a file's content to the output.
    ///
    /// # Errors
    /// A file that cannot be read is the task's failure; a store that does not answer or refuses.
    pub async fn output_from_file(&mut self, path: &Path) -> Result<u64, Failure> {
        let broken = |e: std::io::Error| Failure::Processor {
            error: format!("the output file {} cannot be read: {e}", path.display()),
            permanent: false,
        };
        let mut file = tokio::fs::File::open(path).await.map_err(broken)?;
        self.expected = file.metadata().await.map_err(broken)?.len();
        let mut bytes = 0;
        while let Some(piece) = next_piece(&mut file).await.map_err(broken)? {
            bytes += piece.len() as u64;
            self.write(piece).await?;
        }
        Ok(bytes)
    }

    /// The complete output, staged. One to which nothing was written is empty.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn finish(mut self) -> Result<Staged, Failure> {
        if let Some(staged) = self.staged.take() {
            return Ok(staged);
        }
        self.write(Bytes::new()).await?;
        let _waiting = self.around.waiting.begin(&*self.around.clock);
        match self.sink.take() {
            Some(sink) => {
                let (staged, _room) = sink.finish().await?;
                Ok(Staged { folder_bytes: self.folder_bytes, ..staged })
            }
            None => Err(Failure::Interrupted("there is no output".to_owned())),
        }
    }
}
