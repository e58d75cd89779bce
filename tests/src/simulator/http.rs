//! The services over HTTP, on the real clock, or a constant time ahead of it.
//!
//! NTLM signs a connection in, not a request: whose a connection is, is remembered here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contact_sync_guest::outside::{Method, Request, Response, Timestamp};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::Simulator;
use super::ews::Ews;
use super::ews::sign_in::CONNECTION_SCHEME;
use super::ntlm::{Handshake, Step};
use super::wire::{Call, header};

/// Serves `simulator` to whoever connects, until the listener fails or the task is dropped.
///
/// Tests change the simulator between requests through the same mutex. Links in answers lead to the
/// host that the client named.
pub async fn serve(listener: TcpListener, simulator: Arc<Mutex<Simulator>>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let simulator = Arc::clone(&simulator);
        tokio::spawn(serve_connection(stream, simulator));
    }
}

/// Serves one connection, of whatever kind, until it ends.
pub async fn serve_connection<S>(stream: S, simulator: Arc<Mutex<Simulator>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let signed_in = Mutex::new(SignedIn::default());
    let service = service_fn(|request| answer(request, &simulator, &signed_in));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the client's affair, or a fault that was ordered.
    drop(connection.await);
}

/// Whose a connection is.
#[derive(Debug, Default)]
struct SignedIn {
    handshake: Option<Handshake>,
    account: Option<String>,
}

impl SignedIn {
    /// Takes a request's part in a handshake. `Some` is what it is answered; otherwise it goes on,
    /// with the name of whose connection it is.
    fn take(&mut self, request: &mut Request, simulator: &mut Simulator) -> Option<Response> {
        let call = Call::new(request, now(simulator));
        let sent = call.header("authorization").map(str::to_owned);
        let path = call.path;
        if !Ews::serves(&path) {
            return None;
        }
        // Nobody says whose a connection is but the connection.
        let is_foreign = |sent: &String| !sent.starts_with(CONNECTION_SCHEME);
        let is_authorization = |name: &str| name.eq_ignore_ascii_case("authorization");
        if !simulator.ews.asks_for_handshake() || Ews::is_open(&path) {
            let keeps = sent.as_ref().is_none_or(is_foreign);
            request
                .headers
                .retain(|(name, _)| keeps || !is_authorization(name));
            return None;
        }
        request.headers.retain(|(name, _)| !is_authorization(name));
        let token = sent.as_deref().and_then(|sent| sent.strip_prefix("NTLM "));
        if let Some(token) = token {
            self.account = None;
            let message = STANDARD.decode(token.trim()).unwrap_or_default();
            let now = now(simulator);
            let mut handshake = match self.handshake.take() {
                Some(handshake) => handshake,
                None => simulator.ews.handshake(),
            };
            match handshake.step(&message, now, |user| simulator.ews.account(user)) {
                Step::Challenge(challenge) => {
                    self.handshake = Some(handshake);
                    let scheme = format!("NTLM {}", STANDARD.encode(challenge));
                    return Some(unauthorized(&scheme));
                }
                Step::Accepted(account) => self.account = Some(account),
                Step::Refused(_) => return Some(unauthorized("NTLM")),
            }
        }
        if let Some(account) = &self.account {
            let whose = format!("{CONNECTION_SCHEME} {account}");
            request.headers.push(header("authorization", &whose));
        }
        None
    }
}

fn unauthorized(scheme: &str) -> Response {
    Response {
        status: 401,
        headers: vec![header("www-authenticate", scheme)],
        body: Vec::new(),
    }
}

/// The connection is to break instead of bringing an answer.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the simulator breaks the connection")
    }
}

impl std::error::Error for Lost {}

/// An answer, or a broken connection.
async fn answer(
    incoming: hyper::Request<Incoming>,
    simulator: &Mutex<Simulator>,
    signed_in: &Mutex<SignedIn>,
) -> Result<hyper::Response<Full<Bytes>>, Lost> {
    let (head, body) = incoming.into_parts();
    let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let method = method(&head.method);
    let mut request = Request {
        method: method.unwrap_or(Method::Get),
        url: format!("http://{host}{target}"),
        headers: headers.collect(),
        body: (!body.is_empty()).then(|| body.to_vec()),
        timeout_ms: u32::MAX,
    };
    if method.is_none() {
        let mut simulator = lock(simulator);
        let now = now(&simulator);
        return Ok(write(simulator.refuse_method(&request, now)));
    }
    let step = {
        let mut signed_in = signed_in.lock().unwrap_or_else(PoisonError::into_inner);
        signed_in.take(&mut request, &mut lock(simulator))
    };
    if let Some(response) = step {
        return Ok(write(response));
    }
    let (ticket, delay_ms) = {
        let mut simulator = lock(simulator);
        let now = now(&simulator);
        (simulator.arrive(&request, now), simulator.http_delay_ms)
    };
    pause(delay_ms.unwrap_or(0)).await;
    let exchange = {
        let mut simulator = lock(simulator);
        let now = now(&simulator);
        simulator.exchange(&request, &ticket, now)
    };
    pause(exchange.delay_ms).await;
    lock(simulator).depart(&ticket);
    match exchange.outcome {
        Ok(response) => Ok(write(response)),
        Err(_) => Err(Lost),
    }
}

fn lock(simulator: &Mutex<Simulator>) -> std::sync::MutexGuard<'_, Simulator> {
    // A test that panicked while it looked at the simulator has failed already.
    simulator.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pause(delay_ms: u32) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::from(delay_ms))).await;
    }
}

fn now(simulator: &Simulator) -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let real = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Timestamp(real.saturating_add(simulator.http_clock_ahead_ms))
}

fn method(method: &hyper::Method) -> Option<Method> {
    [Method::Get, Method::Post, Method::Patch, Method::Delete]
        .into_iter()
        .find(|known| known.as_str() == method.as_str())
}

fn write(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut answer = hyper::Response::new(Full::new(Bytes::from(response.body)));
    *answer.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or_default();
    for (name, value) in response.headers {
        let name = hyper::header::HeaderName::try_from(name);
        let value = hyper::header::HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}
