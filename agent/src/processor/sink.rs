//! Where a processor's output gathers until it is committed: in memory while it is small, else in a multipart upload.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dayfly_shared::store::{Attributes, Part, Store, Upload};
use tokio::task::JoinSet;

use super::Failure;

/// Outputs up to this size are one PUT from memory; larger ones go up in parts of at least this size: above S3's 5 MiB, and
/// small enough that [`PARTS_AT_ONCE`] of them fit into the memory of the smallest instances.
pub const PART_BYTES: usize = 8 << 20;

/// S3's limit on the number of parts (S3 user guide, "Amazon S3 multipart upload limits").
pub const PARTS_MAX: u64 = 10_000;

/// Parts on their way at once: keeps the line busy while the next is made, and bounds memory.
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
    buffer: BytesMut,
    bytes: u64,
    crc32: crc32fast::Hasher,
    upload: Option<Upload>,
    sending: JoinSet<Result<Part, Failure>>,
    parts: Vec<Part>,
}

impl Sink {
    /// For the object `key`, of which `expected` bytes are expected (0: unknown), in parts of `part_bytes` or more.
    pub fn new(store: Arc<dyn Store>, key: String, attributes: Attributes, part_bytes: usize, expected: u64) -> Self {
        let least = usize::try_from(expected.div_ceil(PARTS_MAX)).unwrap_or(usize::MAX);
        Self {
            store,
            key,
            attributes,
            part_bytes: part_bytes.max(least),
            buffer: BytesMut::new(),
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
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        self.bytes += piece.len() as u64;
        self.crc32.update(&piece);
        self.buffer.extend_from_slice(&piece);
        // More than a part: the last one is sent by finish, so that it is never empty.
        while self.buffer.len() > self.part_bytes {
            let part = self.buffer.split_to(self.part_bytes).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, body: Bytes) -> Result<(), Failure> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.store.upload_begin(&self.key, &self.attributes).await?).clone(),
        };
        while self.sending.len() >= PARTS_AT_ONCE {
            self.reap().await?;
        }
        let number = u32::try_from(self.parts.len() + self.sending.len() + 1).unwrap_or(u32::MAX);
        let store = Arc::clone(&self.store);
        self.sending.spawn(async move { Ok(store.upload_part(&upload, number, body).await?) });
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

    /// The complete output, staged.
    ///
    /// # Errors
    /// When a part cannot be sent.
    pub async fn finish(mut self) -> Result<Staged, Failure> {
        let crc32 = self.crc32.clone().finalize();
        let bytes = self.bytes;
        if self.upload.is_none() {
            return Ok(Staged { body: StagedBody::Whole(self.buffer.freeze()), bytes, crc32, folder_bytes: None });
        }
        let last = self.buffer.split().freeze();
        self.send(last).await?;
        while !self.sending.is_empty() {
            self.reap().await?;
        }
        self.parts.sort_by_key(|part| part.number);
        match self.upload.take() {
            Some(upload) => {
                Ok(Staged { body: StagedBody::Parts(upload, self.parts), bytes, crc32, folder_bytes: None })
            }
            None => Err(Failure::Interrupted("the upload is gone".to_owned())),
        }
    }

    /// The upload under way, to be aborted if nothing comes of it.
    pub fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }
}
