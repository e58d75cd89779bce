//! The door out, as the host's WASI and store.
//!
//! Requests run on `wasi:http` without an executor: all that are in flight are polled together. No
//! body is opened for a request that has none, and a stream that closes while a body is written
//! means that the server has answered early: both are where HTTP clients for this interface lose
//! answers.

use super::bindings::contact_sync::plugin::store;
use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::bindings::wasi::http::outgoing_handler::{self, FutureIncomingResponse};
use super::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method as WasiMethod, OutgoingBody,
    OutgoingRequest, Scheme,
};
use super::bindings::wasi::io::poll::{self, Pollable};
use super::bindings::wasi::io::streams::{InputStream, StreamError};
use super::bindings::wasi::random::random;
use crate::outside::{
    IN_FLIGHT_MAX, Method, Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp,
    Write,
};

/// The host's imports.
pub(super) struct Imports;

/// What `wasi:io/streams` takes in one blocking write.
const WRITE_BYTES_MAX: usize = 4_096;

/// How much of an answer is read at once.
const READ_BYTES_MAX: u64 = 64 * 1_024;

/// The largest answer that is taken: what the host buffers as well.
const ANSWER_BYTES_MAX: usize = 8 * 1_024 * 1_024;

const NANOSECONDS_PER_MS: u64 = 1_000_000;

impl Outside for Imports {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let mut answers: Vec<Option<Result<Response, SendError>>> =
            requests.iter().map(|_| None).collect();
        let mut waiting = requests.into_iter().enumerate();
        let mut in_flight: Vec<InFlight> = Vec::new();
        loop {
            while in_flight.len() < IN_FLIGHT_MAX {
                let Some((index, request)) = waiting.next() else {
                    break;
                };
                match start(index, request) {
                    Ok(started) => in_flight.push(started),
                    Err(error) => put(&mut answers, index, Err(error)),
                }
            }
            if in_flight.is_empty() {
                break;
            }
            let pollables: Vec<&Pollable> = in_flight
                .iter()
                .flat_map(|flight| [flight.pollable(), &flight.deadline])
                .collect();
            let ready = poll::poll(&pollables);
            let mut still = Vec::with_capacity(in_flight.len());
            for (position, flight) in (0_u32..).step_by(2).zip(in_flight) {
                let index = flight.index;
                if ready.contains(&position) {
                    match flight.go_on() {
                        Turn::Again(flight) => still.push(flight),
                        Turn::Done(answer) => put(&mut answers, index, answer),
                    }
                } else if ready.contains(&(position + 1)) {
                    put(&mut answers, index, Err(SendError::Timeout));
                } else {
                    still.push(flight);
                }
            }
            in_flight = still;
        }
        let lost = || {
            Err(SendError::Connection(
                "the request was never sent".to_owned(),
            ))
        };
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(lost))
            .collect()
    }

    fn now(&self) -> Timestamp {
        let now = wall_clock::now();
        let ms = now.seconds.saturating_mul(1_000) + u64::from(now.nanoseconds / 1_000_000);
        Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    fn sleep(&self, wait_ms: u32) {
        let wait = u64::from(wait_ms).saturating_mul(NANOSECONDS_PER_MS);
        monotonic_clock::subscribe_duration(wait).block();
    }

    fn random(&self) -> u64 {
        random::get_random_u64()
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        store::get_many(keys).map_err(store_error)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        let page = store::scan(prefix, after, entries_max).map_err(store_error)?;
        let entries = page
            .entries
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
        Ok(ScanPage {
            entries,
            next: page.next.filter(|_| page.more),
        })
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let writes: Vec<store::Write> = writes
            .into_iter()
            .map(|write| match write {
                Write::Set(key, value) => store::Write::Set(store::Entry { key, value }),
                Write::Delete(key) => store::Write::Delete(key),
            })
            .collect();
        store::commit(&writes).map_err(store_error)
    }
}

/// A request on its way. Fields are dropped in order: a pollable before what it polls, a stream
/// before its body.
///
/// The time that it may take is waited for here. `wasi:http` has options for that, but
/// wasmtime-wasi-http 48.0.8 never gives the handle of such options back: a pass of a thousand
/// requests would use up all that a sandbox may have.
struct InFlight {
    index: usize,
    deadline: Pollable,
    part: Part,
}

enum Part {
    Head {
        pollable: Pollable,
        future: FutureIncomingResponse,
    },
    Body(Reading),
}

struct Reading {
    pollable: Pollable,
    stream: InputStream,
    _body: IncomingBody,
    status: u16,
    headers: Vec<(String, String)>,
    bytes: Vec<u8>,
}

enum Turn {
    Again(InFlight),
    Done(Result<Response, SendError>),
}

impl InFlight {
    fn pollable(&self) -> &Pollable {
        match &self.part {
            Part::Head { pollable, .. } => pollable,
            Part::Body(reading) => &reading.pollable,
        }
    }

    fn go_on(self) -> Turn {
        let Self {
            index,
            deadline,
            part,
        } = self;
        let again = |part| {
            Turn::Again(Self {
                index,
                deadline,
                part,
            })
        };
        match part {
            Part::Head { pollable, future } => {
                let Some(answer) = future.get() else {
                    return again(Part::Head { pollable, future });
                };
                // A child must be gone before its parent: dropping the future first is a trap.
                drop(pollable);
                match answer {
                    Ok(Ok(response)) => match Reading::new(&response) {
                        Ok(reading) => again(Part::Body(reading)),
                        Err(error) => Turn::Done(Err(error)),
                    },
                    Ok(Err(code)) => Turn::Done(Err(send_error(&code))),
                    Err(()) => Turn::Done(Err(broken("the answer was taken twice"))),
                }
            }
            Part::Body(mut reading) => match reading.read() {
                None => again(Part::Body(reading)),
                Some(answer) => Turn::Done(answer),
            },
        }
    }
}

impl Reading {
    fn new(response: &IncomingResponse) -> Result<Self, SendError> {
        let status = response.status();
        let headers = response
            .headers()
            .entries()
            .into_iter()
            .map(|(name, value)| {
                (
                    name.to_lowercase(),
                    String::from_utf8_lossy(&value).into_owned(),
                )
            })
            .collect();
        let body = response
            .consume()
            .map_err(|()| broken("the answer has no body"))?;
        let stream = body
            .stream()
            .map_err(|()| broken("the answer's body was taken twice"))?;
        let pollable = stream.subscribe();
        Ok(Self {
            pollable,
            stream,
            _body: body,
            status,
            headers,
            bytes: Vec::new(),
        })
    }

    /// Reads on; the answer once it is whole, or broken.
    fn read(&mut self) -> Option<Result<Response, SendError>> {
        match self.stream.read(READ_BYTES_MAX) {
            Ok(bytes) => {
                self.bytes.extend_from_slice(&bytes);
                (self.bytes.len() > ANSWER_BYTES_MAX).then(|| {
                    let limit = format!("more than {ANSWER_BYTES_MAX} bytes");
                    Err(SendError::TooLarge(limit))
                })
            }
            Err(StreamError::Closed) => Some(Ok(Response {
                status: self.status,
                headers: std::mem::take(&mut self.headers),
                body: std::mem::take(&mut self.bytes),
            })),
            Err(StreamError::LastOperationFailed(error)) => {
                Some(Err(SendError::Connection(error.to_debug_string())))
            }
        }
    }
}

fn start(index: usize, request: Request) -> Result<InFlight, SendError> {
    let (is_secure, authority, path) = parts(&request.url)?;
    let scheme = if is_secure {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let mut headers: Vec<(String, Vec<u8>)> = request
        .headers
        .into_iter()
        .map(|(name, value)| (name, value.into_bytes()))
        .collect();
    if let Some(body) = &request.body {
        // Without it the body goes in chunks, which some servers of this field refuse.
        headers.push((
            "content-length".to_owned(),
            body.len().to_string().into_bytes(),
        ));
    }
    let fields = Fields::from_list(&headers)
        .map_err(|_| SendError::Denied("a header is not allowed".to_owned()))?;
    let outgoing = OutgoingRequest::new(fields);
    let bad = |()| SendError::Denied(format!("not an address: {authority}"));
    outgoing.set_method(&method(request.method)).map_err(bad)?;
    outgoing.set_scheme(Some(&scheme)).map_err(bad)?;
    outgoing.set_authority(Some(authority)).map_err(bad)?;
    outgoing.set_path_with_query(Some(path)).map_err(bad)?;
    let wait = u64::from(request.timeout_ms).saturating_mul(NANOSECONDS_PER_MS);
    let deadline = monotonic_clock::subscribe_duration(wait);
    let body = match &request.body {
        Some(_) => Some(
            outgoing
                .body()
                .map_err(|()| broken("the request has no body"))?,
        ),
        None => None,
    };
    let future = outgoing_handler::handle(outgoing, None).map_err(|code| send_error(&code))?;
    if let (Some(body), Some(bytes)) = (body, &request.body) {
        write_body(body, bytes);
    }
    Ok(InFlight {
        index,
        deadline,
        part: Part::Head {
            pollable: future.subscribe(),
            future,
        },
    })
}

/// Writes a body as far as the server takes it: whatever goes wrong here shows in the answer.
fn write_body(body: OutgoingBody, bytes: &[u8]) {
    if let Ok(stream) = body.write() {
        for chunk in bytes.chunks(WRITE_BYTES_MAX) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
        drop(stream);
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Scheme, authority, and path with query of an absolute address.
fn parts(url: &str) -> Result<(bool, &str, &str), SendError> {
    let (is_secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(SendError::Denied("not an http(s) address".to_owned())),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Ok((
        is_secure,
        authority,
        if path.is_empty() { "/" } else { path },
    ))
}

fn method(method: Method) -> WasiMethod {
    match method {
        Method::Get => WasiMethod::Get,
        Method::Post => WasiMethod::Post,
        Method::Patch => WasiMethod::Patch,
        Method::Delete => WasiMethod::Delete,
    }
}

fn send_error(code: &ErrorCode) -> SendError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::HttpRequestUriInvalid => {
            SendError::Denied("its address or a header is not on the tenant's list".to_owned())
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::DnsTimeout => SendError::Timeout,
        ErrorCode::HttpResponseBodySize(_) | ErrorCode::HttpResponseIncomplete => {
            SendError::TooLarge("the host does not take an answer of this size".to_owned())
        }
        other => SendError::Connection(format!("{other:?}")),
    }
}

fn broken(what: &str) -> SendError {
    SendError::Connection(what.to_owned())
}

fn store_error(error: store::StoreError) -> StoreError {
    match error {
        store::StoreError::Refused(text) => StoreError::Refused(text),
        store::StoreError::Unavailable(wait_ms) => StoreError::Unavailable(wait_ms),
        store::StoreError::LeaseLost => StoreError::LeaseLost,
        store::StoreError::Quota(text) => StoreError::Quota(text),
    }
}

fn put(
    answers: &mut [Option<Result<Response, SendError>>],
    index: usize,
    answer: Result<Response, SendError>,
) {
    if let Some(place) = answers.get_mut(index) {
        *place = Some(answer);
    }
}
