//! Every outgoing request of a pass: what may leave, signed in by whom, over which connections.
//!
//! The guest names an address and a body; whether it may, and with which credentials, is decided
//! here and from the configuration alone. One pass gets the credentials of its CRM and of its own
//! mailbox; each goes only where a rule of its own side leads, so that neither a redirect nor a
//! link in an answer carries it elsewhere. Redirects are not followed: the guest sees them, and
//! each hop is a decision of its own.
//!
//! Bodies are buffered, in both directions: a request that met a 401 can be repeated, and a guest
//! that stops reading holds no connection.
//!
//! What Exchange Server ties to a mailbox, its cookies and the connections that NTLM signs in,
//! lives in [`Connections`]: no two mailboxes share it.

pub(crate) mod addresses;
pub(crate) mod client;
mod cookies;
mod held;
mod lines;
pub(crate) mod origin;
pub(crate) mod rules;
mod soap;
#[cfg(test)]
mod tests;
pub(crate) mod trust;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use crate::credentials::exchange::{no_common_tls, offered, refused, unsecured, untrusted};
use crate::credentials::{
    Authorization, PasswordScheme, SharedKeeper, SignInError, SignInErrorKind,
};
use crate::types::Side;
use client::{Client, ExchangeError, Waits};
use cookies::Cookies;
use held::{HELD_BYTES_MAX, Held};
use lines::Lines;
use origin::Origin;
use rules::{Allowed, Denial, Rules, Says};

/// Requests under way at once, of all passes of a tenant together, to one origin. Exchange Online
/// allows four per mailbox
/// (<https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits>).
pub(crate) const IN_FLIGHT_MAX: usize = 4;

/// Bytes of a request's body.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Denials that are kept for the person who reads the outcome, and how much of each.
const DENIALS_MAX: usize = 20;
const DENIAL_CHARACTERS_MAX: usize = 300;

/// What a body that is being written keeps in the host before anybody reads it, for each request,
/// sent or not: the usual megabyte is too much for a thousand of them.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// A guest's own wait is taken within these bounds. The longest stays far below the time after
/// which a lost create is settled (contract, 7.3).
const FIRST_BYTE_MAX: Duration = Duration::from_mins(2);
const BETWEEN_BYTES_MAX: Duration = Duration::from_mins(1);
const WAIT_MIN: Duration = Duration::from_millis(100);
const FIRST_BYTE_USUAL: Duration = Duration::from_mins(1);
const BETWEEN_BYTES_USUAL: Duration = Duration::from_secs(30);
const BODY_MAX: Duration = Duration::from_mins(2);

/// What a guest may neither set nor see: whatever signs a request in, at any of the services.
const CREDENTIAL_HEADERS: [&str; 9] = [
    "authorization",
    "cognitotoken",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "token",
    "userid",
    "x-ff-api-token",
    "x-ff-support-token",
];

/// Headers of one connection (RFC 9110, 7.6.1), and those that the buffered body decides.
const HOP_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the configuration says about the network that an endpoint is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Plain HTTP is allowed, to another machine too.
    pub plain_http: bool,
    /// Its name may lead to an address of a private network.
    pub private_addresses: bool,
}

/// What outlives a pass: one mailbox's connections, and the tenant's share of requests in flight.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) crm_client: Client,
    pub(crate) mailbox_client: Client,
    pub(crate) permits: Permits,
    pub(crate) crm: SharedKeeper,
    pub(crate) mailbox: SharedKeeper,
    /// Only for Exchange Server.
    exchange: Arc<Exchange>,
}

/// What an Exchange Server ties to one mailbox.
#[derive(Default)]
struct Exchange {
    lines: Lines,
    cookies: Cookies,
}

impl Connections {
    /// Connections of one mailbox, none of them open yet.
    pub(crate) fn new(
        clients: (Client, Client),
        permits: Permits,
        crm: SharedKeeper,
        mailbox: SharedKeeper,
    ) -> Self {
        let (crm_client, mailbox_client) = clients;
        Self {
            crm_client,
            mailbox_client,
            permits,
            crm,
            mailbox,
            exchange: Arc::default(),
        }
    }
}

/// The requests in flight of one tenant, by origin.
#[derive(Clone, Default)]
pub(crate) struct Permits(Arc<Mutex<HashMap<Origin, Arc<Semaphore>>>>);

/// The only way out of one pass.
#[derive(Clone)]
pub(crate) struct Egress {
    passage: Arc<Passage>,
}

struct Passage {
    rules: Rules,
    connections: Connections,
    /// Set once another host has taken over: nothing leaves any more.
    lease_lost: Arc<AtomicBool>,
    noted: Mutex<Noted>,
    held: Held,
}

/// What the host knows about a pass's requests and the guest does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    pub(crate) denials: Vec<String>,
    pub(crate) sign_in: Option<SignInError>,
}

impl Permits {
    fn of(&self, origin: &Origin) -> Arc<Semaphore> {
        let mut permits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = permits
            .entry(origin.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(IN_FLIGHT_MAX)));
        Arc::clone(found)
    }
}

impl Egress {
    /// The way out of a pass with these rules.
    pub(crate) fn new(rules: Rules, connections: Connections, lease_lost: Arc<AtomicBool>) -> Self {
        let (noted, held) = (Mutex::default(), Held::default());
        Self {
            passage: Arc::new(Passage {
                rules,
                connections,
                lease_lost,
                noted,
                held,
            }),
        }
    }

    /// What was denied so far, and why a sign-in failed.
    pub(crate) fn noted(&self) -> Noted {
        self.passage
            .noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

type Answered = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl Egress {
    /// Sends a request that comes from no sandbox, by the same rules.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<Response<Bytes>, Unanswered>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.passage.send(request, waits(None)).await
    }
}

impl WasiHttpHooks for Egress {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || is_credential(name.as_str()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let passage = Arc::clone(&self.passage);
        Box::new(async move {
            let answer = passage
                .send(request, waits(options))
                .await
                .map_err(guest_error)?;
            let too_much = || Error::HttpResponseBodySize(Some(HELD_BYTES_MAX as u64));
            let share = passage.held.take(answer.body().len());
            let share = share.ok_or_else(too_much)?;
            // The share goes with the body.
            let held = move |frame| {
                let _ = &share;
                frame
            };
            let body = Full::new(answer.body().clone()).map_frame(held);
            let body = body.map_err(|never| match never {});
            let answer = answer.map(|_| body.boxed_unsync());
            let nothing_left: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok((answer, nothing_left))
        })
    }
}

/// Whether a header signs requests in.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIAL_HEADERS
        .iter()
        .any(|credential| credential.eq_ignore_ascii_case(name))
}

impl Passage {
    async fn send<B>(
        &self,
        request: Request<B>,
        waits: Waits,
    ) -> Result<Response<Bytes>, Unanswered>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if self.lease_lost.load(Ordering::Relaxed) {
            return Err(self.deny(Denial::LeaseLost));
        }
        let allowed = self
            .rules
            .check(&head.method, &head.uri)
            .map_err(|denial| self.deny(denial))?;
        self.rules
            .check_headers(&allowed, &head.headers)
            .map_err(|denial| self.deny(denial))?;
        // Before the body: who waits for a turn must not fill the host's memory meanwhile.
        let permits = self.connections.permits.of(&allowed.origin);
        let _permit = permits
            .acquire_owned()
            .await
            .map_err(|closed| Unanswered::Broken(closed.into()))?;
        let body = buffered(body, waits).await?;
        self.rules
            .check_body(&allowed, &head.uri, &body)
            .map_err(|denial| self.deny(denial))?;
        let mut outgoing = Outgoing {
            method: head.method,
            uri: head.uri,
            headers: without(&head.headers, |name| is_credential(name) || is_hop(name)),
            body,
        };
        let answer = match self.route(&allowed, &mut outgoing, waits).await {
            Ok(answer) => answer,
            Err(Trouble::SignIn(error)) => return self.not_signed_in(error),
            Err(Trouble::Exchange(error)) => {
                self.note_unsecured(&allowed, &error);
                return Err(Unanswered::Exchange(error));
            }
        };
        let (mut head, body) = answer.into_parts();
        head.headers = without(&head.headers, |name| is_credential(name) || is_hop(name));
        Ok(Response::from_parts(head, body))
    }

    /// Sends with the credentials, over the connection and with the cookies that the request's rule
    /// gives it.
    async fn route(
        &self,
        allowed: &Allowed,
        outgoing: &mut Outgoing,
        waits: Waits,
    ) -> Result<Response<Bytes>, Trouble> {
        let Connections {
            crm_client,
            mailbox_client,
            crm,
            mailbox,
            exchange,
            ..
        } = &self.connections;
        match allowed.says {
            Says::OneThing | Says::Batch => {
                let (client, keeper) = match allowed.side {
                    Side::Crm => (crm_client, crm),
                    Side::Mailbox => (mailbox_client, mailbox),
                };
                signed_in(client, outgoing, keeper, waits).await
            }
            Says::Operation => {
                outgoing.headers =
                    without(&outgoing.headers, |name| !soap::HEADERS.contains(&name));
                if let Some(cookies) = exchange.cookies.header() {
                    outgoing.headers.insert(header::COOKIE, cookies);
                }
                let answer = self.exchange_signed_in(outgoing, waits).await?;
                exchange.cookies.keep(answer.headers());
                Ok(answer)
            }
            Says::Question | Says::SignedQuestion(_) => {
                // Whoever answers there may be anybody, and learns nothing but the question.
                outgoing.headers = without(&outgoing.headers, |name| name != "content-type");
                if allowed.says == Says::SignedQuestion(true) {
                    return self.exchange_signed_in(outgoing, waits).await;
                }
                let request = outgoing.request()?;
                Ok(mailbox_client.exchange(request, waits).await?)
            }
        }
    }

    /// Sends to Exchange Server: NTLM over a connection of the mailbox's own, anything else by a
    /// header.
    async fn exchange_signed_in(
        &self,
        outgoing: &Outgoing,
        waits: Waits,
    ) -> Result<Response<Bytes>, Trouble> {
        let (client, keeper) = (&self.connections.mailbox_client, &self.connections.mailbox);
        match keeper.sign_in().password_scheme() {
            Some(PasswordScheme::Ntlm) => {
                let lines = &self.connections.exchange.lines;
                lines.send(client, keeper, outgoing, waits).await
            }
            Some(PasswordScheme::Basic) => with_password(client, outgoing, keeper, waits).await,
            None => signed_in(client, outgoing, keeper, waits).await,
        }
    }

    /// A connection that cannot be secured is the configuration's matter or the server's, and the
    /// guest cannot tell it from any other broken connection.
    fn note_unsecured(&self, allowed: &Allowed, error: &ExchangeError) {
        let told = match error {
            _ if allowed.says != Says::Operation => return,
            ExchangeError::Certificate(why) => untrusted(why),
            ExchangeError::NoCommonTls(why) => no_common_tls(why),
            ExchangeError::Tls(why) => unsecured(why),
            _ => return,
        };
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.sign_in = Some(told);
    }

    fn deny(&self, denial: Denial) -> Unanswered {
        // Parts of it are the plugin's own words: short, in one line, and no more of them in the
        // log than are noted.
        let text = denial.to_string();
        let text = text.chars().take(DENIAL_CHARACTERS_MAX);
        let line = |character: char| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        };
        let text: String = text.map(line).collect();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.denials.len() < DENIALS_MAX && !noted.denials.contains(&text) {
            tracing::warn!(denial = text, "a request of the plugin was denied");
            noted.denials.push(text);
        }
        Unanswered::Denied(denial)
    }

    /// The guest sees the 401 that the service would have given, and with it the reason: it knows
    /// how to end a pass that is not signed in.
    fn not_signed_in(&self, error: SignInError) -> Result<Response<Bytes>, Unanswered> {
        let code = error.code.clone().unwrap_or_else(|| "SignInRefused".into());
        let body = serde_json::json!({
            "error": { "code": code, "message": error.message },
            "message": error.message,
        });
        let unreachable = error.kind == SignInErrorKind::Unreachable;
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.sign_in.as_ref() != Some(&error) {
            tracing::warn!(%error, hint = %error.remedy, "the host cannot sign in");
            noted.sign_in = Some(error);
        }
        drop(noted);
        if unreachable {
            return Err(Unanswered::SignIn);
        }
        let mut answer = Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(answer)
    }
}

/// Sends, and once more with new credentials where the first are refused.
async fn signed_in(
    client: &Client,
    outgoing: &Outgoing,
    keeper: &SharedKeeper,
    waits: Waits,
) -> Result<Response<Bytes>, Trouble> {
    let authorization = keeper.authorization().await?;
    let request = outgoing.request_with(&authorization)?;
    let answer = client.exchange(request, waits).await?;
    let status = answer.status().as_u16();
    if status != 401 && status != 403 {
        keeper.accepted(&authorization).await;
        return Ok(answer);
    }
    let Some(renewed) = keeper.refused(&authorization, status).await? else {
        return Ok(answer);
    };
    let request = outgoing.request_with(&renewed)?;
    let answer = client.exchange(request, waits).await?;
    if answer.status() != StatusCode::UNAUTHORIZED && answer.status() != StatusCode::FORBIDDEN {
        keeper.accepted(&renewed).await;
    }
    Ok(answer)
}

/// Sends with a password, and once more only if there is another password by now: each refusal
/// counts towards locking the account.
async fn with_password(
    client: &Client,
    outgoing: &Outgoing,
    keeper: &SharedKeeper,
    waits: Waits,
) -> Result<Response<Bytes>, Trouble> {
    let mut authorization = keeper.authorization().await?;
    for _ in 0..2 {
        let request = outgoing.request_with(&authorization)?;
        let answer = client.exchange(request, waits).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            keeper.accepted(&authorization).await;
            return Ok(answer);
        }
        let refusal = refused(PasswordScheme::Basic, &offered(answer.headers()));
        if refusal.kind != SignInErrorKind::Refused {
            return Err(refusal.into());
        }
        authorization = keeper.password_refused(&authorization, refusal).await?;
    }
    Err(refused(PasswordScheme::Basic, &[]).into())
}

/// A request as it is sent, as often as it is sent.
struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    fn request_with(&self, authorization: &Authorization) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = self.request()?;
        let value = authorization.value.clone();
        request
            .headers_mut()
            .insert(authorization.name.clone(), value);
        Ok(request)
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.uri.clone())
            .body(Full::new(self.body.clone()))
            .map_err(|error| ExchangeError::Broken(error.to_string()))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It may not leave.
    #[error(transparent)]
    Denied(Denial),
    /// Its body is too large.
    #[error("the request has more than {REQUEST_BYTES_MAX} bytes")]
    TooLarge,
    /// Its body did not arrive in time.
    #[error("the request did not arrive in time")]
    Late,
    /// Its body broke off.
    #[error("the request broke off: {0}")]
    Broken(Box<dyn StdError + Send + Sync>),
    /// The service that signs in cannot be reached.
    #[error("the service that signs in cannot be reached")]
    SignIn,
    /// The service gave none.
    #[error(transparent)]
    Exchange(ExchangeError),
}

enum Trouble {
    SignIn(SignInError),
    Exchange(ExchangeError),
}

impl From<SignInError> for Trouble {
    fn from(error: SignInError) -> Self {
        Self::SignIn(error)
    }
}

impl From<ExchangeError> for Trouble {
    fn from(error: ExchangeError) -> Self {
        Self::Exchange(error)
    }
}

async fn buffered<B>(body: B, waits: Waits) -> Result<Bytes, Unanswered>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let whole = Limited::new(body, REQUEST_BYTES_MAX).collect();
    match tokio::time::timeout(waits.first_byte, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unanswered::TooLarge),
        Ok(Err(error)) => Err(Unanswered::Broken(error)),
        Err(_) => Err(Unanswered::Late),
    }
}

fn without(headers: &HeaderMap, dropped: impl Fn(&str) -> bool) -> HeaderMap {
    let kept = |(name, value): (&HeaderName, &HeaderValue)| (name.clone(), value.clone());
    headers
        .iter()
        .filter(|(name, _)| !dropped(name.as_str()))
        .map(kept)
        .collect()
}

fn is_hop(name: &str) -> bool {
    HOP_HEADERS.contains(&name)
}

fn waits(options: Option<RequestOptions>) -> Waits {
    let options = options.unwrap_or_default();
    let within = |asked: Option<Duration>, usual, max| asked.unwrap_or(usual).clamp(WAIT_MIN, max);
    Waits {
        first_byte: within(options.first_byte_timeout, FIRST_BYTE_USUAL, FIRST_BYTE_MAX),
        between_bytes: within(
            options.between_bytes_timeout,
            BETWEEN_BYTES_USUAL,
            BETWEEN_BYTES_MAX,
        ),
        body: BODY_MAX,
    }
}

/// What `wasi:http` says of it.
fn guest_error(unanswered: Unanswered) -> Error {
    tracing::debug!(%unanswered, "a request of the plugin failed");
    match unanswered {
        Unanswered::Denied(_) => Error::HttpRequestDenied,
        Unanswered::TooLarge => Error::HttpRequestBodySize(Some(REQUEST_BYTES_MAX as u64)),
        Unanswered::Late => Error::ConnectionWriteTimeout,
        Unanswered::Broken(error) => error.downcast::<Error>().map_or_else(
            |error| Error::InternalError(Some(error.to_string())),
            |error| *error,
        ),
        Unanswered::SignIn => Error::DestinationUnavailable,
        Unanswered::Exchange(error) => exchange_error(&error),
    }
}

fn exchange_error(error: &ExchangeError) -> Error {
    match error {
        ExchangeError::Name(_) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        ExchangeError::Prohibited => Error::DestinationIpProhibited,
        ExchangeError::Refused => Error::ConnectionRefused,
        ExchangeError::Certificate(_) => Error::TlsCertificateError,
        ExchangeError::NoCommonTls(_) | ExchangeError::Tls(_) => Error::TlsProtocolError,
        ExchangeError::Broken(_) => Error::ConnectionTerminated,
        ExchangeError::Timeout => Error::HttpResponseTimeout,
        ExchangeError::TooLarge => {
            Error::HttpResponseBodySize(Some(client::ANSWER_BYTES_MAX as u64))
        }
    }
}
