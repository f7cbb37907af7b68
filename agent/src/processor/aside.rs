//! What a task puts beside its output: the files that a manifest names, its log, its checkpoint.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use dayfly_shared::bucket::META_ATTEMPT;
use dayfly_shared::clock::Moment;
use dayfly_shared::job::SCHEMA;
use dayfly_shared::keys;
use dayfly_shared::manifest::{Manifest, ManifestFile};
use dayfly_shared::records::to_json;
use dayfly_shared::store::digest::checksum;
use dayfly_shared::store::{Attributes, Condition, Store};
use tokio::io::AsyncReadExt as _;

use super::program::LogView;
use super::put::{put_own, write_file};
use super::sink::Sink;
use super::{Failure, TaskIo};

/// What is read of a file at once.
const PIECE_BYTES: usize = 1 << 20;

/// The next piece of a file; none at its end.
pub async fn next_piece(file: &mut tokio::fs::File) -> std::io::Result<Option<Bytes>> {
    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
    Ok((file.read_buf(&mut piece).await? > 0).then(|| piece.freeze()))
}

impl TaskIo {
    /// Comes with the deadline once the agent drains, and where one is `known` with a nearer one.
    pub async fn drained(&self, known: Option<Moment>) -> Moment {
        (self.around.drained)(known).await
    }

    fn sink(&self, store: &Arc<dyn Store>, key: &str, attributes: &Attributes, expected: u64) -> Sink {
        let parts = (self.around.part_bytes, self.around.part_budget.clone());
        Sink::new(Arc::clone(store), key.to_owned(), attributes.clone(), parts, expected)
    }

    /// Puts a file of the folder of outputs, called `path` there; its size and checksum.
    ///
    /// # Errors
    /// A file that cannot be read is the task's failure; a store that does not answer or refuses.
    pub async fn put_file(&self, path: &str, file: &Path) -> Result<(u64, String), Failure> {
        let broken = |e: std::io::Error| Failure::Processor {
            error: format!("the output file {path} cannot be read: {e}"),
            permanent: false,
        };
        let name = keys::attempt_file_name(&self.task.name, self.attempt, path);
        let key = self.around.outputs.key(&name);
        if key.len() > keys::KEY_MAX {
            let error =
                format!("the output {path} would have a key of {} bytes, and S3 allows {}", key.len(), keys::KEY_MAX);
            return Err(Failure::Processor { error, permanent: false });
        }
        let attributes = Attributes::default().with(META_ATTEMPT, self.attempt.to_string());
        let mut file = tokio::fs::File::open(file).await.map_err(broken)?;
        let size = file.metadata().await.map_err(broken)?.len();
        let mut sink = self.sink(&self.output.store, &key, &attributes, size);
        while let Some(piece) = next_piece(&mut file).await.map_err(broken)? {
            sink.write(piece).await?;
        }
        let (staged, _room) = sink.finish().await?;
        put_own(&self.output.store, &key, &staged, &attributes, &Condition::Create, &*self.around.clock).await?;
        Ok((staged.bytes, checksum(staged.crc32)))
    }

    /// Stages the manifest of these files as the output.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn stage_manifest(&mut self, files: Vec<ManifestFile>) -> Result<(), Failure> {
        let manifest =
            Manifest { schema: SCHEMA, task: self.task.id, name: self.task.name.clone(), attempt: self.attempt, files };
        self.folder_bytes = Some(manifest.bytes());
        let text = to_json(&manifest);
        self.expected = text.len() as u64;
        self.write(text.into()).await
    }

    /// Puts the attempt's log, so far or, with a remark, for good. One that cannot be put is said and done without.
    pub async fn put_log(&self, log: &LogView, remark: Option<&str>) {
        let key = self.around.job.keys.task_log(self.task.id, self.around.slug.as_deref(), self.attempt);
        match self.try_put_log(&key, log, remark).await {
            Ok(()) => *self.around.last_log.lock().unwrap_or_else(PoisonError::into_inner) = Some(key),
            Err(error) => tracing::warn!(task = %self.task.id, %error, "the task's log could not be put"),
        }
    }

    async fn try_put_log(&self, key: &str, log: &LogView, remark: Option<&str>) -> Result<(), Failure> {
        let broken = |e: std::io::Error| Failure::Interrupted(format!("the log cannot be read: {e}"));
        let store = self.around.job.store();
        let mut sink = self.sink(store, key, &Attributes::text(), log.kept());
        let head = format!("task {}  {}\nattempt {}\n\n", self.task.id, self.task.name, self.attempt);
        sink.write(head.into()).await?;
        for piece in log.pieces() {
            sink.write(piece.map_err(broken)?).await?;
        }
        let end = match remark {
            Some(remark) => format!("\n\n[dayfly: {remark}]\n"),
            None => "\n\n[dayfly: the program is at work]\n".to_owned(),
        };
        sink.write(end.into()).await?;
        let (staged, _room) = sink.finish().await?;
        put_own(store, key, &staged, &Attributes::text(), &Condition::Overwrite, &*self.around.clock).await
    }

    fn checkpoint_key(&self) -> String {
        self.around.job.keys.checkpoint(self.task.id, self.around.slug.as_deref())
    }

    /// Fetches the checkpoint that an attempt before this one left to the file `to`; whether there was one that the disk can
    /// hold.
    ///
    /// # Errors
    /// A store that does not answer or refuses, a disk that is full.
    pub async fn fetch_checkpoint(&self, to: &Path) -> Result<bool, Failure> {
        // Whoever stops an attempt gives the chunk back, so the first tenure has none before it: that saves a request a task.
        if self.attempt.epoch == 1 {
            return Ok(false);
        }
        let (store, key) = (self.around.job.store(), self.checkpoint_key());
        let Some(object) = store.get(&key, None).await? else { return Ok(false) };
        // The archive, and what is in it.
        let bytes = object.meta.size.saturating_mul(2);
        if let Some((free, all)) = self.disk().filter(|(free, _)| bytes > *free) {
            let what = format!("the checkpoint {} takes {bytes} bytes to unpack", store.place(&key));
            if bytes <= all {
                return Err(Failure::NoRoom(format!(
                    "{what}, and {free} are free on the disk of its machine, of {all}"
                )));
            }
            tracing::warn!(task = %self.task.id, "{what}, and the disk of this machine has {all}; the task begins anew");
            return Ok(false);
        }
        write_file(object, to).await?;
        Ok(true)
    }

    /// Puts the file `from` as the task's checkpoint.
    ///
    /// # Errors
    /// A store that does not answer or refuses.
    pub async fn put_checkpoint(&self, from: &Path) -> Result<(), Failure> {
        let broken = |e: std::io::Error| Failure::Interrupted(format!("{} cannot be read: {e}", from.display()));
        let (store, key, attributes) = (self.around.job.store(), self.checkpoint_key(), Attributes::default());
        let mut file = tokio::fs::File::open(from).await.map_err(broken)?;
        let size = file.metadata().await.map_err(broken)?.len();
        let mut sink = self.sink(store, &key, &attributes, size);
        while let Some(piece) = next_piece(&mut file).await.map_err(broken)? {
            sink.write(piece).await?;
        }
        let (staged, _room) = sink.finish().await?;
        put_own(store, &key, &staged, &attributes, &Condition::Overwrite, &*self.around.clock).await
    }
}
