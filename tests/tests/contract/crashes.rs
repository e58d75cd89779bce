//! A pass that dies at any step of the way is taken up, and ends as if it had not.
//!
//! Each scenario is played once without a crash. Then it is played again for every step (a request
//! or a call of the store) of its first round of passes: the step has its effect, the pass dies
//! before it learns of it, and fresh passes go on until nothing is written any more. Both sides'
//! contacts, bins, markers, links and what is pending must then be the same, and the journal must
//! hold at least what it held.

use std::collections::BTreeSet;

use contact_sync_guest::journal::{Cause, JournalEntry};
use contact_sync_guest::links::Standing;
use contact_sync_guest::pass::Mode;
use serde_json::{Map, Value, json};

use super::stage::{
    ANNA, BERND, Edit, PAUSE_MS, Scenario, Stage, Stands, Variant, crm, outlook, play, writes,
};

/// Rounds of passes after which a world must be at rest.
const ROUNDS_MAX: usize = 12;

/// What must be the same with and without a crash, whatever the ids.
#[derive(Debug, PartialEq)]
struct End {
    /// Each contact in the CRM, its marker among the fields.
    crm: Vec<String>,
    crm_trash: Vec<String>,
    /// Each contact in a mailbox's folder, and in its Deleted Items.
    mailbox: Vec<String>,
    mailbox_deleted: Vec<String>,
    /// Each remembered pair: the mailbox, where it stands, and what it agreed on.
    links: Vec<String>,
    pending: Vec<String>,
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn texts(contacts: impl IntoIterator<Item = Map<String, Value>>) -> Vec<String> {
    let without_number = |mut contact: Map<String, Value>| {
        contact.remove("identifier");
        Value::Object(contact).to_string()
    };
    sorted(contacts.into_iter().map(without_number).collect())
}

fn end(stage: &Stage) -> End {
    let addresses = stage.world.addresses().to_vec();
    let mut links = Vec::new();
    let mut pending = Vec::new();
    for address in &addresses {
        for link in stage.links(address) {
            let stands = match link.standing {
                Standing::Linked => Stands::Linked,
                Standing::Detached => Stands::Detached,
                Standing::Tombstone { .. } => Stands::Tombstone,
            };
            let base = (link.base.crm, link.base.view);
            links.push(format!(
                "{address} {stands:?} {} {base:?}",
                link.marker_seen
            ));
        }
        pending.extend(
            stage
                .pending(address)
                .into_iter()
                .map(|why| format!("{address} {why}")),
        );
    }
    stage.world.services(|services, _| {
        let all = |bin: bool| {
            let of = |address: &String| {
                let contacts = if bin {
                    services.graph.deleted_contacts(address)
                } else {
                    services.graph.contacts(address)
                };
                contacts.into_values().collect::<Vec<_>>()
            };
            texts(addresses.iter().flat_map(of))
        };
        End {
            crm: texts(services.flowfact.contacts().into_values()),
            crm_trash: texts(services.flowfact.trash().into_values()),
            mailbox: all(false),
            mailbox_deleted: all(true),
            links: sorted(links),
            pending: sorted(pending),
        }
    })
}

/// What the journals hold, each loss once: an entry too many is no harm. A user's newer value that
/// takes the place of an older one is written down with the link, after it was sent, and may be
/// missing: it is no loss, as both sides hold what somebody wrote last.
fn losses(stage: &Stage) -> BTreeSet<String> {
    let mut losses = BTreeSet::new();
    for (key, row) in stage
        .rows("m/")
        .into_iter()
        .filter(|(key, _)| key.contains("/journal/"))
    {
        let entry: JournalEntry = serde_json::from_slice(&row)
            .unwrap_or_else(|error| panic!("{key} in the journal: {error}"));
        if entry.cause == Cause::Changed {
            continue;
        }
        let whole = if entry.record.is_some() {
            "whole"
        } else {
            "values"
        };
        losses.insert(format!(
            "{:?} {:?} {whole} {} {:?}",
            entry.side, entry.cause, entry.contact.label, entry.lost
        ));
    }
    losses
}

/// One pass of each mailbox.
fn round(stage: &mut Stage) -> bool {
    let mut is_quiet = true;
    for address in stage.world.addresses().to_vec() {
        is_quiet &= writes(&stage.pass(&address).counters).is_empty();
    }
    stage.world.advance_ms(PAUSE_MS);
    is_quiet
}

fn come_to_rest(stage: &mut Stage, context: &str) {
    let mut quiet = 0;
    for _ in 0..ROUNDS_MAX {
        quiet = if round(stage) { quiet + 1 } else { 0 };
        if quiet == 2 {
            let intents = stage.rows("m/");
            let intents = intents
                .keys()
                .filter(|key| key.contains("/intent/"))
                .count();
            assert_eq!(intents, 0, "{context}: open intents");
            return;
        }
    }
    panic!("{context}: no rest; pending: {:?}", stage.pending(ANNA));
}

/// Kills the first round of passes at each of its steps.
pub(crate) fn check(scenario: fn() -> Stage) {
    let mut whole = scenario();
    let first = whole.world.steps();
    for address in whole.world.addresses().to_vec() {
        whole.pass(&address);
    }
    let steps = whole.world.steps() - first;
    whole.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut whole, "no crash");
    let expected = (end(&whole), losses(&whole));
    for step in 0..steps {
        let context = format!("dead after {step} of {steps} steps");
        let mut stage = scenario();
        let jobs: Vec<_> = stage
            .world
            .addresses()
            .iter()
            .map(|address| stage.job(address))
            .collect();
        stage.world.crash_after(step);
        let world = std::rc::Rc::clone(&stage.world);
        let crashed = world.run(|| {
            for job in jobs {
                play(&world, job, Mode::Sync);
            }
        });
        assert!(crashed.is_err(), "{context}: it lived");
        stage.learn();
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &context);
        assert_eq!(end(&stage), expected.0, "{context}");
        let lost = losses(&stage);
        let missing: Vec<_> = expected.1.difference(&lost).collect();
        assert!(
            missing.is_empty(),
            "{context}: not in the journal: {missing:#?}"
        );
    }
}

// ---- scenarios ----------------------------------------------------------------------------------

fn person(name: &str) -> Value {
    json!({"firstName": [name], "lastName": ["Muster"],
           "emails": [format!("{name}@muster.example")],
           "phones": [{"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"}]})
}

fn card(name: &str) -> Value {
    json!({"givenName": name, "surname": "Muster",
           "emailAddresses": [{"address": format!("{name}@muster.example"), "name": name}]})
}

/// People in step, then edits; the passes under test come a minute later.
fn edited(
    people: &[(&'static str, &'static [&'static str])],
    mailboxes: &'static [&'static str],
    edits: impl IntoIterator<Item = Edit>,
) -> Stage {
    edited_in(Variant::AccountField, people, mailboxes, edits)
}

fn edited_in(
    variant: Variant,
    people: &[(&'static str, &'static [&'static str])],
    mailboxes: &'static [&'static str],
    edits: impl IntoIterator<Item = Edit>,
) -> Stage {
    let people = people
        .iter()
        .map(|(name, marks)| crm(name, marks, person(name)));
    let mut stage = Scenario::new()
        .mailboxes(mailboxes)
        .ballast(6)
        .before(people)
        .stage(variant);
    for edit in edits {
        stage.edit(&edit);
    }
    stage.world.advance_ms(60_000);
    stage
}

/// Both sides are full, a part of them are the same people, and of one it is not certain.
pub(crate) fn first_sync() -> Stage {
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    for person in [
        crm("anton", &[ANNA], person("anton")),
        crm("berta", &[ANNA], person("berta")),
        crm("cäsar", &[], person("caesar")),
        crm(
            "emil",
            &[ANNA],
            json!({"firstName": ["Emil"], "lastName": ["Zwei"]}),
        ),
        outlook(ANNA, "berta", card("berta")),
        outlook(ANNA, "cäsar", card("caesar")),
        outlook(ANNA, "dora", card("dora")),
        outlook(
            ANNA,
            "emil",
            json!({"givenName": "Emil", "surname": "Zwei", "companyName": "X"}),
        ),
    ] {
        stage.add(&person);
    }
    stage
}

/// New on both sides, edited on each, edited on both, and edited to different values.
pub(crate) fn edits() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::CrmNew("dora", &[ANNA], person("dora")),
            Edit::OutlookNew(ANNA, "emil", card("emil")),
            Edit::Crm("anton", json!({"position": ["Leitung"]})),
            Edit::Outlook(
                ANNA,
                "berta",
                json!({"jobTitle": "Leitung", "businessPhones": []}),
            ),
            Edit::Crm(
                "cäsar",
                json!({"position": ["Leitung"], "company": ["Firma"]}),
            ),
            Edit::Outlook(
                ANNA,
                "cäsar",
                json!({"jobTitle": "Vertrieb", "department": "V"}),
            ),
        ],
    )
}

pub(crate) fn deletions() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::CrmDelete("anton"),
            Edit::OutlookDelete(ANNA, "berta"),
            Edit::CrmDelete("cäsar"),
            Edit::OutlookDelete(ANNA, "cäsar"),
        ],
    )
}

/// One side deleted, the other edited.
pub(crate) fn deletions_and_edits() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA])],
        &[ANNA],
        [
            Edit::CrmDelete("anton"),
            Edit::Outlook(ANNA, "anton", json!({"jobTitle": "Leitung"})),
            Edit::Crm("berta", json!({"position": ["Leitung"]})),
            Edit::OutlookDelete(ANNA, "berta"),
        ],
    )
}

pub(crate) fn markers() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::Unmark("anton", ANNA),
            Edit::Mark("berta", ANNA),
            Edit::Unmark("cäsar", ANNA),
            Edit::Outlook(ANNA, "cäsar", json!({"jobTitle": "Leitung"})),
        ],
    )
}

/// Detached and marked again; a tombstone whose contact is back on either side.
pub(crate) fn returns() -> Stage {
    let mut stage = edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::Unmark("anton", ANNA),
            Edit::OutlookDelete(ANNA, "berta"),
            Edit::CrmDelete("cäsar"),
        ],
    );
    come_to_rest(&mut stage, "before the return");
    for edit in [
        Edit::Mark("anton", ANNA),
        Edit::OutlookMoveBack(ANNA, "berta"),
        Edit::CrmRestore("cäsar"),
    ] {
        stage.edit(&edit);
    }
    stage.world.advance_ms(60_000);
    stage
}

/// In another folder, back under a new id, copied.
pub(crate) fn moves() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::OutlookMove(ANNA, "anton"),
            Edit::Crm("anton", json!({"position": ["Leitung"]})),
            Edit::OutlookRecreate(ANNA, "berta"),
            Edit::OutlookCopy(ANNA, "cäsar", "doppel"),
        ],
    )
}

/// The mailbox has forgotten the position: both sides are read wholly.
pub(crate) fn expired_position() -> Stage {
    edited(
        &[("anton", &[ANNA]), ("berta", &[ANNA]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::Outlook(ANNA, "anton", json!({"jobTitle": "Leitung"})),
            Edit::OutlookDelete(ANNA, "berta"),
            Edit::CrmDelete("cäsar"),
            Edit::OutlookNew(ANNA, "dora", card("dora")),
            Edit::Services(|services| services.graph.expire_delta_tokens(ANNA)),
        ],
    )
}

/// The marker is an entry beside the contact: a create takes two requests, and so does a pairing.
pub(crate) fn sync_entries() -> Stage {
    edited_in(
        Variant::SyncEntry,
        &[("anton", &[ANNA]), ("berta", &[]), ("cäsar", &[ANNA])],
        &[ANNA],
        [
            Edit::OutlookNew(ANNA, "dora", card("dora")),
            Edit::OutlookNew(ANNA, "berta", card("berta")),
            Edit::CrmNew("emil", &[ANNA], person("emil")),
            Edit::Unmark("anton", ANNA),
            Edit::OutlookDelete(ANNA, "cäsar"),
        ],
    )
}

pub(crate) fn two_mailboxes() -> Stage {
    edited(
        &[
            ("anton", &[ANNA, BERND]),
            ("berta", &[ANNA, BERND]),
            ("cäsar", &[ANNA]),
        ],
        &[ANNA, BERND],
        [
            Edit::Outlook(ANNA, "anton", json!({"jobTitle": "Leitung"})),
            Edit::Outlook(BERND, "anton", json!({"department": "Verkauf"})),
            Edit::OutlookDelete(ANNA, "berta"),
            Edit::Mark("cäsar", BERND),
            Edit::OutlookNew(BERND, "dora", card("dora")),
        ],
    )
}

#[test]
fn first_sync_that_dies() {
    check(first_sync);
}

#[test]
fn pass_that_dies_among_edits() {
    check(edits);
}

#[test]
fn pass_that_dies_among_deletions() {
    check(deletions);
}

#[test]
fn pass_that_dies_where_an_edit_outlives_a_deletion() {
    check(deletions_and_edits);
}

#[test]
fn pass_that_dies_among_markers() {
    check(markers);
}

#[test]
fn pass_that_dies_among_returns() {
    check(returns);
}

#[test]
fn pass_that_dies_among_moves() {
    check(moves);
}

#[test]
fn pass_that_dies_over_an_expired_position() {
    check(expired_position);
}

#[test]
fn pass_that_dies_between_two_mailboxes() {
    check(two_mailboxes);
}

#[test]
fn pass_that_dies_among_sync_entries() {
    check(sync_entries);
}
