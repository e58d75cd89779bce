//! Several requests in one: `POST /$batch` (<https://learn.microsoft.com/graph/json-batching>).
//!
//! A batch answers 200 although some of its items failed, and nobody but the caller repeats those:
//! each item is judged like a request of its own
//! (<https://learn.microsoft.com/graph/throttling#throttling-and-batching>).

use serde_json::{Map, Value, json};

use crate::http::{
    Answer, Call, CallError, PAGE_ANSWER_BYTES_MAX, RETRY_WAITS_MS, Rejection, RemoteError, Repeat,
};
use crate::mailbox::graph::{Client, IMMUTABLE_IDS};
use crate::outside::{IN_FLIGHT_MAX, Method};
use crate::report::Service;

/// Items of one batch. Microsoft allows 20, but runs four of them at once and refuses the others of
/// one mailbox with 429 (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/2886>); so
/// one batch at a time with as many items as may be in flight.
pub(super) const ITEMS_MAX: usize = 4;

const _: () = assert!(ITEMS_MAX <= IN_FLIGHT_MAX && ITEMS_MAX <= 20);

/// One request within a batch.
pub(super) struct Item {
    /// What it does, in words for people.
    pub(super) what: &'static str,
    /// The method.
    pub(super) method: Method,
    /// Begins behind the user: `/contacts/{id}`.
    pub(super) path: String,
    /// The version that the record must still have.
    pub(super) if_match: Option<String>,
    /// Sent as JSON.
    pub(super) body: Option<Value>,
    /// Whether it may be sent twice.
    pub(super) repeat: Repeat,
}

impl Item {
    /// An item that reads.
    pub(super) fn get(what: &'static str, path: String) -> Self {
        Self {
            what,
            method: Method::Get,
            path,
            if_match: None,
            body: None,
            repeat: Repeat::Safe,
        }
    }
}

/// Sends all items, a batch after the other, and returns their answers in the same order. Once the
/// service as a whole fails, the rest is not sent and answered with that failure.
pub(super) fn send(client: &Client, items: &[Item]) -> Vec<Result<Answer, CallError>> {
    let mut results = Vec::with_capacity(items.len());
    let mut halted: Option<RemoteError> = None;
    for group in items.chunks(ITEMS_MAX) {
        if let Some(error) = &halted {
            let unsent = CallError {
                error: error.clone(),
                maybe_done: false,
            };
            results.extend(group.iter().map(|_| Err(unsent.clone())));
            continue;
        }
        let answers = send_group(client, group);
        let failures = answers.iter().filter_map(|answer| answer.as_ref().err());
        halted = failures
            .map(|failure| &failure.error)
            .find(|error| error.halts())
            .cloned();
        results.extend(answers);
    }
    results
}

/// What became of one item so far.
#[derive(Clone)]
struct Progress {
    result: Option<Result<Answer, CallError>>,
    maybe_done: bool,
}

fn send_group(client: &Client, items: &[Item]) -> Vec<Result<Answer, CallError>> {
    let mut progress = vec![
        Progress {
            result: None,
            maybe_done: false
        };
        items.len()
    ];
    for attempt in 0..=RETRY_WAITS_MS.len() {
        let pending: Vec<(usize, &Item)> = items
            .iter()
            .enumerate()
            .zip(&progress)
            .filter(|(_, progress)| progress.result.is_none())
            .map(|(item, _)| item)
            .collect();
        if attempt > 0 {
            client
                .http
                .count_retries(u32::try_from(pending.len()).unwrap_or(u32::MAX));
        }
        let mut wait_ms = None;
        for ((index, item), answer) in pending.iter().zip(exchange(client, &pending)) {
            let Some(progress) = progress.get_mut(*index) else {
                continue;
            };
            match judge(client, item, answer, attempt, &mut progress.maybe_done) {
                Ok(last) => progress.result = Some(last),
                Err(pause_ms) => wait_ms = Some(pause_ms.max(wait_ms.unwrap_or(0))),
            }
        }
        match wait_ms {
            Some(wait_ms) => client.http.sleep(wait_ms),
            None => break,
        }
    }
    // Whatever has no result by now was pending in the last attempt, which gives every item one.
    progress
        .into_iter()
        .filter_map(|progress| progress.result)
        .collect()
}

/// One batch, once: an answer for each of `pending`.
fn exchange(client: &Client, pending: &[(usize, &Item)]) -> Vec<Result<Answer, CallError>> {
    let requests: Vec<Value> = pending
        .iter()
        .map(|(index, item)| request(client, *index, item))
        .collect();
    let all_repeatable = pending.iter().all(|(_, item)| item.repeat == Repeat::Safe);
    let repeat = if all_repeatable {
        Repeat::Safe
    } else {
        Repeat::Never
    };
    let what = pending
        .first()
        .map_or("send a batch", |(_, item)| item.what);
    let body = json!({ "requests": requests });
    let url = format!("{}/$batch", client.base_url);
    let mut call = Call::new(what, Method::Post, url, Some(body), repeat);
    call.answer_bytes_max = PAGE_ANSWER_BYTES_MAX;
    let answer = match client.http.send_one(call) {
        Ok(answer) if answer.is_success() => answer,
        Ok(answer) => {
            // The batch as a whole was refused: none of its items was looked at.
            let failure = CallError {
                error: answer.remote_error(),
                maybe_done: false,
            };
            return pending.iter().map(|_| Err(failure.clone())).collect();
        }
        Err(failure) => return pending.iter().map(|_| Err(failure.clone())).collect(),
    };
    let repeated = answer.repeated;
    let missing = answer.misfit("a batch that lacks an item");
    let mut responses = match answer.into_json() {
        Ok(mut json) => match json.get_mut("responses").map(Value::take) {
            Some(Value::Array(responses)) => responses,
            _ => Vec::new(),
        },
        Err(error) => {
            let failure = CallError {
                error,
                maybe_done: true,
            };
            return pending.iter().map(|_| Err(failure.clone())).collect();
        }
    };
    pending
        .iter()
        .map(|(index, item)| {
            let response = take_response(&mut responses, *index);
            let read = response.and_then(|response| item_answer(item, response));
            read.map(|mut answer| {
                answer.repeated = repeated;
                answer
            })
            .ok_or_else(|| CallError {
                error: missing.clone(),
                maybe_done: true,
            })
        })
        .collect()
}

fn request(client: &Client, index: usize, item: &Item) -> Value {
    let mut headers = Map::new();
    headers.insert("Prefer".into(), json!(IMMUTABLE_IDS));
    if let Some(version) = &item.if_match {
        headers.insert("If-Match".into(), json!(version));
    }
    let mut request = Map::new();
    request.insert("id".into(), json!(index.to_string()));
    request.insert("method".into(), json!(item.method.as_str()));
    request.insert("url".into(), json!(format!("{}{}", client.user, item.path)));
    if let Some(body) = &item.body {
        headers.insert("Content-Type".into(), json!("application/json"));
        request.insert("body".into(), body.clone());
    }
    request.insert("headers".into(), Value::Object(headers));
    Value::Object(request)
}

/// Answers come in any order; ids are compared without case.
fn take_response(responses: &mut Vec<Value>, index: usize) -> Option<Value> {
    let id = index.to_string();
    let place = responses
        .iter()
        .position(|response| match response.get("id") {
            Some(Value::String(found)) => *found == id,
            Some(Value::Number(found)) => found.to_string() == id,
            _ => false,
        })?;
    Some(responses.swap_remove(place))
}

fn item_answer(item: &Item, mut response: Value) -> Option<Answer> {
    let status = u16::try_from(response.get("status")?.as_u64()?).ok()?;
    let headers = match response.get("headers") {
        Some(Value::Object(headers)) => headers
            .iter()
            .map(|(name, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect(),
        _ => Vec::new(),
    };
    let body = response
        .get_mut("body")
        .map(Value::take)
        .unwrap_or_default();
    Some(Answer::of_item(
        Service::Graph,
        item.what,
        status,
        headers,
        body,
        item.body.as_ref(),
    ))
}

/// The last word on an item, or how long to wait before it is sent again.
fn judge(
    client: &Client,
    item: &Item,
    answer: Result<Answer, CallError>,
    attempt: usize,
    maybe_done: &mut bool,
) -> Result<Result<Answer, CallError>, u64> {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(mut failure) => {
            failure.maybe_done |= *maybe_done;
            return Ok(Err(failure));
        }
    };
    let pause_ms = answer.pause_ms(client.http.now());
    match answer.rejection() {
        None => {
            client.http.answered();
            answer.repeated |= *maybe_done;
            Ok(Ok(answer))
        }
        Some(Rejection::Throttled) => {
            match client.http.pause_in_place(item.what, attempt, pause_ms) {
                Ok(wait_ms) => Err(wait_ms),
                Err(long) => {
                    let error = RemoteError::Throttled(long);
                    Ok(Err(CallError {
                        error,
                        maybe_done: *maybe_done,
                    }))
                }
            }
        }
        Some(Rejection::Broken) => {
            *maybe_done = true;
            let error = RemoteError::Unreachable(answer.problem());
            let last = CallError {
                error,
                maybe_done: true,
            };
            match RETRY_WAITS_MS.get(attempt) {
                Some(wait_ms) if item.repeat == Repeat::Safe => Err(*wait_ms),
                _ => Ok(Err(last)),
            }
        }
    }
}
