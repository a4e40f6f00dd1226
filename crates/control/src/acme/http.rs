//! A small HTTP/1.1 client: one connection per call, bounded in time and size, no redirects followed.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use veloflux_model::value::ServiceUrl;

/// How long one call may take, from the name's resolution to the body's end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest body of an answer, in bytes: chains take a tenth.
const MAX_BODY_BYTES: usize = 256 << 10;

/// Why a call failed.
type Failed = Box<dyn StdError + Send + Sync>;

/// The client; cheap to clone, clones share what [`asked_to_wait`](Self::asked_to_wait) tells.
#[derive(Clone)]
pub(super) struct Http {
    tls: Arc<ClientConfig>,
    retry_after: Arc<Mutex<Option<SystemTime>>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, retry_after: Arc::default() }
    }

    /// Until when the service asked for patience with its last refusal, told once.
    pub(super) fn asked_to_wait(&self) -> Option<SystemTime> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends `body` and gives back the status.
    pub(super) async fn post(
        &self,
        url: &ServiceUrl,
        token: Option<&str>,
        body: Vec<u8>,
    ) -> Result<StatusCode, Failed> {
        let mut request = Request::post(url.as_str())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        Ok(self.call(request).await?.status())
    }

    async fn call<B>(&self, request: Request<B>) -> Result<Response<Bytes>, Failed>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Failed>,
    {
        tokio::time::timeout(TIMEOUT, self.exchange(request))
            .await
            .map_err(|_| Failed::from("no answer in 30 seconds"))?
    }

    async fn exchange<B>(&self, mut request: Request<B>) -> Result<Response<Bytes>, Failed>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Failed>,
    {
        // Authorities hand out URLs; they are held to the same rules as those of the process file.
        let url: ServiceUrl = request.uri().to_string().parse()?;
        let (host, port) = url.host_and_port();
        let authority = request.uri().authority().ok_or("the URL names no host")?;
        let authority = HeaderValue::from_str(authority.as_str())?;
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse()?;
        *request.uri_mut() = path;
        request.headers_mut().insert(HOST, authority);

        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let response = if url.is_https() {
            let name = ServerName::try_from(host.to_owned())?;
            send(TlsConnector::from(self.tls.clone()).connect(name, tcp).await?, request).await?
        } else {
            send(tcp, request).await?
        };
        if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            if let Some(until) = value.and_then(|value| retry_after(value, SystemTime::now())) {
                *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            }
        }
        Ok(response)
    }
}

/// Until when to wait: a number of seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<SystemTime> {
    match value.parse() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}

async fn send<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<B>,
) -> Result<Response<Bytes>, Failed>
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Failed>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // The connection moves the bytes; it lives as long as the exchange.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let (head, body) = http.call(request).await.map_err(Error::Other)?.into_parts();
            Ok(BytesResponse { parts: head, body: Box::new(body) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date() {
        let (epoch, s) = (SystemTime::UNIX_EPOCH, Duration::from_secs);
        assert_eq!(retry_after("120", epoch), Some(epoch + s(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", epoch), Some(epoch + s(784_111_777)));
        for bad in ["", "-1", "soon", "18446744073709551615"] {
            assert_eq!(retry_after(bad, epoch + s(1)), None, "{bad}");
        }
    }
}
