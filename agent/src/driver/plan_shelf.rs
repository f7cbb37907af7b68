//! The segments that an agent knows, and the tasks of the chunks that it works on.

use std::sync::{Arc, Mutex, PoisonError};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::ids::{ChunkId, TaskId};
use dayfly_shared::job::JobSettings;
use dayfly_shared::keys;
use dayfly_shared::plan::{Segment, Task, tasks_of};
use dayfly_shared::store::Result;

/// A segment, and all its tasks where every chunk has just one: then the text is small, and keys need the names.
struct Shelved {
    segment: Segment,
    tasks: Option<Arc<Vec<Task>>>,
}

/// The segments that an agent knows.
pub struct PlanShelf {
    bucket: JobBucket,
    job: JobSettings,
    segments: Mutex<Vec<Arc<Shelved>>>,
}

impl PlanShelf {
    pub fn new(bucket: JobBucket, job: JobSettings) -> Self {
        Self { bucket, job, segments: Mutex::new(Vec::new()) }
    }

    fn at(&self, segment: u32) -> Option<Arc<Shelved>> {
        let index = segment.checked_sub(1)? as usize;
        self.segments.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    /// Takes in the next segment; one that is known changes nothing. Whether it was new.
    ///
    /// # Errors
    /// A text that cannot be read, or is not the one committed.
    pub async fn add(&self, segment: Segment) -> Result<bool> {
        let known = |shelf: &Vec<Arc<Shelved>>| segment.segment as usize != shelf.len() + 1;
        if known(&self.segments.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(false);
        }
        let tasks = if segment.one_task_chunks() {
            let text = self.bucket.segment_text(&segment, None).await?;
            Some(Arc::new(tasks_of(segment.segment, 1, &text, &self.job, &self.bucket.location)))
        } else {
            None
        };
        let mut shelf = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        if known(&shelf) {
            return Ok(false);
        }
        shelf.push(Arc::new(Shelved { segment, tasks }));
        Ok(true)
    }

    /// The slug in the keys of a chunk, or of a task of a one-task chunk.
    pub fn slug(&self, segment: u32, number: u32) -> Option<String> {
        let shelved = self.at(segment)?;
        let task = shelved.tasks.as_ref()?.get(number.checked_sub(1)? as usize)?;
        Some(keys::slug(&task.name))
    }

    pub fn semaphore_key(&self, chunk: ChunkId) -> String {
        self.bucket.keys.semaphore(chunk, self.slug(chunk.segment, chunk.index).as_deref())
    }

    pub fn result_key(&self, chunk: ChunkId) -> String {
        self.bucket.keys.result(chunk, self.slug(chunk.segment, chunk.index).as_deref())
    }

    pub fn dead_letter_key(&self, task: TaskId) -> String {
        self.bucket.keys.dead_letter(task, self.slug(task.segment, task.line).as_deref())
    }

    /// The tasks of a chunk: from memory, or by reading just its bytes of the text.
    ///
    /// # Errors
    /// A text that cannot be read.
    pub async fn tasks(&self, chunk: ChunkId) -> Result<Vec<Task>> {
        let Some(shelved) = self.at(chunk.segment) else { return Ok(Vec::new()) };
        let Some((line, range)) = shelved.segment.place_of(chunk) else { return Ok(Vec::new()) };
        if let Some(tasks) = &shelved.tasks {
            return Ok(tasks.get(line as usize - 1).cloned().into_iter().collect());
        }
        let text = self.bucket.segment_text(&shelved.segment, Some(range)).await?;
        Ok(tasks_of(chunk.segment, line, &text, &self.job, &self.bucket.location))
    }
}
