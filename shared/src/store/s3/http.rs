//! The HTTP client under the SDK: plain for `http://`, and TLS set up only when the first `https://` request goes out.
//!
//! The SDK's own client sets TLS up as soon as it is built, and panics (in debug builds) or trusts nobody (in release
//! builds) where the machine has no CA certificates. This one says what is missing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Idle connections are dropped after this long: S3 closes its end after some 20 s, and a request that goes out on a
/// connection that is just being closed costs an unknown outcome.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// What to do where no CA certificate is found.
pub(crate) const NO_CA_ROOTS: &str = "no CA certificates were found on this machine, so no https server can be \
    trusted; install the package ca-certificates, or set SSL_CERT_FILE to a PEM file of CA certificates";

/// A client whose clones share one pool of connections.
pub(super) fn client() -> SharedHttpClient {
    SharedHttpClient::new(SchemeClient {
        plain: Builder::new().pool_idle_timeout(POOL_IDLE).build_http(),
        tls: Arc::new(OnceLock::new()),
    })
}

/// Whether this machine trusts anybody.
pub(crate) fn have_ca_roots() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| !rustls_native_certs::load_native_certs().certs.is_empty())
}

/// Picks the connector by the URL's scheme.
#[derive(Debug)]
struct SchemeClient {
    plain: SharedHttpClient,
    tls: Arc<OnceLock<SharedHttpClient>>,
}

impl HttpClient for SchemeClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        // Each of the two clients keeps its connectors, and with them the connections, by these settings.
        SharedHttpConnector::new(SchemeConnector {
            plain: self.plain.http_connector(settings, parts),
            tls: Arc::clone(&self.tls),
            settings: settings.clone(),
            parts: parts.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.plain.connector_metadata()
    }
}

#[derive(Debug)]
struct SchemeConnector {
    plain: SharedHttpConnector,
    tls: Arc<OnceLock<SharedHttpClient>>,
    settings: HttpConnectorSettings,
    parts: RuntimeComponents,
}

impl HttpConnector for SchemeConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !request.uri().starts_with("https:") {
            return self.plain.call(request);
        }
        if !have_ca_roots() {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(NO_CA_ROOTS.into())));
        }
        let client = self.tls.get_or_init(|| {
            Builder::new().pool_idle_timeout(POOL_IDLE).tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
        });
        client.http_connector(&self.settings, &self.parts).call(request)
    }
}
