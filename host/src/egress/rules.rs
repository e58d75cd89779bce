//! Which requests may leave: origin, path and method, derived from the job's endpoints.
//!
//! Deny is the default. Token endpoints are on no list: only the host signs in. What empties a
//! trash is on none either, because a deletion goes to the service's own trash and never past it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde::Deserialize;

use super::Network;
use super::origin::{Origin, OriginError};
use super::soap::{self, Whose};
use crate::config::usual_autodiscover;
use crate::types::{Crm, Endpoint, Ews, Job, Side};

/// Requests of one `$batch`
/// (<https://learn.microsoft.com/graph/json-batching#batch-size-limitations>).
const BATCH_REQUESTS_MAX: usize = 20;

/// Which of its companies an API user speaks for (`@flowfact/api-services`, `APIClient`).
const COMPANY_HEADER: &str = "x-ff-company-id";

/// Whether a pass may change anything outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// A sync.
    Allowed,
    /// A preview, a check-up, an export.
    Forbidden,
}

/// The allow-list of one pass.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    list: Vec<Rule>,
    writing: Writing,
    /// The one company of the CRM that the job names.
    company: Option<String>,
    /// The one mailbox that the job names.
    whose: Whose,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
struct Rule {
    /// Whose credentials go along.
    side: Side,
    origin: Origin,
    /// Matches itself and, unless it is the address of a service, whatever lies below it.
    path: String,
    /// Methods that read.
    reading: &'static [&'static str],
    /// Methods that write.
    writing: &'static [&'static str],
    /// What the request says beside its address.
    says: Says,
    /// Whose contacts are meant, where the path is a mailbox's and only they are.
    owner: Option<Owner>,
}

/// How Microsoft Graph names a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// `/me`.
    SignedIn,
    /// `/users/{key}`, or `/users('{key}')`.
    Keyed,
}

/// What a request says in its body, and how far it is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// One thing, which address and method tell already.
    OneThing,
    /// Requests of its own, to be checked like any other.
    Batch,
    /// An operation of Exchange Web Services.
    Operation,
    /// A question to Autodiscover, in the address.
    Question,
    /// A question to Autodiscover, in the body. Whether the host signs in for it.
    SignedQuestion(bool),
}

/// What a request turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Whose credentials go along.
    pub(crate) side: Side,
    /// Where it goes.
    pub(crate) origin: Origin,
    /// What must pass [`Rules::check_body`].
    pub(crate) says: Says,
}

/// Why a request may not leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("the address is not one: {0}")]
    Address(#[from] OriginError),
    #[error("{0} is no endpoint of this tenant and mailbox")]
    Origin(Origin),
    #[error("the path leaves its folder or hides where it leads")]
    Path,
    #[error("a pass deletes into the service's own trash, never past it")]
    Purge,
    #[error("{method} is not among what a pass asks {origin} for there")]
    Rule { method: Method, origin: Origin },
    #[error("{method} would write at {origin}, and this call only reads")]
    ReadOnly { method: Method, origin: Origin },
    #[error("it names another company than the configuration")]
    Company,
    #[error("the batch is not one: {0}")]
    Batch(String),
    #[error("the body is no request to Exchange Web Services that a pass makes: {0}")]
    Soap(String),
    #[error("`{0}` is not among the operations of a sync")]
    Operation(String),
    #[error("`{0}` would write in the mailbox, and this call only reads")]
    OperationReadOnly(String),
    #[error("it would write something that is no contact, or write it elsewhere")]
    NoContact,
    #[error("it names another mailbox than the configuration")]
    OtherMailbox,
    #[error("it impersonates where the configuration does not, or the reverse")]
    Impersonation,
    #[error("it asks Autodiscover for something else than this mailbox's server")]
    Autodiscover,
    #[error("another host has taken over this tenant")]
    LeaseLost,
}

impl Rules {
    /// What a pass for `job` may ask for.
    pub(crate) fn new(
        job: &Job,
        networks: Networks,
        writing: Writing,
    ) -> Result<Self, OriginError> {
        let Crm::Flowfact(flowfact) = &job.crm;
        let (crm, base) = Origin::of_endpoint(&flowfact.base_url, networks.crm)?;
        let mut rules = flowfact_rules(&crm, &base, &flowfact.schema);
        match &job.mailbox.endpoint {
            Endpoint::Graph(graph) => {
                let (origin, base) = Origin::of_endpoint(&graph.base_url, networks.mailbox)?;
                rules.extend(graph_rules(&origin, &base));
            }
            Endpoint::Ews(ews) => {
                rules.extend(ews_rules(
                    ews,
                    &job.mailbox.address,
                    networks.mailbox,
                    writing,
                )?);
            }
        }
        let impersonate = matches!(&job.mailbox.endpoint, Endpoint::Ews(ews) if ews.impersonate);
        Ok(Self {
            list: rules,
            writing,
            company: flowfact.company.clone(),
            whose: Whose {
                address: job.mailbox.address.clone(),
                impersonate,
            },
        })
    }

    /// Whether a request of this method may go to this address.
    pub(crate) fn check(&self, method: &Method, uri: &Uri) -> Result<Allowed, Denial> {
        let origin = Origin::of_uri(uri)?;
        if self.list.iter().all(|rule| rule.origin != origin) {
            return Err(Denial::Origin(origin));
        }
        let path = uri.path();
        if leads_elsewhere(path) {
            return Err(Denial::Path);
        }
        if purges(path) {
            return Err(Denial::Purge);
        }
        let mut would_write = false;
        for rule in self
            .list
            .iter()
            .filter(|rule| rule.origin == origin && rule.covers(path))
            .filter(|rule| rule.means_contacts(method, path))
        {
            if rule.reading.contains(&method.as_str())
                || (rule.writing.contains(&method.as_str()) && self.writing == Writing::Allowed)
            {
                return Ok(Allowed {
                    side: rule.side,
                    origin,
                    says: rule.says,
                });
            }
            would_write |= rule.writing.contains(&method.as_str());
        }
        let method = method.clone();
        if would_write {
            return Err(Denial::ReadOnly { method, origin });
        }
        Err(Denial::Rule { method, origin })
    }

    /// Whether the headers stay within the job's company. An API user that belongs to several could
    /// reach all of them by this header, and each may be another tenant. To Exchange, they must not
    /// make the body mean something else.
    pub(crate) fn check_headers(
        &self,
        allowed: &Allowed,
        headers: &HeaderMap,
    ) -> Result<(), Denial> {
        let company = self.company.as_deref().map(str::as_bytes);
        let strays = |value: &HeaderValue| Some(value.as_bytes()) != company;
        if allowed.side == Side::Crm && headers.get_all(COMPANY_HEADER).iter().any(strays) {
            return Err(Denial::Company);
        }
        match allowed.says {
            Says::Operation | Says::SignedQuestion(_) => soap::check_headers(headers, &self.whose),
            Says::Question if headers.contains_key(header::CONTENT_TYPE) => {
                Err(Denial::Autodiscover)
            }
            _ => Ok(()),
        }
    }

    /// Whether what a request says beside its address is what it may say there.
    pub(crate) fn check_body(
        &self,
        allowed: &Allowed,
        uri: &Uri,
        body: &[u8],
    ) -> Result<(), Denial> {
        match allowed.says {
            Says::OneThing => Ok(()),
            Says::Batch => self.check_batch(uri, body),
            Says::Operation if uri.query().is_some() => Err(Denial::Path),
            Says::Operation => soap::check(body, &self.whose, self.writing),
            Says::Question => {
                let below = uri
                    .path()
                    .get(AUTODISCOVER_JSON.len()..)
                    .unwrap_or_default();
                let query = uri.query().unwrap_or_default();
                if !body.is_empty() {
                    return Err(Denial::Autodiscover);
                }
                soap::check_autodiscover_path(below, query, &self.whose)
            }
            Says::SignedQuestion(_) if uri.query().is_some() => Err(Denial::Autodiscover),
            Says::SignedQuestion(_) => soap::check_autodiscover(body, &self.whose),
        }
    }

    /// Whether each request in a `$batch` sent to `uri` may be sent by itself. Without this check a
    /// batch would be a way around the list.
    pub(super) fn check_batch(&self, uri: &Uri, body: &[u8]) -> Result<(), Denial> {
        // The parser's own words would quote what stands there: a contact's data, in a log.
        let batch: Batch = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Denial::Batch(format!("no batch's JSON at line {line}, column {column}"))
        })?;
        if batch.requests.len() > BATCH_REQUESTS_MAX {
            return Err(Denial::Batch(format!("{} requests", batch.requests.len())));
        }
        let base = uri.path().strip_suffix("/$batch").unwrap_or_default();
        let origin = Origin::of_uri(uri)?;
        for request in batch.requests {
            if !request.url.starts_with('/') {
                return Err(Denial::Batch("an address in it is not relative".into()));
            }
            if request
                .headers
                .keys()
                .any(|name| super::is_credential(name))
            {
                return Err(Denial::Batch("a request in it carries credentials".into()));
            }
            let method = Method::from_bytes(request.method.as_bytes())
                .map_err(|_| Denial::Batch("a method in it is none".into()))?;
            let inner: Uri = format!("{origin}{base}{}", request.url)
                .parse()
                .map_err(|_| Denial::Batch("an address in it is none".into()))?;
            let allowed = self.check(&method, &inner)?;
            if allowed.says != Says::OneThing || allowed.side != Side::Mailbox {
                return Err(Denial::Batch(
                    "a request in it is none that a batch may hold".into(),
                ));
            }
        }
        Ok(())
    }
}

/// What the configuration says about the networks of the two endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    pub(crate) crm: Network,
    pub(crate) mailbox: Network,
}

impl Rule {
    /// Graph writes keys both ways, `/users/x` and `/users('x')`, and its links come in either
    /// case.
    fn covers(&self, path: &str) -> bool {
        let Some(start) = path.get(..self.path.len()) else {
            return false;
        };
        let rest = path.get(self.path.len()..).unwrap_or_default();
        let below = match self.says {
            Says::OneThing | Says::Batch => rest.starts_with('/') || rest.starts_with('('),
            Says::Question => rest.starts_with('/'),
            Says::Operation | Says::SignedQuestion(_) => false,
        };
        start.eq_ignore_ascii_case(&self.path) && (rest.is_empty() || below)
    }

    /// Of a mailbox a pass reads who it is and its contact folders, and writes contacts. An
    /// application may be allowed to do more there, for other purposes: mail is sent from the same
    /// address.
    fn means_contacts(&self, method: &Method, path: &str) -> bool {
        let Some(owner) = self.owner else {
            return true;
        };
        let is_reading = self.reading.contains(&method.as_str());
        let rest = path.get(self.path.len()..).unwrap_or_default();
        let mut segments = rest.split('/');
        let is_in_brackets = segments.next().is_some_and(|key| !key.is_empty());
        let is_somebody = match owner {
            Owner::SignedIn => !is_in_brackets,
            Owner::Keyed => is_in_brackets || segments.next().is_some_and(|key| !key.is_empty()),
        };
        if !is_somebody {
            return false;
        }
        while let Some(segment) = segments.next() {
            let (name, key) = segment.split_once('(').unwrap_or((segment, ""));
            match &*name.to_ascii_lowercase() {
                "contacts" => return segments.count() <= usize::from(key.is_empty()),
                "contactfolders" | "childfolders" => {
                    if key.is_empty() && segments.next().is_none() {
                        return is_reading;
                    }
                }
                _ => return false,
            }
        }
        is_reading
    }
}

/// FLOWFACT, by service. Not among them: `admin-token-service`, which signs in; `DELETE` on
/// `recovery`, which purges; the bulk deletion of `entity-service/entities`.
fn flowfact_rules(origin: &Origin, base: &str, schema: &str) -> Vec<Rule> {
    let rule = |path: &str, reading, writing| Rule {
        side: Side::Crm,
        origin: origin.clone(),
        path: format!("{base}{path}"),
        reading,
        writing,
        says: Says::OneThing,
        owner: None,
    };
    vec![
        rule(
            &format!("/entity-service/schemas/{schema}"),
            &["GET"],
            &["POST", "PATCH", "DELETE"],
        ),
        rule("/entity-service/entities", &["GET"], &[]),
        rule("/entity-service/recovery/entities", &["GET"], &["POST"]),
        rule(&format!("/search-service/schemas/{schema}"), &["POST"], &[]),
        rule("/schema-service", &["GET"], &[]),
        rule("/user-service/users", &["GET"], &[]),
        rule("/company-service/company", &["GET"], &[]),
        rule("/nylas-service", &["GET"], &[]),
        rule(
            "/nylas-contact-sync-service/syncEntries",
            &["GET"],
            &["POST", "DELETE"],
        ),
    ]
}

/// Microsoft Graph: a user's or the signed-in user's contacts, alone or in a batch.
fn graph_rules(origin: &Origin, base: &str) -> Vec<Rule> {
    let resource = |path: &str, owner| Rule {
        side: Side::Mailbox,
        origin: origin.clone(),
        path: format!("{base}{path}"),
        reading: &["GET"],
        writing: &["POST", "PATCH", "DELETE"],
        says: Says::OneThing,
        owner: Some(owner),
    };
    let batch = Rule {
        side: Side::Mailbox,
        origin: origin.clone(),
        path: format!("{base}/$batch"),
        reading: &["POST"],
        writing: &[],
        says: Says::Batch,
        owner: None,
    };
    vec![
        resource("/users", Owner::Keyed),
        resource("/me", Owner::SignedIn),
        batch,
    ]
}

/// Where Autodiscover answers
/// (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange>).
const AUTODISCOVER_JSON: &str = "/autodiscover/autodiscover.json";
const AUTODISCOVER_XML: &str = "/autodiscover/autodiscover.xml";

/// Exchange Web Services: one address. Where it is not known yet, a check-up may ask for it.
fn ews_rules(
    ews: &Ews,
    address: &str,
    network: Network,
    writing: Writing,
) -> Result<Vec<Rule>, OriginError> {
    let post = |origin: &Origin, path: &str, says| Rule {
        side: Side::Mailbox,
        origin: origin.clone(),
        path: path.to_owned(),
        reading: &["POST"],
        writing: &[],
        says,
        owner: None,
    };
    if let Some(url) = &ews.url {
        let (origin, path) = Origin::of_endpoint(url, network)?;
        return Ok(vec![post(&origin, &path, Says::Operation)]);
    }
    let mut rules = Vec::new();
    for url in &ews.autodiscover {
        let (origin, _) = Origin::of_endpoint(url, network)?;
        if writing == Writing::Allowed {
            continue;
        }
        let signed = signs_in_at(ews, address, url, &origin);
        rules.push(Rule {
            reading: &["GET"],
            ..post(&origin, AUTODISCOVER_JSON, Says::Question)
        });
        rules.push(post(
            &origin,
            AUTODISCOVER_XML,
            Says::SignedQuestion(signed),
        ));
    }
    Ok(rules)
}

/// Whether Autodiscover at this origin may be shown a password. Behind the bare domain of an
/// address there is often a web agency's server; only a configuration that names it is trusted to
/// know better. Without TLS nobody is, but this machine.
fn signs_in_at(ews: &Ews, address: &str, url: &str, origin: &Origin) -> bool {
    let usual = usual_autodiscover(address);
    let guessed = ews.autodiscover == usual && usual.first().map(String::as_str) != Some(url);
    !guessed && (origin.is_https() || origin.is_this_machine())
}

/// Whether a server could read another path than the one that was compared: `..` in any spelling,
/// backslashes, control characters.
fn leads_elsewhere(path: &str) -> bool {
    let once = decoded(path.as_bytes());
    let twice = decoded(&once);
    let hides = |bytes: &[u8]| {
        bytes
            .iter()
            .any(|byte| *byte == b'\\' || byte.is_ascii_control())
            || bytes
                .split(|byte| *byte == b'/')
                .any(|segment| segment == b"." || segment == b"..")
    };
    hides(&once) || hides(&twice)
}

/// <https://learn.microsoft.com/graph/api/contact-permanentdelete>
fn purges(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("permanentDelete"))
}

/// Percent escapes undone; what is no escape stays.
fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        if let Some(((high, low), after)) = escaped {
            plain.push(high * 16 + low);
            rest = after;
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[derive(Deserialize)]
struct Batch {
    requests: Vec<BatchRequest>,
}

#[derive(Deserialize)]
struct BatchRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: serde_json::Map<String, serde_json::Value>,
}
