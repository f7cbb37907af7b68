//! The HTTP client of calls that no SDK makes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::clock::Clock;
use crate::store::{NO_CA_ROOTS, chain, have_ca_roots};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No answer that is read is longer: a secret of Secrets Manager has 64 KiB at most (its API reference, "GetSecretValue"), and
/// escapes make that six times as much.
const LONGEST: usize = 1024 * 1024;
/// So much of an answer is taken where nobody reads it.
const HEARD_OUT: usize = 64 * 1024;

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
    /// No answer in time, or a longer one than any is. An answer that is an error is an [`Answer`].
    pub async fn post(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'static str, String)>,
        body: String,
    ) -> Result<Answer, String> {
        let request = request(url, headers, body)?;
        let call = async {
            let answer = self.send(request, url.starts_with("https:")).await?;
            let status = answer.status().as_u16();
            let body =
                read(answer, LONGEST).await?.ok_or_else(|| format!("the answer has more than {LONGEST} bytes"))?;
            Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::select! {
            biased;
            answer = call => answer,
            () = self.clock.sleep(PATIENCE) => Err(silence()),
        }
    }

    /// Posts to a URL where the status is all that counts, however long the rest of the answer is or takes.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn tell(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'static str, String)>,
        body: String,
    ) -> Result<u16, String> {
        let request = request(url, headers, body)?;
        let mut patience = self.clock.sleep(PATIENCE);
        let answer = tokio::select! {
            biased;
            answer = self.send(request, url.starts_with("https:")) => answer?,
            () = &mut patience => return Err(silence()),
        };
        let status = answer.status().as_u16();
        // Some servers take it for a failure if nobody hears them out.
        tokio::select! {
            biased;
            _ = read(answer, HEARD_OUT) => {}
            () = patience => {}
        }
        Ok(status)
    }

    async fn send(&self, request: HttpRequest, secured: bool) -> Result<HttpResponse, String> {
        if secured && !have_ca_roots() {
            return Err(NO_CA_ROOTS.to_owned());
        }
        let tls = || ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        let connector = if secured { self.tls.get_or_init(tls) } else { &self.plain };
        connector.call(request).await.map_err(|e| format!("no answer: {}", chain(&e)))
    }
}

fn silence() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

fn request(
    url: &str,
    headers: impl IntoIterator<Item = (&'static str, String)>,
    body: String,
) -> Result<HttpRequest, String> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST").map_err(|e| e.to_string())?;
    request.set_uri(url).map_err(|_| "it is no URL".to_owned())?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// An answer's body; nothing, where it has more bytes than this.
async fn read(answer: HttpResponse, most: usize) -> Result<Option<Vec<u8>>, String> {
    let mut body = ByteStream::new(answer.into_body());
    let mut read = Vec::new();
    while let Some(piece) = body.try_next().await.map_err(|e| chain(&e))? {
        if read.len() + piece.len() > most {
            return Ok(None);
        }
        read.extend_from_slice(&piece);
    }
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn an_answer_is_read_within_bounds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // Nobody answers what was not asked.
                    let _ = stream.read(&mut [0; 1024]);
                    let mut went = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while went.is_ok() {
                        went = stream.write_all(&[b'x'; 65536]);
                    }
                });
            }
        });
        let http = Http::new(Arc::new(SystemClock));
        let why = http.post(&url, [], String::new()).await.unwrap_err();
        assert!(why.contains("more than 1048576 bytes"), "{why}");
        assert_eq!(http.tell(&url, [], String::new()).await, Ok(200));
    }
}
