//! Defects that can be planted on purpose, to see that the model checker and the simulator catch every one.
//!
//! Without the feature `planted-defects`, which no binary that ships is built with, [`Defect::is_planted`] is the
//! constant `false` and the compiler drops what hangs on it.

/// A known way to get the protocol wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Defect {
    /// An output is put without a condition.
    OutputWithoutCondition = 1,
    /// A semaphore is deleted whatever version stands there.
    DeleteWithoutCondition,
    /// The semaphore's body bears neither tenure nonce nor write count, so that equal bodies share a tag.
    BodyWithoutNonce,
    /// After an unanswered write, any lease that bears one's own name, whatever the process, is taken for one's own.
    AdoptByName,
    /// No lease ever expires, as crashes are "detected".
    NoExpiry,
    /// 409 is taken for "it stands already".
    ConflictMeansTaken,
    /// `tasklist.txt` is trimmed before `completed.txt` is written.
    TrimBeforeCompleted,
    /// What is done is listed before the views are read.
    ListBeforeRead,
    /// A write that was not answered is sent again under a new nonce.
    RetryWithNewNonce,
    /// An agent's own wall clock is held against `LastModified`.
    ExpiryByWallClock,
    /// An attempt's name is used twice.
    AttemptUsedTwice,
    /// An agent ends although a released chunk is left.
    EndWithReleasedLeft,
    /// The ids of chunks begin anew with each segment.
    ChunkIdsRestart,
}

impl Defect {
    /// Every one.
    pub const ALL: [Defect; 13] = [
        Defect::OutputWithoutCondition,
        Defect::DeleteWithoutCondition,
        Defect::BodyWithoutNonce,
        Defect::AdoptByName,
        Defect::NoExpiry,
        Defect::ConflictMeansTaken,
        Defect::TrimBeforeCompleted,
        Defect::ListBeforeRead,
        Defect::RetryWithNewNonce,
        Defect::ExpiryByWallClock,
        Defect::AttemptUsedTwice,
        Defect::EndWithReleasedLeft,
        Defect::ChunkIdsRestart,
    ];

    /// Whether this process is to have the defect.
    #[cfg(feature = "planted-defects")]
    #[inline]
    pub fn is_planted(self) -> bool {
        PLANTED.load(std::sync::atomic::Ordering::Relaxed) == self as u8
    }

    /// Whether this process is to have the defect: never.
    #[cfg(not(feature = "planted-defects"))]
    #[inline]
    pub const fn is_planted(self) -> bool {
        false
    }
}

#[cfg(feature = "planted-defects")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a defect in this process in place of the one before, or none.
#[cfg(feature = "planted-defects")]
pub fn plant(defect: Option<Defect>) {
    PLANTED.store(defect.map_or(0, |d| d as u8), std::sync::atomic::Ordering::Relaxed);
}
