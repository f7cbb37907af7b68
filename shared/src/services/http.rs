//! The HTTP client of calls that no SDK makes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::clock::Clock;
use crate::store::{NO_CA_ROOTS, chain, have_ca_roots};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Plain for `http://`; TLS is set up when the first `https://` request goes out.
pub struct Http {
    plain: Connector,
    tls: OnceLock<Connector>,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Nothing is sent yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { plain: ConnectorBuilder::default().build_http(), tls: OnceLock::new(), clock }
    }

    /// Posts to a URL, and follows to no other.
    ///
    /// # Errors
    /// No answer in time: the text does not name the URL, which may be a secret. An answer that is an error is an
    /// [`Answer`].
    pub async fn post(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'static str, String)>,
        body: String,
    ) -> Result<Answer, String> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").map_err(|e| e.to_string())?;
        request.set_uri(url).map_err(|_| "it is no URL".to_owned())?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value);
        }
        tokio::select! {
            biased;
            answer = self.send(request, url.starts_with("https:")) => answer,
            () = self.clock.sleep(PATIENCE) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn send(&self, request: HttpRequest, secured: bool) -> Result<Answer, String> {
        if secured && !have_ca_roots() {
            return Err(NO_CA_ROOTS.to_owned());
        }
        let tls = || ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        let connector = if secured { self.tls.get_or_init(tls) } else { &self.plain };
        let answer = connector.call(request).await.map_err(|e| format!("no answer: {}", chain(&e)))?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body()).collect().await.map_err(|e| chain(&e))?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body.into_bytes()).into_owned() })
    }
}
