//! Several mailboxes: two of them never talk, everything goes through the CRM.

use contact_sync_tests::simulator::{Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::stage::{
    ANNA, BERND, DAY_MS, Edit, Expect, Scenario, Stands, State, Variant, crm, outlook,
};

fn erika() -> Value {
    json!({
        "firstName": ["Erika"], "lastName": ["Mustermann"],
        "emails": ["erika@muster.example"],
        "phones": [{"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"}],
    })
}

/// Erika is in step in both mailboxes.
fn linked() -> Scenario {
    Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .before([crm("erika", &[ANNA, BERND], erika())])
}

#[test]
fn edit_in_one_mailbox_reaches_the_other_through_the_crm() {
    linked()
        .then(
            [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["mailbox update erika: edited-in-crm"],
                writes: &[(Kind::GraphUpdate, 1)],
                state: vec![State::Outlook(
                    BERND,
                    "erika",
                    json!({"jobTitle": "Leitung"}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn deletion_in_one_mailbox_reaches_the_other_through_the_crm() {
    linked()
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                state: vec![
                    State::Place(BERND, "erika", Place::DeletedItems),
                    State::Standing(BERND, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

/// The edit wins in Bernd's mailbox, and the contact comes back, but not to Anna, who deleted it.
#[test]
pub(crate) fn restored_contact_loses_the_marker_of_the_mailbox_that_deleted_it() {
    linked()
        .then(
            [
                Edit::OutlookDelete(ANNA, "erika"),
                Edit::Outlook(BERND, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["crm restore erika: edit-outlives-deletion"],
                // The second update takes Anna's marker.
                writes: &[(Kind::FlowfactRestore, 1), (Kind::FlowfactUpdate, 2)],
                state: vec![
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "phones": erika()["phones"]}),
                    ),
                    State::Markers("erika", &[BERND]),
                ],
                ..Expect::default()
            },
        )
        .then(
            [],
            ANNA,
            Expect {
                state: vec![
                    State::Place(ANNA, "erika", Place::DeletedItems),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

/// Somebody in the CRM deleted it: no mailbox's deletion was the cause, all markers stay.
#[test]
fn contact_deleted_in_the_crm_is_restored_with_all_its_markers() {
    linked()
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::Outlook(BERND, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["crm restore erika: edit-outlives-deletion"],
                writes: &[(Kind::FlowfactRestore, 1), (Kind::FlowfactUpdate, 1)],
                state: vec![State::Markers("erika", &[ANNA, BERND])],
                ..Expect::default()
            },
        )
        .then(
            [],
            ANNA,
            Expect {
                operations: &["mailbox create erika: restored-in-crm"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![State::Outlook(
                    ANNA,
                    "erika",
                    json!({"jobTitle": "Leitung"}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

/// Who deleted it first does not count any more once it was back.
#[test]
fn cause_of_an_earlier_deletion_is_forgotten_with_the_restore() {
    linked()
        .only(&[Variant::AccountField])
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookMoveBack(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm restore erika: back-in-folder"],
                writes: &[(Kind::FlowfactRestore, 1)],
                ..Expect::default()
            },
        )
        .then([], BERND, Expect::default())
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::Outlook(BERND, "erika", json!({"jobTitle": "Leitung"})),
            ],
            BERND,
            Expect {
                operations: &["crm restore erika: edit-outlives-deletion"],
                writes: &[(Kind::FlowfactRestore, 1), (Kind::FlowfactUpdate, 1)],
                state: vec![State::Markers("erika", &[ANNA, BERND])],
                ..Expect::default()
            },
        )
        .then(
            [],
            ANNA,
            Expect {
                operations: &["mailbox update erika: edited-in-crm"],
                writes: &[(Kind::GraphUpdate, 1)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unmarking_for_one_mailbox_leaves_the_other_in_step() {
    linked()
        .then(
            [Edit::Unmark("erika", ANNA)],
            ANNA,
            Expect {
                operations: &["crm detach erika: marker-removed"],
                ..Expect::default()
            },
        )
        .then(
            [Edit::Crm("erika", json!({"position": ["Leitung"]}))],
            BERND,
            Expect {
                operations: &["mailbox update erika: edited-in-crm"],
                writes: &[(Kind::GraphUpdate, 1)],
                state: vec![State::Markers("erika", &[BERND])],
                ..Expect::default()
            },
        )
        .check();
}

/// Links to other mailboxes do not matter for matching: the same person in both is one contact.
#[test]
fn person_new_in_both_mailboxes_becomes_one_crm_contact() {
    let max = |title: &str| {
        json!({
            "givenName": "Max", "surname": "Kraft", "jobTitle": title,
            "emailAddresses": [{"address": "max@kraft.example", "name": "Max"}],
        })
    };
    Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .then(
            [
                Edit::OutlookNew(ANNA, "max", max("Leitung")),
                Edit::OutlookNew(BERND, "max", max("Leitung")),
            ],
            ANNA,
            Expect {
                operations: &["crm create max: new-in-mailbox"],
                writes: &[(Kind::FlowfactCreate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["crm pair max: same-person", "crm mark max: same-person"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![State::CrmCount(1), State::Markers("max", &[ANNA, BERND])],
                ..Expect::default()
            },
        )
        .check();
}

/// Anna and Bernd edit the same field: whoever reaches the CRM first defines its value.
#[test]
fn first_pass_to_reach_the_crm_defines_a_value_that_two_mailboxes_changed() {
    linked()
        .then(
            [
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                Edit::Outlook(BERND, "erika", json!({"jobTitle": "Vertrieb"})),
            ],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [],
            BERND,
            Expect {
                operations: &["mailbox update erika: edited-on-both-sides"],
                writes: &[(Kind::GraphUpdate, 1)],
                findings: &["conflict"],
                state: vec![
                    State::Outlook(BERND, "erika", json!({"jobTitle": "Leitung"})),
                    State::Crm("erika", json!({"position": ["Leitung"]})),
                ],
                ..Expect::default()
            },
        )
        .check();
}

/// A contact that was imported from one mailbox is exported to the other where it is marked.
#[test]
fn imported_contact_is_exported_where_somebody_marks_it() {
    Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .before([outlook(
            ANNA,
            "max",
            json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"}),
        )])
        .then(
            [Edit::Mark("max", BERND)],
            BERND,
            Expect {
                operations: &["mailbox create max: marker-set"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![State::Outlook(
                    BERND,
                    "max",
                    json!({"mobilePhone": "+49 171 2345678"}),
                )],
                ..Expect::default()
            },
        )
        .then([Edit::Wait(DAY_MS)], ANNA, Expect::default())
        .check();
}
