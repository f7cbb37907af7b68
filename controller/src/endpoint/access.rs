//! Who may come in, what came in, and what was answered.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use dayfly_shared::clock::Clock;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::service::S3Service;
use s3s::{Body, HttpError, S3Result, s3_error};
use time::OffsetDateTime;

use super::answer::at;

/// Requests by operation.
#[derive(Default)]
pub(super) struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    fn add(&self, operation: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(operation) {
            Some(count) => *count += 1,
            None => {
                counts.insert(operation.to_owned(), 1);
            }
        }
    }

    /// The counts now.
    pub(super) fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The one pair of keys.
pub(super) struct OneKey {
    pub(super) access_key: String,
    pub(super) secret_key: SecretKey,
}

#[async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            Ok(self.secret_key.clone())
        } else {
            Err(s3_error!(InvalidAccessKeyId, "The access key {access_key} is not the one of this endpoint"))
        }
    }
}

/// Lets signed requests in, and notes which operation each one is.
pub(super) struct Doorkeeper;

#[async_trait]
impl S3Access for Doorkeeper {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "This endpoint takes signed requests only"));
        }
        let operation = request.s3_op().name().to_owned();
        if let Some(name) = request.extensions_mut().get::<OperationName>() {
            // A request is one operation.
            let _ = name.0.set(operation);
        }
        Ok(())
    }
}

/// Which operation a request turned out to be.
#[derive(Clone, Default)]
struct OperationName(Arc<OnceLock<String>>);

/// The service with its access log, its counters, and the headers that every answer bears.
#[derive(Clone)]
pub(super) struct Logged {
    service: S3Service,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    served: Arc<AtomicU64>,
}

impl Logged {
    /// Around the S3 service.
    pub(super) fn new(service: S3Service, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        Self { service, clock, counters, served: Arc::default() }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let begun = self.clock.now().at;
        let id = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let operation = OperationName::default();
        request.extensions_mut().insert(operation.clone());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut result = self.service.call(request.map(Body::from)).await;
        let now = self.clock.now();
        let operation = operation.0.get().map(String::as_str);
        if let Some(operation) = operation {
            self.counters.add(operation);
        }
        let status = match &mut result {
            Ok(answer) => {
                // The clock that `Last-Modified` comes from, so that the two compare.
                if let Some(date) = http_date(at(now.wall)) {
                    answer.headers_mut().insert(DATE, date);
                }
                answer.headers_mut().insert(HeaderName::from_static("x-amz-request-id"), request_id(id));
                if answer.status() == StatusCode::NOT_MODIFIED {
                    *answer.body_mut() = Body::empty();
                }
                answer.status().as_u16()
            }
            Err(_) => 500,
        };
        tracing::debug!(
            request = id,
            operation = operation.unwrap_or("refused"),
            %method,
            path,
            status,
            ms = now.at.since(begun).as_millis(),
            "request"
        );
        result
    }
}

impl hyper::service::Service<Request<Incoming>> for Logged {
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

fn http_date(time: OffsetDateTime) -> Option<HeaderValue> {
    let mut text = Vec::new();
    Timestamp::from(time).format(TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

fn request_id(id: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("{id:016X}")).unwrap_or(HeaderValue::from_static("0"))
}
