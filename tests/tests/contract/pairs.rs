//! Section 3: one pair, every case.

use contact_sync_guest::job::{CrmNotFound, DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};
use contact_sync_tests::simulator::{Access, Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::stage::{
    ANNA, DAY_MS, Edit, Ending, Expect, Scenario, Stage, Stands, State, Variant, crm,
};

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
                        json!({"firstName": ["Max"], "lastName": ["Kraft"],
                            "emails": ["max@kraft.example"]}),
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
pub(crate) fn deleted_in_the_mailbox_is_deleted_softly_in_the_crm() {
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

/// Gone for good, not only moved to Deleted Items: in the CRM it still goes to the trash.
#[test]
fn purged_in_the_mailbox_is_deleted_softly_in_the_crm() {
    linked()
        .then(
            [Edit::OutlookPurge(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                state: vec![State::CrmTrashed("erika")],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
pub(crate) fn edit_in_the_mailbox_outlives_a_deletion_in_the_crm() {
    linked()
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["crm restore erika: edit-outlives-deletion"],
                writes: &[(Kind::FlowfactRestore, 1), (Kind::FlowfactUpdate, 1)],
                state: vec![
                    // Restored, not rebuilt: what Exchange does not hold is still there.
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "phones": erika()["phones"]}),
                    ),
                    State::Markers("erika", &[ANNA]),
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                    State::CrmCount(1),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn edit_in_the_mailbox_falls_with_a_deletion_where_the_tenant_says_so() {
    linked()
        .policy(|policy| policy.delete_edit = DeleteEdit::Delete)
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                state: vec![
                    State::CrmTrashed("erika"),
                    State::Place(ANNA, "erika", Place::DeletedItems),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn edit_is_held_where_its_crm_contact_was_purged() {
    linked()
        .only(&[Variant::AccountField, Variant::Tag])
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::CrmPurge("erika"),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                // Known only when the record is read before it is written.
                operations: &["crm update erika: edited-in-mailbox [put-off]"],
                findings: &["vanished-in-crm"],
                state: vec![
                    State::CrmNowhere("erika"),
                    State::CrmCount(0),
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                    State::Pending(ANNA, &["vanished-in-crm"]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn edit_in_the_crm_outlives_a_deletion_in_the_mailbox() {
    linked()
        .then(
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                operations: &["mailbox create erika: edit-outlives-deletion"],
                writes: &[(Kind::GraphCreate, 1)],
                findings: &["created-again-in-mailbox"],
                state: vec![
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"jobTitle": "Leitung", "surname": "Mustermann"}),
                    ),
                    State::Crm("erika", json!({"phones": erika()["phones"]})),
                    State::CrmCount(1),
                    State::OutlookCount(ANNA, 1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn edit_in_the_crm_falls_with_a_deletion_where_the_tenant_says_so() {
    linked()
        .policy(|policy| policy.delete_edit = DeleteEdit::Delete)
        .then(
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                state: vec![State::CrmTrashed("erika")],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn deleted_on_both_sides_is_forgotten() {
    linked()
        .then(
            [Edit::CrmDelete("erika"), Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm forget erika: deleted-on-both-sides"],
                state: vec![State::Standing(ANNA, "erika", Some(Stands::Tombstone))],
                ..Expect::default()
            },
        )
        .check();
}

// ---- gentler policies -------------------------------------------------------------------------

#[test]
fn deleted_in_the_mailbox_only_takes_the_marker_where_the_tenant_says_so() {
    linked()
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm unmark erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![
                    State::Crm("erika", erika()),
                    State::Markers("erika", &[]),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn deleted_in_the_crm_leaves_the_mailbox_contact_detached_where_the_tenant_says_so() {
    linked()
        .policy(|policy| policy.on_crm_delete = OnCrmDelete::KeepInMailbox)
        .then(
            [Edit::CrmDelete("erika")],
            ANNA,
            Expect {
                operations: &["crm detach erika: deleted-in-crm"],
                state: vec![
                    State::CrmTrashed("erika"),
                    State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                    State::Standing(ANNA, "erika", Some(Stands::Detached)),
                ],
                ..Expect::default()
            },
        )
        .then(
            // Its edits are its own now: not imported.
            [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))],
            ANNA,
            Expect::default(),
        )
        .check();
}

// ---- the marker is taken away -----------------------------------------------------------------

fn detached() -> Scenario {
    linked().then(
        [Edit::Unmark("erika", ANNA)],
        ANNA,
        Expect {
            operations: &["crm detach erika: marker-removed"],
            state: vec![
                State::Crm("erika", erika()),
                State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                State::Standing(ANNA, "erika", Some(Stands::Detached)),
            ],
            ..Expect::default()
        },
    )
}

#[test]
fn unmarked_pair_is_detached_and_both_copies_go_their_own_way() {
    detached()
        .then(
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
            ],
            ANNA,
            Expect {
                state: vec![
                    State::Crm("erika", json!({"position": ["Leitung"]})),
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
                    State::CrmCount(1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unmarked_pair_with_an_edit_in_the_mailbox_is_detached_too() {
    linked()
        .then(
            [
                Edit::Unmark("erika", ANNA),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
            ],
            ANNA,
            Expect {
                operations: &["crm detach erika: marker-removed"],
                state: vec![
                    State::Crm("erika", json!({"position": null})),
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unmarked_pair_whose_mailbox_contact_is_gone_is_forgotten() {
    linked()
        .then(
            [
                Edit::Unmark("erika", ANNA),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                operations: &["crm forget erika: marker-removed"],
                state: vec![
                    State::Crm("erika", erika()),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unmarking_deletes_from_the_mailbox_where_the_tenant_says_so() {
    linked()
        .policy(|policy| policy.on_unmark = OnUnmark::DeleteFromMailbox)
        .then(
            [Edit::Unmark("erika", ANNA)],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: marker-removed"],
                writes: &[(Kind::GraphDelete, 1)],
                state: vec![
                    State::Crm("erika", erika()),
                    State::Place(ANNA, "erika", Place::DeletedItems),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unmarking_never_deletes_an_edited_mailbox_contact() {
    linked()
        .policy(|policy| policy.on_unmark = OnUnmark::DeleteFromMailbox)
        .then(
            [
                Edit::Unmark("erika", ANNA),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
            ],
            ANNA,
            Expect {
                operations: &["crm detach erika: marker-removed"],
                state: vec![State::Outlook(
                    ANNA,
                    "erika",
                    json!({"jobTitle": "Vertrieb"}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

// ---- detached ---------------------------------------------------------------------------------

#[test]
fn detached_and_deleted_in_the_mailbox_is_forgotten() {
    detached()
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm forget erika: deleted-in-mailbox"],
                state: vec![
                    State::Crm("erika", erika()),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn detached_and_deleted_in_the_crm_stays_detached() {
    detached()
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
            ],
            ANNA,
            Expect {
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
                    State::Standing(ANNA, "erika", Some(Stands::Detached)),
                    State::CrmCount(0),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn detached_and_marked_again_is_linked_as_a_first_pair() {
    detached()
        .then(
            [
                // Cleared here, kept there: the old base removes nothing.
                Edit::Crm("erika", json!({"phones": [], "position": ["Leitung"]})),
                Edit::Outlook(ANNA, "erika", json!({"department": "Verkauf"})),
            ],
            ANNA,
            Expect::default(),
        )
        .then(
            [Edit::Mark("erika", ANNA)],
            ANNA,
            Expect {
                operations: &[
                    "crm pair erika: marker-set-again",
                    "crm update erika: marker-set-again",
                    "mailbox update erika: marker-set-again",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "department": ["Verkauf"],
                               "phones": [{"type": "office", "number": "+49 221 88990"}]}),
                    ),
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"jobTitle": "Leitung", "department": "Verkauf",
                               "businessPhones": ["+49 221 88990"]}),
                    ),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn detached_and_marked_again_is_created_anew_where_the_mailbox_contact_is_gone() {
    detached()
        .then(
            [
                Edit::OutlookDelete(ANNA, "erika"),
                Edit::Mark("erika", ANNA),
            ],
            ANNA,
            Expect {
                operations: &["mailbox create erika: marker-set-again"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                    State::OutlookCount(ANNA, 1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

// ---- tombstones -------------------------------------------------------------------------------

fn deleted_in_crm() -> Scenario {
    linked().then(
        [Edit::CrmDelete("erika")],
        ANNA,
        Expect {
            operations: &["mailbox delete erika: deleted-in-crm"],
            writes: &[(Kind::GraphDelete, 1)],
            ..Expect::default()
        },
    )
}

#[test]
fn restored_in_the_crm_is_created_in_the_mailbox_again() {
    deleted_in_crm()
        .then(
            [Edit::CrmRestore("erika")],
            ANNA,
            Expect {
                operations: &["mailbox create erika: restored-in-crm"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                    State::Crm("erika", erika()),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                    State::OutlookCount(ANNA, 1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn restored_in_the_crm_is_found_by_the_trash_where_restoring_is_no_modification() {
    deleted_in_crm()
        .world(|builder| builder.flowfact(|quirks| quirks.restore_modifies = false))
        .then(
            [Edit::CrmRestore("erika")],
            ANNA,
            Expect {
                operations: &["mailbox create erika: restored-in-crm"],
                writes: &[(Kind::GraphCreate, 1)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
pub(crate) fn back_in_the_folder_restores_the_crm_contact() {
    linked()
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
                state: vec![
                    State::Crm("erika", erika()),
                    State::Markers("erika", &[ANNA]),
                    State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                    State::CrmCount(1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn back_in_the_folder_is_marked_again_where_only_the_marker_had_gone() {
    linked()
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm unmark erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookMoveBack(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &[
                    "crm pair erika: back-in-folder",
                    "crm mark erika: back-in-folder",
                ],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![
                    State::Markers("erika", &[ANNA]),
                    State::Standing(ANNA, "erika", Some(Stands::Linked)),
                    State::CrmCount(1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

fn grant(stage: &Stage, access: Access) {
    let id = stage.crm_id("erika");
    let done = stage
        .world
        .services(|services, now| services.flowfact.grant(&id, access, now));
    assert!(done, "erika is not in the CRM");
}

// ---- held -------------------------------------------------------------------------------------

#[test]
pub(crate) fn vanished_in_the_crm_is_held_by_a_full_read_too() {
    linked()
        .only(&[Variant::FullRead])
        .then(
            [Edit::CrmDelete("erika"), Edit::CrmPurge("erika")],
            ANNA,
            Expect {
                findings: &["vanished-in-crm"],
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"surname": "Mustermann"})),
                    State::Pending(ANNA, &["vanished-in-crm"]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn vanished_in_the_crm_is_a_deletion_where_the_tenant_says_so() {
    linked()
        .only(&[Variant::FullRead])
        .policy(|policy| policy.crm_not_found = CrmNotFound::Deleted)
        .then(
            [Edit::CrmDelete("erika"), Edit::CrmPurge("erika")],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                state: vec![State::Place(ANNA, "erika", Place::DeletedItems)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn vanished_in_the_crm_is_held_and_goes_on_when_it_is_back() {
    linked()
        .only(&Variant::FEEDS)
        .world(|builder| builder.flowfact(|quirks| quirks.hidden_status = 404))
        .then(
            [
                Edit::Do(Box::new(|stage| grant(stage, Access::Hidden))),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox [put-off]"],
                findings: &["vanished-in-crm"],
                state: vec![
                    State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                    State::Pending(ANNA, &["vanished-in-crm"]),
                ],
                ..Expect::default()
            },
        )
        .then(
            [
                Edit::Do(Box::new(|stage| grant(stage, Access::Full))),
                Edit::Wait(DAY_MS),
            ],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![
                    State::Crm("erika", json!({"position": ["Leitung"]})),
                    State::Pending(ANNA, &[]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
pub(crate) fn moved_to_another_folder_is_held_and_merged_when_it_comes_back() {
    linked()
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .then(
            [Edit::OutlookMove(ANNA, "erika")],
            ANNA,
            Expect {
                findings: &["moved-in-mailbox"],
                state: vec![
                    State::Crm("erika", erika()),
                    State::Place(ANNA, "erika", Place::Folder("Privat".to_owned())),
                    State::Pending(ANNA, &["moved-in-mailbox"]),
                ],
                ..Expect::default()
            },
        )
        .then(
            // Edited here and there meanwhile: nothing is written to the held side.
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::Outlook(ANNA, "erika", json!({"department": "Verkauf"})),
            ],
            ANNA,
            Expect {
                state: vec![
                    State::Crm("erika", json!({"department": null})),
                    State::Pending(ANNA, &["moved-in-mailbox"]),
                ],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookMoveBack(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &[
                    "crm update erika: edited-on-both-sides",
                    "mailbox update erika: edited-on-both-sides",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "department": ["Verkauf"]}),
                    ),
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"jobTitle": "Leitung", "department": "Verkauf"}),
                    ),
                    State::Pending(ANNA, &[]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn moved_and_deleted_in_the_crm_is_held_and_not_deleted() {
    linked()
        .then(
            [Edit::OutlookMove(ANNA, "erika"), Edit::CrmDelete("erika")],
            ANNA,
            Expect {
                findings: &["moved-in-mailbox"],
                state: vec![
                    State::Place(ANNA, "erika", Place::Folder("Privat".to_owned())),
                    State::CrmTrashed("erika"),
                    State::Pending(ANNA, &["moved-in-mailbox"]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn unreadable_in_the_crm_is_held() {
    linked()
        .world(|builder| builder.flowfact(|quirks| quirks.hidden_status = 403))
        .then(
            [
                Edit::Do(Box::new(|stage| grant(stage, Access::Hidden))),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                findings: &["crm-unreadable"],
                state: vec![
                    State::CrmCount(1),
                    State::Pending(ANNA, &["crm-unreadable"]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn emptied_address_book_is_a_question_not_a_deletion() {
    linked()
        .only(&Variant::FEEDS)
        .then(
            [Edit::Do(Box::new(|stage| {
                for id in stage.world.mailbox_ids(ANNA) {
                    stage.world.mailbox_delete(ANNA, &id);
                }
            }))],
            ANNA,
            Expect {
                operations: &[
                    "crm delete erika: deleted-in-mailbox [held-back]",
                    "crm delete somebody: deleted-in-mailbox [held-back]",
                    "crm delete somebody: deleted-in-mailbox [held-back]",
                    "crm delete somebody: deleted-in-mailbox [held-back]",
                    "crm delete somebody: deleted-in-mailbox [held-back]",
                ],
                ending: Ending::NeedsApproval("side-empty"),
                state: vec![State::Crm("erika", erika())],
                ..Expect::default()
            },
        )
        .check();
}
