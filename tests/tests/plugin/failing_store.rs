//! A store that fails half-way through a pass of the shipped component.
//!
//! Goal: the pass ends in words, nothing is lost, nothing is doubled, and a pass on the store when
//! it is well again finishes the work (contract, sections 7.3 and 7.4). Method: a first sync whose
//! store fails at its n-th call: once, or from then on; before the call has its effect, or after
//! it, when only the answer is lost. In the end both sides must hold what they hold where nothing
//! failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use contact_sync_host::store::{
    Access, Acquired, Answer, Clock, Crash, Lease, MemoryStore, NAMESPACE_BYTES_MAX_DEFAULT, Page,
    ScanRange, Store, StoreError, Write, system_clock,
};
use contact_sync_host::types::{Failure, Outcome};
use contact_sync_host::{Error, Mailbox, Mode};
use contact_sync_tests::office::{Premises, now, tenant_with_store};
use serde_json::{Map, Value, json};

const ANNA: &str = "anna@makler.example";

/// Longer than a lease lives and a create takes to settle (contract, 7.3).
const LATER_MS: u64 = 660_000;

/// A store that is unavailable for some of its calls.
struct Failing {
    well: MemoryStore,
    calls: AtomicUsize,
    first: AtomicUsize,
    times: AtomicUsize,
    /// Whether a call has its effect all the same.
    has_effect: AtomicBool,
}

impl Failing {
    fn new(clock: Clock) -> Self {
        Self {
            well: MemoryStore::new(clock, NAMESPACE_BYTES_MAX_DEFAULT),
            calls: AtomicUsize::new(0),
            first: AtomicUsize::new(0),
            times: AtomicUsize::new(0),
            has_effect: AtomicBool::new(false),
        }
    }

    fn fail(&self, first: usize, times: usize, has_effect: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.first.store(first, Ordering::SeqCst);
        self.times.store(times, Ordering::SeqCst);
        self.has_effect.store(has_effect, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn struck<'a, T: 'a>(
        &'a self,
        call: impl FnOnce() -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let first = self.first.load(Ordering::SeqCst);
        let is_well = number < first || number - first >= self.times.load(Ordering::SeqCst);
        Box::pin(async move {
            if is_well {
                return call().await;
            }
            if self.has_effect.load(Ordering::SeqCst) {
                call().await?;
            }
            Err(StoreError::Unavailable { retry_ms: 1 })
        })
    }
}

impl Store for Failing {
    fn acquire<'a>(
        &'a self,
        tenant: &'a str,
        holder: &'a str,
        ttl_ms: u64,
    ) -> Answer<'a, Acquired> {
        self.struck(move || self.well.acquire(tenant, holder, ttl_ms))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl_ms: u64) -> Answer<'a, ()> {
        self.well.renew(lease, ttl_ms)
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        self.struck(move || self.well.release(lease))
    }

    fn get_many<'a>(
        &'a self,
        access: &'a Access,
        keys: Vec<String>,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        self.struck(move || self.well.get_many(access, keys, bytes_max))
    }

    fn scan<'a>(&'a self, access: &'a Access, range: ScanRange) -> Answer<'a, Page> {
        self.struck(move || self.well.scan(access, range))
    }

    fn commit<'a>(&'a self, lease: &'a Lease, writes: Vec<Write>) -> Answer<'a, ()> {
        self.struck(move || self.well.commit(lease, writes))
    }

    fn keep_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str, crash: Crash) -> Answer<'a, ()> {
        self.well.keep_crash(tenant, mailbox, crash)
    }

    fn last_crash<'a>(&'a self, tenant: &'a str, mailbox: &'a str) -> Answer<'a, Option<Crash>> {
        self.well.last_crash(tenant, mailbox)
    }
}

/// One story: three contacts marked in the CRM, and two others in the mailbox.
struct Story<'a> {
    premises: &'a Premises,
    store: Arc<Failing>,
    ahead_ms: Arc<AtomicU64>,
    mailbox: Mailbox,
}

impl<'a> Story<'a> {
    async fn begin(premises: &'a Premises) -> Self {
        premises.clear(7, &[ANNA]).expect("the same premises");
        {
            let mut services = premises.services();
            for number in 0..3 {
                let id = services.flowfact.create(in_crm(number), now());
                services.flowfact.set_marker(&id, ANNA, now());
            }
            for number in 3..5 {
                services.graph.create(ANNA, &in_outlook(number), now());
            }
        }
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let (real, ahead) = (system_clock(), Arc::clone(&ahead_ms));
        let clock: Clock = Arc::new(move || real() + ahead.load(Ordering::SeqCst));
        let store = Arc::new(Failing::new(Arc::clone(&clock)));
        let tenant = tenant_with_store(premises.folder(), clock, Arc::clone(&store) as _).await;
        let tenant = tenant.expect("a tenant");
        let mailbox = tenant.mailbox("anna").expect("her mailbox").clone();
        Self {
            premises,
            store,
            ahead_ms,
            mailbox,
        }
    }

    async fn pass(&self) -> Result<Outcome, Error> {
        let mut pass = self.mailbox.open(Mode::Sync).await?;
        let report = pass.run(|_| {}).await;
        pass.close().await;
        report.map(|report| report.outcome)
    }

    /// Passes on the store as it is, time going by between them, and what both sides hold then.
    async fn end(&self, place: &str) -> Vec<String> {
        for _ in 0..2 {
            let ahead = self.ahead_ms.fetch_add(LATER_MS, Ordering::SeqCst) + LATER_MS;
            self.premises.services().http_clock_ahead_ms = ahead.try_into().expect("not so far");
            assert_eq!(
                self.pass().await.expect(place),
                Outcome::Complete,
                "{place}"
            );
        }
        self.premises.services().take_counters();
        assert_eq!(
            self.pass().await.expect(place),
            Outcome::Complete,
            "{place}"
        );
        let writes = self.premises.services().counters().writes();
        assert_eq!(writes, 0, "{place}");
        assert_eq!(
            self.mailbox.status().await.expect(place).links,
            5,
            "{place}"
        );
        let crash = self.mailbox.last_crash().await.expect(place);
        assert!(crash.is_none(), "{place}: {crash:?}");
        self.holdings()
    }

    fn holdings(&self) -> Vec<String> {
        let services = self.premises.services();
        let crm = services.flowfact.contacts().into_values();
        let crm = crm.map(|fields| format!("CRM {:?}", fields.get("emails")));
        let outlook = services.graph.contacts(ANNA).into_values();
        let outlook = outlook.map(|fields| format!("mailbox {:?}", fields.get("givenName")));
        let mut held: Vec<_> = crm.chain(outlook).collect();
        held.sort();
        held
    }
}

/// Whether a pass that met a failing store ended in words, and whether it came to its end.
fn ended(outcome: Result<Outcome, Error>, place: &str) -> bool {
    match outcome {
        Ok(Outcome::Complete) => true,
        Ok(Outcome::Stopped(Failure::StoreUnavailable(problem))) => {
            assert!(problem.remedy.is_some(), "{place}: {problem:?}");
            false
        }
        Err(error @ Error::Store(StoreError::Unavailable { .. })) => {
            assert!(error.remedy().is_some(), "{place}");
            false
        }
        other => panic!("{place}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_may_fail_at_any_call() {
    let premises = Premises::open_with_policy(7, &[ANNA], "matching = \"off\"").await;
    let premises = premises.expect("premises");
    let story = Story::begin(&premises).await;
    story.store.fail(0, 0, false);
    assert_eq!(story.pass().await.expect("a pass"), Outcome::Complete);
    let calls = story.store.calls();
    assert!(calls >= 10, "{calls} calls are no story");
    let expected = story.end("well").await;
    assert_eq!(expected.len(), 10);

    let ways = [
        (1, false),
        (usize::MAX, true),
        (1, true),
        (usize::MAX, false),
    ];
    for (times, has_effect) in ways {
        for first in 0..calls {
            let place = format!("call {first} of {calls}, {times} times, effect: {has_effect}");
            let story = Story::begin(&premises).await;
            story.store.fail(first, times, has_effect);
            let is_complete = ended(story.pass().await, &place);
            // One bad call is borne, but for the first: without a lease there is no pass. The last
            // one gives the lease back, when the pass is over.
            let is_borne = (times == 1 && first > 0) || first == calls - 1;
            assert_eq!(is_complete, is_borne, "{place}");
            story.store.fail(0, 0, false);
            assert_eq!(story.end(&place).await, expected, "{place}");
        }
    }
}

fn email(number: usize) -> String {
    format!("person{number}@muster.example")
}

fn in_crm(number: usize) -> Map<String, Value> {
    object(&json!({
        "firstName": [format!("Vor{number}")],
        "lastName": [format!("Nach{number}")],
        "emails": [email(number)],
    }))
}

fn in_outlook(number: usize) -> Map<String, Value> {
    object(&json!({
        "givenName": format!("Vor{number}"),
        "surname": format!("Nach{number}"),
        "emailAddresses": [{"name": email(number), "address": email(number)}],
    }))
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
