//! Who may ask: accounts, and how they prove to be themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

use super::super::chance::Chance;
use super::super::wire::Call;

/// How clients must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EwsSignIn {
    /// User and password with every request (RFC 7617).
    Basic,
    /// A handshake that authenticates the connection (MS-NLMP).
    Ntlm,
    /// What many servers offer alone, and no client here can do: Kerberos.
    NegotiateOnly,
    /// Nothing is asked for.
    Nothing,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody was asked.
    Anybody,
    /// The account that may act for every mailbox.
    Service,
    /// The owner of the mailbox with this address.
    Owner(String),
}

/// The header by which the server over HTTP says who a connection belongs to.
pub(in crate::simulator) const CONNECTION_SCHEME: &str = "X-Connection-Of";

/// The Windows domain of all accounts.
pub const DOMAIN: &str = "MAKLER";

/// The accounts.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    chance: Chance,
    service: String,
    /// Passwords by user name.
    passwords: BTreeMap<String, String>,
}

impl Accounts {
    pub(super) fn new(seed: u64) -> Self {
        let mut accounts = Self {
            chance: Chance::new(seed ^ 0x0065_7773_2173_6967),
            service: "contact-sync@makler.example".to_owned(),
            passwords: BTreeMap::new(),
        };
        let service = accounts.service.clone();
        accounts.add(&service);
        accounts
    }

    /// The account that may act for every mailbox, and its password.
    pub(super) fn service(&self) -> (&str, &str) {
        let password = self.passwords.get(&self.service);
        (&self.service, password.map_or("", String::as_str))
    }

    /// Gives a mailbox's owner a password.
    pub(super) fn add(&mut self, address: &str) {
        // Not of ASCII alone: clients get the encoding wrong (RFC 7617, section 2.1).
        let password = format!("Straße-{:08x}", self.chance.next_u64() >> 32);
        self.passwords.insert(address.to_lowercase(), password);
    }

    /// The password of `user@domain`, of `DOMAIN\user`, or of `user` alone.
    pub(super) fn password(&self, user: &str) -> Option<(&str, &str)> {
        let user = user.to_lowercase();
        let (domain, name) = user.split_once('\\').unwrap_or(("", &user));
        if !(domain.is_empty() || domain.eq_ignore_ascii_case(DOMAIN)) {
            return None;
        }
        let mut accounts = self.passwords.iter();
        let found = accounts
            .find(|(address, _)| *address == name || address.split('@').next() == Some(name));
        found.map(|(address, password)| (address.as_str(), password.as_str()))
    }

    pub(super) fn caller(&self, user: &str) -> Caller {
        if user == self.service {
            Caller::Service
        } else {
            Caller::Owner(user.to_owned())
        }
    }

    /// Who a request says that it comes from, if that is proven.
    pub(super) fn check(&self, call: &Call<'_>, sign_in: EwsSignIn) -> Option<Caller> {
        let (scheme, rest) = match call.header("authorization") {
            Some(header) => header.split_once(' ').unwrap_or((header, "")),
            None => ("", ""),
        };
        match sign_in {
            EwsSignIn::Nothing => Some(Caller::Anybody),
            EwsSignIn::NegotiateOnly => None,
            EwsSignIn::Ntlm => (scheme == CONNECTION_SCHEME).then(|| self.caller(rest.trim())),
            EwsSignIn::Basic => {
                if !scheme.eq_ignore_ascii_case("basic") {
                    return None;
                }
                let bytes = STANDARD.decode(rest.trim()).ok()?;
                let text = String::from_utf8(bytes).ok()?;
                let (user, password) = text.split_once(':')?;
                let (account, held) = self.password(user)?;
                (held == password).then(|| self.caller(account))
            }
        }
    }
}
