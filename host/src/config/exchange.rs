//! A mailbox on Exchange Server: its keys, and what they become.

use std::fs;
use std::path::Path;

use super::file::Context;
use super::reader::{Placed, Section};
use super::values::{read_network, read_secret, read_url};
use super::{ExchangeServer, ExchangeServerSettings, ExchangeSignIn, Scope};
use crate::credentials::PasswordScheme;
use crate::egress::Network;
use crate::egress::origin::Origin;
use crate::egress::trust::Certificates;

const URL_USUAL: &str = "https://mail.example.com/EWS/Exchange.asmx";

/// As `wit/types.wit` bounds it.
const AUTODISCOVER_MAX: usize = 8;

/// What stands around a mailbox's own section.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) context: Context<'a>,
    /// Whose mailbox: decides whether it is impersonated unless the section says so.
    pub(super) scope: Scope,
    /// The tenant's own certificates.
    pub(super) certificates: &'a Certificates,
}

/// How users' own mailboxes are signed in to.
pub(super) enum PersonalSignIn {
    /// By the administrator's account, which impersonates them.
    Shared(ExchangeServerSettings),
    /// Each by their own account.
    Own(PasswordScheme, ExchangeServer),
}

/// Reads the section of one mailbox.
pub(super) fn read_exchange_server(
    section: &Section<'_>,
    around: Around<'_>,
) -> Option<ExchangeServerSettings> {
    let server = read_server(section, around);
    let kind = read_kind(section);
    let impersonate = read_impersonate(section, kind, around.scope);
    let sign_in = read_sign_in(section, kind, around.context);
    section.finish("");
    Some(ExchangeServerSettings {
        server: server?,
        sign_in: sign_in?,
        impersonate: impersonate?,
    })
}

/// Reads what the administrator says of users' own mailboxes.
pub(super) fn read_personal_exchange_server(
    section: &Section<'_>,
    around: Around<'_>,
) -> Option<PersonalSignIn> {
    let server = read_server(section, around);
    let kind = read_kind(section);
    let impersonate = read_impersonate(section, kind, around.scope);
    if let (Some(Kind::Password(scheme)), Some(false)) = (kind, impersonate) {
        section.finish(
            "each user has an account of their own: `username` in their file, and the password in \
             a file of the same name that ends in `.password`; or set `impersonate = true` and \
             write an account that may act for them",
        );
        return Some(PersonalSignIn::Own(scheme, server?));
    }
    let sign_in = read_sign_in(section, kind, around.context);
    section.finish("");
    Some(PersonalSignIn::Shared(ExchangeServerSettings {
        server: server?,
        sign_in: sign_in?,
        impersonate: impersonate?,
    }))
}

/// Reads `ca-certificates`; none where it is not there.
pub(super) fn read_certificates(section: &Section<'_>, folder: &Path) -> Option<Certificates> {
    if !section.has("ca-certificates") {
        return Some(Certificates::default());
    }
    let named = section.text("ca-certificates")?;
    let key = section.join("ca-certificates");
    let path = folder.join(&named.value);
    let remedy = "name a PEM file with the certificate of the authority that signed the server's";
    let found = match fs::read(&path) {
        Ok(pem) => Certificates::from_pem(&pem),
        Err(error) => {
            let message = format!("`{key}` cannot be read: {error}");
            section.error(&named.span, message, remedy);
            return None;
        }
    };
    match found {
        Ok(certificates) => Some(certificates),
        Err(why) => {
            let message = format!("`{key}` cannot be used: {why}");
            section.error(&named.span, message, remedy);
            None
        }
    }
}

/// How to sign in, as the configuration names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password(PasswordScheme),
    Client,
}

fn read_server(section: &Section<'_>, around: Around<'_>) -> Option<ExchangeServer> {
    let network = read_network(section);
    let url = if section.has("url") {
        read_service_url(section, network).map(Some)
    } else {
        Some(None)
    };
    let autodiscover = read_autodiscover(section, network);
    let ask_search_key = !section.has("ask-search-key") || section.flag("ask-search-key");
    let certificates = read_certificates(section, around.context.folder);
    Some(ExchangeServer {
        url: url?,
        autodiscover: autodiscover?,
        ask_search_key,
        certificates: around.certificates.with(certificates?),
        network,
    })
}

fn read_service_url(section: &Section<'_>, network: Network) -> Option<String> {
    let placed = section.text("url")?;
    let url = read_url(section, "url", URL_USUAL, network)?;
    let path = Origin::of_endpoint(&url, network).map(|(_, path)| path);
    if path.is_ok_and(|path| path.is_empty()) {
        let message = format!("`{}` names a server without a path", section.join("url"));
        let remedy = "write all of it, as Exchange says it: usually it ends in \
                      `/EWS/Exchange.asmx`";
        section.error(&placed.span, message, remedy);
        return None;
    }
    Some(url)
}

/// The servers that are asked; the inner `None`: those of the address.
#[expect(clippy::option_option, reason = "a mistake, nothing said, or a list")]
fn read_autodiscover(section: &Section<'_>, network: Network) -> Option<Option<Vec<String>>> {
    if !section.has("autodiscover") {
        return Some(None);
    }
    let Placed { value, span } = section.texts("autodiscover")?;
    let key = section.join("autodiscover");
    if value.len() > AUTODISCOVER_MAX {
        let message = format!("`{key}` names more than {AUTODISCOVER_MAX} servers");
        section.error(&span, message, "leave some of them out");
        return None;
    }
    let mut origins = Vec::new();
    for text in value {
        let why = match Origin::of_endpoint(&text, network) {
            Ok((origin, path)) if path.is_empty() => {
                origins.push(origin.to_string());
                continue;
            }
            Ok(_) => "it has a path".to_owned(),
            Err(why) => why.to_string(),
        };
        let message = format!("`{key}` cannot be used: {why}");
        let remedy = "write servers like `https://autodiscover.example.com`";
        section.error(&span, message, remedy);
        return None;
    }
    Some(Some(origins))
}

fn read_kind(section: &Section<'_>) -> Option<Kind> {
    if !section.has("sign-in") {
        return Some(Kind::Password(PasswordScheme::Ntlm));
    }
    let kinds = [
        ("ntlm", Kind::Password(PasswordScheme::Ntlm)),
        ("basic", Kind::Password(PasswordScheme::Basic)),
        ("oauth", Kind::Client),
    ];
    section.choice("sign-in", &kinds)
}

/// An app has no mailbox of its own: it can do nothing but act for somebody.
fn read_impersonate(section: &Section<'_>, kind: Option<Kind>, scope: Scope) -> Option<bool> {
    if !section.has("impersonate") {
        return Some(scope == Scope::Company || kind == Some(Kind::Client));
    }
    let impersonate = section.flag("impersonate");
    if kind == Some(Kind::Client) && !impersonate {
        let message = format!(
            "`{}` cannot be `false` with `sign-in = \"oauth\"`: an app has no mailbox of its own",
            section.join("impersonate")
        );
        let remedy = "leave it out, and let the app impersonate the mailbox";
        section.error(&section.span_of("impersonate"), message, remedy);
        return None;
    }
    Some(impersonate)
}

fn read_sign_in(
    section: &Section<'_>,
    kind: Option<Kind>,
    context: Context<'_>,
) -> Option<ExchangeSignIn> {
    match kind {
        Some(Kind::Password(scheme)) => read_account(section, scheme, context),
        Some(Kind::Client) => read_client(section, context),
        None => {
            // Which keys belong here is not known: none of them is called unknown.
            for key in [
                "username",
                "password",
                "authority",
                "client-id",
                "client-secret",
                "scope",
            ] {
                section.has(key);
            }
            None
        }
    }
}

fn read_account(
    section: &Section<'_>,
    scheme: PasswordScheme,
    context: Context<'_>,
) -> Option<ExchangeSignIn> {
    let remedy = "the account that signs in: `DOMAIN\\account`, or `account@example.com`";
    let username = section.required_text("username", remedy);
    let password = read_secret(section, "password", context);
    let username = username?;
    if !is_username(&username.value) {
        let message = format!("`{}` is no account's name", section.join("username"));
        section.error(&username.span, message, remedy);
        return None;
    }
    Some(ExchangeSignIn::Password {
        scheme,
        username: username.value,
        password: password?,
    })
}

/// A colon ends the name in Basic (RFC 7617, 2), and more than one backslash names no domain.
pub(super) fn is_username(text: &str) -> bool {
    let parts: Vec<_> = text.split('\\').collect();
    parts.len() <= 2
        && parts.iter().all(|part| !part.is_empty())
        && !text.contains([':', '"'])
        && !text.contains(char::is_control)
}

fn read_client(section: &Section<'_>, context: Context<'_>) -> Option<ExchangeSignIn> {
    const AUTHORITY: &str = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0";
    let network = read_network(section);
    let authority = if section.has("authority") {
        read_url(section, "authority", AUTHORITY, network)
    } else {
        section.missing("authority", &format!("write it like `{AUTHORITY}`"));
        None
    };
    let client_id = section.required_text("client-id", "the application (client) id");
    let client_secret = read_secret(section, "client-secret", context);
    let scope = section.required_text("scope", "write it like `https://mail.example.com/.default`");
    Some(ExchangeSignIn::Client {
        authority: authority?,
        client_id: client_id?.value,
        client_secret: client_secret?,
        scope: scope?.value,
    })
}
