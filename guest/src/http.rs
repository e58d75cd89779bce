//! Requests: pacing, retries, back-off, per-service limits, counting.
//!
//! One [`Http`] serves one pass and one service. It sends what the protocols ask for through the
//! only door out, repeats what may be repeated, obeys pauses that are short and hands long ones up,
//! and turns answers into the two kinds of error that the engine knows: [`RemoteError`] for a
//! service as a whole, [`WriteError`] for one contact.
//!
//! Not here: credentials, and how many requests are in flight. The host has the first, the
//! [`Outside`] keeps the second.

mod answer;
mod pause;
#[cfg(test)]
pub(crate) mod scripted;

use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;

pub use crate::http::answer::{Answer, Rejection};
use crate::http::pause::back_off_ms;
use crate::outside::{IN_FLIGHT_MAX, Method, Outside, Request, Response, SendError, Timestamp};
use crate::report::{Failure, Problem, RemoteProblem, Service, Throttled, Usage};

/// What went wrong with a service as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// The service asks for a pause. Nothing happened.
    Throttled(Throttled),
    /// The credentials are refused.
    SignInRefused(RemoteProblem),
    /// Signed in, but not allowed.
    PermissionMissing(RemoteProblem),
    /// No connection, timeout, 5xx, after the retries.
    Unreachable(RemoteProblem),
    /// The service answered what it must not answer.
    Protocol(RemoteProblem),
    /// The host forbids the request.
    EgressDenied(RemoteProblem),
}

impl RemoteError {
    /// Whether it concerns whatever else could be asked of the service now: nothing more is sent.
    pub(crate) fn halts(&self) -> bool {
        match self {
            Self::Throttled(_) | Self::SignInRefused(_) | Self::EgressDenied(_) => true,
            // Without a status there was no answer at all.
            Self::Unreachable(remote) => remote.status.is_none(),
            Self::PermissionMissing(_) | Self::Protocol(_) => false,
        }
    }

    /// The sentence for people.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Throttled(throttled) => throttled.problem,
            Self::SignInRefused(remote)
            | Self::PermissionMissing(remote)
            | Self::Unreachable(remote)
            | Self::Protocol(remote)
            | Self::EgressDenied(remote) => remote.problem,
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Throttled(throttled) => Self::Throttled(throttled),
            RemoteError::SignInRefused(problem) => Self::SignInRefused(problem),
            RemoteError::PermissionMissing(problem) => Self::PermissionMissing(problem),
            RemoteError::Unreachable(problem) => Self::Unreachable(problem),
            RemoteError::Protocol(problem) => Self::Protocol(problem),
            RemoteError::EgressDenied(problem) => Self::EgressDenied(problem),
        }
    }
}

/// Why one contact was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The record has moved on: read, merge, try again.
    Stale,
    /// There is no such record (any more).
    NotFound,
    /// This contact is refused: 400, 403, a limit. Trying again at once is useless.
    Refused(Problem),
    /// Whether it happened is not known: a lost answer.
    Unknown(Problem),
    /// It did not happen, and nothing is wrong with the contact: throttled, unreachable, signed
    /// out.
    NotDone(RemoteError),
}

/// How long a request may take. With all its repetitions it stays well below the ten minutes after
/// which an unanswered create counts as not done (contract, 7.3).
pub const REQUEST_TIMEOUT_MS: u32 = 60_000;

/// The longest pause that is slept in place; a longer one goes up to the pass, whose host waits
/// without holding a thread or a permit (`sync.pause`).
pub const SLEEP_MS_MAX: u64 = 2_000;

/// Pauses before the first, second and third repetition where the service names none. There is no
/// fourth.
pub const RETRY_WAITS_MS: [u64; 3] = [250, 1_000, 2_000];

/// Requests handed to the outside at once. Bounds what is sent to a service that meanwhile asks for
/// a pause: the rest of the list is not sent at all.
pub const CALLS_AT_ONCE_MAX: usize = 4 * IN_FLIGHT_MAX;

/// The largest answer about one contact that is read. Real ones have a few kilobytes.
pub const ITEM_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The largest answer about many contacts that is read: what the host buffers
/// (`design/architecture.md`, egress).
pub const PAGE_ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(RETRY_WAITS_MS[2] <= SLEEP_MS_MAX);

/// Whether sending a request a second time does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, or it sets a state that may be set twice.
    Safe,
    /// It creates something: after a lost answer somebody has to look first. A 429 is still
    /// repeated, because it says that nothing happened.
    Never,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// `application/json`.
    Json(Value),
    /// `text/xml`, in UTF-8.
    Xml(String),
}

/// One request to the service.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it does, in words for people: `read a contact`.
    pub what: &'static str,
    /// The method.
    pub method: Method,
    /// Absolute, already escaped.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: Option<Body>,
    /// Whether it may be sent twice.
    pub repeat: Repeat,
    /// An answer larger than this is not read.
    pub answer_bytes_max: usize,
}

impl Call {
    /// A request that reads, and may be repeated.
    pub fn get(what: &'static str, url: String) -> Self {
        Self::new(what, Method::Get, url, None, Repeat::Safe)
    }

    /// A request with an XML document.
    pub fn post_xml(what: &'static str, url: String, xml: String, repeat: Repeat) -> Self {
        let mut call = Self::new(what, Method::Post, url, None, repeat);
        call.body = Some(Body::Xml(xml));
        call
    }

    /// A request about one contact, with or without a body.
    pub fn new(
        what: &'static str,
        method: Method,
        url: String,
        body: Option<Value>,
        repeat: Repeat,
    ) -> Self {
        Self {
            what,
            method,
            url,
            headers: Vec::new(),
            body: body.map(Body::Json),
            repeat,
            answer_bytes_max: ITEM_ANSWER_BYTES_MAX,
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same request, answered with many contacts.
    #[must_use]
    pub fn answers_page(mut self) -> Self {
        self.answer_bytes_max = PAGE_ANSWER_BYTES_MAX;
        self
    }
}

/// Why a request has no answer that could be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What happened.
    pub error: RemoteError,
    /// Whether the request may have had its effect all the same.
    pub maybe_done: bool,
}

impl CallError {
    /// What it means for a write.
    pub fn into_write_error(self) -> WriteError {
        if self.maybe_done {
            WriteError::Unknown(self.error.into_problem())
        } else {
            WriteError::NotDone(self.error)
        }
    }
}

/// The client of one service for one pass. Cheap to clone: clones share the counts.
#[derive(Clone)]
pub struct Http {
    inner: Rc<Inner>,
}

struct Inner {
    outside: Rc<dyn Outside>,
    service: Service,
    usage: Cell<Usage>,
    /// Unexplained refusals since the last answer: how far the back-off has grown.
    refusals: Cell<u32>,
}

impl Http {
    /// A client that has sent nothing yet.
    pub fn new(outside: Rc<dyn Outside>, service: Service) -> Self {
        let usage = Usage {
            service,
            requests: 0,
            retries: 0,
            throttled: 0,
            bytes_sent: 0,
            bytes_received: 0,
        };
        let inner = Inner {
            outside,
            service,
            usage: Cell::new(usage),
            refusals: Cell::new(0),
        };
        Self {
            inner: Rc::new(inner),
        }
    }

    /// What was sent and received so far.
    pub fn usage(&self) -> Usage {
        self.inner.usage.get()
    }

    /// The service it talks to.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.inner.outside.now()
    }

    /// Sends one request.
    pub fn send_one(&self, call: Call) -> Result<Answer, CallError> {
        let lost = self.lost(
            call.what,
            &SendError::Connection("no answer was returned".into()),
        );
        self.send(vec![call]).pop().unwrap_or(Err(lost))
    }

    /// Sends all requests and returns their answers in the same order. Once the service asks for a
    /// long pause, or is out of reach, the rest is not sent and answered with that.
    pub fn send(&self, mut calls: Vec<Call>) -> Vec<Result<Answer, CallError>> {
        let mut results = Vec::with_capacity(calls.len());
        let mut halted: Option<RemoteError> = None;
        while !calls.is_empty() {
            let rest = calls.split_off(calls.len().min(CALLS_AT_ONCE_MAX));
            if let Some(error) = &halted {
                let unsent = CallError {
                    error: error.clone(),
                    maybe_done: false,
                };
                results.extend(calls.iter().map(|_| Err(unsent.clone())));
            } else {
                let answers = self.send_group(&calls);
                let failures = answers.iter().filter_map(|answer| answer.as_ref().err());
                halted = failures
                    .map(|failure| &failure.error)
                    .find(|error| error.halts())
                    .cloned();
                results.extend(answers);
            }
            calls = rest;
        }
        results
    }

    /// Waits in place. Only for what [`Http::pause_in_place`] allowed.
    pub(crate) fn sleep(&self, wait_ms: u64) {
        let bounded_ms = wait_ms.min(SLEEP_MS_MAX);
        self.inner
            .outside
            .sleep(u32::try_from(bounded_ms).unwrap_or(u32::MAX));
    }

    /// How long to wait before repetition number `attempt` (from 0) of something refused with a
    /// pause of this length, or of none, if that may be slept in place; else what to tell the pass.
    pub(crate) fn pause_in_place(
        &self,
        what: &str,
        attempt: usize,
        named_ms: Option<u64>,
    ) -> Result<u64, Throttled> {
        self.count(|usage| usage.throttled = usage.throttled.saturating_add(1));
        if let Some(short_ms) = RETRY_WAITS_MS.get(attempt) {
            let wait_ms = named_ms.unwrap_or(*short_ms);
            if wait_ms <= SLEEP_MS_MAX {
                return Ok(wait_ms);
            }
        }
        let refusals = self.inner.refusals.get();
        self.inner.refusals.set(refusals.saturating_add(1));
        let wait_ms = match named_ms {
            Some(named_ms) if named_ms > SLEEP_MS_MAX => named_ms,
            // None was named, or a short one was named and kept again and again and was too short.
            _ => back_off_ms(refusals),
        };
        Err(Throttled {
            service: self.inner.service,
            retry_after_ms: wait_ms,
            problem: Problem {
                message: format!(
                    "{} asked for a pause of {} s when the sync wanted to {what}",
                    service_name(self.inner.service),
                    wait_ms.div_ceil(1_000),
                ),
                remedy: Some("nothing: the sync goes on by itself after the pause".into()),
            },
        })
    }

    /// The service answered: the back-off begins anew.
    pub(crate) fn answered(&self) {
        self.inner.refusals.set(0);
    }

    /// Counts repetitions of parts of a request.
    pub(crate) fn count_retries(&self, retries: u32) {
        self.count(|usage| usage.retries = usage.retries.saturating_add(retries));
    }

    /// At most [`CALLS_AT_ONCE_MAX`] requests, each as often as it may.
    fn send_group(&self, calls: &[Call]) -> Vec<Result<Answer, CallError>> {
        let mut results: Vec<Option<Result<Answer, CallError>>> = vec![None; calls.len()];
        let mut maybe_done = vec![false; calls.len()];
        let mut pending: Vec<usize> = (0..calls.len()).collect();
        for attempt in 0..=RETRY_WAITS_MS.len() {
            let mut again = Vec::new();
            let mut wait_ms = 0;
            for (index, outcome) in self.exchange(calls, &pending) {
                let (Some(call), Some(result), Some(done)) = (
                    calls.get(index),
                    results.get_mut(index),
                    maybe_done.get_mut(index),
                ) else {
                    continue;
                };
                match self.judge(call, outcome, attempt, done) {
                    Verdict::Final(last) => *result = Some(*last),
                    Verdict::Again(pause_ms) => {
                        again.push(index);
                        wait_ms = wait_ms.max(pause_ms);
                    }
                }
            }
            if again.is_empty() {
                break;
            }
            self.count_retries(u32::try_from(again.len()).unwrap_or(u32::MAX));
            self.sleep(wait_ms);
            pending = again;
        }
        let unanswered = SendError::Connection("no answer was returned".into());
        let whats = calls.iter().map(|call| call.what);
        results
            .into_iter()
            .zip(whats)
            .map(|(result, what)| result.unwrap_or_else(|| Err(self.lost(what, &unanswered))))
            .collect()
    }

    /// Sends the pending requests once.
    fn exchange(
        &self,
        calls: &[Call],
        pending: &[usize],
    ) -> Vec<(usize, Result<Response, SendError>)> {
        let requests: Vec<Request> = pending
            .iter()
            .filter_map(|index| calls.get(*index))
            .map(request)
            .collect();
        self.count(|usage| {
            usage.requests = usage.requests.saturating_add(clamp(requests.len()));
            let sent = requests
                .iter()
                .filter_map(|request| request.body.as_ref())
                .map(Vec::len);
            usage.bytes_sent = usage.bytes_sent.saturating_add(sent.sum::<usize>() as u64);
        });
        let outcomes = self.inner.outside.send(requests);
        self.count(|usage| {
            let received = outcomes
                .iter()
                .flatten()
                .map(|response| response.body.len());
            usage.bytes_received = usage
                .bytes_received
                .saturating_add(received.sum::<usize>() as u64);
        });
        pending.iter().copied().zip(outcomes).collect()
    }

    /// What one outcome means: look at it, repeat it, or give up.
    fn judge(
        &self,
        call: &Call,
        outcome: Result<Response, SendError>,
        attempt: usize,
        maybe_done: &mut bool,
    ) -> Verdict {
        let response = match outcome {
            Ok(response) => response,
            Err(SendError::Denied(_)) => {
                let error = RemoteError::EgressDenied(self.denied(call.what));
                return Verdict::failed(error, *maybe_done);
            }
            Err(error) => {
                *maybe_done = true;
                let repeatable = !matches!(error, SendError::TooLarge(_));
                return match RETRY_WAITS_MS.get(attempt) {
                    Some(wait_ms) if repeatable && call.repeat == Repeat::Safe => {
                        Verdict::Again(*wait_ms)
                    }
                    _ => Verdict::Final(Box::new(Err(self.lost(call.what, &error)))),
                };
            }
        };
        if response.body.len() > call.answer_bytes_max {
            let limit = SendError::TooLarge(format!("{} bytes", response.body.len()));
            return Verdict::Final(Box::new(Err(self.lost(call.what, &limit))));
        }
        let answer = Answer::new(self.inner.service, call, response, *maybe_done);
        match answer.rejection() {
            None => {
                self.answered();
                Verdict::Final(Box::new(Ok(answer)))
            }
            Some(Rejection::Throttled) => {
                match self.pause_in_place(call.what, attempt, answer.pause_ms(self.now())) {
                    Ok(wait_ms) => Verdict::Again(wait_ms),
                    Err(long) => Verdict::failed(RemoteError::Throttled(long), *maybe_done),
                }
            }
            Some(Rejection::Broken) => {
                *maybe_done = true;
                self.judge_broken(call, &answer, attempt)
            }
        }
    }

    /// A 5xx: repeated where that does no harm. A long `Retry-After` on it is a pause like any
    /// other (<https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>).
    fn judge_broken(&self, call: &Call, answer: &Answer, attempt: usize) -> Verdict {
        let error = RemoteError::Unreachable(answer.problem());
        if call.repeat == Repeat::Never {
            return Verdict::failed(error, true);
        }
        if answer.header("retry-after").is_none() {
            return match RETRY_WAITS_MS.get(attempt) {
                Some(wait_ms) => Verdict::Again(*wait_ms),
                None => Verdict::failed(error, true),
            };
        }
        match self.pause_in_place(call.what, attempt, answer.pause_ms(self.now())) {
            Ok(wait_ms) => Verdict::Again(wait_ms),
            Err(long) => Verdict::failed(RemoteError::Throttled(long), true),
        }
    }

    fn lost(&self, what: &str, error: &SendError) -> CallError {
        let service = service_name(self.inner.service);
        let (message, remedy) = match error {
            SendError::TooLarge(_) => (
                format!("the answer of {service} is too large when the sync wanted to {what}"),
                "look at this record in the service: something in it is far larger than a contact",
            ),
            SendError::Timeout => (
                format!("{service} did not answer in time when the sync wanted to {what}"),
                "nothing at first: the next pass tries again; if it lasts, look at the service's \
                 status page",
            ),
            SendError::Connection(_) | SendError::Denied(_) => (
                format!("no connection to {service} when the sync wanted to {what}"),
                "check the network and the configured address; the next pass tries again",
            ),
        };
        let remote = self.remote(message, remedy);
        let error = match error {
            SendError::TooLarge(_) => RemoteError::Protocol(remote),
            _ => RemoteError::Unreachable(remote),
        };
        CallError {
            error,
            maybe_done: true,
        }
    }

    fn denied(&self, what: &str) -> RemoteProblem {
        let service = service_name(self.inner.service);
        let message =
            format!("the host does not let the sync reach {service}, which it needs to {what}");
        self.remote(
            message,
            "check that the configured address of the service is right",
        )
    }

    fn remote(&self, message: String, remedy: &str) -> RemoteProblem {
        RemoteProblem {
            service: self.inner.service,
            status: None,
            code: None,
            request_id: None,
            problem: Problem {
                message,
                remedy: Some(remedy.to_owned()),
            },
        }
    }

    fn count(&self, change: impl FnOnce(&mut Usage)) {
        let mut usage = self.inner.usage.get();
        change(&mut usage);
        self.inner.usage.set(usage);
    }
}

/// A service's name for people.
pub fn service_name(service: Service) -> &'static str {
    match service {
        Service::Flowfact => "FLOWFACT",
        Service::Graph => "Microsoft Graph",
        Service::Ews => "Exchange",
        Service::Autodiscover => "Autodiscover",
    }
}

/// Reads of several records: one record's failure is its own where another record of the same list
/// could be read, or where the service broke on this very record; otherwise it is the service's.
pub fn one_by_one<T>(
    results: Vec<Result<T, CallError>>,
) -> Result<Vec<Result<T, Problem>>, RemoteError> {
    let any_answered = results.iter().any(Result::is_ok);
    let mut items = Vec::with_capacity(results.len());
    for result in results {
        items.push(match result {
            Ok(item) => Ok(item),
            Err(CallError {
                error: RemoteError::Unreachable(remote),
                ..
            }) if remote.status == Some(500) || (any_answered && remote.status.is_some()) => {
                Err(remote.problem)
            }
            Err(CallError {
                error: RemoteError::Protocol(remote),
                ..
            }) => Err(remote.problem),
            Err(CallError { error, .. }) => return Err(error),
        });
    }
    Ok(items)
}

/// One segment of a path, or one value of a query, with everything escaped that is not unreserved
/// (<https://www.rfc-editor.org/rfc/rfc3986#section-2.3>).
pub fn escaped(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    match text {
        // Dot segments would be resolved away before they reach the service.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, &RESERVED).to_string(),
    }
}

enum Verdict {
    Final(Box<Result<Answer, CallError>>),
    Again(u64),
}

impl Verdict {
    fn failed(error: RemoteError, maybe_done: bool) -> Self {
        Self::Final(Box::new(Err(CallError { error, maybe_done })))
    }
}

fn request(call: &Call) -> Request {
    let mut headers: Vec<(String, String)> = call
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let content_type = call.body.as_ref().map(|body| match body {
        Body::Json(_) => "application/json",
        Body::Xml(_) => "text/xml; charset=utf-8",
    });
    headers.extend(content_type.map(|kind| ("content-type".to_owned(), kind.to_owned())));
    let body = call.body.as_ref().map(|body| match body {
        Body::Json(json) => json.to_string().into_bytes(),
        Body::Xml(xml) => xml.clone().into_bytes(),
    });
    Request {
        method: call.method,
        url: call.url.clone(),
        headers,
        body,
        timeout_ms: REQUEST_TIMEOUT_MS,
    }
}

fn clamp(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::scripted::{Canned, Scripted, no_connection, text_answer};
    use super::*;
    use Repeat::{Never, Safe};

    /// Sends one request and returns its outcome in one word, the pauses, and how many were sent.
    fn outcome(repeat: Repeat, answers: Vec<Canned>) -> (String, Vec<u32>, u32) {
        let script = Scripted::new(answers);
        let http = script.http(Service::Graph);
        let call = Call::new(
            "try",
            Method::Patch,
            "https://graph.test/x".into(),
            None,
            repeat,
        );
        let word = match http.send_one(call) {
            Ok(answer) if answer.repeated => format!("{} repeated", answer.status),
            Ok(answer) => answer.status.to_string(),
            Err(CallError { error, maybe_done }) => {
                let kind = match error {
                    RemoteError::Throttled(throttled) => {
                        format!("throttled {}", throttled.retry_after_ms)
                    }
                    RemoteError::SignInRefused(_) => "sign-in".into(),
                    RemoteError::PermissionMissing(_) => "permission".into(),
                    RemoteError::Unreachable(_) => "unreachable".into(),
                    RemoteError::Protocol(_) => "protocol".into(),
                    RemoteError::EgressDenied(_) => "denied".into(),
                };
                format!("{kind}{}", if maybe_done { " maybe" } else { "" })
            }
        };
        assert_eq!(
            usize::try_from(http.usage().requests).ok(),
            Some(script.lines().len())
        );
        (word, script.slept_ms(), http.usage().requests)
    }

    /// Answers: a status, a status with `Retry-After`, or what went wrong. Asserts that no more is
    /// sent than is answered.
    fn check(repeat: Repeat, answers: &str, expected: &str, slept_ms: &[u32]) {
        let canned = |word: &str| match word.split_once('/') {
            Some((status, wait)) => {
                text_answer(status.parse().unwrap(), &[("retry-after", wait)], "")
            }
            None => match word {
                "reset" => no_connection(),
                "timeout" => Err(SendError::Timeout),
                "denied" => Err(SendError::Denied("no".into())),
                "large" => Err(SendError::TooLarge("9 MiB".into())),
                "busy" => text_answer(400, &[], r#"{"error":{"code":"ApplicationThrottled"}}"#),
                status => text_answer(status.parse().unwrap(), &[], ""),
            },
        };
        let answers: Vec<Canned> = answers.split(' ').map(canned).collect();
        let count = u32::try_from(answers.len()).unwrap();
        let shown = format!("{repeat:?} {answers:?}");
        let expected = (expected.to_owned(), slept_ms.to_vec(), count);
        assert_eq!(outcome(repeat, answers), expected, "{shown}");
    }

    #[test]
    fn what_may_be_repeated_is_repeated_and_nothing_else() {
        check(Safe, "200", "200", &[]);
        check(Safe, "404", "404", &[]);
        check(Safe, "503 200", "200 repeated", &[250]);
        check(Safe, "reset 404", "404 repeated", &[250]);
        check(Safe, "timeout 200", "200 repeated", &[250]);
        check(
            Safe,
            "500 502 504 408",
            "unreachable maybe",
            &[250, 1_000, 2_000],
        );
        check(Safe, "large", "protocol maybe", &[]);
        check(Safe, "denied", "denied", &[]);
        check(Safe, "reset denied", "denied maybe", &[250]);
        check(Never, "reset", "unreachable maybe", &[]);
        check(Never, "500", "unreachable maybe", &[]);
        // A gateway's own, after it has forwarded the request.
        check(Never, "520", "unreachable maybe", &[]);
        check(Never, "524", "unreachable maybe", &[]);
        check(Safe, "522 200", "200 repeated", &[250]);
        // No room: nothing was stored.
        check(Never, "507", "507", &[]);
        check(Never, "503/1", "unreachable maybe", &[]);
        // Nothing happened, so nothing happens twice.
        check(Never, "429/1 201", "201", &[1_000]);
    }

    #[test]
    fn short_pauses_are_slept_and_long_ones_handed_up() {
        check(Safe, "503/2 200", "200 repeated", &[2_000]);
        check(Safe, "503/30", "throttled 30000 maybe", &[]);
        check(Safe, "429/2 200", "200", &[2_000]);
        check(Safe, "429/3", "throttled 3000", &[]);
        check(Safe, "busy 200", "200", &[250]);
        check(
            Safe,
            "429 429 429 429",
            "throttled 5000",
            &[250, 1_000, 2_000],
        );
        check(
            Safe,
            "429/1 429/1 429/1 429/1",
            "throttled 5000",
            &[1_000, 1_000, 1_000],
        );
        check(Safe, "reset 429/60", "throttled 60000 maybe", &[250]);
    }

    #[test]
    fn nothing_more_is_sent_to_a_service_that_asks_for_a_long_pause() {
        let answers = (0..CALLS_AT_ONCE_MAX).map(|index| match index {
            3 => text_answer(429, &[("retry-after", "90")], ""),
            _ => text_answer(200, &[], "{}"),
        });
        let script = Scripted::new(answers);
        let http = script.http(Service::Flowfact);
        let calls = (0..CALLS_AT_ONCE_MAX + 2)
            .map(|number| Call::get("try", format!("https://flowfact.test/{number}")))
            .collect();
        let results = http.send(calls);
        assert_eq!(
            results.iter().filter(|result| result.is_ok()).count(),
            CALLS_AT_ONCE_MAX - 1
        );
        for unsent in &results[CALLS_AT_ONCE_MAX..] {
            let error = unsent.as_ref().unwrap_err();
            assert!(!error.maybe_done);
            assert!(
                matches!(&error.error, RemoteError::Throttled(t) if t.retry_after_ms == 90_000)
            );
        }
        let usage = http.usage();
        assert_eq!((usage.requests, usage.throttled, usage.retries), (16, 1, 0));
        assert_eq!(usage.bytes_received, 2 * 15);
    }

    #[test]
    fn answers_that_are_no_json_are_told_apart() {
        for (body, expected) in [
            ("", "an empty body"),
            ("  \n<!DOCTYPE html>", "a web page"),
            ("{\"a\":", "something that is not JSON"),
        ] {
            let script = Scripted::new([text_answer(200, &[("request-id", "r-7")], body)]);
            let http = script.http(Service::Graph);
            let answer = http.send_one(Call::get("read a contact", "https://graph.test/".into()));
            let Err(RemoteError::Protocol(remote)) = answer.unwrap().into_json() else {
                panic!("{body:?} is no JSON");
            };
            assert_eq!(
                remote.problem.message,
                format!(
                    "Microsoft Graph answered with {expected} where JSON was expected when the \
                     sync wanted to read a contact"
                )
            );
            assert_eq!(remote.request_id.as_deref(), Some("r-7"));
        }
    }

    #[test]
    fn an_answer_of_two_megabytes_about_one_contact_is_not_read() {
        let script = Scripted::new([text_answer(200, &[], &"x".repeat(2 << 20))]);
        let call = Call::get("read a contact", "https://graph.test/".into());
        let error = script.http(Service::Graph).send_one(call).unwrap_err();
        assert!(matches!(error.error, RemoteError::Protocol(_)), "{error:?}");
    }

    #[test]
    fn one_broken_record_is_its_own_trouble_and_a_broken_service_is_everybodys() {
        let unreachable = |status| {
            let script = Scripted::new(std::iter::repeat_n(
                text_answer(status, &[], ""),
                RETRY_WAITS_MS.len() + 1,
            ));
            let call = Call::get("read", "https://graph.test/".into());
            script.http(Service::Graph).send_one(call).unwrap_err()
        };
        let items = one_by_one(vec![Ok(1), Err(unreachable(503))]).unwrap();
        assert!(items[0].is_ok() && items[1].is_err());
        assert!(one_by_one::<u8>(vec![Err(unreachable(500))]).unwrap()[0].is_err());
        assert!(one_by_one::<u8>(vec![Err(unreachable(503))]).is_err());
    }

    #[test]
    fn everything_reserved_is_escaped() {
        assert_eq!(escaped("AAMk-_.~="), "AAMk-_.~%3D");
        assert_eq!(escaped("a/b?c#d@e ü"), "a%2Fb%3Fc%23d%40e%20%C3%BC");
        assert_eq!(escaped(".."), "%2E%2E");
    }
}
