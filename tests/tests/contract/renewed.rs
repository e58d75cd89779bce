//! Section 3, the same contact under a new id: re-linked and merged against the old base, not
//! deleted and created again.
//!
//! Goal: whatever gives a mailbox contact another id, the CRM contact stays the one that it was,
//! with all that only the CRM holds. Method: contacts moved, copied, re-created, imported anew and
//! migrated, the two halves of the news in one pass, in two, and in the wrong order.

use contact_sync_guest::contact::{CrmId, MailboxId};
use contact_sync_guest::explain::{Answer, explain};
use contact_sync_guest::job::{Job, Matching, OnMailboxDelete};
use contact_sync_guest::pass::Mode;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{RequestKind as Kind, WorldBuilder};
use serde_json::{Value, json};

use super::stage::{
    ANNA, BERND, Edit, Ending, Expect, PAUSE_MS, Person, Played, Scenario, Stage, Stands, State,
    Variant, crm, ending, outlook, play, writes,
};

const MINUTE_MS: i64 = 60_000;

/// What only the CRM holds of her: two numbers too many, and a remark.
fn erika() -> Value {
    let phone = |number: &str| json!({"type": "office", "number": number, "note": "Zentrale"});
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"],
           "phones": [phone("0221 889901"), phone("0221 889902"), phone("0221 889903")],
           "salutation": ["01"]})
}

fn max() -> Value {
    json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"})
}

fn people() -> [Person; 2] {
    [crm("erika", &[ANNA], erika()), outlook(ANNA, "max", max())]
}

fn delayed(builder: WorldBuilder) -> WorldBuilder {
    builder.graph(|quirks| quirks.delta_delay_ms = 10 * MINUTE_MS)
}

/// The CRM holds who it held, nobody more and nobody less, each with all values.
fn is_whole(stage: &Stage, context: &str, crm_ids: &[String]) {
    let mut found = stage.world.crm_ids();
    found.sort();
    let mut expected = crm_ids.to_vec();
    expected.sort();
    assert_eq!(found, expected, "{context}: contacts in the CRM");
    let phones = erika()["phones"].clone();
    stage.check(
        context,
        &State::Crm("erika", json!({"phones": phones, "salutation": ["01"]})),
    );
    stage.check(
        context,
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
}

fn reads_only(played: &Played, context: &str) {
    assert!(
        writes(&played.counters).is_empty(),
        "{context}: {played:#?}"
    );
}

// ---- one contact --------------------------------------------------------------------------------

#[test]
fn contact_that_was_recreated_is_the_same() {
    for (name, matching) in [
        ("matching", Matching::EmailOrPhone),
        ("none", Matching::Off),
    ] {
        for variant in [Variant::AccountField, Variant::Tag, Variant::SyncEntry] {
            let policy: fn(&mut contact_sync_guest::job::Policy) = match matching {
                Matching::Off => |policy| policy.matching = Matching::Off,
                Matching::EmailOrPhone => |_| {},
            };
            let mut stage = Scenario::new()
                .before(people())
                .policy(policy)
                .stage(variant);
            let ids = stage.world.crm_ids();
            stage.edit(&Edit::OutlookRecreate(ANNA, "erika"));
            stage.world.advance_ms(MINUTE_MS);
            let played = stage.pass(ANNA);
            reads_only(&played, name);
            is_whole(&stage, name, &ids);
            stage.check_quiet(name);
        }
    }
}

/// The feed names the copy first, and the original as gone only later.
#[test]
fn copy_that_is_named_before_its_original_is_gone_is_the_same() {
    let mut stage = Scenario::new()
        .world(delayed)
        .before(people())
        .stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    stage.edit(&Edit::OutlookCopy(ANNA, "erika", "kopie"));
    stage.world.advance_ms(5 * MINUTE_MS);
    stage.edit(&Edit::OutlookPurge(ANNA, "erika"));
    for _ in 0..3 {
        stage.world.advance_ms(6 * MINUTE_MS);
        reads_only(&stage.pass(ANNA), "copy first");
    }
    is_whole(&stage, "copy first", &ids);
    stage.check_quiet("copy first");
}

/// A user's own copy, while the original is there, is somebody new.
#[test]
fn copy_whose_original_is_there_is_new() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let count = stage.world.crm_ids().len();
    stage.edit(&Edit::OutlookCopy(ANNA, "max", "kopie"));
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.of(Kind::FlowfactCreate), 1, "{played:#?}");
    assert_eq!(stage.world.crm_ids().len(), count + 1);
    stage.check("copy", &State::Standing(ANNA, "max", Some(Stands::Linked)));
}

/// The feed says that the original is gone, and not yet that a copy with its key is there.
#[test]
fn contact_with_our_key_that_no_feed_has_named_yet_is_the_same() {
    let mut stage = Scenario::new()
        .world(delayed)
        .before(people())
        .stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    stage.edit(&Edit::OutlookCopy(ANNA, "erika", "kopie"));
    stage.edit(&Edit::OutlookDelete(ANNA, "kopie"));
    stage.world.advance_ms(MINUTE_MS);
    stage.edit(&Edit::OutlookPurge(ANNA, "erika"));
    stage.world.advance_ms(7 * MINUTE_MS);
    stage.edit(&Edit::OutlookMoveBack(ANNA, "kopie"));
    for _ in 0..4 {
        stage.world.advance_ms(4 * MINUTE_MS);
        reads_only(&stage.pass(ANNA), "unnamed");
    }
    is_whole(&stage, "unnamed", &ids);
}

/// A copy in the Deleted Items is a deletion all the same.
#[test]
fn deleted_contact_does_not_live_on_in_a_deleted_copy() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookCopy(ANNA, "erika", "kopie"));
    stage.edit(&Edit::OutlookDelete(ANNA, "kopie"));
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.world.advance_ms(MINUTE_MS);
    stage.pass(ANNA);
    stage.check("deleted", &State::CrmTrashed("erika"));
    stage.check_quiet("deleted");
}

/// Deleted, a pass, entered again, a pass: the CRM contact comes back from its trash.
#[test]
fn contact_that_is_entered_again_after_its_deletion_comes_back_whole() {
    for variant in Variant::FEEDS {
        let mut stage = Scenario::new().before(people()).stage(variant);
        let ids = stage.world.crm_ids();
        let id = stage.handle(ANNA, "erika");
        let copy = stage.world.mailbox_copy(ANNA, &id);
        let card = stage
            .world
            .mailbox_contact(ANNA, &copy)
            .expect("it was copied");
        stage.world.mailbox_purge(ANNA, &copy);
        stage.edit(&Edit::OutlookPurge(ANNA, "erika"));
        stage.world.advance_ms(MINUTE_MS);
        stage.pass(ANNA);
        stage.check("deleted", &State::CrmTrashed("erika"));
        stage.world.advance_ms(MINUTE_MS);
        let again = stage.world.mailbox_create(ANNA, &card);
        stage.world.advance_ms(MINUTE_MS);
        let again = stage.known_as(ANNA, &again);
        let answer = explain(&stage.job(ANNA), &stage.outside(), &again);
        let Ok(Answer::One(explanation)) = answer else {
            panic!("{variant:?}: it is there");
        };
        assert_eq!(explanation.findings[0].code, "back-in-folder");
        let played = stage.pass(ANNA);
        assert_eq!(played.counters.of(Kind::FlowfactCreate), 0, "{played:#?}");
        assert_eq!(played.counters.of(Kind::FlowfactRestore), 1, "{played:#?}");
        let context = format!("{variant:?}");
        is_whole(&stage, &context, &ids);
        stage.check(&context, &State::Markers("erika", &[ANNA]));
    }
}

/// What the CRM has lost for good does not keep its new self away.
#[test]
fn contact_whose_former_self_was_purged_in_the_crm_is_new() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookPurge(ANNA, "max"));
    stage.world.advance_ms(MINUTE_MS);
    stage.pass(ANNA);
    stage.edit(&Edit::CrmPurge("max"));
    stage.edit(&Edit::OutlookNew(ANNA, "neu", max()));
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.of(Kind::FlowfactCreate), 1, "{played:#?}");
    stage.check(
        "purged",
        &State::Standing(ANNA, "neu", Some(Stands::Linked)),
    );
    stage.check_quiet("purged");
}

/// Entered again, but not as it was: somebody new, and the old one stays in the trash.
#[test]
fn contact_that_is_entered_again_with_other_values_is_new() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "max"));
    stage.world.advance_ms(MINUTE_MS);
    stage.pass(ANNA);
    let card = json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 9999999"});
    stage.edit(&Edit::OutlookNew(ANNA, "neu", card));
    stage.world.advance_ms(MINUTE_MS);
    stage.pass(ANNA);
    stage.check("other values", &State::CrmTrashed("max"));
    stage.check(
        "other values",
        &State::Standing(ANNA, "neu", Some(Stands::Linked)),
    );
    stage.check_quiet("other values");
}

/// With `on-mailbox-delete = unmark` the CRM contact stays: whoever is entered again is paired.
#[test]
fn unmarked_contact_that_is_entered_again_is_paired() {
    for phone in ["0171 2345678", "0171 9999999"] {
        let mut card = max();
        card["emailAddresses"] = json!([{"address": "max@kraft.example", "name": "Max"}]);
        let mut stage = Scenario::new()
            .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
            .before([outlook(ANNA, "max", card.clone())])
            .stage(Variant::AccountField);
        stage.edit(&Edit::OutlookPurge(ANNA, "max"));
        stage.world.advance_ms(MINUTE_MS);
        stage.pass(ANNA);
        stage.check(phone, &State::Markers("max", &[]));
        card["mobilePhone"] = json!(phone);
        stage.edit(&Edit::OutlookNew(ANNA, "neu", card));
        stage.world.advance_ms(MINUTE_MS);
        stage.pass(ANNA);
        stage.check(phone, &State::CrmCount(1));
        stage.check(phone, &State::Markers("max", &[ANNA]));
        stage.check(phone, &State::Standing(ANNA, "max", Some(Stands::Linked)));
        stage.check_quiet(phone);
    }
}

/// At rest, with a new id, then edited: still at rest, and not imported.
#[test]
fn detached_contact_under_a_new_id_stays_at_rest() {
    for variant in [Variant::AccountField, Variant::Tag, Variant::SyncEntry] {
        let mut stage = Scenario::new().before(people()).stage(variant);
        let ids = stage.world.crm_ids();
        stage.edit(&Edit::Unmark("erika", ANNA));
        stage.world.advance_ms(MINUTE_MS);
        stage.pass(ANNA);
        let old = stage.handle(ANNA, "erika");
        let new = stage.world.mailbox_recreate(ANNA, &old);
        stage.world.advance_ms(MINUTE_MS);
        reads_only(&stage.pass(ANNA), "new id");
        stage.world.advance_ms(MINUTE_MS);
        stage
            .world
            .mailbox_edit(ANNA, &new, &json!({"jobTitle": "Leitung"}));
        stage.world.advance_ms(MINUTE_MS);
        reads_only(&stage.pass(ANNA), "edited");
        let mut found = stage.world.crm_ids();
        found.sort();
        let mut expected = ids.clone();
        expected.sort();
        assert_eq!(found, expected, "{variant:?}: nobody was imported");
        let links = stage.links(ANNA);
        let new = stage.known_as(ANNA, &new);
        let link = links.iter().find(|link| link.mailbox_id.as_str() == new);
        assert_eq!(
            link.map(|link| link.crm_id.to_string()),
            Some(stage.crm_id("erika"))
        );
        stage.check(
            "at rest",
            &State::Standing(ANNA, "erika", Some(Stands::Detached)),
        );
    }
}

// ---- not certain --------------------------------------------------------------------------------

/// Two may be the missing one: nothing is deleted until a person has said who it is.
#[test]
fn missing_contact_that_may_be_one_of_two_is_held_and_asked_about() {
    let card = |title: &str| {
        json!({"givenName": "Erika", "surname": "Muster", "jobTitle": title,
            "emailAddresses": [{"address": "erika@muster.example", "name": "E"}]})
    };
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    stage.edit(&Edit::OutlookPurge(ANNA, "erika"));
    stage.edit(&Edit::OutlookNew(ANNA, "eins", card("Leitung")));
    stage.edit(&Edit::OutlookNew(ANNA, "zwei", card("Vertretung")));
    for _ in 0..3 {
        stage.world.advance_ms(25 * 60 * MINUTE_MS);
        let played = stage.pass(ANNA);
        reads_only(&played, "asked");
        is_whole(&stage, "asked", &ids);
    }
    let crm_id = CrmId::new(stage.crm_id("erika"));
    let mailbox_id = MailboxId::new(stage.mailbox_id(ANNA, "zwei"));
    setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &mailbox_id,
        Some(crm_id),
    )
    .expect("this is what was asked");
    stage.world.advance_ms(MINUTE_MS);
    stage.pass(ANNA);
    stage.check(
        "answered",
        &State::Crm("erika", json!({"position": ["Vertretung"]})),
    );
    let links = stage.links(ANNA);
    let link = links.iter().find(|link| link.mailbox_id == mailbox_id);
    assert_eq!(
        link.map(|link| link.crm_id.to_string()),
        Some(stage.crm_id("erika"))
    );
}

/// A pair that nobody has asked about is not torn apart by an answer.
#[test]
fn answer_that_nobody_asked_for_tears_no_pair_apart() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "neu", max()));
    let crm_id = CrmId::new(stage.crm_id("erika"));
    let mailbox_id = MailboxId::new(stage.mailbox_id(ANNA, "neu"));
    let paired = setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &mailbox_id,
        Some(crm_id),
    );
    assert!(paired.is_err());
}

// ---- all of them --------------------------------------------------------------------------------

/// Everybody is imported again by another program: all ids are new, and one was edited on the way.
#[test]
fn address_book_that_is_imported_again_is_linked_anew() {
    let scenario = Scenario::new().ballast(30).before(people());
    let mut stage = scenario.stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    for id in stage.world.mailbox_ids(ANNA) {
        let new = stage.world.mailbox_recreate(ANNA, &id);
        let contact = stage
            .world
            .mailbox_contact(ANNA, &new)
            .expect("it was created");
        if contact["surname"] == json!("Kraft") {
            stage
                .world
                .mailbox_edit(ANNA, &new, &json!({"jobTitle": "Leitung"}));
        }
    }
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    let written: Vec<(Kind, u64)> = writes(&played.counters).into_iter().collect();
    assert_eq!(written, [(Kind::FlowfactUpdate, 1)], "{played:#?}");
    is_whole(&stage, "imported again", &ids);
    stage.check(
        "imported again",
        &State::Crm("max", json!({"position": ["Leitung"]})),
    );
    let there = stage.world.mailbox_ids(ANNA);
    let there: Vec<String> = there.iter().map(|id| stage.known_as(ANNA, id)).collect();
    let links = stage.links(ANNA);
    assert!(
        links
            .iter()
            .all(|link| there.contains(&link.mailbox_id.to_string()))
    );
    assert_eq!(links.iter().filter(|link| link.is_linked()).count(), 32);
}

/// The same, and the guard would have stopped it: the next pass still knows who is who.
#[test]
fn address_book_that_goes_and_comes_back_in_two_passes_is_linked_anew() {
    let scenario = Scenario::new().ballast(30).before(people());
    let mut stage = scenario.stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    let cards: Vec<Value> = stage
        .world
        .mailbox_ids(ANNA)
        .iter()
        .filter_map(|id| stage.world.mailbox_contact(ANNA, id))
        .collect();
    for id in stage.world.mailbox_ids(ANNA) {
        stage.world.mailbox_purge(ANNA, &id);
    }
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("side-empty")
    );
    for card in &cards {
        stage.world.mailbox_create(ANNA, card);
    }
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    reads_only(&played, "back");
    is_whole(&stage, "back", &ids);
}

/// The same user's new mailbox: its job, after the migration.
fn migrated(stage: &Stage, new: &str) -> Job {
    stage
        .world
        .services(|services, _| services.graph.add_mailbox(new, "anna"));
    super::stage::in_office_365(stage.job(ANNA), new)
}

/// A whole mailbox was migrated, but for one contact that was deleted on the way.
#[test]
fn migrated_mailbox_is_linked_anew_and_what_is_missing_awaits_approval() {
    const NEW: &str = "anna@neu.example";
    let scenario = Scenario::new().ballast(30).before(people());
    let stage = scenario.stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    let job = migrated(&stage, NEW);
    for id in stage.world.mailbox_ids(ANNA) {
        let card = stage.world.mailbox_contact(ANNA, &id).expect("it is there");
        if card["surname"] != json!("Kraft") {
            stage.world.mailbox_create(NEW, &card);
        }
    }
    stage.world.advance_ms(PAUSE_MS);
    let refused = play(&stage.world, job.clone(), Mode::Sync);
    assert_eq!(
        ending(&refused.report.outcome),
        Ending::Stopped("wrong-identity")
    );
    setup::rebind(&job, &stage.outside()).expect("there is something to rebind");
    let played = play(&stage.world, job.clone(), Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("rebound"),
        "{played:#?}"
    );
    reads_only(&played, "migrated");
    assert!(
        played.counters.of(Kind::GraphRead) <= 2,
        "old ids mean nothing there: {:#?}",
        played.counters
    );
    is_whole(&stage, "migrated", &ids);
    let there = stage
        .world
        .services(|services, _| services.graph.contacts(NEW).len());
    let links = stage.links(ANNA);
    assert_eq!(there, links.len() - 1, "all but one");
    // And the pass after it says the same, and no more.
    stage.world.advance_ms(PAUSE_MS);
    let played = play(&stage.world, job, Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("rebound")
    );
    reads_only(&played, "again");
}

// ---- replayed -----------------------------------------------------------------------------------

/// The feed names a deleted contact again and again: it stays deleted.
#[test]
fn entry_of_a_forgotten_contact_that_is_replayed_brings_nobody_back() {
    Scenario::new()
        .world(|builder| {
            builder.graph(|quirks| {
                quirks.entries_replayed = 20;
                quirks.entries_repeated = true;
            })
        })
        .before(people())
        .then(
            [Edit::OutlookDelete(ANNA, "max")],
            ANNA,
            Expect {
                operations: &["crm delete max: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![
                    State::CrmTrashed("max"),
                    State::Standing(ANNA, "max", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .only(&Variant::FEEDS)
        .check();
}

/// Two mailboxes: a new id in one of them is no news for the other.
#[test]
fn new_id_in_one_mailbox_is_no_news_in_the_other() {
    let mut stage = Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .before([crm("erika", &[ANNA, BERND], erika())])
        .stage(Variant::AccountField);
    let ids = stage.world.crm_ids();
    stage.edit(&Edit::OutlookRecreate(ANNA, "erika"));
    stage.world.advance_ms(MINUTE_MS);
    for mailbox in [ANNA, BERND, ANNA] {
        reads_only(&stage.pass(mailbox), mailbox);
    }
    is_whole(&stage, "two", &ids);
    stage.check_quiet("two");
}
