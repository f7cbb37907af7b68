//! A task's way in and out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dayfly_shared::clock::{Clock, Moment};
use dayfly_shared::ids::Attempt;
use dayfly_shared::plan::Task;
use dayfly_shared::store::{Attributes, Object, Store, StoreError, StoreErrorKind, Upload};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sink::Sink;
use super::{Failure, Staged};

/// A folder of the task's own, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a scratch folder could not be removed");
        }
    }
}

/// Remembers a multipart upload until it is committed or dropped by its owner, also if the work is stopped half-way.
pub type OpenUpload = Arc<Mutex<Option<Upload>>>;

/// A task's way in and out.
pub struct TaskIo {
    /// The task.
    pub task: Task,
    /// The attempt.
    pub attempt: Attempt,
    inputs: Arc<dyn Store>,
    input_key: String,
    outputs: Arc<dyn Store>,
    output_key: String,
    attributes: Attributes,
    sink: Option<Sink>,
    expected: u64,
    open_upload: OpenUpload,
    work_dir: PathBuf,
    clock: Arc<dyn Clock>,
    waiting: Waiting,
    others_were_read: bool,
    part_bytes: usize,
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
}

/// Since when a task waits for the store: a time limit that runs out meanwhile is the store's fault, not the task's.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Option<Moment>>>);

/// Ends a wait when dropped.
struct Wait(Waiting);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Waiting {
    fn set(&self, since: Option<Moment>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn begin(&self, clock: &dyn Clock) -> Wait {
        self.set(Some(clock.now().at));
        Wait(self.clone())
    }

    /// How long the store has been waited for, if it is waited for now.
    pub fn lasts(&self, now: Moment) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| now.since(since))
    }

    /// The object, whose pieces are waited for under this watch.
    fn watch(&self, object: Object, clock: Arc<dyn Clock>) -> Object {
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
        let Around { work_dir, open_upload, clock, waiting, others_were_read, part_bytes } = around;
        Self {
            task,
            attempt,
            inputs: input.store,
            input_key: input.key,
            outputs: output.store,
            output_key: output.key,
            attributes,
            sink: None,
            expected: 0,
            open_upload,
            work_dir,
            clock,
            waiting,
            others_were_read,
            part_bytes,
        }
    }

    /// The input, as it arrives.
    ///
    /// # Errors
    /// A store that does not answer or refuses; an input that does not exist is a failure that no other try can mend.
    pub async fn open_input(&mut self) -> Result<Object, Failure> {
        let opened = {
            let _waiting = self.waiting.begin(&*self.clock);
            self.inputs.get(&self.input_key, None).await
        };
        let refused = |error: StoreError| Failure::Processor { error: error.to_string(), permanent: true };
        match opened {
            Ok(Some(object)) => {
                self.expected = object.meta.size;
                Ok(self.waiting.watch(object, Arc::clone(&self.clock)))
            }
            // This input's own trouble, as long as others could be read.
            Err(error) if error.kind == StoreErrorKind::Archived => Err(refused(error)),
            Err(error) if error.kind == StoreErrorKind::Denied && self.others_were_read => Err(refused(error)),
            Err(error) => Err(error.into()),
            Ok(None) => Err(Failure::Processor {
                error: format!(
                    "the input {} does not exist; put it there and run: dayfly retry",
                    self.inputs.place(&self.input_key)
                ),
                permanent: true,
            }),
        }
    }

    /// Adds to the output.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        let sink = self.sink.get_or_insert_with(|| {
            let (store, key) = (Arc::clone(&self.outputs), self.output_key.clone());
            Sink::new(store, key, self.attributes.clone(), self.part_bytes, self.expected)
        });
        let written = {
            let _waiting = self.waiting.begin(&*self.clock);
            sink.write(piece).await
        };
        *self.open_upload.lock().unwrap_or_else(PoisonError::into_inner) = sink.upload().cloned();
        written
    }

    /// A folder of the task's own.
    ///
    /// # Errors
    /// When it cannot be made: no task would fare better on this machine.
    pub fn scratch(&self) -> Result<Scratch, Failure> {
        let path = self.work_dir.join(format!("scratch-{}-{}", self.task.id, self.attempt));
        std::fs::create_dir_all(&path)
            .map_err(|e| Failure::Refused(format!("the scratch folder {} cannot be made: {e}", path.display())))?;
        Ok(Scratch(path))
    }

    /// Writes the input to a file.
    ///
    /// # Errors
    /// As [`TaskIo::open_input`], and a disk that is full.
    pub async fn input_to_file(&mut self, path: &Path) -> Result<u64, Failure> {
        let broken = |e: std::io::Error| Failure::Refused(format!("{} cannot be written: {e}", path.display()));
        let mut input = self.open_input().await?;
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
        loop {
            let mut piece = BytesMut::with_capacity(1 << 20);
            if file.read_buf(&mut piece).await.map_err(broken)? == 0 {
                return Ok(bytes);
            }
            bytes += piece.len() as u64;
            self.write(piece.freeze()).await?;
        }
    }

    /// The complete output, staged. One to which nothing was written is empty.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn finish(mut self) -> Result<Staged, Failure> {
        self.write(Bytes::new()).await?;
        let _waiting = self.waiting.begin(&*self.clock);
        match self.sink.take() {
            Some(sink) => sink.finish().await,
            None => Err(Failure::Interrupted("there is no output".to_owned())),
        }
    }
}
