//! One pool of connections, and one exchange over it: whole request, whole answer.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::AlertDescription as Alert;
use tower_service::Service;

use super::Network;
use super::addresses::{Lookup, Prohibited, Resolver};
use super::origin::Origin;
use super::trust::{Certificates, tls};

/// Bytes of an answer's body.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of an answer's headers; also what one read takes at most.
const READ_BUFFER_BYTES: usize = 64 * 1024;

const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Below the minute or so after which services and their load balancers close idle connections.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(50);

/// Connections that stay open to one host: as many as requests are in flight.
const IDLE_PER_HOST_MAX: usize = super::IN_FLIGHT_MAX;

/// A pool of connections to a few origins, never shared between mailboxes: a connection or a TLS
/// ticket may be bound to whoever signed in over it.
#[derive(Clone)]
pub(crate) struct Client {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    pool: legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

/// A connection of its own, beside the pool.
pub(crate) struct Connected {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    /// What the server showed for it, in DER; `None` without TLS.
    pub(crate) certificate: Option<Vec<u8>>,
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
    #[error("the server's certificate is not trusted: {0}")]
    Certificate(String),
    #[error("the server and this host have no TLS version or cipher in common: {0}")]
    NoCommonTls(String),
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
    /// A pool for these endpoints and no others, with these authorities beside the machine's.
    pub(crate) fn new(
        lookup: Lookup,
        endpoints: &[(Origin, Network)],
        certificates: &Certificates,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(lookup, endpoints));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WAIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(certificates))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(READ_BUFFER_BYTES)
            .build(connector.clone());
        Self { connector, pool }
    }

    /// Opens a connection that the pool knows nothing of.
    pub(crate) async fn connect(
        &self,
        uri: &Uri,
        wait: Duration,
    ) -> Result<Connected, ExchangeError> {
        tokio::time::timeout(wait, self.connect_unbounded(uri))
            .await
            .map_err(|_| ExchangeError::Timeout)?
    }

    async fn connect_unbounded(&self, uri: &Uri) -> Result<Connected, ExchangeError> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context))
            .await
            .map_err(|error| explained(&*error, true))?;
        let stream = connector
            .call(uri.clone())
            .await
            .map_err(|error| explained(&*error, true))?;
        let certificate = match &stream {
            MaybeHttpsStream::Http(_) => None,
            MaybeHttpsStream::Https(stream) => {
                let (_, session) = stream.inner().get_ref();
                let chain = session.peer_certificates().unwrap_or_default();
                chain.first().map(|certificate| certificate.to_vec())
            }
        };
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(READ_BUFFER_BYTES)
            .handshake(stream)
            .await
            .map_err(|error| ExchangeError::Broken(error.to_string()))?;
        // It ends with its sender.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(Connected {
            sender,
            certificate,
        })
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
            .map_err(|error| explained(&error, error.is_connect()))?;
        whole_answer(answer, waits).await
    }
}

/// Waits for all of an answer that has begun.
pub(crate) async fn whole_answer(
    answer: Response<Incoming>,
    waits: Waits,
) -> Result<Response<Bytes>, ExchangeError> {
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(waits.body, whole(body, waits.between_bytes))
        .await
        .map_err(|_| ExchangeError::Timeout)??;
    Ok(Response::from_parts(head, body))
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
fn explained(error: &(dyn StdError + 'static), is_connect: bool) -> ExchangeError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(found) = cause {
        last = found.to_string();
        if found.is::<Prohibited>() {
            return ExchangeError::Prohibited;
        }
        if let Some(tls) = found.downcast_ref::<rustls::Error>() {
            return unsecured(tls);
        }
        if let Some(io) = found.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return ExchangeError::Refused,
                io::ErrorKind::TimedOut => return ExchangeError::Timeout,
                // What connects reads and writes nothing before TLS does.
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof if is_connect => {
                    return ExchangeError::Tls("the server breaks the handshake off".into());
                }
                _ => {}
            }
            // `io::Error` shows the cause of what it wraps as its source, and never that itself.
            if let Some(inner) = io.get_ref() {
                cause = Some(inner);
                continue;
            }
        }
        cause = found.source();
    }
    if is_connect {
        ExchangeError::Name(last)
    } else {
        ExchangeError::Broken(last)
    }
}

/// Only some of what goes wrong with TLS is the certificate's fault.
fn unsecured(error: &rustls::Error) -> ExchangeError {
    match error {
        rustls::Error::InvalidCertificate(_) => ExchangeError::Certificate(error.to_string()),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::InsufficientSecurity | Alert::ProtocolVersion,
        ) => ExchangeError::NoCommonTls(error.to_string()),
        _ => ExchangeError::Tls(error.to_string()),
    }
}
