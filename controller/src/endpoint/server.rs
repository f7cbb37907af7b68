//! Connections: accepted, served, and at the end let go.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dayfly_shared::clock::Clock;
use futures::future::{Either, select};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::access::Logged;

/// A connection that sends no request for so long is closed. Longer than clients keep theirs (dayfly's 15 s, boto3's
/// and the AWS SDKs' up to 60 s), so that it is the client that closes, and no request meets a closing connection.
const IDLE: Duration = Duration::from_secs(75);
/// How long requests may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(10);
/// After a failed accept (out of file descriptors, say), before the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` or `stopped`.
pub(super) async fn run(
    listener: TcpListener,
    service: Logged,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()> + Send,
    mut stopped: watch::Receiver<bool>,
) {
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    {
        let stop = async {
            // A dropped handle asks for nothing.
            if stopped.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let mut end = std::pin::pin!(select(Box::pin(shutdown), Box::pin(stop)));
        loop {
            match select(Box::pin(listener.accept()), &mut end).await {
                Either::Left((Ok((stream, _)), _)) => {
                    connections.spawn(connection(stream, service.clone(), closing.clone()));
                    // Reap those that have ended.
                    while connections.try_join_next().is_some() {}
                }
                Either::Left((Err(error), _)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    clock.sleep(PAUSE).await;
                }
                Either::Right(_) => break,
            }
        }
    }
    drop(listener);
    let _ = close.send(true);
    let in_time = {
        let ended = async { while connections.join_next().await.is_some() {} };
        matches!(select(Box::pin(ended), clock.sleep(GRACE)).await, Either::Left(_))
    };
    if !in_time {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, service: Logged, mut closing: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let close = Box::pin(async move {
        // The sender lives as long as the server.
        let _ = closing.wait_for(|close| *close).await;
    });
    let result = match select(serving.as_mut(), close).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection broken");
    }
}
