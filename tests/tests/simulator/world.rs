//! The world that scenarios run on: time, crashes, faults, the store and its limits.

use contact_sync_guest::outside::{
    Method, Outside, Request, SendError, StoreError, Timestamp, Write,
};
use contact_sync_tests::people::Sizes;
use contact_sync_tests::simulator::{
    Crashed, Fault, FaultRates, Matcher, Place, Record, RequestKind, StoreFault, World,
};
use serde_json::{Value, json};

use crate::client::ANNA;

fn request(method: Method, target: &str, body: Option<&Value>) -> Request {
    Request {
        method,
        url: format!("https://simulator.test{target}"),
        headers: Vec::new(),
        body: body.map(|body| body.to_string().into_bytes()),
        timeout_ms: 10_000,
    }
}

fn create(name: &str) -> Request {
    let body = json!({"firstName": {"values": [name]}});
    request(
        Method::Post,
        "/flowfact/entity-service/schemas/contacts",
        Some(&body),
    )
}

fn list() -> Request {
    request(
        Method::Get,
        &format!("{}/contacts", crate::client::USER),
        None,
    )
}

fn set(key: &str, value: &[u8]) -> Write {
    Write::Set(key.to_owned(), value.to_vec())
}

#[test]
fn both_services_answer_without_credentials_and_time_goes_by() {
    let world = World::builder().latency_ms(30).build();
    let start = world.now();
    let outcomes = world.send(vec![create("A"), list(), create("B"), list(), create("C")]);
    let statuses: Vec<u16> = outcomes
        .into_iter()
        .map(|outcome| outcome.expect("an answer").status)
        .collect();
    assert_eq!(statuses, [200; 5]);
    assert_eq!(world.now().since_ms(start), 60, "four at a time, then one");
    world.sleep(1000);
    assert_eq!(world.now().since_ms(start), 1060);
    world.advance_ms(-5000);
    assert!(world.now() < start);
    assert_eq!(world.crm_ids().len(), 3);
    assert_eq!(
        world.services(|services, _| services.counters().of(RequestKind::GraphList)),
        2
    );
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let ids = |seed| {
        let world = World::builder().seed(seed).build();
        world.send(vec![create("A")]);
        (world.crm_ids(), world.random(), world.random())
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[test]
fn hands_do_what_they_say() {
    let world = World::builder().build();
    let id = world.crm_create(&json!({"firstName": ["Änne"]}));
    world.crm_mark(&id, ANNA);
    world.crm_mark(&id, "bernd@makler.example");
    world.crm_unmark(&id, ANNA);
    assert_eq!(world.crm_markers(&id), ["bernd@makler.example"]);
    world.crm_edit(&id, &json!({"firstName": [], "lastName": ["Muster"]}));
    let fields = world.crm_fields(&id).expect("there");
    assert_eq!(
        (fields.get("firstName"), &fields["lastName"]),
        (None, &json!(["Muster"]))
    );
    world.crm_delete(&id);
    assert_eq!(
        (world.crm_fields(&id), world.crm_trash()),
        (None, vec![id.clone()])
    );
    assert_eq!(
        world.crm_markers(&id),
        ["bernd@makler.example"],
        "markers survive the trash"
    );
    world.crm_restore(&id);
    world.crm_delete(&id);
    world.crm_purge(&id);
    assert!(world.crm_trash().is_empty());
    let id = world.mailbox_create(ANNA, &json!({"givenName": "Änne"}));
    world.mailbox_edit(ANNA, &id, &json!({"mobilePhone": "0171 1"}));
    let copy = world.mailbox_copy(ANNA, &id);
    assert_eq!(
        world.mailbox_contact(ANNA, &id),
        world.mailbox_contact(ANNA, &copy)
    );
    world.mailbox_delete(ANNA, &copy);
    assert_eq!(world.mailbox_place(ANNA, &copy), Place::DeletedItems);
    world.mailbox_move_back(ANNA, &copy);
    world.mailbox_move(ANNA, &copy, "Privat");
    assert_eq!(
        world.mailbox_place(ANNA, &copy),
        Place::Folder("Privat".to_owned())
    );
    let again = world.mailbox_recreate(ANNA, &id);
    assert_eq!(world.mailbox_ids(ANNA), [again]);
    world.mailbox_purge(ANNA, &copy);
    assert_eq!(world.mailbox_place(ANNA, &copy), Place::Nowhere);
}

#[test]
fn a_job_leads_to_the_services() {
    let world = World::builder().build();
    let job = world.job(ANNA).to_json().expect("a job is JSON");
    let job: Value = serde_json::from_str(&job).expect("JSON");
    let base = job
        .pointer("/mailbox/office365/base-url")
        .and_then(Value::as_str);
    let target = format!("{}/users/{ANNA}/contacts", base.expect("a base"));
    let outcome = world
        .send(vec![Request {
            url: target,
            ..list()
        }])
        .remove(0);
    assert_eq!(outcome.expect("an answer").status, 200);
}

/// A fault, what the client sees, and whether the contact was created.
#[test]
fn faults_lose_answers_before_and_after_the_effect() {
    let lost = || Err(SendError::Connection("reset by the simulator".to_owned()));
    let refused = |status, retry_after_s| Fault::Refused {
        status,
        retry_after_s,
        body: "<html>".to_owned(),
    };
    let garbled = Fault::Garbled {
        body: vec![b'x'; 2_000_000],
    };
    let rows = [
        (Fault::LostBefore, lost(), 0),
        (Fault::LostAfter, lost(), 1),
        (refused(429, Some(7)), Ok((429, Some("7"), 6)), 0),
        (refused(503, None), Ok((503, None, 6)), 0),
        (Fault::RefusedAfter { status: 504 }, Ok((504, None, 0)), 1),
        (Fault::Slow { delay_ms: 5000 }, Ok((200, None, 36)), 1),
        (Fault::Slow { delay_ms: 50_000 }, Err(SendError::Timeout), 1),
        (garbled, Ok((200, None, 2_000_000)), 1),
    ];
    for (fault, expected, effect) in rows {
        let world = World::builder().build();
        let matcher = Matcher::of(Method::Post, "/schemas/contacts");
        world.services(|services, _| services.faults.next(matcher, fault.clone()));
        let start = world.now();
        let outcome = world.send(vec![create("A")]).remove(0);
        let seen = outcome.as_ref().map(|response| {
            (
                response.status,
                response.header("retry-after"),
                response.body.len(),
            )
        });
        assert_eq!(seen.map_err(Clone::clone), expected, "{fault:?}");
        assert_eq!(world.crm_ids().len(), effect, "{fault:?}");
        if let Fault::Slow { delay_ms } = fault {
            let waited = i64::from(delay_ms.min(10_000));
            assert_eq!(
                world.now().since_ms(start),
                waited,
                "no longer than the client waits"
            );
        }
        let next = world.send(vec![create("B")]).remove(0);
        assert_eq!(
            next.expect("an answer").status,
            200,
            "{fault:?} strikes once"
        );
    }
}

#[test]
fn a_script_skips_and_repeats() {
    let world = World::builder().build();
    world.services(|services, _| {
        services
            .faults
            .script(Matcher::url("/contacts"), 1, 2, Fault::LostBefore);
    });
    let outcomes = world.send(vec![list(), list(), list(), list()]);
    let lost: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(lost, [false, true, true, false]);
    assert_eq!(world.services(|services, _| services.faults.struck()), 2);
}

#[test]
fn seeded_faults_strike_alike_for_the_same_seed() {
    let struck = |seed| {
        let world = World::builder().build();
        world.services(|services, _| services.faults.seed(seed, FaultRates::bad_day()));
        let outcomes: Vec<String> = (0..1000)
            .map(|_| match world.send(vec![list()]).remove(0) {
                Ok(response) => response.status.to_string(),
                Err(error) => error.to_string(),
            })
            .collect();
        world.services(|services, _| services.faults.clear());
        assert_eq!(
            world
                .send(vec![list()])
                .remove(0)
                .expect("an answer")
                .status,
            200
        );
        outcomes
    };
    let outcomes = struck(5);
    assert_eq!(outcomes, struck(5));
    assert_ne!(outcomes, struck(6));
    for kind in [
        "200",
        "429",
        "503",
        "504",
        "no connection: reset by the simulator",
    ] {
        assert!(outcomes.iter().any(|outcome| outcome == kind), "no {kind}");
    }
}

/// A pass of five steps, killed before each of them: only the effects of the steps before are
/// there.
#[test]
fn a_crash_leaves_the_effects_of_the_steps_before_it() {
    for steps in 0..=5 {
        let world = World::builder().build();
        let pass = || {
            world.commit(vec![set("intent", b"A")]).expect("stored");
            world.send(vec![create("A"), create("B"), create("C")]);
            world.commit(vec![set("link", b"A"), Write::Delete("intent".to_owned())])
        };
        world.crash_after(steps);
        let outcome = world.run(pass);
        assert_eq!(outcome == Err(Crashed), steps < 5, "{steps}");
        assert_eq!(
            world.crm_ids().len(),
            usize::try_from(steps.clamp(1, 4) - 1).expect("small")
        );
        let stored: Vec<String> = world.stored().into_keys().collect();
        let expected: &[&str] = match steps {
            0 => &[],
            5 => &["link"],
            _ => &["intent"],
        };
        assert_eq!(stored, expected, "{steps}");
    }
}

/// The connections of a pass that died must not count for the next one.
#[test]
fn nothing_is_under_way_after_a_crash() {
    let world = World::builder().build();
    world.crash_after(2);
    let outcome = world.run(|| world.send(vec![list(), list(), list(), list()]));
    assert_eq!(outcome, Err(Crashed));
    let outcomes = world.send(vec![list(), list(), list(), list()]);
    let statuses = outcomes
        .into_iter()
        .map(|outcome| outcome.map(|response| response.status));
    let statuses: Vec<_> = statuses.collect();
    assert_eq!(statuses, [Ok(200), Ok(200), Ok(200), Ok(200)]);
}

#[test]
fn requests_in_flight_may_be_served_in_any_order() {
    let orders: std::collections::BTreeSet<String> = (0..20)
        .map(|seed| {
            let world = World::builder().seed(seed).build();
            world.shuffle_in_flight(true);
            world.services(|services, _| services.log.record(true));
            let names = ["A", "B", "C", "D"];
            let outcomes = world.send(names.map(create).to_vec());
            for (name, outcome) in names.iter().zip(outcomes) {
                let id = String::from_utf8(outcome.expect("an answer").body).expect("an id");
                let fields = world.crm_fields(&id).expect("created");
                assert_eq!(
                    fields["firstName"],
                    json!([name]),
                    "answers keep their places"
                );
            }
            let records = world.services(|services, _| services.log.take());
            let body =
                |record: &Record| -> Value { serde_json::from_slice(&record.body).expect("JSON") };
            let order: Vec<Value> = records
                .iter()
                .map(|record| body(record)["firstName"]["values"][0].clone())
                .collect();
            json!(order).to_string()
        })
        .collect();
    assert!(orders.len() > 3, "{orders:?}");
}

#[test]
fn the_store_keeps_its_rules() {
    let world = World::builder().build();
    let many = |count: usize| {
        (0..count)
            .map(|n| set(&format!("k{n}"), b"v"))
            .collect::<Vec<_>>()
    };
    let refused = [
        world.commit(vec![set("", b"v")]),
        world.commit(vec![set(&"k".repeat(513), b"v")]),
        world.commit(vec![set("a\nb", b"v")]),
        world.commit(vec![set("k", &vec![0; 1024 * 1024 + 1])]),
        world.commit(vec![set("k", b"v"), Write::Delete("k".to_owned())]),
        world.commit(many(1025)),
        world.commit(
            (0..9)
                .map(|n| set(&format!("k{n}"), &vec![0; 1024 * 1024]))
                .collect(),
        ),
        world.get_many(&vec!["k".to_owned(); 1025]).map(drop),
        world.scan("", None, 0).map(drop),
        world.scan("", None, 1025).map(drop),
    ];
    for (row, outcome) in refused.iter().enumerate() {
        assert!(
            matches!(outcome, Err(StoreError::Refused(_))),
            "{row}: {outcome:?}"
        );
    }
    assert!(world.stored().is_empty());
    assert_eq!(world.commit(many(1024)), Ok(()));
    assert_eq!(
        world.commit(vec![set(&"k".repeat(512), &vec![0; 1024 * 1024])]),
        Ok(())
    );
}

#[test]
fn the_store_reads_scans_and_counts() {
    let world = World::builder().build();
    let writes = ["a", "b1", "b2", "b3", "c"].map(|key| set(key, key.as_bytes()));
    world.commit(writes.to_vec()).expect("stored");
    let keys = ["c", "none", "a"].map(str::to_owned);
    let values = world.get_many(&keys).expect("read");
    assert_eq!(values, [Some(b"c".to_vec()), None, Some(b"a".to_vec())]);
    let keys = |page: &contact_sync_guest::outside::ScanPage| -> Vec<String> {
        page.entries.iter().map(|(key, _)| key.clone()).collect()
    };
    let page = world.scan("b", None, 2).expect("scanned");
    assert_eq!(
        (keys(&page), page.next.clone()),
        (vec!["b1".into(), "b2".into()], Some("b2".into()))
    );
    let page = world.scan("b", page.next.as_deref(), 2).expect("scanned");
    assert_eq!((keys(&page), page.next), (vec!["b3".into()], None));
    let counters = world.store_counters();
    assert_eq!((counters.reads, counters.rows_read), (3, 5));
    assert_eq!((counters.commits, counters.rows_written), (1, 5));
    world.limit_scans(1);
    let page = world.scan("b", None, 100).expect("scanned");
    assert_eq!((page.entries.len(), page.next.as_deref()), (1, Some("b1")));
    let older = world.stored();
    world
        .commit(vec![Write::Delete("a".to_owned())])
        .expect("stored");
    world.set_stored(older);
    assert_eq!(world.stored().len(), 5);
}

#[test]
fn a_scan_stays_below_eight_mebibytes() {
    let world = World::builder().build();
    for number in 0..10 {
        let write = set(&format!("k{number}"), &vec![0; 1024 * 1024 - 100]);
        world.commit(vec![write]).expect("stored");
    }
    let page = world.scan("k", None, 1024).expect("scanned");
    assert_eq!((page.entries.len(), page.next.as_deref()), (8, Some("k7")));
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    assert!(matches!(world.get_many(&keys), Err(StoreError::Refused(_))));
}

#[test]
fn the_store_fails_on_demand() {
    let rows = [
        (
            StoreFault::UnavailableBefore,
            StoreError::Unavailable(50),
            0,
        ),
        (StoreFault::UnavailableAfter, StoreError::Unavailable(50), 1),
        (StoreFault::LeaseLost, StoreError::LeaseLost, 0),
        (
            StoreFault::Quota,
            StoreError::Quota("the simulator says so".to_owned()),
            0,
        ),
    ];
    for (fault, error, stored) in rows {
        let world = World::builder().build();
        world.fail_store(1, fault);
        assert_eq!(world.get_many(&["k".to_owned()]), Ok(vec![None]));
        assert_eq!(world.commit(vec![set("k", b"v")]), Err(error), "{fault:?}");
        assert_eq!(world.stored().len(), stored, "{fault:?}");
        let next = world.commit(vec![set("l", b"v")]);
        let lost = fault == StoreFault::LeaseLost;
        assert_eq!(next.is_err(), lost, "a lost lease stays lost");
        world.fail_store(0, StoreFault::LeaseRegained);
        assert_eq!(world.commit(vec![set("m", b"v")]), Ok(()));
    }
}

#[test]
fn a_world_starts_when_and_where_it_is_told() {
    let world = World::builder()
        .start(Timestamp(1000))
        .mailbox("c@x.test")
        .build();
    assert_eq!(world.now(), Timestamp(1000));
    assert_eq!(world.addresses(), ["c@x.test"]);
    assert!(world.mailbox_ids("c@x.test").is_empty());
    let sizes = Sizes {
        crm: 5,
        mailbox: 7,
        shared: 2,
    };
    world.populate("c@x.test", 1, sizes);
    let mailbox = world.mailbox_ids("c@x.test");
    assert_eq!((world.crm_ids().len(), mailbox.len()), (5, 7));
    world.send(vec![create("A")]);
    assert_eq!(world.take_counters().writes(), 1);
    assert_eq!(world.take_counters().requests, 0);
}
