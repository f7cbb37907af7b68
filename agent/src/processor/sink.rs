//! Where a processor's output gathers until it is committed: in memory while it is small, else in a multipart upload.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dayfly_shared::store::{Attributes, Part, Store, Upload};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::{Failure, PartBudget};

/// Outputs up to this size are one PUT from memory; larger ones go up in parts of at least this size: above S3's 5 MiB, and
/// small enough that as many as a [`PartBudget`] has room for fit into the memory of the smallest instances.
pub const PART_BYTES: usize = 8 << 20;

/// S3's limit on the number of parts (S3 user guide, "Amazon S3 multipart upload limits").
pub const PARTS_MAX: u64 = 10_000;

/// Parts of one output on their way at once: keeps the line busy while the next is made.
const PARTS_AT_ONCE: usize = 3;

/// An output, complete and checked, that is not yet visible.
#[derive(Debug)]
pub struct Staged {
    /// Where it is.
    pub body: StagedBody,
    /// Its size.
    pub bytes: u64,
    /// CRC-32 (IEEE) of the whole.
    pub crc32: u32,
    /// Where it is a manifest: the bytes of all its files.
    pub folder_bytes: Option<u64>,
}

/// Where a staged output is.
#[derive(Debug)]
pub enum StagedBody {
    /// In memory.
    Whole(Bytes),
    /// In the store, all parts sent, not completed.
    Parts(Upload, Vec<Part>),
}

/// Gathers an output.
pub struct Sink {
    store: Arc<dyn Store>,
    key: String,
    attributes: Attributes,
    part_bytes: usize,
    expected: u64,
    budget: PartBudget,
    buffer: BytesMut,
    room: Option<OwnedSemaphorePermit>,
    bytes: u64,
    crc32: crc32fast::Hasher,
    upload: Option<Upload>,
    sending: JoinSet<Result<Part, Failure>>,
    parts: Vec<Part>,
}

impl Sink {
    /// For the object `key`, of which `expected` bytes are expected (0: unknown), in parts of `part_bytes` or more, for which
    /// the budget has to have room.
    pub fn new(
        store: Arc<dyn Store>,
        key: String,
        attributes: Attributes,
        (part_bytes, budget): (usize, PartBudget),
        expected: u64,
    ) -> Self {
        let least = usize::try_from(expected.div_ceil(PARTS_MAX)).unwrap_or(usize::MAX);
        Self {
            store,
            key,
            attributes,
            part_bytes: part_bytes.max(least),
            expected,
            budget,
            buffer: BytesMut::new(),
            room: None,
            bytes: 0,
            crc32: crc32fast::Hasher::new(),
            upload: None,
            sending: JoinSet::new(),
            parts: Vec::new(),
        }
    }

    /// Takes more of the output.
    ///
    /// # Errors
    /// When a part cannot be sent.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<(), Failure> {
        self.crc32.update(&piece);
        while !piece.is_empty() {
            // More than a part: the last one is sent by finish, so that it is never empty.
            if self.buffer.len() == self.part_bytes {
                self.send().await?;
            }
            if self.room.is_none() {
                self.begin_part().await?;
            }
            let more = piece.split_to(piece.len().min(self.part_bytes - self.buffer.len()));
            self.bytes += more.len() as u64;
            self.buffer.extend_from_slice(&more);
        }
        Ok(())
    }

    /// Parts on their way give their room back by themselves, so that whoever waits for some gets it.
    async fn begin_part(&mut self) -> Result<(), Failure> {
        let most = self.part_bytes as u64;
        let bytes = match self.expected.saturating_sub(self.bytes) {
            0 => most,
            left => left.min(most),
        };
        self.room = Some(self.budget.room(bytes).await?);
        // In one piece, so that a part that was sent leaves nothing in memory.
        self.buffer = BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(self.part_bytes));
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let (body, room) = (std::mem::take(&mut self.buffer).freeze(), self.room.take());
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.store.upload_begin(&self.key, &self.attributes).await?).clone(),
        };
        while self.sending.len() >= PARTS_AT_ONCE {
            self.reap().await?;
        }
        let number = u32::try_from(self.parts.len() + self.sending.len() + 1).unwrap_or(u32::MAX);
        let store = Arc::clone(&self.store);
        self.sending.spawn(async move {
            let _room = room;
            Ok(store.upload_part(&upload, number, body).await?)
        });
        Ok(())
    }

    async fn reap(&mut self) -> Result<(), Failure> {
        match self.sending.join_next().await {
            Some(Ok(part)) => self.parts.push(part?),
            Some(Err(stopped)) => return Err(Failure::Interrupted(format!("sending a part stopped: {stopped}"))),
            None => {}
        }
        Ok(())
    }

    /// The complete output, staged, and the room that it takes in memory.
    ///
    /// # Errors
    /// When a part cannot be sent.
    pub async fn finish(mut self) -> Result<(Staged, Option<OwnedSemaphorePermit>), Failure> {
        let crc32 = self.crc32.clone().finalize();
        let bytes = self.bytes;
        if self.upload.is_none() {
            let body = StagedBody::Whole(self.buffer.freeze());
            return Ok((Staged { body, bytes, crc32, folder_bytes: None }, self.room));
        }
        self.send().await?;
        while !self.sending.is_empty() {
            self.reap().await?;
        }
        self.parts.sort_by_key(|part| part.number);
        match self.upload.take() {
            Some(upload) => {
                let body = StagedBody::Parts(upload, self.parts);
                Ok((Staged { body, bytes, crc32, folder_bytes: None }, None))
            }
            None => Err(Failure::Interrupted("the upload is gone".to_owned())),
        }
    }

    /// The upload under way, to be aborted if nothing comes of it.
    pub fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use dayfly_shared::clock::SystemClock;
    use dayfly_shared::store::MemoryStore;
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    const PART: usize = 512 << 10;

    async fn put(budget: &PartBudget, bytes: usize) -> Staged {
        let store = Arc::new(MemoryStore::with_least_part("bucket", Arc::new(SystemClock), 1));
        let parts = (PART, budget.clone());
        let mut sink = Sink::new(store, "key".to_owned(), Attributes::default(), parts, bytes as u64);
        let mut left = Bytes::from(vec![b'x'; bytes]);
        while !left.is_empty() {
            sink.write(left.split_to(left.len().min(100_000))).await.unwrap();
        }
        sink.finish().await.unwrap().0
    }

    /// More outputs at once than there is room for parts: each gets its turn, and they are whole.
    #[tokio::test]
    async fn outputs_share_the_room_in_memory() {
        let budget = PartBudget::default();
        let taken = budget.room((64 << 20) - 2 * PART as u64).await.unwrap();
        let all = join_all((0..9).map(|n| put(&budget, n * PART / 2 + 1))).await;
        for (n, staged) in all.iter().enumerate() {
            let bytes = n * PART / 2 + 1;
            assert_eq!(staged.bytes, bytes as u64);
            assert_eq!(staged.crc32, crc32fast::hash(&vec![b'x'; bytes]));
            let parts = match &staged.body {
                StagedBody::Whole(body) => (body.len() == bytes).then_some(1),
                StagedBody::Parts(_, parts) => Some(parts.len()),
            };
            assert_eq!(parts, Some(bytes.div_ceil(PART)));
        }
        let rest = budget.room(2 * PART as u64).await;
        assert!(put(&budget, 1).now_or_never().is_none(), "there is no room");
        drop((rest, taken));
        assert_eq!(put(&budget, 1).await.bytes, 1);
    }
}
