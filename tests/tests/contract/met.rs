//! Where two promises meet: each story is about two features, and what one makes of the other.

use std::collections::BTreeMap;

use contact_sync_guest::contact::MailboxId;
use contact_sync_guest::job::ConflictWinner;
use contact_sync_guest::links::Standing;
use contact_sync_guest::outside::Method;
use contact_sync_guest::pass::{Mode, Target};
use contact_sync_guest::report::Phase;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{Fault, Matcher};
use serde_json::{Value, json};

use super::mended::pass_with;
use super::safety::come_to_rest;
use super::stage::{
    ANNA, Asking, BERND, DAY_MS, Edit, PAUSE_MS, Played, Scenario, Stage, Stands, State, Variant,
    asking, crm,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"],
           "position": ["Anfang"]})
}

fn card() -> Value {
    json!({"givenName": "Erika", "surname": "Muster", "jobTitle": "Anfang",
           "emailAddresses": [{"address": "erika@muster.example", "name": "Erika Muster"}]})
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

fn sync(stage: &mut Stage, edits: &[Edit], mailbox: &str) -> Played {
    for edit in edits {
        stage.edit(edit);
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(mailbox);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn restore(stage: &mut Stage, target: Target) -> Played {
    let is_dry = false;
    let played = stage.pass_in(ANNA, Mode::Restore { target, is_dry });
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn last_pass(stage: &Stage) -> Target {
    let rows = rows(stage, "journal");
    let id = rows.keys().next().expect("the journal has an entry");
    let pass = id.rsplit('/').next().and_then(|id| id.split('-').nth(1));
    Target::Pass(pass.expect("an id names its pass").to_owned())
}

fn rows(stage: &Stage, folder: &str) -> BTreeMap<String, Vec<u8>> {
    stage.rows(&format!("m/{}/{folder}/", stage.job(ANNA).mailbox.id))
}

fn damage(stage: &Stage, prefix: &str) {
    let mut stored = stage.world.stored();
    let damaged = stored.iter_mut().filter(|(key, _)| key.starts_with(prefix));
    let mut count = 0;
    for (_, row) in damaged {
        *row = b"?".to_vec();
        count += 1;
    }
    assert_eq!(count, 1, "one row below {prefix}");
    stage.world.set_stored(stored);
}

/// What is counted is what is remembered, without waiting for a full read to count anew.
fn check_counts(stage: &Stage, place: &str) {
    let row = stage.rows(&format!("m/{}/state", stage.job(ANNA).mailbox.id));
    let row = row.values().next().expect("a pass has ended");
    let state: Value = serde_json::from_slice(row).expect("the state is JSON");
    let links = stage.links(ANNA);
    let count = |standing| {
        links
            .iter()
            .filter(|link| link.standing == standing)
            .count()
    };
    assert_eq!(state["links"], json!(count(Standing::Linked)), "{place}");
    assert_eq!(
        state["detached"],
        json!(count(Standing::Detached)),
        "{place}"
    );
}

// ---- new ids ------------------------------------------------------------------------------------

/// Entered again and edited on both sides, and edited once more under the write: of the old id
/// nothing is left.
#[test]
fn new_id_met_by_a_race_leaves_no_row_of_the_old_one() {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookRecreate(ANNA, "erika"));
    let created = stage.world.mailbox_ids(ANNA);
    let known: Vec<String> = stage
        .links(ANNA)
        .iter()
        .map(|link| link.mailbox_id.to_string())
        .collect();
    let mut created = created.into_iter();
    let new = created.find(|id| !known.contains(&stage.known_as(ANNA, id)));
    let new = new.expect("it has a new id");
    stage
        .world
        .mailbox_edit(ANNA, &new, &json!({"department": "Verkauf"}));
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.world.advance_ms(PAUSE_MS);
    pass_with(&mut stage, Phase::Execute, |stage| {
        stage
            .world
            .mailbox_edit(ANNA, &new, &json!({"companyName": "Muster AG"}));
    });
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "raced");
    stage.check_quiet("raced");
    let whole =
        json!({"position": ["Leitung"], "department": ["Verkauf"], "company": ["Muster AG"]});
    stage.check("raced", &State::Crm("erika", whole));
    stage.check("raced", &State::CrmCount(1));
}

/// At rest, under a new id, and marked again while the pass carries out what it has planned: what
/// was carried out stays remembered.
#[test]
fn new_id_at_rest_that_is_marked_meanwhile_is_counted_once() {
    let mut stage = linked().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::Unmark("erika", ANNA)], ANNA);
    stage.check(
        "at rest",
        &State::Standing(ANNA, "erika", Some(Stands::Detached)),
    );
    stage.edit(&Edit::OutlookRecreate(ANNA, "erika"));
    stage.world.advance_ms(PAUSE_MS);
    pass_with(&mut stage, Phase::Execute, |stage| {
        stage.world.crm_mark(&stage.crm_id("erika"), ANNA);
    });
    check_counts(&stage, "marked meanwhile");
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "marked");
    stage.check(
        "marked",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    check_counts(&stage, "marked");
}

// ---- halves -------------------------------------------------------------------------------------

/// Two are one person, and only the marker was refused: a pair that is remembered is counted.
#[test]
fn pair_whose_marker_was_refused_is_counted() {
    for status in [400, 503] {
        let mut stage = Scenario::new()
            .before([crm("erika", &[], erika())])
            .stage(Variant::SyncEntry);
        stage.edit(&Edit::OutlookNew(ANNA, "card", card()));
        stage.world.advance_ms(PAUSE_MS);
        let refused = Fault::Refused {
            status,
            retry_after_s: None,
            body: String::new(),
        };
        stage.world.services(|services, _| {
            let marks = Matcher::of(Method::Post, "sync");
            services.faults.script(marks, 0, u32::MAX, refused);
        });
        stage.pass(ANNA);
        stage.world.services(|services, _| services.faults.clear());
        check_counts(&stage, "refused");
        stage.world.advance_ms(PAUSE_MS);
        sync(&mut stage, &[], ANNA);
        check_counts(&stage, "later");
    }
}

/// The CRM cut a value, and its answer was lost; then a person brings back another value of this
/// contact. The cut is still nobody's edit.
#[test]
fn restore_of_one_value_leaves_another_one_unfinished() {
    let mut stage = linked()
        .world(|builder| {
            builder.flowfact(|quirks| {
                quirks.text_length_max.insert("position".to_owned(), 6);
            })
        })
        .stage(Variant::AccountField);
    let sold = |text: &str| Edit::Outlook(ANNA, "erika", json!({"department": text}));
    sync(&mut stage, &[sold("Verkauf")], ANNA);
    sync(&mut stage, &[sold("Vertrieb")], ANNA);
    let changed = last_pass(&stage);
    let title = json!({"jobTitle": "Vertriebsleitung"});
    stage.edit(&Edit::Outlook(ANNA, "erika", title.clone()));
    stage.world.advance_ms(PAUSE_MS);
    stage.world.services(|services, _| {
        let patches = Matcher::of(Method::Patch, "/entities/");
        services
            .faults
            .script(patches, 0, u32::MAX, Fault::LostAfter);
    });
    stage.pass(ANNA);
    stage.world.services(|services, _| services.faults.clear());
    stage.check("cut", &State::Crm("erika", json!({"position": ["Vertri"]})));
    stage.world.advance_ms(PAUSE_MS);
    restore(&mut stage, changed);
    stage.check(
        "restored",
        &State::Crm("erika", json!({"department": ["Verkauf"]})),
    );
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "restored");
    stage.check("restored", &State::Outlook(ANNA, "erika", title));
}

// ---- restore ------------------------------------------------------------------------------------

/// `newest`: what a person brings back was edited when they did so, not when the mailbox contact
/// was edited before.
#[test]
fn value_brought_back_is_as_new_as_the_wish() {
    let mut stage = Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .policy(|policy| policy.conflict = ConflictWinner::Newest)
        .before([crm("erika", &[ANNA, BERND], erika())])
        .stage(Variant::AccountField);
    let title = |mailbox, text: &str| Edit::Outlook(mailbox, "erika", json!({"jobTitle": text}));
    sync(&mut stage, &[title(ANNA, "Zwei")], ANNA);
    let changed = last_pass(&stage);
    sync(&mut stage, &[], BERND);
    stage.edit(&title(BERND, "Drei"));
    stage.world.advance_ms(PAUSE_MS);
    restore(&mut stage, changed);
    stage.check(
        "restored",
        &State::Crm("erika", json!({"position": ["Anfang"]})),
    );
    sync(&mut stage, &[], BERND);
    sync(&mut stage, &[], ANNA);
    stage.check(
        "newest",
        &State::Crm("erika", json!({"position": ["Anfang"]})),
    );
    stage.check(
        "newest",
        &State::Outlook(BERND, "erika", json!({"jobTitle": "Anfang"})),
    );
}

/// What was about to be created in a restore cannot be read any more: a second restore waits as a
/// sync does.
#[test]
fn restore_creates_nothing_while_an_intent_cannot_be_read() {
    let mut stage = linked().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    stage.check("deleted", &State::CrmTrashed("erika"));
    stage.edit(&Edit::CrmRestore("erika"));
    stage.world.services(|services, _| {
        let creates = asking(Asking::Creates);
        services.faults.script(creates, 0, 1, Fault::LostAfter);
    });
    let target = Target::Contact(stage.crm_id("erika"));
    let is_dry = false;
    stage.pass_in(
        ANNA,
        Mode::Restore {
            target: target.clone(),
            is_dry,
        },
    );
    stage.world.services(|services, _| services.faults.clear());
    stage.check("lost", &State::OutlookCount(ANNA, 1));
    damage(&stage, &format!("m/{}/intent/", stage.job(ANNA).mailbox.id));
    stage.pass_in(ANNA, Mode::Restore { target, is_dry });
    stage.check("again", &State::OutlookCount(ANNA, 1));
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "settled");
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "settled");
    stage.check("settled", &State::OutlookCount(ANNA, 1));
    stage.check("settled", &State::CrmCount(1));
}

/// Gone for good, and created anew from the journal: who took the old one away is forgotten too.
#[test]
fn purged_contact_that_comes_back_leaves_no_row_of_its_deletion() {
    let mut stage = linked().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    stage.edit(&Edit::CrmPurge("erika"));
    let target = Target::Contact(stage.crm_id("erika"));
    restore(&mut stage, target);
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "back");
    let left = stage.rows("crm/deletion/");
    assert!(left.is_empty(), "{left:?}");
}

// ---- damaged rows -------------------------------------------------------------------------------

/// The marker was taken away, and then the row of the pair is damaged: it stays at rest.
#[test]
fn pair_at_rest_whose_row_is_damaged_stays_at_rest() {
    for variant in [Variant::AccountField, Variant::Tag, Variant::SyncEntry] {
        let place = &format!("{variant:?}");
        let mut stage = linked().stage(variant);
        sync(&mut stage, &[Edit::Unmark("erika", ANNA)], ANNA);
        let id = stage.crm_id("erika");
        damage(
            &stage,
            &format!("m/{}/pair/{id}", stage.job(ANNA).mailbox.id),
        );
        let edit = Edit::Outlook(ANNA, "erika", json!({"department": "Verkauf"}));
        sync(&mut stage, &[edit], ANNA);
        stage.check(place, &State::Markers("erika", &[]));
        stage.check(place, &State::Crm("erika", json!({"department": null})));
        stage.check(
            place,
            &State::Standing(ANNA, "erika", Some(Stands::Detached)),
        );
        stage.check(place, &State::CrmCount(1));
        check_counts(&stage, place);
        stage.check_quiet(place);
        // Marked again it is one pair again.
        sync(&mut stage, &[Edit::Mark("erika", ANNA)], ANNA);
        stage.world.advance_ms(DAY_MS);
        come_to_rest(&mut stage, place);
        stage.check(place, &State::Standing(ANNA, "erika", Some(Stands::Linked)));
        stage.check(place, &State::OutlookCount(ANNA, 1));
        stage.check_quiet(place);
    }
}

/// A row of a pair at rest is damaged, and the contact is marked again before anybody looks: no row
/// says any more that it is at rest.
#[test]
fn damaged_pair_that_is_matched_anew_leaves_no_row_of_its_rest() {
    let mut stage = linked().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::Unmark("erika", ANNA)], ANNA);
    let id = stage.crm_id("erika");
    damage(
        &stage,
        &format!("m/{}/pair/{id}", stage.job(ANNA).mailbox.id),
    );
    sync(&mut stage, &[Edit::Mark("erika", ANNA)], ANNA);
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "matched");
    stage.check(
        "matched",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    stage.check("matched", &State::OutlookCount(ANNA, 1));
    assert!(rows(&stage, "detached").is_empty());
    stage.check_quiet("matched");
}

/// What is said about a damaged row is said once, however often a service asks for patience.
#[test]
fn damaged_row_is_told_once_where_signing_in_takes_two_steps() {
    let mut stage = linked().stage(Variant::AccountField);
    let mut stored = stage.world.stored();
    let key = format!("m/{}/pending/crm/nobody", stage.job(ANNA).mailbox.id);
    stored.insert(key, b"?".to_vec());
    stage.world.set_stored(stored);
    stage.world.services(|services, _| {
        let slow = Fault::Refused {
            status: 429,
            retry_after_s: Some(400),
            body: String::new(),
        };
        let requests = asking(Asking::Anything);
        services.faults.script(requests, 0, 1, slow);
    });
    let played = stage.pass(ANNA);
    assert!(!played.waits.is_empty(), "{played:#?}");
    assert_eq!(played.codes(), ["row-unreadable"], "{played:#?}");
}

// ---- answers ------------------------------------------------------------------------------------

/// Somebody said that a contact is new, and then deleted it: the answer goes with it.
#[test]
fn answer_about_a_contact_that_is_gone_is_forgotten() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    let person = || json!({"lastName": ["Muster"], "emails": ["erika@muster.example"]});
    stage.edit(&Edit::CrmNew("eins", &[], person()));
    stage.edit(&Edit::CrmNew("zwei", &[], person()));
    let played = sync(&mut stage, &[Edit::OutlookNew(ANNA, "erika", card())], ANNA);
    assert_eq!(played.codes(), ["ambiguous-match"]);
    let id = MailboxId::new(stage.mailbox_id(ANNA, "erika"));
    setup::pair(&stage.job(ANNA), &stage.outside(), &id, None).expect("it is new");
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    let left = rows(&stage, "answer");
    assert!(left.is_empty(), "{left:?}");
    stage.check("gone", &State::CrmCount(2));
}
