//! Operations on the wire: one envelope there, one response message per item back.
//!
//! Exchange fails in four layers: HTTP, a SOAP fault, a message per item, and items that it did not
//! get to (`ErrorBatchProcessingStopped`)
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/handling-errors-in-ews>).
//! The first two are `http`'s as far as they ask for patience; all others are told apart here, so
//! that an operation sees nothing but what Exchange says about each of its items.

use crate::http::{
    Answer, Call, CallError, RETRY_WAITS_MS, RemoteError, Repeat, named_back_off_ms,
};
use crate::mailbox::ews::{Client, errors};
use crate::mutation::{self, Mutant};
use crate::report::RemoteProblem;
use crate::xml::{Element, Writer};

/// SOAP 1.1 (<https://www.w3.org/TR/2000/NOTE-SOAP-20000508/>).
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Operations and their answers.
pub(super) const MESSAGES: &str = "http://schemas.microsoft.com/exchange/services/2006/messages";

/// What they are about.
pub(super) const TYPES: &str = "http://schemas.microsoft.com/exchange/services/2006/types";

/// Exchange 2013 SP1 and everything after it understands this version of the schema, and it has all
/// that contacts need
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/requestserverversion>).
const SCHEMA_VERSION: &str = "Exchange2013_SP1";

/// One kind of request.
pub(super) struct Operation {
    /// As Microsoft names it.
    pub(super) name: &'static str,
    /// What it does, in words for people.
    pub(super) what: &'static str,
    /// Items of one request.
    pub(super) items_max: usize,
    /// Whether a request may be sent twice.
    pub(super) repeat: Repeat,
    /// Whether a single item can make the whole answer unreadable, so that it is worth asking in
    /// smaller requests.
    pub(super) splits: bool,
}

/// Requests that one group of items may cost in addition, to find the one that breaks it.
const SPLITS_MAX: u32 = 16;

/// What Exchange says about one item.
pub(super) struct Message<'a> {
    /// The response message; `None` where the request as a whole was refused.
    element: Option<&'a Element>,
    /// Why not.
    pub(super) refusal: Option<RemoteProblem>,
    /// Whether an earlier attempt, whose answer was lost, may have had the effect already.
    pub(super) repeated: bool,
    answer: &'a Answer,
}

impl<'a> Message<'a> {
    /// Exchange's code, where it refuses.
    pub(super) fn code(&self) -> Option<&str> {
        self.refusal.as_ref()?.code.as_deref()
    }

    /// A part of the response message.
    pub(super) fn child(&self, name: &str) -> Option<&'a Element> {
        self.element?.child(MESSAGES, name)
    }

    /// An answer that the protocol does not know.
    pub(super) fn misfit(&self, found: &str) -> RemoteError {
        self.answer.misfit(found)
    }
}

/// Sends an operation for all items, in as many requests as they need, and returns what `read`
/// makes of the message about each, in the same order. Once the mailbox as a whole fails, the rest
/// is not sent and answered with that failure.
pub(super) fn send<T, R>(
    client: &Client,
    operation: &Operation,
    items: &[T],
    write: &dyn Fn(&mut Writer, &[&T]),
    read: &dyn Fn(&T, &Message<'_>) -> R,
) -> Vec<Result<R, CallError>> {
    let mut results = Vec::with_capacity(items.len());
    let mut halted: Option<RemoteError> = None;
    for group in items.chunks(operation.items_max) {
        if let Some(error) = &halted {
            let unsent = CallError {
                error: error.clone(),
                maybe_done: false,
            };
            results.extend(group.iter().map(|_| Err(unsent.clone())));
            continue;
        }
        let batch = Batch {
            client,
            operation,
            write,
            read,
        };
        let group: Vec<&T> = group.iter().collect();
        let mut splits_left = if operation.splits { SPLITS_MAX } else { 0 };
        let answers = batch.send_splitting(&group, &mut splits_left);
        let mut failures = answers.iter().filter_map(|answer| answer.as_ref().err());
        let failure = failures.find(|failure| errors::is_of_mailbox(&failure.error));
        halted = failure.map(|failure| failure.error.clone());
        results.extend(answers);
    }
    results
}

/// Sends an operation that is about one thing.
pub(super) fn send_one<R>(
    client: &Client,
    operation: &Operation,
    write: &dyn Fn(&mut Writer),
    read: &dyn Fn(&Message<'_>) -> R,
) -> Result<R, RemoteError> {
    let write = |writer: &mut Writer, _: &[&()]| write(writer);
    let read = |(): &(), message: &Message<'_>| read(message);
    let mut results = send(client, operation, &[()], &write, &read);
    let failed = |failure: CallError| failure.error;
    results
        .pop()
        .unwrap_or_else(|| Err(errors::no_answer(operation)))
        .map_err(failed)
}

/// Requests of one kind, one group of items at a time.
struct Batch<'a, T, R> {
    client: &'a Client,
    operation: &'a Operation,
    write: &'a dyn Fn(&mut Writer, &[&T]),
    read: &'a dyn Fn(&T, &Message<'_>) -> R,
}

/// What one attempt came to for one item.
enum Attempt<R> {
    Done(Result<R, CallError>),
    /// To be sent again after this pause; what it fails with if it may not.
    Again(u64, CallError),
}

impl<T, R> Batch<'_, T, R> {
    /// One contact that the server cannot put into its answer spoils that for all others: they are
    /// asked for in halves then (contract, 7.8).
    fn send_splitting(&self, items: &[&T], splits_left: &mut u32) -> Vec<Result<R, CallError>> {
        let answers = self.send(items);
        let is_spoilt = |answer: &Result<R, CallError>| {
            let failure = answer.as_ref().err();
            failure.is_some_and(|failure| errors::may_be_one_items_answer(&failure.error))
        };
        if items.len() < 2 || *splits_left == 0 || !answers.iter().all(is_spoilt) {
            return answers;
        }
        *splits_left = splits_left.saturating_sub(1);
        let (left, right) = items.split_at(items.len() / 2);
        let mut answers = self.send_splitting(left, splits_left);
        answers.extend(self.send_splitting(right, splits_left));
        answers
    }

    fn send(&self, items: &[&T]) -> Vec<Result<R, CallError>> {
        let mut results: Vec<Option<Result<R, CallError>>> = items.iter().map(|_| None).collect();
        let mut maybe_done = false;
        for attempt in 0..=RETRY_WAITS_MS.len() {
            let open = results.iter().enumerate();
            let open = open.filter(|(_, result)| result.is_none());
            let (indices, pending): (Vec<usize>, Vec<&T>) = open
                .filter_map(|(index, _)| Some((index, *items.get(index)?)))
                .unzip();
            if attempt > 0 {
                let retries = u32::try_from(pending.len()).unwrap_or(u32::MAX);
                self.client.http.count_retries(retries);
            }
            let mut wait_ms = None;
            for (index, tried) in indices.into_iter().zip(self.exchange(&pending, attempt)) {
                let Some(result) = results.get_mut(index) else {
                    continue;
                };
                match tried {
                    Attempt::Done(mut last) => {
                        if let Err(failure) = &mut last {
                            failure.maybe_done |= maybe_done;
                        }
                        *result = Some(last);
                    }
                    Attempt::Again(pause_ms, failure) => {
                        maybe_done |= failure.maybe_done;
                        wait_ms = Some(pause_ms.max(wait_ms.unwrap_or(0)));
                    }
                }
            }
            match wait_ms {
                Some(wait_ms) => self.client.http.sleep(wait_ms),
                None => break,
            }
        }
        let unanswered =
            |result: Option<_>| result.unwrap_or_else(|| Err(errors::no_answer(self.operation)));
        results.into_iter().map(unanswered).collect()
    }

    /// One request, once: what it came to for each of `pending`.
    fn exchange(&self, pending: &[&T], attempt: usize) -> Vec<Attempt<R>> {
        let operation = self.operation;
        let xml = envelope(self.client, |writer| (self.write)(writer, pending));
        let call = Call::post_xml(
            operation.what,
            self.client.url.clone(),
            xml.clone(),
            operation.repeat,
        );
        // "must always" be there with impersonation, and routes the request without it
        // (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-authenticate-an-ews-application-by-using-oauth>).
        let call = call
            .header("x-anchormailbox", &*self.client.address)
            .answers_page();
        let failed = |failure: CallError| -> Vec<Attempt<R>> {
            let all = pending.iter().map(|_| Attempt::Done(Err(failure.clone())));
            all.collect()
        };
        let answer = match self.client.http.send_one(call) {
            Ok(answer) if answer.is_success() => answer,
            Ok(answer) => return self.refused(pending, &answer),
            Err(failure) => return failed(failure),
        };
        let unread = |error| CallError {
            error,
            maybe_done: true,
        };
        let envelope = match answer.clone().into_xml() {
            Ok(envelope) => envelope,
            Err(error) => return failed(unread(error)),
        };
        let Some(messages) = messages(&envelope, operation.name) else {
            let found = format!("something that is no answer to {}", operation.name);
            return failed(unread(answer.misfit(&found)));
        };
        let missing = unread(answer.misfit("fewer messages than it was asked for"));
        let first = messages.first().copied();
        let first = first.filter(|first| {
            mutation::is_on(Mutant::FirstRefusalForAll) && refusal(first, &answer, &xml).is_some()
        });
        let mut messages = messages.into_iter();
        let judged = pending.iter().map(|item| match messages.next() {
            None => Attempt::Done(Err(missing.clone())),
            Some(element) => self.judge(item, first.unwrap_or(element), &answer, &xml, attempt),
        });
        judged.collect()
    }

    /// A request that was refused as a whole. One bad item can cause that, and the others do not
    /// suffer for it: each is sent by itself.
    fn refused(&self, pending: &[&T], answer: &Answer) -> Vec<Attempt<R>> {
        let error = errors::fault(answer);
        if !errors::may_be_one_items(answer) {
            let failure = CallError {
                maybe_done: self.operation.repeat == Repeat::Never
                    && answer.status >= 500
                    && errors::may_have_happened(&error),
                error,
            };
            let all = pending.iter().map(|_| Attempt::Done(Err(failure.clone())));
            return all.collect();
        }
        let [item] = pending else {
            let each = pending.iter().map(|item| self.send(&[item]).pop());
            let unanswered = || Err(errors::no_answer(self.operation));
            return each
                .map(|result| Attempt::Done(result.unwrap_or_else(unanswered)))
                .collect();
        };
        let message = Message {
            element: None,
            refusal: Some(errors::problem_of(error)),
            repeated: answer.repeated,
            answer,
        };
        vec![Attempt::Done(Ok((self.read)(item, &message)))]
    }

    fn judge(
        &self,
        item: &T,
        element: &Element,
        answer: &Answer,
        sent: &str,
        attempt: usize,
    ) -> Attempt<R> {
        let refusal = refusal(element, answer, sent);
        let code = refusal.as_ref().and_then(|refusal| refusal.code.clone());
        let Some((code, problem)) = code.zip(refusal.clone()) else {
            return self.done(item, element, None, answer);
        };
        if errors::is_busy(&code) {
            let pause_ms = element
                .child(MESSAGES, "MessageXml")
                .and_then(named_back_off_ms);
            let http = &self.client.http;
            return match http.pause_in_place(self.operation.what, attempt, pause_ms) {
                Ok(wait_ms) => Attempt::Again(wait_ms, errors::unreachable(problem, false)),
                Err(long) => Attempt::Done(Err(CallError {
                    error: RemoteError::Throttled(long),
                    maybe_done: false,
                })),
            };
        }
        let is_skipped = errors::is_skipped(&code);
        if is_skipped || (errors::is_transient(&code) && self.operation.repeat == Repeat::Safe) {
            let failure = errors::unreachable(problem, !is_skipped);
            return match RETRY_WAITS_MS.get(attempt) {
                Some(wait_ms) => Attempt::Again(*wait_ms, failure),
                None => Attempt::Done(Err(failure)),
            };
        }
        if errors::is_transient(&code) {
            return Attempt::Done(Err(errors::unreachable(problem, true)));
        }
        match errors::of_mailbox(&code, problem) {
            Ok(error) => Attempt::Done(Err(CallError {
                maybe_done: self.operation.repeat == Repeat::Never
                    && errors::may_have_happened(&error),
                error,
            })),
            Err(problem) => self.done(item, element, Some(problem), answer),
        }
    }

    fn done(
        &self,
        item: &T,
        element: &Element,
        refusal: Option<RemoteProblem>,
        answer: &Answer,
    ) -> Attempt<R> {
        self.client.http.answered();
        let message = Message {
            element: Some(element),
            refusal,
            repeated: answer.repeated,
            answer,
        };
        Attempt::Done(Ok((self.read)(item, &message)))
    }
}

/// The whole request. The header names the version of the schema, and for whom the sync acts
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/exchangeimpersonation>).
fn envelope(client: &Client, body: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new();
    let namespaces = [("xmlns:s", SOAP), ("xmlns:m", MESSAGES), ("xmlns:t", TYPES)];
    writer.element("s:Envelope", &namespaces, |writer| {
        writer.element("s:Header", &[], |writer| {
            writer.empty("t:RequestServerVersion", &[("Version", SCHEMA_VERSION)]);
            if client.impersonate {
                writer.element("t:ExchangeImpersonation", &[], |writer| {
                    writer.element("t:ConnectingSID", &[], |writer| {
                        writer.text_element("t:PrimarySmtpAddress", &[], &client.address);
                    });
                });
            }
        });
        writer.element("s:Body", &[], body);
    });
    writer.finish()
}

/// The response messages of an operation, if that is what the envelope holds.
fn messages<'a>(envelope: &'a Element, operation: &str) -> Option<Vec<&'a Element>> {
    if !envelope.is(SOAP, "Envelope") {
        return None;
    }
    let response = envelope
        .child(SOAP, "Body")?
        .child(MESSAGES, &format!("{operation}Response"))?;
    let name = format!("{operation}ResponseMessage");
    let messages = response.child(MESSAGES, "ResponseMessages")?;
    Some(messages.children_named(MESSAGES, &name).collect())
}

/// What a response message refuses: anything but a success, and warnings that concern nobody.
fn refusal(element: &Element, answer: &Answer, sent: &str) -> Option<RemoteProblem> {
    let text = |name| {
        element
            .child(MESSAGES, name)
            .map_or("", |found| found.text().trim())
    };
    let code = text("ResponseCode");
    let is_refused = match element.attribute("ResponseClass") {
        Some("Success") => false,
        Some("Warning") => errors::is_skipped(code),
        _ => true,
    };
    is_refused.then(|| errors::with_remedy(answer.refusal(code, text("MessageText"), sent)))
}
