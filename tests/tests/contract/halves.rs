//! Section 7.6: of a task one side is written, and the other is not, or nobody knows.

use contact_sync_guest::contact::{CrmId, MailboxId};
use contact_sync_guest::job::OnMailboxDelete;
use contact_sync_guest::outside::Method;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{Fault, Matcher};
use serde_json::{Value, json};

use super::safety::come_to_rest;
use super::stage::{
    ANNA, Asking, DAY_MS, Edit, PAUSE_MS, Scenario, Stage, Stands, State, Variant, asking, crm,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"],
           "phones": [{"type": "office", "number": "0221 / 88 99-0"}]})
}

fn card() -> Value {
    json!({"givenName": "Erika", "surname": "Muster", "businessPhones": ["+49 221 88990"],
           "emailAddresses": [{"address": "erika@muster.example", "name": "Erika Muster"}]})
}

fn unavailable() -> Fault {
    Fault::Refused {
        status: 503,
        retry_after_s: None,
        body: String::new(),
    }
}

/// A pass during which this fails whenever it is tried.
fn pass_without(stage: &mut Stage, requests: Matcher, fault: Fault) {
    stage.world.services(|services, _| {
        services.faults.script(requests, 0, u32::MAX, fault);
    });
    stage.pass(ANNA);
    stage.world.services(|services, _| services.faults.clear());
}

/// Both sides were edited, and the CRM took what came from the mailbox: whatever became of the
/// mailbox's part, what somebody enters next is an edit of that, and clashes with nothing.
#[test]
pub(crate) fn edit_after_a_half_done_task_clashes_with_nothing() {
    for fault in [unavailable(), Fault::LostBefore, Fault::LostAfter] {
        let place = format!("{fault:?}");
        let mut stage = Scenario::new()
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"department": "Verkauf"}),
        ));
        stage.world.advance_ms(PAUSE_MS);
        pass_without(&mut stage, asking(Asking::Updates), fault);
        let sold = json!({"department": ["Verkauf"]});
        stage.check(&place, &State::Crm("erika", sold));
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"department": "Vertrieb"}),
        ));
        stage.world.advance_ms(DAY_MS);
        come_to_rest(&mut stage, &place);
        let both = json!({"position": ["Leitung"], "department": ["Vertrieb"]});
        stage.check(&place, &State::Crm("erika", both));
        let both = json!({"jobTitle": "Leitung", "department": "Vertrieb"});
        stage.check(&place, &State::Outlook(ANNA, "erika", both));
    }
}

/// Two are one person, and agree; only the marker was refused. What is cleared then is cleared.
#[test]
fn pair_whose_marker_was_refused_is_remembered() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[], erika())])
        .stage(Variant::SyncEntry);
    stage.edit(&Edit::OutlookNew(ANNA, "card", card()));
    stage.world.advance_ms(PAUSE_MS);
    let marks = Matcher::of(Method::Post, "sync");
    pass_without(&mut stage, marks, unavailable());
    stage.check("refused", &State::Markers("erika", &[]));
    stage.edit(&Edit::Outlook(ANNA, "card", json!({"businessPhones": []})));
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "marked");
    stage.check("marked", &State::Markers("erika", &[ANNA]));
    stage.check("cleared", &State::Crm("erika", json!({"phones": null})));
    stage.check("one", &State::CrmCount(1));
}

/// A person says who takes the place of a contact that is gone: what the other one held and this
/// one does not was not cleared in it.
#[test]
fn answer_about_a_vanished_partner_clears_nothing() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    let other = json!({"givenName": "Rike", "surname": "Meister", "jobTitle": "Leitung"});
    stage.edit(&Edit::OutlookNew(ANNA, "rike", other));
    setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &MailboxId::new(stage.mailbox_id(ANNA, "rike")),
        Some(CrmId::new(stage.crm_id("erika"))),
    )
    .expect("both are free");
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "paired");
    let place = "paired";
    stage.check(place, &State::Standing(ANNA, "erika", Some(Stands::Linked)));
    let whole = json!({"emails": ["erika@muster.example"], "position": ["Leitung"],
        "phones": [{"type": "office", "number": "0221 / 88 99-0"}]});
    stage.check(place, &State::Crm("erika", whole));
    let filled = json!({"businessPhones": ["+49 221 88990"]});
    stage.check(place, &State::Outlook(ANNA, "rike", filled));
}

/// Deleted in the mailbox, edited in the CRM: it is created there again. The answer is lost, and
/// the copy lacks a number, as if the mailbox had not taken it: that is nobody's clearing.
#[test]
pub(crate) fn copy_that_lacks_a_value_clears_nothing() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.world.advance_ms(PAUSE_MS);
    let before = stage.world.mailbox_ids(ANNA);
    stage.world.services(|services, _| {
        let creates = asking(Asking::Creates);
        services.faults.script(creates, 0, 1, Fault::LostAfter);
    });
    stage.pass(ANNA);
    let mut created = stage.world.mailbox_ids(ANNA);
    created.retain(|id| !before.contains(id));
    assert_eq!(created.len(), 1, "created, and nobody knows");
    let lacks = json!({"businessPhones": []});
    stage.world.mailbox_edit(ANNA, &created[0], &lacks);
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "adopted");
    let whole = json!({"phones": [{"type": "office", "number": "0221 / 88 99-0"}]});
    stage.check("adopted", &State::Crm("erika", whole));
    stage.check("adopted", &State::OutlookCount(ANNA, 1));
}

/// The CRM takes a value and keeps a part of it: told once, and the mailbox keeps its own.
#[test]
fn value_that_a_side_does_not_keep_is_told_once() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .world(|builder| {
            builder.flowfact(|quirks| {
                quirks.text_length_max.insert("position".to_owned(), 5);
            })
        })
        .stage(Variant::AccountField);
    let title = json!({"jobTitle": "Vertriebsleitung"});
    stage.edit(&Edit::Outlook(ANNA, "erika", title.clone()));
    stage.world.advance_ms(PAUSE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["not-kept"], "{played:#?}");
    stage.check("cut", &State::Crm("erika", json!({"position": ["Vertr"]})));
    stage.check("cut", &State::Outlook(ANNA, "erika", title));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"department": "Verkauf"}),
    ));
    stage.world.advance_ms(PAUSE_MS);
    let played = stage.pass(ANNA);
    assert!(played.findings.is_empty(), "{played:#?}");
    stage.check_quiet("cut");
}
