//! A disk becomes a snapshot: begun, written block by block, sealed (EBS direct APIs, "Write snapshots").

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ebs::error::SdkError;
use aws_sdk_ebs::operation::put_snapshot_block::PutSnapshotBlockError;
use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::{ChecksumAggregationMethod, ChecksumAlgorithm, Tag, ValidationExceptionReason};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dayfly_shared::backoff::Backoff;
use dayfly_shared::clock::Moment;
use dayfly_shared::launch::tags;
use futures::stream::{self, StreamExt as _};
use indicatif::ProgressBar;

use super::account::{self, Progress};
use super::disk::{BLOCK, Block, Disk};
use super::wanted::Wanted;
use super::{NEWS, UNFINISHED_FOR, explain, until};
use crate::cloud::{Cloud, code, is_passing};
use crate::failure::{Failure, Result};
use crate::human;
use crate::parts::Parts;
use crate::progress;

/// Blocks on their way at once: 8 MiB, which fills a gigabit line at 60 ms a block, and 16 of the 1,000 requests a second
/// that EBS takes (General Reference, "Amazon EBS endpoints and quotas").
const AT_ONCE: usize = 16;
/// After so many blocks (32 MiB) the snapshot's tag says how far it is: what is sent again after a crash, at most.
const MARK_EVERY: usize = 64;
/// How long a block is tried that is throttled or not answered, after the SDK's own tries: through a short outage.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a snapshot may take from its sealing to its completion. Nothing is known of an upper bound; an hour is many
/// times what a disk of some GiB takes.
const SEALING: Duration = Duration::from_secs(3600);

/// A snapshot in the making.
pub struct Writing<'a> {
    parts: &'a Parts,
    cloud: &'a Cloud,
    disk: Arc<Disk>,
    /// `snap-…`.
    pub id: String,
    /// Since when it exists, if this process began it: EBS may not know it everywhere yet.
    begun: Option<Moment>,
    /// How many blocks had arrived before.
    written: usize,
}

impl<'a> Writing<'a> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// EBS refuses: no right, no key, too many pending ones.
    pub async fn begin(parts: &'a Parts, cloud: &'a Cloud, disk: Arc<Disk>, wanted: &Wanted) -> Result<Self> {
        let minutes = i32::try_from(UNFINISHED_FOR.as_secs() / 60).unwrap_or(60);
        let tags = wanted.snapshot_tags();
        let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        // One token for all tries, so that one whose answer was lost begins no second snapshot. It is of this process
        // alone: whoever comes later finds the snapshot by its tag, and a token may outlive what it made.
        let token = format!("dayfly-{}", parts.dice.nonce());
        let call = cloud
            .ebs()
            .start_snapshot()
            .volume_size(wanted.gib.into())
            .set_tags(Some(tags))
            .description(format!("dayfly {} {}", wanted.agent, wanted.flavour))
            .client_token(token)
            .set_encrypted(wanted.encrypted.then_some(true))
            .set_kms_key_arn(wanted.key.clone())
            .timeout(minutes);
        let about = format!("a snapshot of {} GiB", wanted.gib);
        let (began, mut backoff) = (parts.clock.now().at, Backoff::default());
        let answer = loop {
            match call.clone().send().await {
                Ok(answer) => break answer,
                Err(e) if is_passing(&e) && parts.clock.now().at.since(began) < PATIENCE => {
                    parts.clock.sleep(backoff.next(&*parts.dice)).await;
                }
                Err(e) => {
                    let failure = explain(cloud, "ebs:StartSnapshot", &about, &e).await;
                    return Err(failure.left("nothing was uploaded"));
                }
            }
        };
        let Some(id) = answer.snapshot_id().map(str::to_owned) else {
            return Err(Failure::new("ebs:StartSnapshot: no snapshot in the answer"));
        };
        if answer.block_size().is_some_and(|size| usize::try_from(size) != Ok(BLOCK)) {
            account::delete_snapshot(cloud, &id).await?;
            return Err(Failure::new(format!("{id} wants blocks of another size than {BLOCK} bytes"))
                .left("it was removed")
                .fix("use a newer dayfly"));
        }
        Ok(Self { parts, cloud, disk, id, begun: Some(parts.clock.now().at), written: 0 })
    }

    /// Goes on with one that somebody began.
    pub fn resume(parts: &'a Parts, cloud: &'a Cloud, disk: Arc<Disk>, id: String, written: usize) -> Self {
        let written = written.min(disk.blocks().len());
        Self { parts, cloud, disk, id, begun: None, written }
    }

    /// Sends what is missing, and seals it.
    ///
    /// # Errors
    /// EBS refuses a block, or does not answer; the snapshot stands for the next try.
    pub async fn finish(self) -> Result<()> {
        let blocks = self.disk.blocks().len();
        let bar = progress::bytes(self.parts.output(), "uploading", self.disk.bytes_to_send());
        bar.set_position((self.written * BLOCK) as u64);
        let mut arrived = self.written;
        let sent = self.send(&mut arrived, &bar).await;
        bar.finish_and_clear();
        if let Err(failure) = sent {
            // Somebody else who publishes the same file may have been faster.
            if self.is_completed().await {
                return Ok(());
            }
            self.mark(arrived).await;
            return Err(failure.left(format!(
                "{} of {} are in {}, which waits for {} and is cancelled then; run it again to go on",
                human::thousands(arrived as u64),
                human::count(blocks as u64, "block"),
                self.id,
                human::duration(UNFINISHED_FOR),
            )));
        }
        self.seal().await?;
        self.completed().await
    }

    async fn send(&self, arrived: &mut usize, bar: &ProgressBar) -> Result<()> {
        let blocks = self.disk.blocks();
        let mut puts = stream::iter(&blocks[self.written..]).map(|block| self.put(*block)).buffered(AT_ONCE);
        let (mut marked, mut tenth) = (*arrived, *arrived * 10 / blocks.len());
        // Answers come in the blocks' order, so that their count says which have arrived.
        while let Some(put) = puts.next().await {
            put?;
            *arrived += 1;
            bar.inc(BLOCK as u64);
            if *arrived - marked >= MARK_EVERY {
                self.mark(*arrived).await;
                marked = *arrived;
            }
            let now = *arrived * 10 / blocks.len();
            if now > tenth && !self.parts.output().live() {
                self.parts.output().note(format!(
                    "uploaded  {}0 % of {}",
                    now,
                    human::bytes(self.disk.bytes_to_send())
                ));
            }
            tenth = now;
        }
        if *arrived > marked {
            self.mark(*arrived).await;
        }
        Ok(())
    }

    /// Sends one block, and again for as long as that may help.
    async fn put(&self, block: Block) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        let read = tokio::task::spawn_blocking(move || disk.read(block)).await;
        let bytes = read.map_err(|e| Failure::new(format!("reading the image: {e}")))??;
        let (first, mut backoff) = (self.parts.clock.now().at, Backoff::default());
        loop {
            let put = self
                .cloud
                .ebs()
                .put_snapshot_block()
                .snapshot_id(&self.id)
                .block_index(i32::try_from(block.index).unwrap_or(i32::MAX))
                .data_length(i32::try_from(BLOCK).unwrap_or(i32::MAX))
                .checksum(STANDARD.encode(block.sha256))
                .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
                .block_data(ByteStream::from(bytes.clone()));
            let Err(error) = put.send().await else { return Ok(()) };
            let waited = self.parts.clock.now().at.since(first);
            if waited >= PATIENCE || !(is_passing(&error) || is_passing_for_blocks(&error) || self.is_news(&error)) {
                let about = format!("block {} of {}", block.index, self.id);
                return Err(explain(self.cloud, "ebs:PutSnapshotBlock", &about, &error).await);
            }
            self.parts.clock.sleep(backoff.next(&*self.parts.dice)).await;
        }
    }

    /// A snapshot that was begun just now may not be known everywhere.
    fn is_news(&self, error: &SdkError<PutSnapshotBlockError>) -> bool {
        let young = self.begun.is_some_and(|begun| self.parts.clock.now().at.since(begun) < NEWS);
        young && code(error) == Some("ResourceNotFoundException")
    }

    /// Says on the snapshot how far it is. Without it the next try sends more than it must, and no more than that.
    async fn mark(&self, arrived: usize) {
        let tag = aws_sdk_ec2::types::Tag::builder().key(tags::WRITTEN).value(arrived.to_string()).build();
        if let Err(error) = self.cloud.ec2().create_tags().resources(&self.id).tags(tag).send().await {
            tracing::info!(code = code(&error), "the snapshot's progress was not noted");
        }
    }

    async fn is_completed(&self) -> bool {
        matches!(account::snapshot(self.cloud, &self.id).await, Ok(Some(now)) if now.progress == Progress::Completed)
    }

    /// Seals the snapshot: EBS holds count and checksum of all blocks against what it has.
    async fn seal(&self) -> Result<()> {
        let blocks = self.disk.blocks().len();
        let call = self
            .cloud
            .ebs()
            .complete_snapshot()
            .snapshot_id(&self.id)
            .changed_blocks_count(i32::try_from(blocks).unwrap_or(i32::MAX))
            .checksum(self.disk.checksum())
            .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
            .checksum_aggregation_method(ChecksumAggregationMethod::ChecksumAggregationLinear);
        let (first, mut backoff) = (self.parts.clock.now().at, Backoff::default());
        loop {
            let Err(error) = call.clone().send().await else { return Ok(()) };
            let waited = self.parts.clock.now().at.since(first);
            if is_passing(&error) && waited < PATIENCE {
                self.parts.clock.sleep(backoff.next(&*self.parts.dice)).await;
                continue;
            }
            // A try whose answer was lost, or somebody else's, may have sealed it.
            if self.is_completed().await {
                return Ok(());
            }
            let failure = explain(self.cloud, "ebs:CompleteSnapshot", &self.id, &error).await;
            if code(&error) != Some("ValidationException") {
                return Err(failure.left(format!("all blocks are in {}; run it again to go on", self.id)));
            }
            // What EBS has is not the disk: no later try would mend that.
            return Err(match account::delete_snapshot(self.cloud, &self.id).await {
                Ok(()) => failure.left(format!("{} was removed", self.id)),
                Err(kept) => failure.left(format!("{} stands ({kept})", self.id)),
            }
            .fix("run it again: it begins anew"));
        }
    }

    /// Waits until the snapshot can be used.
    async fn completed(&self) -> Result<()> {
        self.parts.output().note(format!("sealed    {}; waiting until EBS has completed it", self.id));
        let seen = until(self.parts, SEALING, async || match account::snapshot(self.cloud, &self.id).await? {
            Some(now) if now.progress == Progress::Failed => {
                let why = now.message.unwrap_or_else(|| "EBS does not say why".to_owned());
                Err(Failure::new(format!("{} failed: {why}", self.id))
                    .left("no image was registered")
                    .fix("run it again: it removes this snapshot and begins anew"))
            }
            Some(now) if now.progress == Progress::Completed => Ok(Some(())),
            _ => Ok(None),
        });
        match seen.await? {
            Some(()) => Ok(()),
            None => Err(Failure::new(format!("{} is not completed after {}", self.id, human::duration(SEALING)))
                .left("all blocks are in it")
                .fix("run it again later: it goes on with the image")),
        }
    }
}

/// What EBS says of a block that another try may still be writing, or that took too long on its way.
fn is_passing_for_blocks(error: &SdkError<PutSnapshotBlockError>) -> bool {
    let Some(PutSnapshotBlockError::ValidationException(said)) = error.as_service_error() else { return false };
    matches!(
        said.reason(),
        Some(ValidationExceptionReason::ConflictingBlockUpdate | ValidationExceptionReason::WriteRequestTimeout)
    )
}
