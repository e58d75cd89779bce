//! Signs in for hosts that cannot: the component's requests, over loopback, through this host's
//! egress.
//!
//! Other hosts of components (the wasmtime command, JavaScript, a platform's own) send whatever the
//! plugin asks for, with no credentials and to any address. Behind a [`Proxy`] they need neither:
//! it listens on this machine, has an entrance for each mailbox, and forwards
//! `http://127.0.0.1:PORT/SECRET/crm/…` and `…/SECRET/mailbox/…` by the rules, with the
//! credentials and over the connections of exactly that mailbox. Policy is the egress's alone: here
//! only addresses are translated, those of requests inwards and those of links in answers outwards.
//!
//! Every process of the machine reaches a port on loopback, so that the way into a mailbox is a
//! secret of 128 bits in the path. Who does not know it is answered 403, whatever they ask for, and
//! never 404: to a sync, "not found" may mean that a contact is gone.

mod links;
mod secret;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::egress::client::ExchangeError;
use crate::egress::origin::Origin;
use crate::egress::{Egress, Network, Unanswered};
use crate::types::{Crm, Endpoint, Job};
use crate::{Error, Mailbox};

pub use secret::ProxySecret;

/// Connections at once, each for one request. A sync has four in flight; whoever comes later waits
/// until one ends.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take for the head of its request.
const HEAD_WAIT: Duration = Duration::from_mins(1);

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// After a failed accept: whatever it lacked may be there by then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests that are under way may take once the proxy is to stop.
const FINISH_WAIT: Duration = Duration::from_secs(5);

/// A server on loopback that signs in for mailboxes.
pub struct Proxy {
    listener: TcpListener,
    address: SocketAddr,
    entrances: Vec<Entrance>,
}

/// The way into one mailbox and its CRM.
pub struct Entrance {
    secret: String,
    crm: Leg,
    mailbox: Leg,
    job: Job,
    egress: Egress,
}

/// One side's address, here and in truth.
struct Leg {
    /// Here, without a trailing slash.
    url: String,
    origin: Origin,
    /// In front of the service's own paths, without a trailing slash.
    base: String,
    /// Whether its answers name addresses that are to be followed.
    has_links: bool,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Other machines could reach it.
    #[error("the proxy cannot listen on `{0}`: other machines reach that address")]
    NotLoopback(SocketAddr),
    /// The port is taken, or not allowed.
    #[error("the proxy cannot listen on `{address}`: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The file for the secret can be neither read nor made.
    #[error("the secret file `{}` cannot be used: {error}", path.display())]
    SecretFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Something else is in the file for the secret.
    #[error("the secret file `{}` holds something else than 64 hexadecimal digits", .0.display())]
    NoSecret(PathBuf),
    /// This machine has no randomness.
    #[error("this machine gives no random numbers")]
    NoRandomness,
    /// Nobody knows where requests for the mailbox go.
    #[error("{tenant}/{mailbox}: the address of its Exchange Server is not configured")]
    NoAddress {
        /// Whose.
        tenant: String,
        /// Which.
        mailbox: String,
    },
    /// The settings name an address that no request may go to.
    #[error(transparent)]
    Settings(#[from] Error),
}

impl ProxyError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotLoopback(_) => "listen on 127.0.0.1 or [::1]".into(),
            Self::Listen { .. } => "choose another port; port 0 takes any free one".into(),
            Self::SecretFile { .. } => {
                "name a file in a folder that this program may write to, or leave it out: then \
                 the addresses are new at every start"
                    .into()
            }
            Self::NoSecret(_) => "name another file, or remove this one: it is made anew".into(),
            Self::NoRandomness => "look at the system's log".into(),
            Self::NoAddress { .. } => {
                "run `contact-sync check` for this mailbox and write the `url` that it proposes \
                 into the configuration"
                    .into()
            }
            Self::Settings(error) => error.remedy().unwrap_or_default(),
        }
    }
}

impl Proxy {
    /// Listens, and makes an entrance for each mailbox. Signs in nowhere yet: that is done with the
    /// first request.
    ///
    /// The same address and the same secret give the same entrances, so that jobs made for one
    /// proxy, and the positions that passes remember, are good for the next.
    pub async fn bind(
        listen: SocketAddr,
        secret: &ProxySecret,
        mailboxes: &[Mailbox],
    ) -> Result<Self, ProxyError> {
        if !listen.ip().is_loopback() {
            return Err(ProxyError::NotLoopback(listen));
        }
        let failed = |error| ProxyError::Listen {
            address: listen,
            error,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let entrances = mailboxes
            .iter()
            .map(|mailbox| Entrance::new(address, secret, mailbox))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            listener,
            address,
            entrances,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The ways in, in the order of the mailboxes.
    pub fn entrances(&self) -> &[Entrance] {
        &self.entrances
    }

    /// Forwards requests until `stop` is there, and then ends those that are under way, if that
    /// takes no longer than a few seconds.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self {
            listener,
            entrances,
            ..
        } = self;
        let entrances: Arc<[Entrance]> = entrances.into();
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            let entrances = Arc::clone(&entrances);
                            connections.spawn(converse(stream, entrances, closed.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "the proxy cannot take a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        drop(listener);
        closing.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        // What is left then is cut off with its task.
        let _ = tokio::time::timeout(FINISH_WAIT, ended).await;
    }
}

impl Entrance {
    fn new(
        address: SocketAddr,
        secret: &ProxySecret,
        mailbox: &Mailbox,
    ) -> Result<Self, ProxyError> {
        let mut job = mailbox.job().clone();
        let secret = secret.of(&job.tenant.id, &job.mailbox.id);
        let networks = mailbox.networks();
        let place = format!("http://{address}/{secret}");
        let Crm::Flowfact(flowfact) = &mut job.crm;
        let crm = Leg::new(format!("{place}/crm"), &flowfact.base_url, networks.crm)?;
        flowfact.base_url.clone_from(&crm.url);
        let url = format!("{place}/mailbox");
        let leg = match &mut job.mailbox.endpoint {
            Endpoint::Graph(graph) => {
                let leg = Leg::new(url, &graph.base_url, networks.mailbox)?;
                graph.base_url.clone_from(&leg.url);
                Leg {
                    has_links: true,
                    ..leg
                }
            }
            Endpoint::Ews(ews) => {
                let Some(real) = &mut ews.url else {
                    return Err(ProxyError::NoAddress {
                        tenant: job.tenant.id.clone(),
                        mailbox: job.mailbox.id.clone(),
                    });
                };
                let leg = Leg::new(url, real, networks.mailbox)?;
                real.clone_from(&leg.url);
                leg
            }
        };
        Ok(Self {
            secret,
            crm,
            mailbox: leg,
            egress: mailbox.egress()?,
            job,
        })
    }

    /// What the plugin is told so that its requests come here: the mailbox's job, with addresses
    /// that hold the secret.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The `base-url` of the CRM.
    pub fn crm_url(&self) -> &str {
        &self.crm.url
    }

    /// The mailbox's address: the `base-url` of Graph, or the `url` of Exchange Web Services.
    pub fn mailbox_url(&self) -> &str {
        &self.mailbox.url
    }

    fn leg(&self, name: &str) -> Option<&Leg> {
        match name {
            "crm" => Some(&self.crm),
            "mailbox" => Some(&self.mailbox),
            _ => None,
        }
    }
}

impl Leg {
    fn new(url: String, real: &str, network: Network) -> Result<Self, Error> {
        let (origin, base) =
            Origin::of_endpoint(real, network).map_err(|error| Error::endpoint(real, &error))?;
        Ok(Self {
            url,
            origin,
            base,
            has_links: false,
        })
    }

    /// The true address of what is asked for here. `below` is empty or begins with a slash.
    fn inwards(&self, below: &str, query: Option<&str>) -> Option<Uri> {
        let Self { origin, base, .. } = self;
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        format!("{origin}{base}{below}{query}").parse().ok()
    }

    /// Where here leads to what has this true address. `None` where nothing here does.
    fn outwards(&self, link: &str) -> Option<String> {
        let uri: Uri = link.parse().ok()?;
        // `Uri` drops a fragment in silence.
        if link.contains('#') || Origin::of_uri(&uri).ok()? != self.origin {
            return None;
        }
        let below = uri.path_and_query()?.as_str().strip_prefix(&self.base)?;
        below
            .starts_with('/')
            .then(|| format!("{}{below}", self.url))
    }
}

/// One connection, for one request. A client that never gives its connections back would otherwise
/// have all of them soon, and wait for itself: so does the HTTP of preview2-shim 0.26.1, which
/// opened one for each request and kept it. On loopback another one costs next to nothing.
async fn converse(
    stream: TcpStream,
    entrances: Arc<[Entrance]>,
    mut closed: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let entrances = Arc::clone(&entrances);
        async move { Ok::<_, Infallible>(answer(&entrances, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let closing = async move {
        // A proxy that is no more is closed as well.
        _ = closed.wait_for(|closed| *closed).await;
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the proxy ended");
    }
}

async fn answer(entrances: &[Entrance], request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let Some((entrance, leg, below)) = found(entrances, head.uri.path()) else {
        return refusal(StatusCode::FORBIDDEN, "NoEntrance", NO_ENTRANCE);
    };
    let Some(uri) = leg.inwards(below, head.uri.query()) else {
        return refusal(StatusCode::FORBIDDEN, "NoEntrance", NO_ENTRANCE);
    };
    head.uri = uri;
    leave_here(&mut head.headers);
    match entrance.egress.send(Request::from_parts(head, body)).await {
        Ok(answer) => told(leg, answer),
        Err(unanswered) => unforwarded(&unanswered),
    }
}

const NO_ENTRANCE: &str = "no mailbox is signed in for at this address; `contact-sync proxy` \
                           prints those that are";

/// Whose entrance a path names, which side of it, and what follows.
fn found<'a, 'p>(
    entrances: &'a [Entrance],
    path: &'p str,
) -> Option<(&'a Entrance, &'a Leg, &'p str)> {
    let (shown, rest) = path.strip_prefix('/')?.split_once('/')?;
    // All are compared to their ends, so that the time tells nothing of how near a guess is.
    let mut entrance = None;
    for candidate in entrances {
        if secret::is_equal(&candidate.secret, shown) {
            entrance = Some(candidate);
        }
    }
    let entrance = entrance?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (side, below) = rest.split_at(end);
    Some((entrance, entrance.leg(side)?, below))
}

/// Removes what concerns this connection alone (RFC 9110, 7.6.1; what the egress does not remove by
/// itself), and the offer to take an answer whose links nobody here could read.
fn leave_here(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove(header::ACCEPT_ENCODING);
}

/// The service's answer, as it is told here.
fn told(leg: &Leg, answer: Response<Bytes>) -> Response<Full<Bytes>> {
    let (head, body) = answer.into_parts();
    let is_readable = !head.headers.contains_key(header::CONTENT_ENCODING);
    let body = if leg.has_links && is_readable {
        links::translated(body, |link| leg.outwards(link))
    } else {
        body
    };
    Response::from_parts(head, Full::new(body))
}

/// An answer of the proxy's own. Where it is not known whether the request arrived, it is a 5xx,
/// which a sync takes for exactly that.
fn unforwarded(unanswered: &Unanswered) -> Response<Full<Bytes>> {
    let (status, code) = match unanswered {
        Unanswered::Denied(_) => (StatusCode::FORBIDDEN, "RequestDenied"),
        Unanswered::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge"),
        Unanswered::Late => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
        Unanswered::Broken(_) => (StatusCode::BAD_REQUEST, "RequestBroken"),
        Unanswered::Exchange(ExchangeError::Timeout) => {
            (StatusCode::GATEWAY_TIMEOUT, "ServiceTimeout")
        }
        Unanswered::SignIn | Unanswered::Exchange(_) => {
            (StatusCode::BAD_GATEWAY, "ServiceUnreachable")
        }
    };
    refusal(status, code, &unanswered.to_string())
}

/// In a shape that both services use.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({
        "error": { "code": code, "message": message },
        "message": message,
    });
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
