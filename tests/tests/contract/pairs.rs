//! Section 3: one pair, every case.

use contact_sync_guest::job::{DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};
use contact_sync_tests::simulator::{Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::stage::{ANNA, Edit, Ending, Expect, Scenario, Stands, State, crm, outlook};

fn erika() -> Value {
    json!({
        "firstName": ["Erika"], "lastName": ["Mustermann"],
        "emails": ["erika@muster.example"],
        "phones": [{"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"}],
    })
}

fn max() -> Value {
    json!({
        "givenName": "Max", "surname": "Kraft",
        "emailAddresses": [{"address": "max@kraft.example", "name": "Max Kraft"}],
        "mobilePhone": "0171 2345678",
    })
}

/// Erika is in step in Anna's mailbox.
fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

#[test]
fn new_in_the_mailbox_is_created_in_the_crm_with_the_marker() {
    Scenario::new()
        .then(
            [Edit::OutlookNew(ANNA, "max", max())],
            ANNA,
            Expect {
                operations: &["crm create max: new-in-mailbox"],
                writes: &[(Kind::FlowfactCreate, 1)],
                state: vec![
                    State::Crm(
                        "max",
                        json!({"firstName": ["Max"], "lastName": ["Kraft"], "emails": ["max@kraft.example"]}),
                    ),
                    State::Markers("max", &[ANNA]),
                    State::CrmCount(1),
                    State::Standing(ANNA, "max", Some(Stands::Linked)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn marked_in_the_crm_is_created_in_the_mailbox() {
    Scenario::new()
        .before([crm("erika", &[], erika())])
        .then(
            [Edit::Mark("erika", ANNA)],
            ANNA,
            Expect {
                operations: &["mailbox create erika: marker-set"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"givenName": "Erika", "surname": "Mustermann",
                               "displayName": "Erika Mustermann",
                               "businessPhones": ["+49 221 88990"]}),
                    ),
                    State::Crm("erika", erika()),
                    State::OutlookCount(ANNA, 1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unchanged_on_both_sides_is_left_alone() {
    linked().then([], ANNA, Expect::default()).check();
}

#[test]
fn edited_in_the_crm_is_written_to_the_mailbox() {
    linked()
        .then(
            [Edit::Crm("erika", json!({"position": ["Leitung"]}))],
            ANNA,
            Expect {
                operations: &["mailbox update erika: edited-in-crm"],
                writes: &[(Kind::GraphUpdate, 1)],
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                    State::Crm("erika", json!({"phones": erika()["phones"]})),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn edited_in_the_mailbox_is_written_to_the_crm() {
    linked()
        .then(
            [Edit::Outlook(
                ANNA,
                "erika",
                json!({"businessPhones": ["0221 889911"]}),
            )],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![State::Outlook(
                    ANNA,
                    "erika",
                    json!({"businessPhones": ["0221 889911"]}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn deleted_in_the_crm_is_deleted_softly_in_the_mailbox() {
    linked()
        .then(
            [Edit::CrmDelete("erika")],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                state: vec![
                    State::CrmTrashed("erika"),
                    State::Place(ANNA, "erika", Place::DeletedItems),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn deleted_in_the_mailbox_is_deleted_softly_in_the_crm() {
    linked()
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                state: vec![
                    State::CrmTrashed("erika"),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}
