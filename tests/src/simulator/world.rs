//! A world for a pass, in virtual time: both services, a store, a clock, chance, and crashes.
//!
//! A test builds a world, runs a pass against it, and between passes is the people who work with
//! both sides:
//!
//! ```
//! use contact_sync_tests::simulator::World;
//! use serde_json::json;
//!
//! let world = World::builder().mailbox("anna@makler.example").build();
//! let contact = json!({"firstName": ["Änne"], "emails": ["aenne@example.de"]});
//! let id = world.crm_create(&contact);
//! world.crm_mark(&id, "anna@makler.example");
//! assert_eq!(world.crm_markers(&id), ["anna@makler.example"]);
//! ```

mod hands;
mod store;

pub use store::{StoreCounters, StoreFault};

use contact_sync_guest::job::{
    ConflictWinner, CrmAccess, CrmNotFound, DeleteEdit, Endpoint, EwsAccess, FlowfactAccess,
    GraphAccess, GraphUser, GuardLimits, Job, MailboxAccess, Matching, NativeSync, OnCrmDelete,
    OnMailboxDelete, OnUnmark, Policy, Tenant,
};
use contact_sync_guest::outside::{
    IN_FLIGHT_MAX, Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::chance::Chance;
use super::{Counters, EwsQuirks, FlowfactQuirks, GraphQuirks, MarkerKind, Simulator};
use crate::people::Sizes;
use store::MemoryStore;

/// Where the services of a world answer.
pub const ORIGIN: &str = "https://simulator.test";

/// Monday, 2 March 2026, nine o'clock in Berlin.
const MORNING: Timestamp = Timestamp(1_772_438_400_000);

/// Both services, and all else that a pass needs of the outside.
#[derive(Debug)]
pub struct World {
    simulator: RefCell<Simulator>,
    store: RefCell<MemoryStore>,
    now: Cell<Timestamp>,
    host_ahead_ms: Cell<i64>,
    chance: RefCell<Chance>,
    latency_ms: u32,
    steps: Cell<u64>,
    crash_at: Cell<Option<u64>>,
    shuffles: Cell<bool>,
    interruptions: RefCell<VecDeque<Interruption>>,
    addresses: Vec<String>,
    exchange_servers: Vec<String>,
}

/// What happens before the step of this number.
struct Interruption(u64, Box<dyn FnOnce(&World)>);

impl fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "before step {}", self.0)
    }
}

/// A pass was ended by a crash that the test ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// What a world is to be like.
#[derive(Clone, Debug)]
pub struct WorldBuilder {
    seed: u64,
    marker_kind: MarkerKind,
    flowfact: FlowfactQuirks,
    graph: GraphQuirks,
    ews: EwsQuirks,
    addresses: Vec<String>,
    exchange_servers: Vec<String>,
    start: Timestamp,
    latency_ms: u32,
}

impl WorldBuilder {
    /// Another seed: other ids, other randomness.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How contacts say that they sync with a mailbox. Without this: by the `EMAIL_ACCOUNT` field.
    #[must_use]
    pub fn marker(mut self, marker_kind: MarkerKind) -> Self {
        self.marker_kind = marker_kind;
        self
    }

    /// Changes how FLOWFACT behaves, from what is documented.
    #[must_use]
    pub fn flowfact(mut self, change: impl FnOnce(&mut FlowfactQuirks)) -> Self {
        change(&mut self.flowfact);
        self
    }

    /// Changes how Microsoft Graph behaves, from what is documented.
    #[must_use]
    pub fn graph(mut self, change: impl FnOnce(&mut GraphQuirks)) -> Self {
        change(&mut self.graph);
        self
    }

    /// Adds a mailbox. A world without any gets `anna@makler.example` and `bernd@makler.example`.
    #[must_use]
    pub fn mailbox(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// Changes how Exchange Web Services behave, from what is documented.
    #[must_use]
    pub fn ews(mut self, change: impl FnOnce(&mut EwsQuirks)) -> Self {
        change(&mut self.ews);
        self
    }

    /// This mailbox, which is added where it is not there yet, is on an Exchange Server: its passes
    /// reach it over Exchange Web Services.
    #[must_use]
    pub fn exchange_server(mut self, address: &str) -> Self {
        if !self.addresses.iter().any(|known| known == address) {
            self.addresses.push(address.to_owned());
        }
        self.exchange_servers.push(address.to_owned());
        self
    }

    /// When the clock starts. Without this: 2 March 2026, 08:00 UTC.
    #[must_use]
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// How long requests that are under way together take. Without this: 20 ms.
    #[must_use]
    pub fn latency_ms(mut self, latency_ms: u32) -> Self {
        self.latency_ms = latency_ms;
        self
    }

    /// The world, shared by the test and the pass.
    pub fn build(self) -> Rc<World> {
        let mut simulator = Simulator::new(self.seed, self.marker_kind, self.flowfact, self.graph);
        // Credentials are the host's, and there is none.
        simulator.set_authentication(false);
        simulator.ews.quirks = self.ews;
        let addresses = if self.addresses.is_empty() {
            ["anna@makler.example", "bernd@makler.example"]
                .map(str::to_owned)
                .to_vec()
        } else {
            self.addresses
        };
        for address in &addresses {
            let name = address.split('@').next().unwrap_or_default();
            simulator.add_mailbox(address, name);
        }
        for address in &self.exchange_servers {
            simulator.put_on_exchange_server(address);
        }
        Rc::new(World {
            simulator: RefCell::new(simulator),
            store: RefCell::new(MemoryStore::default()),
            now: Cell::new(self.start),
            host_ahead_ms: Cell::new(0),
            chance: RefCell::new(Chance::new(self.seed ^ 0x0072_616E_646F_6D21)),
            latency_ms: self.latency_ms,
            steps: Cell::new(0),
            crash_at: Cell::new(None),
            shuffles: Cell::new(false),
            interruptions: RefCell::default(),
            addresses,
            exchange_servers: self.exchange_servers,
        })
    }
}

impl World {
    /// A world that behaves as documented, until the builder is told otherwise.
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            seed: 1,
            marker_kind: MarkerKind::AccountField,
            flowfact: FlowfactQuirks::as_documented(),
            graph: GraphQuirks::as_documented(),
            ews: EwsQuirks::as_documented(),
            addresses: Vec::new(),
            exchange_servers: Vec::new(),
            start: MORNING,
            latency_ms: 20,
        }
    }

    /// Does something with the services: change quirks, order faults, look at the log.
    ///
    /// Nothing may be sent to the world meanwhile.
    pub fn services<T>(&self, act: impl FnOnce(&mut Simulator, Timestamp) -> T) -> T {
        let mut simulator = self.simulator.borrow_mut();
        simulator.catch_up(self.now.get());
        act(&mut simulator, self.now.get())
    }

    /// What was asked of the services since the beginning, or since this was last called.
    pub fn take_counters(&self) -> Counters {
        self.services(|services, _| services.take_counters())
    }

    /// Fills the company and a mailbox with invented people. Nobody carries a marker.
    pub fn populate(&self, address: &str, seed: u64, sizes: Sizes) {
        self.services(|services, now| services.populate(address, seed, sizes, now));
    }

    /// The addresses of the mailboxes.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    // ---- time, chance, crashes --------------------------------------------------------------

    /// Lets time go by; a negative number sets the clock back.
    pub fn advance_ms(&self, ms: i64) {
        self.now.set(self.now.get().plus_ms(ms));
    }

    /// Sets the clock of the host, and so of passes, ahead of the services' clocks, or back where
    /// the number is negative.
    pub fn shift_host_clock_ms(&self, ms: i64) {
        self.host_ahead_ms.set(self.host_ahead_ms.get() + ms);
    }

    /// Requests that are under way together are from now on served in any order.
    pub fn shuffle_in_flight(&self, shuffles: bool) {
        self.shuffles.set(shuffles);
    }

    /// Steps so far: each request and each call of the store is one.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// The pass dies after `steps` further steps have had their effect, and before it learns of the
    /// last of them. 0 lets it die at its first step.
    pub fn crash_after(&self, steps: u64) {
        self.crash_at.set(Some(self.steps.get() + steps));
    }

    /// After `steps` further steps, and before the next one, `act` happens: people do not wait for
    /// a pass to end. Orders are carried out in the order in which they are given.
    pub fn interrupt_after(&self, steps: u64, act: impl FnOnce(&World) + 'static) {
        let order = Interruption(self.steps.get() + steps, Box::new(act));
        self.interruptions.borrow_mut().push_back(order);
    }

    /// Carries out now what was ordered and has not happened.
    pub fn end_interruptions(&self) {
        while let Some(Interruption(_, act)) = self.next_interruption(u64::MAX) {
            act(self);
        }
    }

    fn next_interruption(&self, step: u64) -> Option<Interruption> {
        let mut orders = self.interruptions.borrow_mut();
        let is_due = orders
            .front()
            .is_some_and(|Interruption(at, _)| *at <= step);
        is_due.then(|| orders.pop_front()).flatten()
    }

    /// Runs `pass`; [`Crashed`] if the crash that was ordered ended it. Afterwards nothing is
    /// ordered any more.
    ///
    /// # Panics
    ///
    /// If `pass` does.
    pub fn run<T>(&self, pass: impl FnOnce() -> T) -> Result<T, Crashed> {
        let outcome = catch_unwind(AssertUnwindSafe(pass));
        self.crash_at.set(None);
        self.simulator.borrow_mut().disconnect();
        match outcome {
            Ok(value) => Ok(value),
            Err(payload) if payload.is::<Crashed>() => Err(Crashed),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// One step begins. Where it is the one before which the pass is to die, it dies: without a
    /// panic message, because nothing is wrong.
    fn step(&self) {
        while let Some(Interruption(_, act)) = self.next_interruption(self.steps.get()) {
            act(self);
        }
        if self.crash_at.get().is_some_and(|at| self.steps.get() >= at) {
            resume_unwind(Box::new(Crashed));
        }
        self.steps.set(self.steps.get() + 1);
    }

    // ---- the store --------------------------------------------------------------------------

    /// What was read from the store and written to it.
    pub fn store_counters(&self) -> StoreCounters {
        self.store.borrow().counters()
    }

    /// Forgets what was counted in the store.
    pub fn reset_store_counters(&self) {
        self.store.borrow_mut().reset_counters();
    }

    /// Everything that is stored.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.store.borrow().rows().clone()
    }

    /// Puts back what was stored once: a store older than the services, or none at all.
    pub fn set_stored(&self, rows: BTreeMap<String, Vec<u8>>) {
        self.store.borrow_mut().set_rows(rows);
    }

    /// Of the calls of the store, `skip` pass, the next one suffers this.
    pub fn fail_store(&self, skip: u32, fault: StoreFault) {
        self.store.borrow_mut().fail(skip, fault);
    }

    /// From now on a scan returns at most this many entries.
    pub fn limit_scans(&self, entries_max: usize) {
        self.store.borrow_mut().limit_scans(entries_max);
    }

    // ---- what a pass is told ----------------------------------------------------------------

    /// A job for this mailbox, with the rules that the contract names as defaults.
    ///
    /// # Panics
    ///
    /// If there is no such mailbox.
    pub fn job(&self, address: &str) -> Job {
        let id = address.replace(['@', '.'], "-");
        Job {
            tenant: Tenant {
                id: "makler".to_owned(),
                region: "DE".to_owned(),
            },
            crm: CrmAccess::Flowfact(self.flowfact_access(address)),
            mailbox: MailboxAccess {
                id,
                address: address.to_owned(),
                endpoint: self.endpoint(address),
            },
            policy: default_policy(),
        }
    }

    /// Whether the mailbox of this address is on an Exchange Server.
    pub fn is_on_exchange_server(&self, address: &str) -> bool {
        self.exchange_servers.iter().any(|known| known == address)
    }

    fn endpoint(&self, address: &str) -> Endpoint {
        if self.is_on_exchange_server(address) {
            return Endpoint::Ews(EwsAccess {
                url: Some(format!("{ORIGIN}{}", super::ews::PATH)),
                autodiscover: Vec::new(),
                impersonate: true,
                ask_search_key: true,
            });
        }
        Endpoint::Graph(GraphAccess {
            base_url: format!("{ORIGIN}/graph/v1.0"),
            user: GraphUser::User(address.to_owned()),
            trust_if_match: true,
        })
    }

    fn flowfact_access(&self, address: &str) -> FlowfactAccess {
        let marker = self.simulator.borrow().flowfact.marker(address);
        FlowfactAccess {
            base_url: format!("{ORIGIN}/flowfact"),
            schema: "contacts".to_owned(),
            company: None,
            fields: BTreeMap::new(),
            marker: marker.unwrap_or_else(|| panic!("no mailbox {address}")),
        }
    }
}

/// What the contract calls the default, rule by rule.
fn default_policy() -> Policy {
    Policy {
        conflict: ConflictWinner::Crm,
        delete_edit: DeleteEdit::KeepEdit,
        on_crm_delete: OnCrmDelete::DeleteInMailbox,
        on_mailbox_delete: OnMailboxDelete::DeleteInCrm,
        on_unmark: OnUnmark::Keep,
        matching: Matching::EmailOrPhone,
        guard: GuardLimits {
            contacts_max: 10,
            contacts_percent_max: 10,
        },
        journal_days: 30,
        native_sync: NativeSync::Ask,
        crm_not_found: CrmNotFound::Hold,
    }
}

impl Outside for World {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for together in requests.chunks(IN_FLIGHT_MAX) {
            outcomes.extend(self.send_together(together));
        }
        outcomes
    }

    fn now(&self) -> Timestamp {
        self.now.get().plus_ms(self.host_ahead_ms.get())
    }

    fn sleep(&self, wait_ms: u32) {
        self.advance_ms(i64::from(wait_ms));
    }

    fn random(&self) -> u64 {
        self.chance.borrow_mut().next_u64()
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.step();
        self.store.borrow_mut().get_many(keys)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        self.step();
        self.store.borrow_mut().scan(prefix, after, entries_max)
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.step();
        self.store.borrow_mut().commit(writes)
    }
}

impl World {
    /// Requests that are under way at the same time.
    fn send_together(&self, requests: &[Request]) -> Vec<Result<Response, SendError>> {
        let now = self.now.get();
        let tickets: Vec<_> = {
            let mut simulator = self.simulator.borrow_mut();
            requests
                .iter()
                .map(|request| simulator.arrive(request, now))
                .collect()
        };
        let mut order: Vec<usize> = (0..requests.len()).collect();
        if self.shuffles.get() {
            let mut chance = self.chance.borrow_mut();
            order.sort_by_cached_key(|_| chance.next_u64());
        }
        let mut outcomes: Vec<_> = requests.iter().map(|_| Err(SendError::Timeout)).collect();
        let mut delay_ms = self.latency_ms;
        for index in order {
            let (Some(request), Some(ticket)) = (requests.get(index), tickets.get(index)) else {
                continue;
            };
            self.step();
            let exchange = self.simulator.borrow_mut().exchange(request, ticket, now);
            delay_ms = delay_ms.max(exchange.delay_ms);
            if let Some(outcome) = outcomes.get_mut(index) {
                *outcome = exchange.outcome;
            }
        }
        let mut simulator = self.simulator.borrow_mut();
        for ticket in &tickets {
            simulator.depart(ticket);
        }
        self.advance_ms(i64::from(delay_ms));
        outcomes
    }
}
