//! Budgets: what a pass may cost. Named here beside the tests that keep them.

use std::rc::Rc;

use contact_sync_guest::pass::Mode;
use contact_sync_guest::report::Outcome;
use contact_sync_tests::simulator::{RequestKind as Kind, World};
use serde_json::json;

use super::stage::{ANNA, DAY_MS, PAUSE_MS, Played, play, with_mailbox, writes};

/// Enough that a cost per contact shows.
const CONTACTS: u64 = 1_000;

/// A pass without change: a page of the CRM's changes, one of its trash, one of the mailbox's.
const QUIET_REQUESTS_MAX: u64 = 3;
const QUIET_COMMITS_MAX: u64 = 1;
/// The state, and nothing per contact.
const QUIET_ROWS_MAX: u64 = 4;
/// As small for many contacts as for few, once the CRM's index shows what passes have written.
const QUIET_BYTES_WRITTEN_MAX: u64 = 8 * 1_024;

/// Requests of a pass with changes, beside the writes and the reads right before them.
const EXTRA_REQUESTS_MAX: u64 = 5;

/// Contacts of one commit of the executor.
const BATCH: u64 = 20;

fn world(people: u64) -> Rc<World> {
    let world = with_mailbox(World::builder(), ANNA).latency_ms(1).build();
    world.services(|services, _| {
        services.graph.quirks.requests_per_ten_minutes_max = None;
    });
    for number in 0..people {
        world.mailbox_create(
            ANNA,
            &json!({
                "givenName": "Vor", "surname": format!("Nach{number}"),
                "emailAddresses": [{"address": format!("p{number}@makler.example"), "name": "P"}],
            }),
        );
    }
    world
}

fn pass(world: &Rc<World>) -> Played {
    let played = play(world, world.job(ANNA), Mode::Sync);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
    world.advance_ms(PAUSE_MS);
    played
}

/// All of it on one world: setting a thousand contacts up takes longer than anything else here.
#[test]
fn thousand_contacts_cost_no_more_than_their_budgets() {
    let world = world(CONTACTS);
    first_sync(&world);
    // What the first pass wrote shows once.
    let echo = pass(&world);
    assert!(writes(&echo.counters).is_empty());
    quiet_pass(&world);
    one_percent_in_the_mailbox(&world);
    one_percent_in_the_crm(&world);
    daily_read(&world);
    quiet_pass(&world);
}

fn first_sync(world: &Rc<World>) {
    world.reset_store_counters();
    let played = pass(world);
    let written = writes(&played.counters).into_iter().collect::<Vec<_>>();
    assert_eq!(
        written,
        [(Kind::FlowfactCreate, CONTACTS)],
        "one write per contact"
    );
    // Pages of the mailbox, and what is asked once: sign-in, schema, mail accounts, folders, trash.
    let pages = CONTACTS / 50 + 1;
    assert!(
        played.counters.requests <= CONTACTS + pages + 20,
        "{:?}",
        played.counters
    );
    // Intents, then what was done: two a batch.
    let commits = world.store_counters().commits;
    assert!(commits <= 2 * CONTACTS / BATCH + 2, "{commits} commits");
}

fn quiet_pass(world: &Rc<World>) {
    world.reset_store_counters();
    let played = pass(world);
    assert!(
        played.counters.requests <= QUIET_REQUESTS_MAX,
        "{:?}",
        played.counters
    );
    assert!(writes(&played.counters).is_empty());
    let store = world.store_counters();
    assert!(store.commits <= QUIET_COMMITS_MAX, "{store:?}");
    assert!(store.rows_read <= QUIET_ROWS_MAX, "{store:?}");
    assert!(store.bytes_written <= QUIET_BYTES_WRITTEN_MAX, "{store:?}");
}

fn one_percent_in_the_mailbox(world: &Rc<World>) {
    let edited = CONTACTS / 100;
    for id in world.mailbox_ids(ANNA).iter().take(10) {
        world.mailbox_edit(ANNA, id, &json!({"jobTitle": "Leitung"}));
    }
    world.reset_store_counters();
    let played = pass(world);
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        [(Kind::FlowfactUpdate, edited)]
    );
    // FLOWFACT has no versions: one read before each write (contract, 7.5).
    assert!(
        played.counters.requests <= 2 * edited + EXTRA_REQUESTS_MAX,
        "{:?}",
        played.counters
    );
    let store = world.store_counters();
    assert!(store.commits <= 3, "{store:?}");
    assert!(store.rows_read <= 20 * edited, "{store:?}");
}

fn one_percent_in_the_crm(world: &Rc<World>) {
    let edited = CONTACTS / 100;
    for id in world.crm_ids().iter().rev().take(10) {
        world.crm_edit(id, &json!({"department": ["Verkauf"]}));
    }
    let played = pass(world);
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        [(Kind::GraphUpdate, edited)]
    );
    // Exchange batches.
    assert!(
        played.counters.requests <= edited + EXTRA_REQUESTS_MAX,
        "{:?}",
        played.counters
    );
    // The echo of both.
    let echo = pass(world);
    assert!(writes(&echo.counters).is_empty());
}

/// The daily full read: pages on both sides, and nothing written where nothing changed.
fn daily_read(world: &Rc<World>) {
    world.advance_ms(DAY_MS);
    let played = pass(world);
    assert!(writes(&played.counters).is_empty());
    assert!(
        played.counters.requests <= 2 * (CONTACTS / 50 + 1) + 20,
        "{:?}",
        played.counters
    );
}

/// Two address books that already are the same: pairs, and not one write but the markers.
#[test]
fn matching_alike_address_books_writes_no_contact() {
    let people: u64 = 200;
    let world = world(people);
    for number in 0..people {
        let id = world.crm_create(&json!({
            "firstName": ["Vor"], "lastName": [format!("Nach{number}")],
            "emails": [format!("p{number}@makler.example")],
        }));
        world.crm_mark(&id, ANNA);
    }
    let played = pass(&world);
    assert!(
        writes(&played.counters).is_empty(),
        "{:?}",
        writes(&played.counters)
    );
    assert_eq!(played.report.counts.crm.created, 0);
    assert_eq!(world.crm_ids().len() as u64, people);
}
