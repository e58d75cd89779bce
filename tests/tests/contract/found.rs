//! What the simulation found, told as scenarios: each was lost, doubled or taken apart once.

use contact_sync_guest::approval;
use contact_sync_guest::outside::Method;
use contact_sync_guest::plan::approval::Verdict;
use contact_sync_guest::report::Outcome;
use contact_sync_tests::simulator::{Fault, MarkerKind, Matcher, Place};
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
        stage
            .world
            .crm_edit(&stage.crm_id("erika"), &json!({"title": ["Dr."]}));
        stage.pass(ANNA);
        stage.world.advance_ms(-3_600_000);
        stage
            .world
            .crm_edit(&stage.crm_id("erika"), &json!({"title": ["Prof."]}));
        stage.world.advance_ms(3_600_000 + DAY_MS);
        stage.pass(ANNA);
        stage.world.advance_ms(wait_ms);
        stage.pass(ANNA);
        stage.check(
            "after the edit",
            &State::Outlook(ANNA, "erika", json!({"title": "Prof."})),
        );
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
        stage.check(
            mailbox,
            &State::Standing(mailbox, "erika", Some(Stands::Linked)),
        );
    }
    stage.check_quiet("short pages");
}

/// A mailbox contact is deleted and entered again, and its partner deleted: what is deleted then is
/// the new one, and under its new id it comes back.
#[test]
fn pair_forgotten_under_a_new_id_comes_back_by_that_id() {
    let mut stage = linked().stage(Variant::AccountField);
    let new_id = stage
        .world
        .mailbox_recreate(ANNA, &stage.handle(ANNA, "erika"));
    stage.world.crm_delete(&stage.crm_id("erika"));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    assert_eq!(
        stage.world.mailbox_place(ANNA, &new_id),
        Place::DeletedItems
    );
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.world.mailbox_move_back(ANNA, &new_id);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("back", &State::CrmCount(1));
    stage.check(
        "back",
        &State::Crm("erika", json!({"lastName": ["Mustermann"]})),
    );
    stage.check(
        "back",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
}

/// As before, where a deletion in the CRM leaves the mailbox contact at rest: it is known by its
/// new id, and not imported as somebody new.
#[test]
fn pair_detached_under_a_new_id_stays_detached() {
    let scenario = linked().policy(|policy| policy.on_crm_delete = OnCrmDelete::KeepInMailbox);
    let mut stage = scenario.stage(Variant::AccountField);
    let new_id = stage
        .world
        .mailbox_recreate(ANNA, &stage.handle(ANNA, "erika"));
    stage.world.crm_delete(&stage.crm_id("erika"));
    for wait_ms in [PAUSE_MS, DAY_MS] {
        stage.world.advance_ms(wait_ms);
        stage.pass(ANNA);
        stage.check("at rest", &State::CrmCount(0));
        stage.check(
            "at rest",
            &State::Standing(ANNA, "erika", Some(Stands::Detached)),
        );
        assert_eq!(stage.world.mailbox_place(ANNA, &new_id), Place::Contacts);
    }
}

/// Two colleagues have the same customer in their address books. The second pass begins before
/// FLOWFACT's index shows what the first one has imported.
#[test]
fn customer_of_two_colleagues_is_imported_once_although_the_index_lags() {
    for kind in [
        MarkerKind::AccountField,
        MarkerKind::Tag,
        MarkerKind::SyncEntry,
    ] {
        let mut stage = two_colleagues(kind);
        for mailbox in [ANNA, BERND] {
            stage.pass(mailbox);
        }
        stage.world.advance_ms(PAUSE_MS);
        stage.learn();
        stage.check("once", &State::CrmCount(1));
        for mailbox in [ANNA, BERND] {
            stage.check(
                mailbox,
                &State::Standing(mailbox, "erika", Some(Stands::Linked)),
            );
        }
        stage.check_quiet(&format!("{kind:?}"));
        let left = stage.rows("crm/created/");
        assert!(
            left.len() <= 1,
            "what was created long ago is forgotten: {left:?}"
        );
    }
}

/// A field disappears from FLOWFACT's schema in the middle of the day, and then somebody edits
/// another one: what the mailbox holds in the lost field is not cleared.
#[test]
fn field_that_leaves_the_schema_between_two_full_reads_clears_nothing() {
    let position = json!({"position": ["Hausverwalterin"]});
    let mut stage = linked().stage(Variant::AccountField);
    stage.world.crm_edit(&stage.crm_id("erika"), &position);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    let schema = stage.world.services(|services, _| {
        let known = services.flowfact.schema.clone();
        services.flowfact.schema.remove("position");
        known
    });
    let title = |title: &str| json!({"title": [title]});
    stage.world.crm_edit(&stage.crm_id("erika"), &title("Dr."));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    let expected = json!({"title": "Dr.", "jobTitle": "Hausverwalterin"});
    stage.check(
        "field lost",
        &State::Outlook(ANNA, "erika", expected.clone()),
    );
    // The same where the day's full read is not due, and the mailbox's position is lost.
    stage
        .world
        .services(|services, _| services.graph.expire_delta_tokens(ANNA));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("position lost", &State::Outlook(ANNA, "erika", expected));
    stage.check_quiet("field lost");
    stage
        .world
        .services(|services, _| services.flowfact.schema = schema);
    stage.check_quiet("field back");
    stage.check("field back", &State::Crm("erika", position));
}

/// A pair is held because its mailbox contact was moved; then the CRM contact is edited. However
/// the news comes in, the moved contact is not written.
#[test]
fn moved_contact_stays_held_when_the_other_half_has_news() {
    for variant in Variant::FEEDS {
        let mut stage = linked().stage(variant);
        stage.edit(&Edit::OutlookMove(ANNA, "erika"));
        for edit in [json!({"title": ["Dr."]}), json!({"title": ["Prof."]})] {
            stage.world.advance_ms(PAUSE_MS);
            stage.pass(ANNA);
            stage.world.crm_edit(&stage.crm_id("erika"), &edit);
            for _ in 0..3 {
                stage.world.advance_ms(PAUSE_MS);
                stage.pass(ANNA);
                stage.check("held", &State::Pending(ANNA, &["moved-in-mailbox"]));
            }
        }
        stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        stage.check(
            "back",
            &State::Outlook(ANNA, "erika", json!({"title": "Prof."})),
        );
        stage.check_quiet("moved and back");
    }
}

/// A contact that is imported in the same pass in which its marker is kept beside it is held by
/// being moved at once: its marker, first seen then, is no reason to let go.
#[test]
fn pair_moved_before_its_marker_was_seen_stays_held() {
    let mut stage = Scenario::new().ballast(4).stage(Variant::SyncEntry);
    stage.add(&outlook(ANNA, "erika", erika_in_outlook()));
    stage.pass(ANNA);
    stage.edit(&Edit::OutlookMove(ANNA, "erika"));
    for _ in 0..4 {
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        stage.check("held", &State::Pending(ANNA, &["moved-in-mailbox"]));
    }
}

/// A deletion that waits for a person is about a contact that was entered anew: the next pass knows
/// it still by its new id.
#[test]
fn pair_that_waits_for_approval_keeps_its_new_id() {
    let scenario = Scenario::new()
        .ballast(0)
        .before([crm("erika", &[ANNA], erika())]);
    let mut stage = scenario.stage(Variant::AccountField);
    let new_id = stage
        .world
        .mailbox_recreate(ANNA, &stage.handle(ANNA, "erika"));
    stage.world.crm_delete(&stage.crm_id("erika"));
    for _ in 0..3 {
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        assert_eq!(played.operations.len(), 1, "{played:#?}");
        assert!(
            stage
                .pending(ANNA)
                .contains(&"awaiting-approval".to_owned())
        );
        assert_eq!(stage.world.mailbox_place(ANNA, &new_id), Place::Contacts);
    }
}

/// A pair at rest whose mailbox contact is entered anew is at rest under its new id.
#[test]
fn detached_contact_that_is_entered_anew_stays_detached() {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::Unmark("erika", ANNA));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    let new_id = stage
        .world
        .mailbox_recreate(ANNA, &stage.handle(ANNA, "erika"));
    for wait_ms in [PAUSE_MS, DAY_MS] {
        stage.world.advance_ms(wait_ms);
        stage.pass(ANNA);
        let links = stage.links(ANNA);
        let crm_id = stage.crm_id("erika");
        let link = links.iter().find(|link| link.crm_id.as_str() == crm_id);
        let at = link.map(|link| link.mailbox_id.to_string());
        assert_eq!(at, Some(stage.known_as(ANNA, &new_id)));
        stage.check(
            "at rest",
            &State::Standing(ANNA, "erika", Some(Stands::Detached)),
        );
        stage.check("at rest", &State::Markers("erika", &[]));
        stage.check("at rest", &State::CrmCount(1));
    }
    stage.check_quiet("at rest under a new id");
}

/// Somebody edits a CRM contact between the read and the write of a pass that writes another field:
/// the answer to the write shows the edit, and it still reaches the mailbox.
#[test]
fn edit_of_another_field_during_a_write_reaches_the_mailbox() {
    for step in 0..40 {
        let mut stage = linked().stage(Variant::AccountField);
        stage.edit(&Edit::Outlook(ANNA, "erika", json!({"title": "Dr."})));
        stage.world.advance_ms(PAUSE_MS);
        let id = stage.crm_id("erika");
        stage.world.interrupt_after(step, move |world| {
            world.crm_edit(&id, &json!({"lastName": ["Musterfrau"]}));
        });
        stage.pass(ANNA);
        stage.world.end_interruptions();
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        let expected = json!({"surname": "Musterfrau", "title": "Dr."});
        let place = format!("edited before step {step}");
        stage.check(&place, &State::Outlook(ANNA, "erika", expected));
    }
}

/// FLOWFACT's index still shows a contact that is in the trash: it is not exported.
#[test]
fn contact_in_the_trash_that_the_index_still_shows_is_not_exported() {
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.index_lag_ms = 60_000))
        .stage(Variant::AccountField);
    stage.add(&crm("erika", &[ANNA], erika()));
    stage.world.advance_ms(PAUSE_MS);
    stage.edit(&Edit::CrmDelete("erika"));
    stage.pass(ANNA);
    stage.check("in the trash", &State::OutlookCount(ANNA, 0));
    stage.check_quiet("in the trash");
}

/// A contact is deleted in the CRM, and its last address cleared in the mailbox. What would follow
/// the restoring waits for a person, and does so quietly; who rejects it gets both back.
#[test]
fn clearing_that_would_follow_a_restoring_can_be_rejected() {
    for verdict in [None, Some(Verdict::Approve), Some(Verdict::Reject)] {
        let mut stage = Scenario::new()
            .ballast(0)
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        let cleared = json!({"emailAddresses": []});
        stage.edit(&Edit::Outlook(ANNA, "erika", cleared.clone()));
        stage.edit(&Edit::CrmDelete("erika"));
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        let Outcome::NeedsApproval(request) = played.report.outcome else {
            panic!("nothing is asked: {played:#?}");
        };
        assert!(!played.report.more, "nothing but the answer is waited for");
        stage.check("asked", &State::Pending(ANNA, &["awaiting-approval"]));
        stage.check("asked", &State::CrmCount(0));
        let Some(verdict) = verdict else { continue };
        let (job, outside) = (stage.job(ANNA), stage.outside());
        approval::answer(&job, &outside, &request.token, verdict).expect("it is asked");
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        let place = format!("{verdict:?}");
        let emails = match verdict {
            Verdict::Approve => Value::Null,
            Verdict::Reject => erika()["emails"].clone(),
        };
        stage.check(&place, &State::Crm("erika", json!({"emails": emails})));
        stage.check(
            &place,
            &State::Standing(ANNA, "erika", Some(Stands::Linked)),
        );
        stage.check_quiet(&place);
    }
}

/// Two colleagues have the same customer. The first import's answer is lost, and FLOWFACT carries
/// it out minutes later: the second mailbox waits until it must have shown.
#[test]
fn customer_of_two_colleagues_is_imported_once_although_the_first_import_is_late() {
    let mut stage = two_colleagues(MarkerKind::AccountField);
    stage.world.services(|services, _| {
        let creates = Matcher::of(Method::Post, "/entity-service/schemas/contacts");
        services
            .faults
            .next(creates, Fault::Late { delay_ms: 300_000 });
    });
    for _ in 0..3 {
        for mailbox in [ANNA, BERND] {
            stage.pass(mailbox);
        }
        stage.world.advance_ms(PAUSE_MS);
    }
    stage.learn();
    stage.check("once", &State::CrmCount(1));
    for mailbox in [ANNA, BERND] {
        let linked = Some(Stands::Linked);
        stage.check(mailbox, &State::Standing(mailbox, "erika", linked));
    }
    stage.check_quiet("late");
    let left = stage.rows("crm/importing/");
    assert!(left.is_empty(), "no import is open: {left:?}");
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
