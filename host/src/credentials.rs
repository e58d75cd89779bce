//! Secrets, and what they turn into: the header that signs a request in.
//!
//! A secret is read when it is needed, from where the configuration says, so that a rotated one is
//! found without a restart. Nothing here prints one: secrets live in redacting types, and what goes
//! wrong is told by code and remedy.
//!
//! Other ways to sign in (device code, Basic, NTLM) will be further cases of [`SignIn`].

mod flowfact;
mod microsoft;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::egress::Network;
use crate::egress::client::{Client, ExchangeError, Waits};
use crate::egress::origin::{Origin, OriginError};
use crate::store::Clock;
use crate::types::Service;

/// Where a secret is found.
#[derive(Clone)]
pub enum SecretSource {
    /// In an environment variable of this name.
    Environment(String),
    /// In a file, less the line break at its end.
    File(PathBuf),
    /// Here. For a platform that has a vault of its own.
    Value(SecretString),
}

/// How a host signs in to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// FLOWFACT: the platform token of an API user, exchanged for a JWT.
    FlowfactToken {
        /// As in the job.
        base_url: String,
        /// The platform token (*API-Zugang*).
        token: SecretSource,
    },
    /// Microsoft: an app's own rights (OAuth 2.0 client credentials).
    MicrosoftClient {
        /// `https://login.microsoftonline.com/{tenant}/oauth2/v2.0`, or a national cloud's.
        authority: String,
        /// Application (client) id.
        client_id: String,
        /// Client secret.
        client_secret: SecretSource,
        /// `https://graph.microsoft.com/.default`.
        scope: String,
    },
}

/// Why a host cannot sign in. Holds no secret and no personal data: fit for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignInError {
    /// Which service.
    pub service: Service,
    /// Of what kind.
    pub kind: SignInErrorKind,
    /// The service's own code, for example `AADSTS7000222`.
    pub code: Option<String>,
    /// What happened.
    pub message: String,
    /// What to do now.
    pub remedy: String,
}

/// What has to change before it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInErrorKind {
    /// The secret is not where it should be.
    Secret,
    /// The service refuses it.
    Refused,
    /// Nobody answers; trying again may help.
    Unreachable,
    /// The answer is none of the kind that a sign-in gives.
    Protocol,
}

/// Reads, exchanges and renews the credentials of one [`SignIn`], one exchange at a time.
pub(crate) struct Keeper {
    sign_in: SignIn,
    client: Client,
    clock: Clock,
    state: Mutex<State>,
}

/// What signs one request in.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) name: HeaderName,
    /// Marked sensitive: its `Debug` says so instead of the value.
    pub(crate) value: HeaderValue,
    /// Which exchange it comes from.
    generation: u64,
}

/// What an exchange yields.
struct Issued {
    header: HeaderName,
    value: HeaderValue,
    lifetime_ms: u64,
}

#[derive(Default)]
struct State {
    generation: u64,
    token: Option<Token>,
    failure: Option<(u64, SignInError)>,
}

struct Token {
    authorization: Authorization,
    issued_ms: u64,
    renew_ms: u64,
    expires_ms: u64,
    /// Whether the service has accepted it since it was issued.
    accepted: bool,
    /// Whether it was asked for because the one before was refused.
    after_refusal: bool,
}

/// Renewed so long before it expires: a tenth of its life, within these bounds.
const RENEW_EARLY_MS: std::ops::RangeInclusive<u64> = 60_000..=300_000;

/// After a refused sign-in nobody is asked again for so long: repeating it locks accounts.
const REFUSED_REST_MS: u64 = 30_000;

/// A 403 may mean this one contact. A token is suspected again only when it is older than this.
const SUSPECT_AFTER_MS: u64 = 60_000;

const WAITS: Waits = Waits {
    first_byte: Duration::from_secs(30),
    between_bytes: Duration::from_secs(10),
    body: Duration::from_secs(30),
};

impl Keeper {
    /// A keeper that signs in over `client`, which must reach [`SignIn::endpoint`].
    pub(crate) fn new(sign_in: SignIn, client: Client, clock: Clock) -> Self {
        Self {
            sign_in,
            client,
            clock,
            state: Mutex::default(),
        }
    }

    /// How it signs in.
    pub(crate) fn sign_in(&self) -> &SignIn {
        &self.sign_in
    }

    /// What signs the next request in: renewed in time, asked for once by all who wait.
    pub(crate) async fn authorization(&self) -> Result<Authorization, SignInError> {
        let mut state = self.state.lock().await;
        let now_ms = (self.clock)();
        match &state.token {
            Some(token) if now_ms < token.renew_ms => Ok(token.authorization.clone()),
            Some(token) if now_ms < token.expires_ms => {
                let old = token.authorization.clone();
                match self.renew(&mut state, now_ms, false).await {
                    // It still works; the next request tries again.
                    Err(error) if error.kind == SignInErrorKind::Unreachable => Ok(old),
                    renewed => renewed,
                }
            }
            _ => self.renew(&mut state, now_ms, false).await,
        }
    }

    /// The service has answered a request with something else than a refusal.
    pub(crate) async fn accepted(&self, used: &Authorization) {
        let mut state = self.state.lock().await;
        if let Some(token) = &mut state.token
            && token.authorization.generation == used.generation
        {
            token.accepted = true;
        }
    }

    /// The service has refused what `used` signed in: another authorization to try once, if there
    /// is reason to expect more of it.
    pub(crate) async fn refused(
        &self,
        used: &Authorization,
        status: u16,
    ) -> Result<Option<Authorization>, SignInError> {
        if !(status == 401 || status == 403 && self.sign_in.is_refused_by_403()) {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        let now_ms = (self.clock)();
        if let Some(token) = &state.token {
            if token.authorization.generation != used.generation {
                return Ok(Some(token.authorization.clone()));
            }
            let hopeless = token.after_refusal && !token.accepted;
            let young = now_ms < token.issued_ms.saturating_add(SUSPECT_AFTER_MS);
            if hopeless || (status == 403 && young) {
                return Ok(None);
            }
        }
        self.renew(&mut state, now_ms, true).await.map(Some)
    }

    async fn renew(
        &self,
        state: &mut State,
        now_ms: u64,
        after_refusal: bool,
    ) -> Result<Authorization, SignInError> {
        if let Some((until_ms, error)) = &state.failure
            && now_ms < *until_ms
        {
            return Err(error.clone());
        }
        let issued = match self.exchange().await {
            Ok(issued) => issued,
            Err(error) => {
                if error.kind == SignInErrorKind::Refused {
                    state.token = None;
                    state.failure = Some((now_ms + REFUSED_REST_MS, error.clone()));
                }
                return Err(error);
            }
        };
        state.failure = None;
        state.generation += 1;
        let generation = state.generation;
        let authorization = Authorization {
            name: issued.header,
            value: issued.value,
            generation,
        };
        let lifetime_ms = issued.lifetime_ms;
        let early_ms = (lifetime_ms / 10).clamp(*RENEW_EARLY_MS.start(), *RENEW_EARLY_MS.end());
        state.token = Some(Token {
            authorization: authorization.clone(),
            issued_ms: now_ms,
            renew_ms: now_ms + lifetime_ms.saturating_sub(early_ms.min(lifetime_ms / 2)),
            expires_ms: now_ms + lifetime_ms,
            accepted: false,
            after_refusal,
        });
        Ok(authorization)
    }

    async fn exchange(&self) -> Result<Issued, SignInError> {
        match &self.sign_in {
            SignIn::FlowfactToken { base_url, token } => {
                flowfact::exchange(&self.client, base_url, &token.read(Service::Flowfact)?).await
            }
            SignIn::MicrosoftClient {
                authority,
                client_id,
                client_secret,
                scope,
            } => {
                let secret = client_secret.read(Service::Graph)?;
                microsoft::exchange(&self.client, authority, client_id, &secret, scope).await
            }
        }
    }
}

impl SignIn {
    /// Where it signs in.
    pub(crate) fn endpoint(&self, network: Network) -> Result<Origin, OriginError> {
        let url = match self {
            Self::FlowfactToken { base_url, .. } => base_url,
            Self::MicrosoftClient { authority, .. } => authority,
        };
        Origin::of_endpoint(url, network).map(|(origin, _)| origin)
    }

    /// FLOWFACT answers 403 to credentials that it does not know; Microsoft does not.
    fn is_refused_by_403(&self) -> bool {
        matches!(self, Self::FlowfactToken { .. })
    }
}

impl SecretSource {
    /// The secret as it is now.
    fn read(&self, service: Service) -> Result<SecretString, SignInError> {
        let missing = |message: String, remedy: String| SignInError {
            service,
            kind: SignInErrorKind::Secret,
            code: None,
            message,
            remedy,
        };
        let secret = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                missing(
                    format!("the environment variable `{name}` is not set"),
                    format!("set `{name}` to the secret before you start the host"),
                )
            })?,
            Self::File(path) => fs::read_to_string(path).map_err(|error| {
                missing(
                    format!("cannot read the secret file `{}`: {error}", path.display()),
                    "put the secret there, readable for the host and nobody else".into(),
                )
            })?,
        };
        let trimmed = secret.trim();
        if trimmed.is_empty() {
            return Err(missing(
                format!("the secret from {self:?} is empty"),
                "put the secret there".into(),
            ));
        }
        Ok(SecretString::from(trimmed))
    }
}

/// Says where the secret is, never what it is.
impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(formatter, "environment variable `{name}`"),
            Self::File(path) => write!(formatter, "file `{}`", path.display()),
            Self::Value(_) => formatter.write_str("a value that is not shown"),
        }
    }
}

impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Environment(one), Self::Environment(two)) => one == two,
            (Self::File(one), Self::File(two)) => one == two,
            (Self::Value(one), Self::Value(two)) => one.expose_secret() == two.expose_secret(),
            _ => false,
        }
    }
}

impl Eq for SecretSource {}

/// What an exchange that got no answer means for a sign-in.
fn unreachable(service: Service, what: &str, error: &ExchangeError) -> SignInError {
    SignInError {
        service,
        kind: SignInErrorKind::Unreachable,
        code: None,
        message: format!("{what} cannot be reached: {error}"),
        remedy: "check the address and the network, and try again".into(),
    }
}

/// A token as a header's value. Nothing but visible ASCII is a token (RFC 6750, 2.1).
fn header_value(prefix: &str, token: &str) -> Option<HeaderValue> {
    const TOKEN_BYTES_MAX: usize = 32 * 1024;
    if token.is_empty()
        || token.len() > TOKEN_BYTES_MAX
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("{prefix}{token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Shared by those who sign in the same way.
pub(crate) type SharedKeeper = Arc<Keeper>;
