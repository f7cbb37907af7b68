//! Outcomes of the store as replies to the state machine.

use crate::claim::Reply;
use crate::planted::Defect;
use crate::store::{ETag, Outcome, Rejection, Result, StoreError, StoreErrorKind};

/// The reply that a write's outcome is to the state machine.
pub fn reply_to_write(outcome: Result<Outcome<ETag>>) -> Reply {
    match outcome {
        Ok(Outcome::Applied(etag)) => Reply::Applied(etag),
        Ok(Outcome::Rejected(Rejection::Precondition)) => Reply::Rejected,
        Ok(Outcome::Rejected(Rejection::Missing)) => Reply::Missing,
        Ok(Outcome::Rejected(Rejection::Conflict)) if Defect::ConflictMeansTaken.is_planted() => Reply::Rejected,
        Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Conflict,
        Ok(Outcome::Rejected(Rejection::NoSuchUpload)) => Reply::Restage,
        Ok(Outcome::Unknown(_)) => Reply::Unknown,
        Err(error) => reply_to_error(&error),
    }
}

/// The reply that the outcome of deleting the version `etag` is to the state machine.
pub fn reply_to_delete(outcome: Result<Outcome<()>>, etag: ETag) -> Reply {
    match outcome {
        Ok(Outcome::Applied(())) => Reply::Applied(etag),
        Ok(Outcome::Rejected(Rejection::Conflict)) => Reply::Conflict,
        Ok(Outcome::Rejected(Rejection::Missing)) => Reply::Missing,
        Ok(Outcome::Rejected(_)) => Reply::Rejected,
        Ok(Outcome::Unknown(_)) => Reply::Unknown,
        Err(error) => reply_to_error(&error),
    }
}

/// The reply that a failed call is to the state machine.
pub fn reply_to_error(error: &StoreError) -> Reply {
    match error.kind {
        StoreErrorKind::Transient | StoreErrorKind::Corrupt => Reply::Unknown,
        _ => Reply::Broken(error.to_string()),
    }
}
