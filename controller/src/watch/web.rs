//! `dayfly watch --web`: the report, on loopback, kept up to date.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dayfly_shared::clock::{Clock, Moment};
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::BILL;
use crate::failure::{Failure, Result};
use crate::observe::Observer;
use crate::parts::{Parts, Patience};
use crate::report::{Gathered, Report, Spent, data, html};
use crate::stop::Stop;

/// Where newer data is, beside the page.
const DATA: &str = "data.json";
/// Between two looks at the bucket, however many browsers ask: as often as the page asks for more.
const LOOK: Duration = Duration::from_secs(2);

/// After an error nobody is accepted for so long: a person notices nothing of it, nor does the processor.
const PAUSE: Duration = Duration::from_millis(100);

/// What was seen last; one look at a time.
struct Live {
    parts: Parts,
    observer: Observer,
    seen: Option<(Moment, Report)>,
    spent: Option<(Moment, Spent)>,
}

impl Live {
    /// The report, no older than [`LOOK`].
    async fn report(&mut self) -> Result<&Report> {
        let now = self.parts.clock.now().at;
        let fresh = self.seen.as_ref().is_some_and(|(at, _)| now.since(*at) < LOOK);
        if !fresh {
            let gathered = Gathered::read(&self.parts, &mut self.observer).await?;
            // What AWS would be asked again is kept for a while; the rest stands in what was read just now.
            let billed = self.spent.take().filter(|(at, spent)| spent.asked && now.since(*at) < BILL);
            let (at, spent) = match billed {
                Some(billed) => billed,
                None => (now, gathered.spent(&self.parts).await?),
            };
            let report = gathered.tell(spent.clone()).await?;
            self.spent = Some((at, spent));
            return Ok(&self.seen.insert((self.parts.clock.now().at, report)).1);
        }
        match &self.seen {
            Some((_, report)) => Ok(report),
            None => Err(Failure::new("nothing was seen yet")),
        }
    }
}

/// Serves the report of a job until Ctrl-C.
///
/// # Errors
/// No job there, a store that refuses, a port that is taken.
pub async fn serve(parts: &Parts, job: &Location, port: u16) -> Result<Exit> {
    let mut stop = Stop::listen()?;
    let observer = Observer::keeping(parts.job(job, Patience::Brief).await?);
    let mut live = Live { parts: parts.clone(), observer, seen: None, spent: None };
    // No job, or a store that refuses, is said here and not in a browser.
    live.report().await?;
    let live = Arc::new(Mutex::new(live));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| Failure::new(format!("listening on port {port}: {e}")).fix("choose another with --port"))?;
    let port = listener.local_addr().map_err(|e| Failure::new(format!("listening: {e}")))?.port();
    parts.output().line(&Served { job: job.clone(), url: format!("http://127.0.0.1:{port}/") });
    parts.output().note("serving the report to browsers on this machine until Ctrl-C; the job does not need it");
    loop {
        tokio::select! {
            accepted = accepted(listener.accept(), &*parts.clock) => {
                let Some((stream, _)) = accepted else { continue };
                let live = Arc::clone(&live);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, port, Arc::clone(&live)));
                    // A browser that goes away in the middle has seen what it wanted.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            () = stop.asked() => return Ok(Exit::Done),
        }
    }
}

/// Who came; after an error nobody, and that not at once: without files left (EMFILE) it is there again until one is
/// closed.
async fn accepted<T>(accepts: impl Future<Output = io::Result<T>>, clock: &dyn Clock) -> Option<T> {
    let accepted = accepts.await.ok();
    if accepted.is_none() {
        clock.sleep(PAUSE).await;
    }
    accepted
}

/// Where it is served.
#[derive(Serialize)]
struct Served {
    job: Location,
    url: String,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

async fn answer(
    request: Request<Incoming>,
    port: u16,
    live: Arc<Mutex<Live>>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status, text: String| reply(status, "text/plain; charset=utf-8", text);
    // A page from elsewhere whose name was made to mean this machine must not read it (DNS rebinding).
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !hosts.iter().any(|known| known == host) {
        return Ok(plain(StatusCode::FORBIDDEN, format!("ask for http://{}/\n", hosts[0])));
    }
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "there is only GET\n".to_owned()));
    }
    let path = request.uri().path().to_owned();
    let wanted = path.trim_start_matches('/');
    if !matches!(wanted, "" | DATA) {
        return Ok(plain(StatusCode::NOT_FOUND, format!("there is / and /{DATA}\n")));
    }
    let mut live = live.lock().await;
    Ok(match live.report().await {
        Err(failure) => plain(StatusCode::BAD_GATEWAY, format!("{failure:#}\n")),
        Ok(report) if wanted == DATA => reply(StatusCode::OK, "application/json", data(report)),
        Ok(report) => reply(StatusCode::OK, "text/html; charset=utf-8", html(report, Some(DATA))),
    })
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use dayfly_shared::clock::{Now, SystemClock};
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    /// Writes down how long it was to wait.
    #[derive(Default)]
    struct Waits(Mutex<Vec<Duration>>);

    impl Clock for Waits {
        fn now(&self) -> Now {
            SystemClock.now()
        }

        fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(wait);
            std::future::ready(()).boxed()
        }
    }

    #[tokio::test]
    async fn who_cannot_accept_does_not_try_without_a_pause() {
        let clock = Waits::default();
        let full = async { Err::<(), _>(io::Error::other("too many open files")) };
        assert_eq!(accepted(full, &clock).await, None);
        assert_eq!(accepted(async { Ok(7) }, &clock).await, Some(7));
        assert_eq!(*clock.0.lock().unwrap(), [PAUSE]);
    }
}
