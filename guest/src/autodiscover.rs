//! Autodiscover: on which server a mailbox is, found from its address.
//!
//! Only a check-up asks, and only servers that the job names
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange>).
//! All are asked at once by JSON, which needs no sign-in; then, where that gave no address, one
//! after the other by XML, which does. Each is asked once: a person is waiting, and may ask again.
//!
//! Nothing that a server says is followed by itself, neither to another server nor to another
//! address: where it would lead is told, with the line of the configuration that goes there.

mod json;
mod pox;

use crate::contact::text::shortened;
use crate::http::{Answer, CallError, Http, RemoteError};
use crate::report::Problem;

/// How many servers a job may name (`wit/types.wit`).
pub const ORIGINS_MAX: usize = 8;

/// Where Exchange Web Services answer, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `https://mail.example.com/EWS/Exchange.asmx`.
    pub url: String,
    /// The origin that was asked.
    pub origin: String,
}

/// A question that had no address for an answer. May hold addresses of people: a finding, not a log
/// entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// Who was asked, and what happened.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Asks for the address of Exchange Web Services for this mailbox. Where nobody gives one: every
/// step that failed, in the order of asking.
pub fn discover(http: &Http, address: &str, origins: &[String]) -> Result<Found, Vec<FailedStep>> {
    let origins = origins.get(..ORIGINS_MAX).unwrap_or(origins);
    let mut failed = Vec::new();
    let mut reached = Vec::new();
    let calls = origins.iter().map(|origin| json::call(origin, address));
    let answers = http.send(calls.collect());
    for (origin, answer) in origins.iter().zip(answers) {
        if is_reached(&answer) {
            reached.push(origin);
        }
        match judge(
            json::PROTOCOL,
            origin,
            address,
            answer.map(|answer| json::read(&answer)),
        ) {
            Ok(found) => return Ok(found),
            Err(step) => failed.push(step),
        }
    }
    for origin in reached {
        let answer = http.send_one(pox::call(origin, address));
        match judge(
            pox::PROTOCOL,
            origin,
            address,
            answer.map(|answer| pox::read(&answer)),
        ) {
            Ok(found) => return Ok(found),
            Err(step) => failed.push(step),
        }
    }
    Err(failed)
}

/// What a server answers, in either protocol.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Here is the service.
    Url(String),
    /// Ask there: an absolute or relative address.
    Elsewhere(String),
    /// Ask for this address instead.
    OtherAddress(String),
    /// It asks for a sign-in, or refuses the one it got.
    SignInRefused,
    /// It knows no such protocol.
    NotSpoken,
    /// It knows the protocol, and no answer: why, as the end of a sentence.
    NoAnswer(String),
    /// It answers something that is no Autodiscover: what, as the end of a sentence.
    Misfit(String),
}

impl Said {
    /// What a status alone tells. `None`: the body has to be looked at.
    fn of_status(answer: &Answer) -> Option<Self> {
        match answer.status {
            300..=399 => Some(match answer.header("location") {
                Some(location) => Self::Elsewhere(location.to_owned()),
                None => Self::Misfit(format!("status {}", answer.status)),
            }),
            401 | 403 => Some(Self::SignInRefused),
            404 | 405 | 410 | 501 => Some(Self::NotSpoken),
            _ => None,
        }
    }
}

/// Whether a second question to this server has any prospect.
fn is_reached(answer: &Result<Answer, CallError>) -> bool {
    !matches!(answer, Err(failure) if failure.error.halts())
}

fn judge(
    protocol: &str,
    origin: &str,
    address: &str,
    said: Result<Said, CallError>,
) -> Result<Found, FailedStep> {
    let asked = format!("Autodiscover ({protocol}) at `{origin}`");
    let said = match said {
        Ok(said) => said,
        Err(failure) => return Err(unanswered(&asked, failure.error)),
    };
    let (message, remedy) = match said {
        Said::Url(url) => match origin_of(&url) {
            Some(found) if is_office365(found) => in_office365(&asked, found),
            Some(_) if is_service(&url) => {
                let origin = origin.to_owned();
                return Ok(Found { url, origin });
            }
            _ => (
                format!("{asked} names as address of Exchange Web Services what is none"),
                format!("correct `ExternalUrl` on the server, or {WRITE_URL}"),
            ),
        },
        Said::Elsewhere(target) => leads(&asked, origin, &target),
        Said::OtherAddress(other) => other_address(&asked, address, &other),
        Said::SignInRefused => (
            format!("{asked} asks for a sign-in, and takes none that it was offered"),
            format!(
                "check `username`, `password` and `sign-in`; at a server that is only guessed from \
                 the address's domain the sync does not sign in: if it is yours, write \
                 `autodiscover = [\"{origin}\"]`"
            ),
        ),
        Said::NotSpoken => (
            format!("{asked}: the server does not know it"),
            format!("{WRITE_ORIGIN}, or {WRITE_URL}"),
        ),
        Said::NoAnswer(why) => (
            format!("{asked} knows no answer: {why}"),
            format!("check `address` with whoever runs the server, or {WRITE_URL}"),
        ),
        Said::Misfit(found) => (
            format!("{asked} answered with {found}"),
            format!("{WRITE_ORIGIN}, or {WRITE_URL}"),
        ),
    };
    Err(FailedStep { message, remedy })
}

const WRITE_ORIGIN: &str =
    "name the server that answers: `autodiscover = [\"https://autodiscover.example.com\"]`";

const WRITE_URL: &str = "write the address of Exchange Web Services itself: \
                         `url = \"https://mail.example.com/EWS/Exchange.asmx\"`";

/// The server could not be asked, or broke.
fn unanswered(asked: &str, error: RemoteError) -> FailedStep {
    let remedy = match &error {
        RemoteError::EgressDenied(_) => {
            "check the address; a server in the company's own network needs `private-network = true`"
                .to_owned()
        }
        RemoteError::Throttled(_) => "nothing: check again after the pause".to_owned(),
        RemoteError::Unreachable(remote) if remote.status.is_some() => {
            format!("check again later; if it lasts, {WRITE_URL}")
        }
        _ => format!(
            "nothing, if the company has no such server; else check its name, the network, and that \
             its certificate is valid and trusted (`ca-certificates`), or {WRITE_URL}"
        ),
    };
    let Problem { message, .. } = error.into_problem();
    FailedStep {
        message: format!("{asked}: {message}"),
        remedy,
    }
}

fn in_office365(asked: &str, origin: &str) -> (String, String) {
    (
        format!(
            "{asked} says that this mailbox is in Office 365, at `{}`",
            shown(origin)
        ),
        "configure the mailbox with `office365` instead of `exchange-server`".to_owned(),
    )
}

/// Followed by nobody: a sign-in goes only to servers that the configuration names.
fn leads(asked: &str, origin: &str, target: &str) -> (String, String) {
    let Some(other) = origin_of(target).filter(|other| !other.eq_ignore_ascii_case(origin)) else {
        return (
            format!("{asked} leads to another page of the same server, as a rule to sign in"),
            format!("{WRITE_ORIGIN}, or {WRITE_URL}"),
        );
    };
    if is_office365(other) {
        return in_office365(asked, other);
    }
    let other = shown(other);
    (
        format!("{asked} leads to `{other}`, which the sync does not follow by itself"),
        format!("if that server is the company's, write `autodiscover = [\"{other}\"]`"),
    )
}

fn other_address(asked: &str, address: &str, other: &str) -> (String, String) {
    let other = shown(other.trim());
    if other.to_ascii_lowercase().ends_with(".onmicrosoft.com") {
        return (
            format!("{asked} says that this mailbox is in Office 365, as `{other}`"),
            "configure the mailbox with `office365` instead of `exchange-server`".to_owned(),
        );
    }
    if other.eq_ignore_ascii_case(address) {
        return (
            format!("{asked} leads from the mailbox's address to the same address again"),
            format!("let the server's configuration be corrected, or {WRITE_URL}"),
        );
    }
    (
        format!("{asked} knows the mailbox under another address: `{other}`"),
        format!("if that is the mailbox's primary address, write `address = \"{other}\"`"),
    )
}

/// Scheme, host and port of an absolute http(s) address
/// (<https://www.rfc-editor.org/rfc/rfc3986#section-3>), if they are what they seem to be.
fn origin_of(url: &str) -> Option<&str> {
    let scheme_bytes = ["https://", "http://"].iter().find_map(|scheme| {
        let start = url.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let rest = url.get(scheme_bytes..)?;
    let host_bytes = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest.get(..host_bytes)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_plain);
    is_host.then(|| url.get(..scheme_bytes + host_bytes))?
}

/// Whether a job takes it as the address of a service.
fn is_service(url: &str) -> bool {
    const URL_BYTES_MAX: usize = 500;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"@?#\"`\\<>".contains(&byte);
    url.len() <= URL_BYTES_MAX && url.bytes().all(is_plain) && !url.ends_with('/')
}

/// Exchange Online, which lets nobody in over Exchange Web Services any more
/// (<https://learn.microsoft.com/microsoft-365/enterprise/urls-and-ip-address-ranges>, and the same
/// pages for its national clouds).
fn is_office365(origin: &str) -> bool {
    const DOMAINS: [&str; 5] = [
        "office365.com",
        "outlook.com",
        "office.com",
        "office365.us",
        "outlook.cn",
    ];
    let origin = origin.to_ascii_lowercase();
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let host = host.split(':').next().unwrap_or(host);
    DOMAINS.iter().any(|domain| {
        let before = host.strip_suffix(domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// What somebody else wrote, for a sentence and a line of the configuration.
fn shown(text: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 200;
    let plain: String = text
        .chars()
        .filter(|character| !character.is_control() && !matches!(character, '"' | '`' | '\\'))
        .collect();
    shortened(&plain, SHOWN_BYTES_MAX)
}

#[cfg(test)]
mod tests;
