//! What a service said, and what that means.

use serde_json::Value;
use std::collections::BTreeSet;

use crate::http::pause::retry_after_ms;
use crate::http::{Body, Call, RemoteError, WriteError, service_name};
use crate::outside::{Response, Timestamp};
use crate::report::{Problem, RemoteProblem, Service};

/// Names under which services put their id of a request.
const REQUEST_ID_HEADERS: [&str; 5] = [
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-correlation-id",
];

/// Codes that ask for a pause whatever the status: Exchange Online says some of them with others
/// than 429 (`ErrorTooManyObjectsOpened`: microsoft-graph-explorer, issue 4056).
const THROTTLING_CODES: [&str; 4] = [
    "TooManyRequests",
    "ApplicationThrottled",
    "activityLimitReached",
    "ErrorTooManyObjectsOpened",
];

const CODE_BYTES_MAX: usize = 128;
const REQUEST_ID_BYTES_MAX: usize = 128;
const DETAIL_CHARS_MAX: usize = 200;
/// Error bodies are read for their code as far as this.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// An answer with a status, of a request or of one item of a batch.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Whether an earlier attempt, whose answer was lost, may have had the effect already.
    pub repeated: bool,
    service: Service,
    what: &'static str,
    headers: Vec<(String, String)>,
    content: Content,
    /// What the service says about an error: code and scrubbed text.
    said: Option<Said>,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    Json(Value),
}

#[derive(Clone, Debug, Default)]
struct Said {
    code: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

/// Answers that are no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A pause is asked for; nothing happened.
    Throttled,
    /// The service, or something in front of it, broke; whether anything happened is unknown.
    Broken,
}

impl Answer {
    pub(super) fn new(service: Service, call: &Call, response: Response, repeated: bool) -> Self {
        let said = (response.status >= 400)
            .then(|| Said::read_bytes(&response.body, &words_sent(call.body.as_ref())));
        Self {
            status: response.status,
            repeated,
            service,
            what: call.what,
            headers: response.headers,
            content: Content::Bytes(response.body),
            said,
        }
    }

    /// The answer to one item of a batch, which was sent with `sent`.
    pub fn of_item(
        service: Service,
        what: &'static str,
        status: u16,
        headers: Vec<(String, String)>,
        body: Value,
        sent: Option<&Value>,
    ) -> Self {
        let said = (status >= 400).then(|| Said::read_json(&body, &words_of_json(sent)));
        Self {
            status,
            repeated: false,
            service,
            what,
            headers,
            content: Content::Json(body),
            said,
        }
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The pause that the service asks for, where it names one.
    pub fn pause_ms(&self, now: Timestamp) -> Option<u64> {
        retry_after_ms(self.header("retry-after")?, now)
    }

    /// The service's own code of an error.
    pub fn code(&self) -> Option<&str> {
        self.said.as_ref().and_then(|said| said.code.as_deref())
    }

    /// Whether the service's code is one of these, without case: documents and servers differ in
    /// it.
    pub fn has_code(&self, codes: &[&str]) -> bool {
        self.code()
            .is_some_and(|code| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
    }

    /// Whether it has to be asked again, or given up. Of every 5xx but "no room" it is unknown
    /// whether it happened: proxies answer 520 to 524 of their own after they have forwarded the
    /// request (<https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>).
    pub fn rejection(&self) -> Option<Rejection> {
        match self.status {
            429 => Some(Rejection::Throttled),
            status if status >= 400 && self.has_code(&THROTTLING_CODES) => {
                Some(Rejection::Throttled)
            }
            507 => None,
            408 | 500..=599 => Some(Rejection::Broken),
            _ => None,
        }
    }

    /// The body as JSON; a problem for people where it is none.
    pub fn into_json(self) -> Result<Value, RemoteError> {
        let bytes = match self.content {
            Content::Json(value) => return Ok(value),
            Content::Bytes(ref bytes) => bytes,
        };
        if let Ok(value) = serde_json::from_slice(bytes) {
            return Ok(value);
        }
        let found = match bytes.trim_ascii_start() {
            [] => "an empty body",
            [b'<', ..] => "a web page",
            _ => "something that is not JSON",
        };
        Err(self.misfit(&format!("{found} where JSON was expected")))
    }

    /// The body as text, for the few answers that are no JSON.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Json(Value::String(text)) => text.clone(),
            Content::Json(value) => value.to_string(),
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// An answer that the protocol does not know: what is wrong with it, as the end of a sentence.
    pub fn misfit(&self, found: &str) -> RemoteError {
        let message = format!(
            "{} answered with {found} when the sync wanted to {}",
            service_name(self.service),
            self.what,
        );
        let remedy = "check that the configured address is the service's own and that no proxy \
                      answers in its place; if it is, tell whoever maintains this sync";
        let mut remote = self.problem();
        remote.problem = Problem {
            message,
            remedy: Some(remedy.into()),
        };
        RemoteError::Protocol(remote)
    }

    /// What happened, for people and for the service's support.
    pub fn problem(&self) -> RemoteProblem {
        let said = self.said.clone().unwrap_or_default();
        let mut message = format!(
            "{} refused with status {}{} when the sync wanted to {}",
            service_name(self.service),
            self.status,
            said.code
                .as_ref()
                .map(|code| format!(" ({code})"))
                .unwrap_or_default(),
            self.what,
        );
        if let Some(detail) = &said.detail {
            message.push_str(": ");
            message.push_str(detail);
        }
        let header_id = REQUEST_ID_HEADERS.iter().find_map(|name| self.header(name));
        RemoteProblem {
            service: self.service,
            status: Some(self.status),
            code: said.code,
            request_id: header_id
                .map(|id| truncated(id, REQUEST_ID_BYTES_MAX))
                .or(said.request_id),
            problem: Problem {
                message,
                remedy: Some(self.remedy().into()),
            },
        }
    }

    /// What a refusal means for the service as a whole.
    pub fn remote_error(&self) -> RemoteError {
        match self.status {
            401 => RemoteError::SignInRefused(self.problem()),
            403 if self.refuses_credentials() => RemoteError::SignInRefused(self.problem()),
            403 => RemoteError::PermissionMissing(self.problem()),
            408 | 500.. => RemoteError::Unreachable(self.problem()),
            _ => RemoteError::Protocol(self.problem()),
        }
    }

    /// What a refusal means for the one contact that was to be written.
    pub fn write_error(&self) -> WriteError {
        match self.status {
            401 => WriteError::NotDone(self.remote_error()),
            403 if self.refuses_credentials() => WriteError::NotDone(self.remote_error()),
            404 | 410 => WriteError::NotFound,
            412 => WriteError::Stale,
            507 => WriteError::Refused(self.problem().problem),
            408 | 500..=599 => WriteError::Unknown(self.problem().problem),
            _ => WriteError::Refused(self.problem().problem),
        }
    }

    /// FLOWFACT says 403 where others say 401: "Credentials invalid".
    fn refuses_credentials(&self) -> bool {
        self.status == 403
            && self.service == Service::Flowfact
            && self.text().to_ascii_lowercase().contains("credentials")
    }

    fn remedy(&self) -> &'static str {
        match self.status {
            401 => "sign in again: renew the access key, the secret or the consent of this service",
            403 => {
                "give the account that the sync signs in with the right to read and write contacts"
            }
            404 | 410 => "check the configured address, schema and mailbox",
            413 | 507 => "make room: the mailbox is full, or the contact is too large",
            408 | 429 | 500.. => {
                "nothing at first: the next pass tries again; if it lasts, look at the service's \
                 status page"
            }
            _ => {
                "correct the contact that the message names; if it is correct, tell whoever \
                  maintains this sync"
            }
        }
    }
}

impl Said {
    fn read_bytes(body: &[u8], sent: &BTreeSet<String>) -> Self {
        let part = body
            .get(..body.len().min(ERROR_BYTES_MAX))
            .unwrap_or_default();
        if let Ok(json) = serde_json::from_slice::<Value>(part) {
            return Self::read_json(&json, sent);
        }
        let text = String::from_utf8_lossy(part);
        let is_page = text.trim_start().starts_with('<');
        let detail = if is_page { None } else { scrubbed(&text, sent) };
        Self {
            detail,
            ..Self::default()
        }
    }

    /// Graph: `{"error":{"code","message","innerError":{"request-id"}}}`. FLOWFACT's error bodies
    /// are not documented; its own clients look for `message`, `error`, `detail`, `description`,
    /// `errors`.
    fn read_json(body: &Value, sent: &BTreeSet<String>) -> Self {
        let error = body
            .get("error")
            .filter(|error| error.is_object())
            .unwrap_or(body);
        let text = |from: &Value, names: &[&str]| -> Option<String> {
            names
                .iter()
                .find_map(|name| from.get(*name)?.as_str().map(str::to_owned))
        };
        let code = text(error, &["code", "type", "error"])
            .filter(|code| is_code(code))
            .map(|code| truncated(&code, CODE_BYTES_MAX));
        let inner = error.get("innerError").or_else(|| error.get("innererror"));
        let request_id = inner
            .and_then(|inner| text(inner, &["request-id"]))
            .map(|id| truncated(&id, REQUEST_ID_BYTES_MAX));
        let detail = text(
            error,
            &["message", "detail", "description", "error", "errors"],
        )
        .or_else(|| error.get("errors")?.get(0)?.as_str().map(str::to_owned))
        .or_else(|| body.as_str().map(str::to_owned))
        .and_then(|detail| scrubbed(&detail, sent));
        Self {
            code,
            request_id,
            detail,
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn truncated(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A service's own words, fit for a log: without what was sent to it, without quotations that are
/// no plain name of a property, without addresses and longer numbers, cut short.
fn scrubbed(text: &str, sent: &BTreeSet<String>) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    let text = without_apostrophes(text);
    for (index, part) in text
        .split(['"', '\'', '`', '„', '“', '”', '»', '«'])
        .enumerate()
    {
        let quoted = index % 2 == 1;
        if quoted && !is_property_name(part) {
            words.push("…".into());
            continue;
        }
        words.extend(part.split_whitespace().map(|word| {
            let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
            let digits = bare.chars().filter(char::is_ascii_digit).count();
            let private =
                bare.contains('@') || digits >= 4 || sent.contains(bare.to_lowercase().as_str());
            if private {
                "…".to_owned()
            } else {
                word.to_owned()
            }
        }));
    }
    words.dedup_by(|next, previous| next == "…" && previous == "…");
    let kept: String = words.join(" ").chars().take(DETAIL_CHARS_MAX).collect();
    (!kept.is_empty()).then_some(kept)
}

/// An apostrophe within a word (`doesn't`) begins no quotation.
fn without_apostrophes(text: &str) -> String {
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    let mut result = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        let within = previous.is_alphanumeric()
            && characters.peek().is_some_and(|next| next.is_alphanumeric());
        result.push(if character == '\'' && within {
            '’'
        } else {
            character
        });
        previous = character;
    }
    result
}

fn is_property_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
        && !text.chars().any(|character| character.is_ascii_digit())
}

/// The words of what was sent, in lower case.
fn words_sent(sent: Option<&Body>) -> BTreeSet<String> {
    match sent {
        None => BTreeSet::new(),
        Some(Body::Json(json)) => words_of_json(Some(json)),
        Some(Body::Xml(xml)) => {
            let mut words = BTreeSet::new();
            // What stands between two tags; attributes hold ids and names of properties.
            for piece in xml.split('<').filter_map(|piece| piece.split_once('>')) {
                collect_text(piece.1, &mut words);
            }
            words
        }
    }
}

fn words_of_json(sent: Option<&Value>) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    if let Some(sent) = sent {
        collect_words(sent, &mut words);
    }
    words
}

fn collect_text(text: &str, words: &mut BTreeSet<String>) {
    let parts = text.split(|character: char| !character.is_alphanumeric());
    words.extend(parts.filter(|part| part.len() > 1).map(str::to_lowercase));
}

fn collect_words(sent: &Value, words: &mut BTreeSet<String>) {
    match sent {
        Value::String(text) => collect_text(text, words),
        Value::Array(items) => items.iter().for_each(|item| collect_words(item, words)),
        Value::Object(members) => members
            .values()
            .for_each(|value| collect_words(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn error_texts_are_kept_without_what_is_private() {
        let sent = json!({"givenName": "Erika", "phones": ["+49 221 123456"]});
        for (text, expected) in [
            (
                "The multi value property BusinessPhones has 3 entries, that exceeds the max \
                 allowed value of 2",
                "The multi value property BusinessPhones has 3 entries, that exceeds the max \
                 allowed value of 2",
            ),
            (
                "The property 'emailAddresses' does not exist on type 'Contact'.",
                "The property emailAddresses does not exist on type … .",
            ),
            ("Value 'Max Mustermann' isn't valid", "Value … isn’t valid"),
            (
                "It doesn't accept 'Max Mustermann' here",
                "It doesn’t accept … here",
            ),
            ("erika is taken, see a@b.example", "… is taken, see …"),
            ("number +49221/123456 refused", "number … refused"),
            ("", ""),
        ] {
            assert_eq!(
                scrubbed(text, &words_of_json(Some(&sent))).unwrap_or_default(),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            scrubbed(&"word ".repeat(100), &BTreeSet::new()).map(|text| text.len()),
            Some(200)
        );
    }

    #[test]
    fn codes_and_request_ids_are_found_in_all_known_bodies() {
        for (body, code, request_id) in [
            (
                r#"{"error":{"code":"ErrorItemNotFound","message":"m",
                    "innerError":{"request-id":"r-1","date":"2022-05-09T10:12:08"}}}"#,
                Some("ErrorItemNotFound"),
                Some("r-1"),
            ),
            (
                r#"{"error":{"code":"X","message":"","innererror":{"request-id":"r"}}}"#,
                Some("X"),
                Some("r"),
            ),
            (
                r#"{"type":"BadRequest","status":400,"description":"d"}"#,
                Some("BadRequest"),
                None,
            ),
            (
                r#"{"message":"m","error":"Not allowed at all"}"#,
                None,
                None,
            ),
            ("Credentials invalid", None, None),
            ("<html>", None, None),
            ("", None, None),
        ] {
            let said = Said::read_bytes(body.as_bytes(), &BTreeSet::new());
            assert_eq!(said.code.as_deref(), code, "{body}");
            assert_eq!(said.request_id.as_deref(), request_id, "{body}");
        }
    }
}
