//! Exchange Server's refusals in words: an account and its password, or an app.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use super::{Account, Issued, PasswordScheme, SignInError, SignInErrorKind};
use crate::types::Service;

/// How long a header made from a password is taken before the password is read again.
const PASSWORD_LIFETIME_MS: u64 = 5 * 60 * 1_000;

/// `Authorization: Basic` (RFC 7617, 2).
pub(super) fn basic(account: &Account) -> Result<Issued, SignInError> {
    let (name, password) = (&account.username, account.password.expose_secret());
    let both = SecretString::from(STANDARD.encode(format!("{name}:{password}")));
    let mut value = HeaderValue::from_str(&format!("Basic {}", both.expose_secret()))
        .map_err(|_| error(SignInErrorKind::Secret, "the password is too long", SECRET))?;
    value.set_sensitive(true);
    Ok(Issued {
        header: header::AUTHORIZATION,
        value,
        lifetime_ms: PASSWORD_LIFETIME_MS,
    })
}

const SECRET: &str = "put the password where the configuration says";

/// The ways to sign in that an answer offers (RFC 9110, 11.6.1), each once.
pub(crate) fn offered(headers: &HeaderMap) -> Vec<String> {
    const OFFERS_MAX: usize = 8;
    let mut schemes = Vec::new();
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let scheme = part.split_whitespace().next().unwrap_or_default();
            let is_name = scheme.bytes().all(|byte| byte.is_ascii_alphabetic())
                && (1..=16).contains(&scheme.len());
            if is_name && !schemes.iter().any(|known| known == scheme) {
                schemes.push(scheme.to_owned());
            }
        }
    }
    schemes.truncate(OFFERS_MAX);
    schemes
}

/// What a 401 to a password means.
pub(crate) fn refused(scheme: PasswordScheme, offered: &[String]) -> SignInError {
    let offers = |name: &str| offered.iter().any(|one| one.eq_ignore_ascii_case(name));
    if offered.is_empty() || offers(scheme.name()) {
        let remedy = match scheme {
            PasswordScheme::Basic => REFUSED.to_owned(),
            PasswordScheme::Ntlm => format!(
                "{REFUSED}; if both are right, something between this host and Exchange ends TLS \
                 with a certificate of its own: extended protection then refuses everybody"
            ),
        };
        let message = "Exchange Server refuses the account's name or password (401)";
        return error(SignInErrorKind::Refused, message, &remedy);
    }
    let message = format!(
        "Exchange Server does not take {}; it offers {}",
        scheme.name(),
        offered.join(", ")
    );
    let remedy = if offers("NTLM") {
        "set `sign-in = \"ntlm\"` for the mailbox"
    } else if offers("Basic") {
        "set `sign-in = \"basic\"` for the mailbox"
    } else if offers("Bearer") {
        "set `sign-in = \"oauth\"` for the mailbox, with an app that Exchange knows"
    } else {
        "let the administrator of Exchange offer NTLM for EWS beside it, and set \
         `sign-in = \"ntlm\"`"
    };
    error(SignInErrorKind::Protocol, &message, remedy)
}

const REFUSED: &str = "check `username` and `password` of the mailbox in the configuration, and \
                       whether the account is locked or its password has expired";

/// A handshake that the server leads nowhere.
pub(crate) fn confused(what: &str) -> SignInError {
    error(
        SignInErrorKind::Protocol,
        &format!("the NTLM handshake with Exchange Server fails: {what}"),
        "check `url`; if it is right, let no proxy stand between this host and Exchange, or set \
         `sign-in = \"basic\"`",
    )
}

/// A certificate that is not trusted, and why.
pub(crate) fn untrusted(why: &str) -> SignInError {
    error(
        SignInErrorKind::Unreachable,
        &format!("the certificate of Exchange Server is not trusted: {why}"),
        "if a company's own authority signed it, name that authority's certificate with \
         `ca-certificates`; one that has expired, or is for another name, must be renewed",
    )
}

/// Two sides without a version of TLS or a cipher that both speak. Where Windows Server 2012 R2 has
/// an RSA certificate, it offers none with ECDHE and AES-GCM
/// (<https://learn.microsoft.com/windows/win32/secauthn/tls-cipher-suites-in-windows-8-1>).
pub(crate) fn no_common_tls(why: &str) -> SignInError {
    error(
        SignInErrorKind::Unreachable,
        &format!(
            "Exchange Server and this host have no TLS version or cipher in common ({why}): this \
             host speaks TLS 1.2 and 1.3, with ECDHE and AES-GCM or ChaCha20"
        ),
        "let Exchange run on Windows Server 2016 or later with TLS 1.2 switched on, or put a TLS \
         proxy that offers one of these in front of it and name the proxy in `url`",
    )
}

/// TLS that fails for another reason.
pub(crate) fn unsecured(why: &str) -> SignInError {
    error(
        SignInErrorKind::Unreachable,
        &format!("the connection to Exchange Server cannot be secured: {why}"),
        "check that `url` leads to Exchange, at a port that speaks TLS, and that TLS 1.2 with \
         ECDHE and AES-GCM is offered there: Windows Server 2012 R2 with an RSA certificate breaks \
         off instead",
    )
}

/// An app's refusal, told for Exchange.
pub(super) fn of_app(refusal: SignInError) -> SignInError {
    let remedy = if refusal.remedy.contains("Contacts.ReadWrite") {
        "grant the app `full_access_as_app` for Office 365 Exchange Online in Entra, or the right \
         to impersonate in AD FS, and check `scope`"
            .to_owned()
    } else {
        refusal.remedy.replace("`tenant`", "`scope`")
    };
    SignInError {
        service: Service::Ews,
        message: refusal.message.replace("Microsoft Graph", "Exchange"),
        remedy,
        ..refusal
    }
}

fn error(kind: SignInErrorKind, message: &str, remedy: &str) -> SignInError {
    SignInError {
        service: Service::Ews,
        kind,
        code: None,
        message: message.into(),
        remedy: remedy.into(),
    }
}
