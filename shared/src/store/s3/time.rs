//! The clock port as the SDK wants it, and the store's own time out of its answers.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_smithy_async::time::TimeSource;

use crate::clock::{Clock, Timestamp};

/// The clock port for the SDK: signatures and credentials' expiry go by its wall clock.
#[derive(Clone)]
pub(super) struct SdkClock(pub(super) Arc<dyn Clock>);

impl fmt::Debug for SdkClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkClock")
    }
}

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().wall.unix_ms)
    }
}

/// Keeps the `Date` header of one request's answer, which the SDK's outputs leave out.
#[derive(Clone, Debug, Default)]
pub(super) struct ServedAt(Arc<OnceLock<Timestamp>>);

impl ServedAt {
    /// What the answer said, once it is there.
    pub(super) fn get(&self) -> Option<Timestamp> {
        self.0.get().copied()
    }
}

impl Intercept for ServedAt {
    fn name(&self) -> &'static str {
        "ServedAt"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(http_date);
        if let Some(date) = date {
            // One try per call, so there is one answer; a second one would not be taken.
            let _ = self.0.set(date);
        }
        Ok(())
    }
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    DateTime::from_str(text, DateTimeFormat::HttpDate).ok().as_ref().and_then(timestamp)
}

/// A time of the SDK's in this crate's form.
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|ms| u64::try_from(ms).ok()).map(Timestamp::from_unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_unix_ms(784_111_777_000)));
        assert_eq!(http_date("yesterday"), None);
    }
}
