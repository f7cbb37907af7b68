//! Bodies that break off, or wait half-way.

use std::io;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, StreamBody};
use hyper::Request;
use hyper::body::{Frame, Incoming};
use hyper::http::request::Parts;

use super::gate::Gate;

/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request as it came in.
pub(super) fn whole((parts, body): (Parts, Incoming)) -> Request<Body> {
    Request::from_parts(parts, body.map_err(io::Error::other).boxed_unsync())
}

/// The first `bytes` of a body, then a broken connection.
pub(super) fn cut(body: Body, bytes: usize) -> Body {
    staged(body, bytes, None)
}

/// The first `bytes` of a body; the rest once the gate is open.
pub(super) fn hold(body: Body, bytes: usize, gate: Gate) -> Body {
    staged(body, bytes, Some(gate))
}

struct Progress {
    body: BodyDataStream<Body>,
    /// Bytes that may pass before the stop.
    left: usize,
    /// The rest of a piece that holds the stop.
    rest: Bytes,
    gate: Option<Gate>,
    stopped: bool,
}

fn staged(body: Body, bytes: usize, gate: Option<Gate>) -> Body {
    let progress = Progress { body: body.into_data_stream(), left: bytes, rest: Bytes::new(), gate, stopped: false };
    let frames = stream::unfold(progress, |mut at| async move {
        if !at.stopped && at.left == 0 {
            at.stopped = true;
            match at.gate.take() {
                Some(gate) => gate.pass().await,
                None => return Some((Err(super::broken("cut in the middle of the body")), at)),
            }
        }
        let mut piece = std::mem::take(&mut at.rest);
        if piece.is_empty() {
            piece = match at.body.next().await? {
                Ok(piece) => piece,
                Err(error) => return Some((Err(error), at)),
            };
        }
        if !at.stopped && piece.len() > at.left {
            at.rest = piece.split_off(at.left);
        }
        at.left = at.left.saturating_sub(piece.len());
        Some((Ok(Frame::data(piece)), at))
    });
    StreamBody::new(frames).boxed_unsync()
}
