//! Secrets, and what they turn into: the header that signs a request in.
//!
//! A secret is read when it is needed, from where the configuration says, so that a rotated one is
//! found without a restart. Nothing here prints one: secrets live in redacting types, and what goes
//! wrong is told by code and remedy.
//!
//! Most sign-ins come down to a header. NTLM proves a connection instead: a `Keeper` hands the
//! account out for it, one proof at a time until one was accepted.

pub(crate) mod exchange;
mod flowfact;
mod microsoft;
pub(crate) mod ntlm;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, MutexGuard};

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
    /// Exchange Server: an account with a password.
    ExchangePassword {
        /// How the password is proven.
        scheme: PasswordScheme,
        /// `DOMAIN\account`, or `account@example.com`.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// Exchange Server: an app's own rights (OAuth 2.0 client credentials), by hybrid modern
    /// authentication or AD FS.
    ExchangeClient {
        /// In front of `/token`.
        authority: String,
        /// Application (client) id.
        client_id: String,
        /// Client secret.
        client_secret: SecretSource,
        /// `https://mail.example.com/.default`.
        scope: String,
    },
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordScheme {
    /// NTLM version 2: proven without being sent, once per connection.
    Ntlm,
    /// Basic: sent with every request.
    Basic,
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
    /// Whose turn it is to prove an account.
    turn: Mutex<()>,
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

/// An account as it is now.
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: SecretString,
}

/// The leave to prove an account once. Held until the answer is known as long as nobody knows
/// whether the password is right: five proofs side by side would be five failures, and lock it.
pub(crate) struct Proof<'a> {
    pub(crate) account: Account,
    _turn: Option<MutexGuard<'a, ()>>,
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
    /// Whether the account's last proof was accepted.
    proven: bool,
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
            turn: Mutex::default(),
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

    /// The account, to be proven on a connection.
    pub(crate) async fn proof(&self) -> Result<Proof<'_>, SignInError> {
        let turn = self.turn.lock().await;
        let state = self.state.lock().await;
        state.rest((self.clock)())?;
        Ok(Proof {
            account: self.sign_in.account()?,
            _turn: (!state.proven).then_some(turn),
        })
    }

    /// A proof was accepted.
    pub(crate) async fn proof_accepted(&self) {
        self.state.lock().await.proven = true;
    }

    /// A proof was refused: nobody proves this account again for a while.
    pub(crate) async fn proof_refused(&self, error: &SignInError) {
        self.state.lock().await.refuse((self.clock)(), error);
    }

    /// The service has refused the password that `used` holds: a changed one to try once, if there
    /// is one. The same one is not tried again for a while.
    pub(crate) async fn password_refused(
        &self,
        used: &Authorization,
        error: SignInError,
    ) -> Result<Authorization, SignInError> {
        let mut state = self.state.lock().await;
        let now_ms = (self.clock)();
        state.rest(now_ms)?;
        let renewed = self.renew(&mut state, now_ms, true).await?;
        if renewed.value != used.value {
            return Ok(renewed);
        }
        state.token = None;
        state.refuse(now_ms, &error);
        Err(error)
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
        state.rest(now_ms)?;
        let issued = match self.exchange().await {
            Ok(issued) => issued,
            Err(error) => {
                if error.kind == SignInErrorKind::Refused {
                    state.refuse(now_ms, &error);
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
            SignIn::ExchangeClient {
                authority,
                client_id,
                client_secret,
                scope,
            } => {
                let secret = client_secret.read(Service::Ews)?;
                microsoft::exchange(&self.client, authority, client_id, &secret, scope)
                    .await
                    .map_err(exchange::of_app)
            }
            SignIn::ExchangePassword { .. } => exchange::basic(&self.sign_in.account()?),
        }
    }
}

impl State {
    /// Whether the account rests after a refusal.
    fn rest(&self, now_ms: u64) -> Result<(), SignInError> {
        match &self.failure {
            Some((until_ms, error)) if now_ms < *until_ms => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, now_ms: u64, error: &SignInError) {
        self.token = None;
        self.proven = false;
        self.failure = Some((now_ms + REFUSED_REST_MS, error.clone()));
    }
}

impl SignIn {
    /// Where it signs in; `None` where that is the service itself.
    pub(crate) fn endpoint(&self, network: Network) -> Option<Result<Origin, OriginError>> {
        let url = match self {
            Self::FlowfactToken { base_url, .. } => base_url,
            Self::MicrosoftClient { authority, .. } | Self::ExchangeClient { authority, .. } => {
                authority
            }
            Self::ExchangePassword { .. } => return None,
        };
        Some(Origin::of_endpoint(url, network).map(|(origin, _)| origin))
    }

    /// The account, where it is one with a password.
    fn account(&self) -> Result<Account, SignInError> {
        match self {
            Self::ExchangePassword {
                username, password, ..
            } => Ok(Account {
                username: username.clone(),
                password: password.read(Service::Ews)?,
            }),
            _ => Err(exchange::confused("there is no password")),
        }
    }

    /// How the password is proven, where there is one.
    pub(crate) fn password_scheme(&self) -> Option<PasswordScheme> {
        match self {
            Self::ExchangePassword { scheme, .. } => Some(*scheme),
            _ => None,
        }
    }

    /// FLOWFACT answers 403 to credentials that it does not know; Microsoft does not.
    fn is_refused_by_403(&self) -> bool {
        matches!(self, Self::FlowfactToken { .. })
    }
}

impl PasswordScheme {
    /// As `WWW-Authenticate` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ntlm => "NTLM",
            Self::Basic => "Basic",
        }
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
