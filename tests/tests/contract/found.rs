//! What the simulation found, told as scenarios: each was lost, doubled or taken apart once.

use contact_sync_tests::simulator::{MarkerKind, Place};
use serde_json::{Value, json};

use super::stage::{
    ANNA, BERND, DAY_MS, Edit, PAUSE_MS, Scenario, Stage, Stands, State, Variant, crm, outlook,
};
use contact_sync_guest::job::OnCrmDelete;

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Mustermann"], "emails": ["erika@muster.example"]})
}

fn erika_in_outlook() -> Value {
    json!({
        "givenName": "Erika", "surname": "Mustermann",
        "emailAddresses": [{"address": "erika@muster.example", "name": "Erika"}],
    })
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

/// The clock of FLOWFACT is set back a minute, and then somebody edits: the record says that it is
/// older than what is remembered, and no later answer will ever say otherwise.
#[test]
fn edit_after_a_clock_was_set_back_arrives() {
    for wait_ms in [PAUSE_MS, DAY_MS] {
        let mut stage = linked().stage(Variant::AccountField);
        stage.world.crm_edit(&stage.crm_id("erika"), &json!({"title": ["Dr."]}));
        stage.pass(ANNA);
        stage.world.advance_ms(-3_600_000);
        stage.world.crm_edit(&stage.crm_id("erika"), &json!({"title": ["Prof."]}));
        stage.world.advance_ms(3_600_000 + DAY_MS);
        stage.pass(ANNA);
        stage.world.advance_ms(wait_ms);
        stage.pass(ANNA);
        stage.check("after the edit", &State::Outlook(ANNA, "erika", json!({"title": "Prof."})));
        stage.check_quiet("a clock set back");
    }
}

/// The service of sync entries answers shorter pages than were asked for: a marker on the second
/// page is not gone.
#[test]
fn marker_on_a_second_page_is_seen() {
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.page_size_max = 1))
        .mailboxes(&[ANNA, BERND])
        .before([crm("erika", &[ANNA, BERND], erika())])
        .stage(Variant::SyncEntry);
    for mailbox in [ANNA, BERND] {
        stage.check(mailbox, &State::Standing(mailbox, "erika", Some(Stands::Linked)));
    }
    stage.check_quiet("short pages");
}

/// A mailbox contact is deleted and entered again, and its partner deleted: what is deleted then is
/// the new one, and under its new id it comes back.
#[test]
fn pair_forgotten_under_a_new_id_comes_back_by_that_id() {
    let mut stage = linked().stage(Variant::AccountField);
    let new_id = stage.world.mailbox_recreate(ANNA, &stage.mailbox_id(ANNA, "erika"));
    stage.world.crm_delete(&stage.crm_id("erika"));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    assert_eq!(stage.world.mailbox_place(ANNA, &new_id), Place::DeletedItems);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.world.mailbox_move_back(ANNA, &new_id);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("back", &State::CrmCount(1));
    stage.check("back", &State::Crm("erika", json!({"lastName": ["Mustermann"]})));
    stage.check("back", &State::Standing(ANNA, "erika", Some(Stands::Linked)));
}

/// As before, where a deletion in the CRM leaves the mailbox contact at rest: it is known by its
/// new id, and not imported as somebody new.
#[test]
fn pair_detached_under_a_new_id_stays_detached() {
    let scenario = linked().policy(|policy| policy.on_crm_delete = OnCrmDelete::KeepInMailbox);
    let mut stage = scenario.stage(Variant::AccountField);
    let new_id = stage.world.mailbox_recreate(ANNA, &stage.mailbox_id(ANNA, "erika"));
    stage.world.crm_delete(&stage.crm_id("erika"));
    for wait_ms in [PAUSE_MS, DAY_MS] {
        stage.world.advance_ms(wait_ms);
        stage.pass(ANNA);
        stage.check("at rest", &State::CrmCount(0));
        stage.check("at rest", &State::Standing(ANNA, "erika", Some(Stands::Detached)));
        assert_eq!(stage.world.mailbox_place(ANNA, &new_id), Place::Contacts);
    }
}

/// Two colleagues have the same customer in their address books. The second pass begins before
/// FLOWFACT's index shows what the first one has imported.
#[test]
fn customer_of_two_colleagues_is_imported_once_although_the_index_lags() {
    for kind in [MarkerKind::AccountField, MarkerKind::Tag, MarkerKind::SyncEntry] {
        let mut stage = two_colleagues(kind);
        for mailbox in [ANNA, BERND] {
            stage.pass(mailbox);
        }
        stage.world.advance_ms(PAUSE_MS);
        stage.learn();
        stage.check("once", &State::CrmCount(1));
        for mailbox in [ANNA, BERND] {
            stage.check(mailbox, &State::Standing(mailbox, "erika", Some(Stands::Linked)));
        }
        stage.check_quiet(&format!("{kind:?}"));
        let left = stage.rows("crm/created/");
        assert!(left.len() <= 1, "what was created long ago is forgotten: {left:?}");
    }
}

fn two_colleagues(kind: MarkerKind) -> Stage {
    let variant = match kind {
        MarkerKind::AccountField => Variant::AccountField,
        MarkerKind::Tag => Variant::Tag,
        MarkerKind::SyncEntry => Variant::SyncEntry,
    };
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.index_lag_ms = 30_000))
        .mailboxes(&[ANNA, BERND])
        .ballast(0)
        .stage(variant);
    for mailbox in [ANNA, BERND] {
        stage.add(&outlook(mailbox, "erika", erika_in_outlook()));
    }
    stage.edit(&Edit::Wait(PAUSE_MS));
    stage
}
