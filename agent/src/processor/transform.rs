//! What built-in processors do: each byte of the output is made of the byte at the same place of the input.
//!
//! A small object is one GET and one PUT from memory. Of a large one, parts are on their way in, through, and out again at
//! the same time; each is a ranged GET and a part of a multipart upload, so memory holds a few parts whatever the size.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::store::{ETag, Object, ObjectMeta, Part, StoreError, Upload};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::integrity::{Promise, Sum};
use super::sink::{PART_BYTES, PARTS_MAX};
use super::{Failure, Staged, StagedBody, TaskIo};

/// So many parts of [`PART_BYTES`] are in memory at once, of all tasks together: 64 MiB, and about as much again in the
/// buffers of connections. One connection to S3 brings some 80 MB/s, so eight keep a line of 5 Gbit/s busy.
const ROOM: usize = 8;

/// A part whose bytes break off is read so often before the task is begun anew.
const PART_TRIES: u32 = 4;

/// Before the second try; doubles from try to try.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The same in KiB.
const ROOM_KIB: usize = ROOM * (PART_BYTES >> 10);

/// Room for parts in memory, shared by an agent's tasks.
#[derive(Clone)]
pub struct PartBudget(Arc<Semaphore>);

impl Default for PartBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB)))
    }
}

impl PartBudget {
    /// Waits for room for so many bytes; what is larger than all there is takes it all. Who waits may hold none, unless what
    /// is held is given back without more of it.
    pub(super) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Failure> {
        let kib = bytes.div_ceil(1 << 10).clamp(1, ROOM_KIB as u64);
        let room = Arc::clone(&self.0).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await;
        room.map_err(|_| Failure::Interrupted("the agent ends".to_owned()))
    }
}

/// Whether the next input is likely large: as the last one was, and the first until it is known. A likely large one is asked
/// for its size first: no byte of it comes twice then, and a small one takes a request less.
#[derive(Clone)]
pub struct SizeHint(Arc<AtomicBool>);

impl Default for SizeHint {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl SizeHint {
    /// Whether the next input is likely large.
    pub fn says_large(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(super) fn note(&self, large: bool) {
        self.0.store(large, Relaxed);
    }
}

/// Makes bytes of output from those of the input that begin at this offset.
pub trait Change: Fn(&[u8], &mut [u8], u64) + Send + Sync {}

impl<F: Fn(&[u8], &mut [u8], u64) + Send + Sync> Change for F {}

/// An object that is changed part by part.
struct Large {
    meta: ObjectMeta,
    upload: Upload,
    part_bytes: u64,
}

/// A part that has gone through.
struct Passed {
    part: Part,
    bytes: u64,
    /// Of what came in, where the store promised something of the whole.
    input: Option<Sum>,
    output: Sum,
}

impl TaskIo {
    /// Changes the input into the output.
    ///
    /// # Errors
    /// As [`TaskIo::open_input`]; input that is not what the store promised.
    pub async fn transform(&mut self, change: &impl Change) -> Result<(), Failure> {
        let staged = match self.known_large().await? {
            Some(meta) => self.in_parts(meta, None, change).await?,
            None => {
                let input = self.open_input().await?;
                let small = usize::try_from(input.meta.size).ok().filter(|size| *size <= self.around.part_bytes);
                match small {
                    Some(size) => whole(input, size, &self.input.store.place(&self.input.key), change).await?,
                    None => self.in_parts(input.meta.clone(), Some(input), change).await?,
                }
            }
        };
        self.staged = Some(staged);
        Ok(())
    }

    /// What the store says of an input that is likely large, and is.
    async fn known_large(&self) -> Result<Option<ObjectMeta>, Failure> {
        if !self.around.size_hint.says_large() || self.is_expected() {
            return Ok(None);
        }
        let _waiting = self.around.waiting.begin(&*self.around.clock);
        match self.input.store.head(&self.input.key).await {
            Ok(meta) => Ok(meta.filter(|meta| meta.size > self.around.part_bytes as u64)),
            Err(error) if error.is_passing() => Err(error.into()),
            // Whoever opens it says what is wrong.
            Err(_) => Ok(None),
        }
    }

    /// `opened`: the whole of it, not yet read, where it was asked for before its size was known. Its first part is taken
    /// from there.
    async fn in_parts(
        &self,
        meta: ObjectMeta,
        mut opened: Option<Object>,
        change: &impl Change,
    ) -> Result<Staged, Failure> {
        let upload = {
            let _waiting = self.around.waiting.begin(&*self.around.clock);
            self.output.store.upload_begin(&self.output.key, &self.attributes).await?
        };
        *self.around.open_upload.lock().unwrap_or_else(PoisonError::into_inner) = Some(upload.clone());
        let part_bytes = (self.around.part_bytes as u64).max(meta.size.div_ceil(PARTS_MAX));
        let large = Large { meta, upload, part_bytes };
        let parts: Vec<u64> = (0..large.meta.size.div_ceil(part_bytes)).collect();
        let promise = Promise::of(&large.meta);
        let mut passed: Vec<Passed> = futures::stream::iter(parts)
            .map(|index| self.pass(&large, index, opened.take(), promise.as_ref(), change))
            .buffer_unordered(ROOM)
            .try_collect()
            .await?;
        passed.sort_by_key(|passed| passed.part.number);
        let output = Sum::joined(passed.iter().map(|p| p.output));
        if let Some(promise) = promise {
            let came: Option<Vec<Sum>> = passed.iter().map(|p| p.input).collect();
            if came.is_some_and(|came| !promise.is_kept_by(Sum::joined(came))) {
                let place = self.input.store.place(&self.input.key);
                return Err(Failure::Interrupted(format!(
                    "{place} came with another checksum than the store promised"
                )));
            }
        }
        let bytes = passed.iter().map(|p| p.bytes).sum();
        let parts = passed.into_iter().map(|p| p.part).collect();
        Ok(Staged { body: StagedBody::Parts(large.upload, parts), bytes, crc32: output.crc32(), folder_bytes: None })
    }

    /// One part: in, through, and out.
    async fn pass(
        &self,
        large: &Large,
        index: u64,
        mut opened: Option<Object>,
        promise: Option<&Promise>,
        change: &impl Change,
    ) -> Result<Passed, Failure> {
        // A part of a very large object takes the room of several.
        let _room = self.around.part_budget.room(large.part_bytes).await?;
        let range = index * large.part_bytes..((index + 1) * large.part_bytes).min(large.meta.size);
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        let (body, input) = loop {
            match self.read_part(&large.meta.etag, &range, opened.take(), promise, change).await {
                Err(Failure::Interrupted(why)) if tries < PART_TRIES => {
                    tracing::debug!(task = %self.task.id, part = index + 1, why, "a part is read again");
                    self.around.clock.sleep(wait).await;
                    (tries, wait) = (tries + 1, wait * 2);
                }
                read => break read?,
            }
        };
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let bytes = body.len() as u64;
        let part = {
            let _waiting = self.around.waiting.begin(&*self.around.clock);
            self.output.store.upload_part(&large.upload, number, body.clone()).await?
        };
        // Sending it took its checksum already, and the store says the one that it found.
        let output = Sum::told(part.checksum.as_deref(), bytes).unwrap_or_else(|| Sum::of(&body));
        Ok(Passed { part, bytes, input, output })
    }

    async fn read_part(
        &self,
        version: &ETag,
        range: &Range<u64>,
        opened: Option<Object>,
        promise: Option<&Promise>,
        change: &impl Change,
    ) -> Result<(Bytes, Option<Sum>), Failure> {
        let place = || self.input.store.place(&self.input.key);
        let opened = match opened {
            Some(whole) => Some(beginning(whole, range.end)),
            None => {
                let _waiting = self.around.waiting.begin(&*self.around.clock);
                let part = self.input.store.get(&self.input.key, Some(range.clone())).await;
                part.map_err(|error| self.not_opened(error))?
            }
        };
        let Some(object) = opened else {
            return Err(Failure::Interrupted(format!("{} was removed while it was read", place())));
        };
        if object.meta.etag != *version {
            return Err(Failure::Interrupted(format!("{} was replaced while it was read", place())));
        }
        let mut object = self.around.waiting.watch(object, Arc::clone(&self.around.clock));
        let mut sum = promise.map(Promise::begin);
        let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut seen = |piece: &[u8]| {
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
        };
        let out = fill(&mut object, size, range.start, change, &mut seen).await?;
        let out = out.ok_or_else(|| Failure::Interrupted(format!("{} came with another length", place())))?;
        Ok((out.into(), sum.map(|sum| sum.finish())))
    }
}

/// The first bytes of an object. The rest is never asked of its stream.
fn beginning(object: Object, bytes: u64) -> Object {
    let pieces = futures::stream::unfold((object.body, bytes), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let mut piece = body.next().await?;
        let mut taken = left;
        if let Ok(bytes) = &mut piece {
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            taken = bytes.len() as u64;
        }
        Some((piece, (body, left - taken)))
    });
    Object { meta: object.meta, body: pieces.boxed() }
}

/// A small object, changed in memory. Its checksum is checked as it comes in, by the store.
async fn whole(mut input: Object, size: usize, place: &str, change: &impl Change) -> Result<Staged, Failure> {
    let out = fill(&mut input, size, 0, change, &mut |_| {}).await?;
    let out = out.ok_or_else(|| Failure::Interrupted(format!("{place} came with another length")))?;
    let (crc32, bytes) = (crc32fast::hash(&out), out.len() as u64);
    Ok(Staged { body: StagedBody::Whole(out.into()), bytes, crc32, folder_bytes: None })
}

/// The body, changed, which lies `offset` bytes into its object; none if it has another size.
async fn fill(
    object: &mut Object,
    size: usize,
    offset: u64,
    change: &impl Change,
    seen: &mut (impl FnMut(&[u8]) + Send),
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut out = vec![0; size];
    let mut at = 0;
    while let Some(piece) = object.body.next().await.transpose()? {
        let Some(to) = out.get_mut(at..at + piece.len()) else { return Ok(None) };
        seen(&piece);
        change(&piece, to, offset + at as u64);
        at += piece.len();
    }
    Ok((at == size).then_some(out))
}
