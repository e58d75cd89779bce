//! Connections that are one mailbox's own: NTLM signs in a connection, not a request, so that
//! whoever else used it would be that account
//! (<https://learn.microsoft.com/openspecs/windows_protocols/ms-ntht>).
//!
//! A line is opened with an empty request that asks for the challenge, then carries the real one
//! with the proof, and further ones without any.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::Semaphore;

use super::client::{Client, Connected, ExchangeError, IDLE_MAX, Waits, whole_answer};
use super::origin::Origin;
use super::{Outgoing, Trouble};
use crate::credentials::exchange::{confused, offered, refused};
use crate::credentials::ntlm::{self, Handshake};
use crate::credentials::{Keeper, PasswordScheme};

/// Lines of one mailbox. A pass sends one request after the other, and a preview may run beside it.
const LINES_MAX: usize = 2;

/// The lines of one mailbox.
pub(crate) struct Lines {
    /// Signed in, and free.
    idle: Mutex<Vec<Line>>,
    permits: Semaphore,
}

/// One connection that is signed in.
struct Line {
    origin: Origin,
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// What came of sending over a line.
enum Failed {
    /// The server cannot have seen the request.
    Unsent,
    Broken(ExchangeError),
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            permits: Semaphore::new(LINES_MAX),
        }
    }
}

impl Lines {
    /// Sends a request over a line that is signed in, or signs one in for it.
    pub(super) async fn send(
        &self,
        client: &Client,
        keeper: &Keeper,
        outgoing: &Outgoing,
        waits: Waits,
    ) -> Result<Response<Bytes>, Trouble> {
        let closed = |_| ExchangeError::Broken("the host is stopping".into());
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let origin = Origin::of_uri(&outgoing.uri)
            .map_err(|error| ExchangeError::Broken(error.to_string()))?;
        while let Some(mut line) = self.take(&origin) {
            match line.exchange(request(outgoing, None, true)?, waits).await {
                // Nothing was done: the server no longer knows the line.
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => break,
                Ok(answer) => {
                    self.keep(line);
                    return Ok(answer);
                }
                Err(Failed::Unsent) => {}
                Err(Failed::Broken(error)) => return Err(error.into()),
            }
        }
        let connected = client.connect(&outgoing.uri, waits.first_byte).await?;
        let (line, answer) = sign_in(origin, connected, keeper, outgoing, waits).await?;
        if let Some(line) = line {
            self.keep(line);
        }
        Ok(answer)
    }

    fn take(&self, origin: &Origin) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|line| line.since.elapsed() < IDLE_MAX && !line.sender.is_closed());
        let place = idle.iter().position(|line| line.origin == *origin)?;
        Some(idle.swap_remove(place))
    }

    fn keep(&self, mut line: Line) {
        line.since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(line);
        if idle.len() > LINES_MAX {
            idle.remove(0);
        }
    }
}

/// Proves the account on a new connection: an empty request, the challenge, then the real request
/// with the proof. Where the first answer is none to a sign-in, it is the server's last word.
async fn sign_in(
    origin: Origin,
    connected: Connected,
    keeper: &Keeper,
    outgoing: &Outgoing,
    waits: Waits,
) -> Result<(Option<Line>, Response<Bytes>), Trouble> {
    let proof = keeper.proof().await?;
    let certificate = connected.certificate.as_deref();
    let (handshake, hello) =
        Handshake::begin(&proof.account, certificate).map_err(|why| confused(&why))?;
    let mut line = Line {
        origin,
        sender: connected.sender,
        since: Instant::now(),
    };
    let first = line
        .exchange(request(outgoing, Some(hello), false)?, waits)
        .await?;
    if first.status() != StatusCode::UNAUTHORIZED {
        if first.status().is_success() {
            return Err(confused("the server does not ask who is there").into());
        }
        return Ok((None, first));
    }
    let answer = match ntlm::challenge(first.headers()) {
        Some(challenge) => handshake.answer(challenge).map_err(|why| confused(&why))?,
        None if offers_ntlm(first.headers()) => {
            return Err(confused("the server does not answer the first message").into());
        }
        None => return Err(refused(PasswordScheme::Ntlm, &offered(first.headers())).into()),
    };
    let answer = match line
        .exchange(request(outgoing, Some(answer), true)?, waits)
        .await
    {
        Err(Failed::Unsent) => {
            return Err(confused("the server closes the connection in the middle of it").into());
        }
        sent => sent?,
    };
    if answer.status() == StatusCode::UNAUTHORIZED {
        let error = refused(PasswordScheme::Ntlm, &[]);
        keeper.proof_refused(&error).await;
        return Err(error.into());
    }
    keeper.proof_accepted().await;
    Ok((Some(line), answer))
}

fn offers_ntlm(headers: &HeaderMap) -> bool {
    offered(headers)
        .iter()
        .any(|scheme| scheme.eq_ignore_ascii_case("NTLM"))
}

impl Line {
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        waits: Waits,
    ) -> Result<Response<Bytes>, Failed> {
        let begun = tokio::time::timeout(waits.first_byte, async {
            self.sender.ready().await.map_err(|_| Failed::Unsent)?;
            self.sender
                .try_send_request(request)
                .await
                .map_err(|mut error| {
                    if error.take_message().is_some() {
                        return Failed::Unsent;
                    }
                    Failed::Broken(ExchangeError::Broken(error.into_error().to_string()))
                })
        });
        let answer = begun
            .await
            .map_err(|_| Failed::Broken(ExchangeError::Timeout))??;
        whole_answer(answer, waits).await.map_err(Failed::Broken)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unsent => ExchangeError::Broken("the connection was closed".into()).into(),
            Failed::Broken(error) => error.into(),
        }
    }
}

/// A request as one connection wants it: the path alone, and the host in a header of its own.
fn request(
    outgoing: &Outgoing,
    authorization: Option<HeaderValue>,
    with_body: bool,
) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let broken = |error: http::Error| ExchangeError::Broken(error.to_string());
    let body = if with_body {
        outgoing.body.clone()
    } else {
        Bytes::new()
    };
    let path = outgoing
        .uri
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let uri: Uri = path
        .parse()
        .map_err(|error: http::uri::InvalidUri| broken(error.into()))?;
    let authority = outgoing.uri.authority().map_or("", |found| found.as_str());
    let host = HeaderValue::from_str(authority).map_err(|error| broken(error.into()))?;
    let mut request = Request::builder()
        .method(outgoing.method.clone())
        .uri(uri)
        .body(Full::new(body))
        .map_err(broken)?;
    *request.headers_mut() = outgoing.headers.clone();
    request.headers_mut().insert(header::HOST, host);
    if !with_body {
        // IIS wants to be told that there is nothing (411 otherwise); hyper leaves that to us.
        let nothing = HeaderValue::from_static("0");
        request
            .headers_mut()
            .insert(header::CONTENT_LENGTH, nothing);
    }
    if let Some(authorization) = authorization {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization);
    }
    Ok(request)
}
