//! What both services share of HTTP: a request taken apart, and an answer before it is written.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contact_sync_guest::outside::{Method, Request, Response, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::log::RequestKind;

/// A request, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Scheme, host and port that the client used: links point back to them.
    pub(super) origin: String,
    /// The segments of the path, unescaped. A service takes off those that name it.
    pub(super) path: Vec<String>,
    /// Names and values, unescaped, in order.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
}

impl<'a> Call<'a> {
    /// Takes `request` apart. A URL that is none becomes a path that nothing answers.
    pub(super) fn new(request: &'a Request, now: Timestamp) -> Self {
        let (origin, target) = split_origin(&request.url);
        let (path, query) = split_target(target);
        Self {
            method: request.method,
            origin: origin.to_owned(),
            path,
            query,
            headers: &request.headers,
            body: request.body.as_deref().unwrap_or_default(),
            now,
        }
    }

    /// The first header of this name, which is given in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers of this name: clients send `Prefer` more than once, or once with commas.
    pub(super) fn header_values(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers;
        headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
    }

    /// The first query parameter of this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(self.body)
    }

    /// The body as an HTML form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(self.body))
    }
}

/// Scheme with authority, and everything after it.
pub(super) fn split_origin(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(authority..)
        .and_then(|rest| rest.find(['/', '?']))
        .map_or(url.len(), |at| authority + at);
    url.split_at(end)
}

/// The unescaped segments of the path, and the unescaped query.
pub(super) fn split_target(target: &str) -> (Vec<String>, Vec<(String, String)>) {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    (path, pairs(query))
}

/// `application/x-www-form-urlencoded`: in it, unlike in a path, `+` is a space. Of the clients
/// that were watched, one writes spaces as `+` and the others as `%20`.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// An answer before it is written.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What the request was.
    pub(super) kind: RequestKind,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// What a batch held, for the counters and the log.
    pub(super) items: Vec<Item>,
    /// What the counters are told instead of the status, where the body says more than it.
    pub(super) booked_status: Option<u16>,
}

/// A request inside a batch, and what it was answered.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: RequestKind,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    pub(super) status: u16,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Empty,
    Text(String),
    Json(Value),
    Xml(Vec<u8>),
    Html(String),
}

impl Answer {
    pub(super) fn new(kind: RequestKind, status: u16, body: Body) -> Self {
        Self {
            kind,
            status,
            headers: Vec::new(),
            body,
            items: Vec::new(),
            booked_status: None,
        }
    }

    pub(super) fn json(kind: RequestKind, status: u16, value: impl Into<Value>) -> Self {
        Self::new(kind, status, Body::Json(value.into()))
    }

    pub(super) fn text(kind: RequestKind, status: u16, text: impl Into<String>) -> Self {
        Self::new(kind, status, Body::Text(text.into()))
    }

    pub(super) fn empty(kind: RequestKind, status: u16) -> Self {
        Self::new(kind, status, Body::Empty)
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The answer as bytes.
    pub(super) fn into_response(self) -> Response {
        let mut headers = self.headers;
        let body = match self.body {
            Body::Empty => Vec::new(),
            Body::Text(text) => {
                headers.push(header("content-type", "text/plain;charset=UTF-8"));
                text.into_bytes()
            }
            Body::Json(value) => {
                headers.push(header("content-type", "application/json;charset=utf-8"));
                value.to_string().into_bytes()
            }
            Body::Html(page) => {
                headers.push(header("content-type", "text/html; charset=utf-8"));
                page.into_bytes()
            }
            Body::Xml(bytes) => {
                headers.push(header("content-type", "text/xml; charset=utf-8"));
                bytes
            }
        };
        Response {
            status: self.status,
            headers,
            body,
        }
    }
}

pub(super) fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The credential in `authorization: Bearer …`.
pub(super) fn bearer<'a>(call: &Call<'a>) -> Option<&'a str> {
    let (scheme, token) = call.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Text that travels in a URL or a token without escapes.
pub(super) fn opaque(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What [`opaque`] hid.
pub(super) fn reveal(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// ISO 8601 in UTC with whole seconds, as Graph writes every time of a contact.
pub(super) fn utc(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0)
        .unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
