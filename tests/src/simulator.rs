//! FLOWFACT, Microsoft Graph and Exchange Web Services as deterministic state machines.
//!
//! [`Simulator::handle`] takes a request and a time and gives the answer: no clock, no network, no
//! chance but that of its seed. The same code answers in-process, in virtual time ([`World`]), and
//! over HTTP on loopback ([`serve`]), to the component, to the demo, and to anybody who wants to
//! try a client of their own.
//!
//! | room | does |
//! |---|---|
//! | [`flowfact`] | one FLOWFACT company: contacts, trash, schema, mail accounts, sync entries |
//! | [`graph`] | mailboxes in Microsoft Graph: folders, contacts, delta, batch, sign-in |
//! | [`ews`] | the same mailboxes in Exchange Web Services, and Autodiscover |
//! | [`world`] | what a pass needs of the outside: both services, a store, a clock, crashes |
//! | [`http`] | the same services over HTTP |
//! | [`ntlm`] | the server's side of NTLM |
//! | [`faults`] | what goes wrong between client and service |
//! | [`interruption`] | a client that dies in the middle of a request |
//! | [`log`] | what was asked: counted always, recorded on demand |
//! | [`chance`] | chance that a seed repeats |
//!
//! How a real service behaves where that is odd, limited or unknown is a named switch in
//! [`FlowfactQuirks`], [`GraphQuirks`] or [`EwsQuirks`], with the evidence beside it.

pub mod chance;
pub mod ews;
pub mod faults;
pub mod flowfact;
pub mod graph;
pub mod http;
pub mod interruption;
pub mod log;
pub mod meddled;
pub mod ntlm;
mod wire;
pub mod world;

pub use ews::Ews;
pub use ews::quirks::EwsQuirks;
pub use ews::sign_in::EwsSignIn;
pub use faults::{Fault, FaultRates, Faults, Matcher};
pub use flowfact::Flowfact;
pub use flowfact::entities::Access;
pub use flowfact::quirks::FlowfactQuirks;
pub use flowfact::schema::MarkerKind;
pub use graph::Graph;
pub use graph::mailbox::Availability;
pub use graph::outlook::Place;
pub use graph::quirks::GraphQuirks;
pub use http::serve;
pub use interruption::{Interruption, Moment};
pub use log::{Counters, Record, RequestKind, RequestLog};
pub use meddled::Meddled;
pub use world::{Crashed, StoreCounters, StoreFault, World, WorldBuilder};

use contact_sync_guest::outside::{Request, Response, SendError, Timestamp};
use std::collections::BTreeMap;

use crate::people::{Sizes, population};
use wire::{Answer, Call, header, split_origin};

/// One FLOWFACT company and the mailboxes of one Microsoft tenant.
#[derive(Clone, Debug)]
pub struct Simulator {
    /// The company.
    pub flowfact: Flowfact,
    /// The mailboxes.
    pub graph: Graph,
    /// The mailboxes' other dialect: Exchange Server.
    pub ews: Ews,
    /// What goes wrong on the way.
    pub faults: Faults,
    /// The requests, while recording is switched on.
    pub log: RequestLog,
    /// How long every answer over HTTP takes at least; `None` answers at once. For benchmarks: in
    /// process, `World` has a latency of its own.
    pub http_delay_ms: Option<u32>,
    /// How far the services' clock over HTTP is ahead of the real one: for tests in which time goes
    /// by.
    pub http_clock_ahead_ms: i64,
    /// Who is called in the middle of a request.
    pub interruption: Option<Interruption>,
    counters: Counters,
    in_flight: BTreeMap<String, u32>,
    /// Requests that are carried out later, and when.
    late: Vec<(Timestamp, Request)>,
}

/// How a mailbox's server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Office 365, over Microsoft Graph.
    Graph,
    /// Exchange Server, over Exchange Web Services.
    Ews,
}

/// What a client gets, and when.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub outcome: Result<Response, SendError>,
    /// How long it takes.
    pub delay_ms: u32,
}

/// A request under way: it counts for its mailbox until [`Simulator::depart`].
#[derive(Clone, Debug)]
pub struct Ticket {
    lane: String,
    width: u32,
    others: u32,
}

impl Simulator {
    /// An empty company and no mailbox. The same seed gives the same ids.
    pub fn new(
        seed: u64,
        marker_kind: MarkerKind,
        flowfact: FlowfactQuirks,
        graph: GraphQuirks,
    ) -> Self {
        Self {
            flowfact: Flowfact::new(seed, flowfact, marker_kind),
            graph: Graph::new(seed.wrapping_add(1), graph),
            ews: Ews::new(seed.wrapping_add(2)),
            faults: Faults::default(),
            log: RequestLog::default(),
            http_delay_ms: None,
            http_clock_ahead_ms: 0,
            interruption: None,
            counters: Counters::default(),
            in_flight: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// Carries out what was to take effect late, as far as its time has come.
    pub fn catch_up(&mut self, now: Timestamp) {
        let mut due: Vec<_> = self.late.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        for (at, request) in due {
            self.answer(&request, 0, at);
        }
    }

    /// Whether requests must carry credentials. In-process tests switch this off, because there the
    /// credentials are the host's and no host is there.
    pub fn set_authentication(&mut self, required: bool) {
        self.flowfact.authentication = required;
        self.graph.authentication = required;
        self.ews.authentication = required;
    }

    /// Adds a mailbox, and the mail account by which FLOWFACT knows it.
    pub fn add_mailbox(&mut self, address: &str, display_name: &str) {
        self.graph.add_mailbox(address, display_name);
        self.ews.add_account(address);
        self.flowfact.add_mail_account(address, display_name);
    }

    /// The mailbox of this address is on an Exchange Server: its ids are such a server's. To be
    /// said before it holds anything.
    pub fn put_on_exchange_server(&mut self, address: &str) {
        self.graph.put_on_exchange_server(address);
    }

    /// Fills the company and the mailbox of this address with invented people, the same ones for
    /// the same seed and sizes. Nobody carries a marker.
    pub fn populate(&mut self, address: &str, seed: u64, sizes: Sizes, now: Timestamp) {
        let people = population(seed, sizes);
        for fields in people.crm {
            self.flowfact.create(fields, now);
        }
        for properties in people.mailbox {
            self.graph.create(address, &properties, now);
        }
    }

    /// Answers a request, with nothing else under way and nothing going wrong.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Response {
        self.answer(request, 0, now)
    }

    /// A request arrives, and counts as under way for its mailbox.
    pub fn arrive(&mut self, request: &Request, now: Timestamp) -> Ticket {
        let call = Call::new(request, now);
        let is_graph = call.path.first().is_some_and(|service| service == "graph");
        let (lane, width) = if is_graph {
            let call = strip(&call);
            (Graph::lane(&call), self.graph.width(&call))
        } else if Ews::serves(&call.path) {
            (Ews::lane(&call), 1)
        } else {
            ("flowfact".to_owned(), 1)
        };
        let in_flight = self.in_flight.entry(lane.clone()).or_default();
        let others = *in_flight;
        *in_flight += width;
        Ticket {
            lane,
            width,
            others,
        }
    }

    /// Carries out a request that has arrived, as far as nothing goes wrong.
    pub fn exchange(&mut self, request: &Request, ticket: &Ticket, now: Timestamp) -> Exchange {
        self.interrupt(Moment::Before);
        let exchange = self.exchange_whole(request, ticket, now);
        self.interrupt(Moment::After);
        exchange
    }

    fn interrupt(&mut self, moment: Moment) {
        self.interruption
            .take_if(|interruption| interruption.pass(moment));
    }

    fn exchange_whole(&mut self, request: &Request, ticket: &Ticket, now: Timestamp) -> Exchange {
        let lost = || Err(SendError::Connection("reset by the simulator".to_owned()));
        let mut delay_ms = 0;
        self.catch_up(now);
        let outcome = match self.faults.draw(request) {
            None => Ok(self.answer(request, ticket.others, now)),
            Some(Fault::LostBefore) => lost(),
            Some(Fault::LostAfter) => {
                self.answer(request, ticket.others, now);
                lost()
            }
            Some(Fault::Refused {
                status,
                retry_after_s,
                body,
            }) => {
                let wait = retry_after_s.map(|seconds| header("retry-after", &seconds.to_string()));
                Ok(self.gateway(request, status, wait, body, now))
            }
            Some(Fault::RefusedAfter { status }) => {
                self.answer(request, ticket.others, now);
                Ok(Response {
                    status,
                    headers: Vec::new(),
                    body: Vec::new(),
                })
            }
            Some(Fault::Slow { delay_ms: slow_ms }) => {
                let response = self.answer(request, ticket.others, now);
                delay_ms = slow_ms.min(request.timeout_ms);
                if slow_ms > request.timeout_ms {
                    Err(SendError::Timeout)
                } else {
                    Ok(response)
                }
            }
            Some(Fault::Late { delay_ms: late_ms }) => {
                self.late.push((now.plus_ms(late_ms), request.clone()));
                delay_ms = request.timeout_ms;
                Err(SendError::Timeout)
            }
            Some(Fault::Garbled { body }) => {
                let response = self.answer(request, ticket.others, now);
                Ok(Response { body, ..response })
            }
        };
        Exchange { outcome, delay_ms }
    }

    /// A request is no longer under way.
    pub fn depart(&mut self, ticket: &Ticket) {
        if let Some(in_flight) = self.in_flight.get_mut(&ticket.lane) {
            *in_flight = in_flight.saturating_sub(ticket.width);
            if *in_flight == 0 {
                self.in_flight.remove(&ticket.lane);
            }
        }
    }

    /// Nothing is under way any more: the client has died, and its connections with it.
    pub fn disconnect(&mut self) {
        self.in_flight.clear();
    }

    /// What was asked since the beginning, or since [`Simulator::take_counters`].
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the counters, and begins anew.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// Answers a request with a method that neither service has a use for.
    pub(crate) fn refuse_method(&mut self, request: &Request, now: Timestamp) -> Response {
        let call = Call::new(request, now);
        self.graph.refuse_method(&call).into_response()
    }

    fn answer(&mut self, request: &Request, others: u32, now: Timestamp) -> Response {
        let call = Call::new(request, now);
        let inner = strip(&call);
        let answer = match call.path.first().map(String::as_str) {
            Some("flowfact") => self.flowfact.answer(&inner),
            Some("graph") => self.graph.answer(&inner, others),
            _ if Ews::serves(&call.path) => self.ews.answer(&mut self.graph, &call, others),
            _ => {
                let why = "Nothing here. FLOWFACT is at /flowfact, Microsoft Graph at /graph/v1.0, \
                           Exchange Web Services at /EWS/Exchange.asmx.";
                Answer::text(RequestKind::Unknown, 404, why)
            }
        };
        self.book(request, &answer, now);
        let response = answer.into_response();
        self.counters.bytes_sent += response.body.len() as u64;
        response
    }

    fn gateway(
        &mut self,
        request: &Request,
        status: u16,
        wait: Option<(String, String)>,
        body: String,
        now: Timestamp,
    ) -> Response {
        let answer = Answer::text(RequestKind::Unknown, status, body);
        self.book(request, &answer, now);
        let mut response = answer.into_response();
        response.headers.extend(wait);
        response
    }

    fn book(&mut self, request: &Request, answer: &Answer, now: Timestamp) {
        let body_length = request.body.as_ref().map_or(0, Vec::len);
        self.counters.requests += 1;
        self.counters.bytes_received += body_length as u64;
        for item in &answer.items {
            self.counters.count(item.kind, item.status);
        }
        let status = answer.booked_status.unwrap_or(answer.status);
        self.counters.count(answer.kind, status);
        if !self.log.is_recording() {
            return;
        }
        for item in &answer.items {
            self.log.push(Record {
                at: now,
                kind: item.kind,
                method: item.method,
                target: item.target.clone(),
                headers: Vec::new(),
                body: item.body.clone(),
                status: item.status,
                batched: true,
            });
        }
        self.log.push(Record {
            at: now,
            kind: answer.kind,
            method: request.method,
            target: split_origin(&request.url).1.to_owned(),
            headers: request.headers.clone(),
            body: request.body.clone().unwrap_or_default(),
            status,
            batched: false,
        });
    }
}

/// The call without the segment that names the service.
fn strip<'a>(call: &Call<'a>) -> Call<'a> {
    let path = call.path.get(1..).unwrap_or_default().to_vec();
    Call {
        path,
        ..call.clone()
    }
}
