//! Bodies: taken in whole or not at all, given out in pieces.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dayfly_shared::clock::Clock;
use dayfly_shared::store::{Result as StoreResult, StoreError};
use futures::future::{Either, select};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use hyper::StatusCode;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3Result, StdError, s3_error};

use super::answer::error;

/// A client that sends nothing for so long has gone (S3 answers `RequestTimeout` after some 20 s).
const IDLE: Duration = Duration::from_secs(30);
/// Memory is set aside ahead for no more than this; a length is only a claim until the bytes are there.
const AHEAD_BYTES: usize = 16 << 20;

/// The whole body, which must be as long as announced and no longer than `limit`.
///
/// # Errors
/// `EntityTooLarge`, `IncompleteBody`, `RequestTimeout`, and what the signature's checks of the body say.
pub(super) async fn receive(
    body: Option<StreamingBlob>,
    announced: Option<i64>,
    limit: u64,
    clock: &dyn Clock,
) -> S3Result<Bytes> {
    let announced = announced.map(|length| u64::try_from(length).unwrap_or(0));
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let expected = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut all = BytesMut::with_capacity(expected.min(AHEAD_BYTES));
    loop {
        let piece = match select(body.next(), clock.sleep(IDLE)).await {
            Either::Left((piece, _)) => piece,
            Either::Right(_) => {
                return Err(s3_error!(RequestTimeout, "No bytes came for {} s", IDLE.as_secs()));
            }
        };
        match piece {
            Some(Ok(piece)) => {
                if (all.len() + piece.len()) as u64 > limit {
                    return Err(too_large(limit));
                }
                all.extend_from_slice(&piece);
            }
            Some(Err(cause)) => return Err(broken(&cause)),
            None => break,
        }
    }
    match announced {
        Some(length) if length != all.len() as u64 => {
            Err(s3_error!(IncompleteBody, "{length} bytes were announced, {} came", all.len()))
        }
        _ => Ok(all.freeze()),
    }
}

fn too_large(limit: u64) -> S3Error {
    s3_error!(EntityTooLarge, "The body is larger than this endpoint's limit of {limit} bytes; upload it in parts")
}

/// Why a body could not be read to its end. (The types of the library's checks are not public; their names show.)
fn broken(cause: &StdError) -> S3Error {
    let text = cause.to_string();
    if text.contains("Sha256Mismatch") {
        error(
            "XAmzContentSHA256Mismatch",
            StatusCode::BAD_REQUEST,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "The signature of a chunk of the body does not match")
    } else {
        s3_error!(IncompleteBody, "The body broke off: {text}")
    }
}

/// A store's body on its way out, of known length.
pub(super) fn send(body: BoxStream<'static, StoreResult<Bytes>>, length: u64) -> StreamingBlob {
    StreamingBlob::new(Outgoing { body: Mutex::new(body), left: length })
}

/// The lock is never waited for: it only lends the stream the `Sync` that the library asks for.
struct Outgoing {
    body: Mutex<BoxStream<'static, StoreResult<Bytes>>>,
    left: u64,
}

impl Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        next.map_err(|error: StoreError| error.into())
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}
