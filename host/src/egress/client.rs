//! One pool of connections, and one exchange over it: whole request, whole answer.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::Network;
use super::addresses::{Lookup, Prohibited, Resolver};
use super::origin::Origin;

/// Bytes of an answer's body.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of an answer's headers; also what one read takes at most.
const READ_BUFFER_BYTES: usize = 64 * 1024;

const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Below the minute or so after which services and their load balancers close idle connections.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// Connections that stay open to one host: as many as requests are in flight.
const IDLE_PER_HOST_MAX: usize = super::IN_FLIGHT_MAX;

/// A pool of connections to a few origins, never shared between mailboxes: a connection or a TLS
/// ticket may be bound to whoever signed in over it.
#[derive(Clone)]
pub(crate) struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Until the answer's headers are there, the connection included.
    pub(crate) first_byte: Duration,
    /// Until the next part of the answer's body.
    pub(crate) between_bytes: Duration,
    /// Until all of the answer's body.
    pub(crate) body: Duration,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the name is not known: {0}")]
    Name(String),
    #[error("the name leads to an address that is not allowed for it")]
    Prohibited,
    #[error("nobody answers at that address")]
    Refused,
    #[error("the connection cannot be secured: {0}")]
    Tls(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

impl Client {
    /// A pool for these endpoints and no others.
    pub(crate) fn new(lookup: Lookup, endpoints: &[(Origin, Network)]) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(lookup, endpoints));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WAIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(READ_BUFFER_BYTES)
            .build(connector);
        Self { pool }
    }

    /// Sends a request, and waits for all of its answer.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        waits: Waits,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let answer = tokio::time::timeout(waits.first_byte, self.pool.request(request))
            .await
            .map_err(|_| ExchangeError::Timeout)?
            .map_err(|error| exchange_error(&error))?;
        let (head, body) = answer.into_parts();
        let body = tokio::time::timeout(waits.body, whole(body, waits.between_bytes))
            .await
            .map_err(|_| ExchangeError::Timeout)??;
        Ok(Response::from_parts(head, body))
    }
}

/// TLS with the machine's roots of trust, or Mozilla's on a machine that has none, such as a bare
/// container. The roots are read once; what sessions leave behind is each pool's own.
fn tls() -> ClientConfig {
    static TRUST: LazyLock<ClientConfig> = LazyLock::new(|| {
        let builder = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .expect("this provider knows both versions of TLS")
        };
        match builder().with_native_roots() {
            Ok(native) => native.with_no_client_auth(),
            Err(_) => builder().with_webpki_roots().with_no_client_auth(),
        }
    });
    let mut config = TRUST.clone();
    config.resumption = Resumption::default();
    config
}

async fn whole(mut body: Incoming, between_bytes: Duration) -> Result<Bytes, ExchangeError> {
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > ANSWER_BYTES_MAX as u64 {
        return Err(ExchangeError::TooLarge);
    }
    let mut whole = BytesMut::new();
    loop {
        let next = tokio::time::timeout(between_bytes, body.frame()).await;
        let Some(frame) = next.map_err(|_| ExchangeError::Timeout)? else {
            return Ok(whole.freeze());
        };
        let frame = frame.map_err(|error| ExchangeError::Broken(error.to_string()))?;
        // Trailers are dropped: no protocol here has any.
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(ExchangeError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
    }
}

/// Finds in the chain of causes the one that says most.
fn exchange_error(error: &legacy::Error) -> ExchangeError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(found) = cause {
        last = found.to_string();
        if found.is::<Prohibited>() {
            return ExchangeError::Prohibited;
        }
        if let Some(tls) = found.downcast_ref::<rustls::Error>() {
            return ExchangeError::Tls(tls.to_string());
        }
        if let Some(io) = found.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return ExchangeError::Refused,
                io::ErrorKind::TimedOut => return ExchangeError::Timeout,
                _ => {}
            }
            // `io::Error` does not show what it wraps as its source.
            if let Some(inner) = io.get_ref() {
                last = inner.to_string();
                if inner.is::<Prohibited>() {
                    return ExchangeError::Prohibited;
                }
                if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                    return ExchangeError::Tls(tls.to_string());
                }
            }
        }
        cause = found.source();
    }
    if error.is_connect() {
        ExchangeError::Name(last)
    } else {
        ExchangeError::Broken(last)
    }
}
