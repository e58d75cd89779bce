//! Section 7.2: what was deleted or replaced is in the journal, and comes back when a person asks.

use contact_sync_guest::job::{OnMailboxDelete, OnUnmark};
use contact_sync_guest::journal::{self, Cause, JournalEntry, Named};
use contact_sync_guest::links::{Memory, Standing};
use contact_sync_guest::outside::{Method, Timestamp, Write};
use contact_sync_guest::pass::{Mode, Target};
use contact_sync_guest::report::Outcome;
use contact_sync_tests::simulator::{Fault, Matcher, Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::safety::{come_to_rest, snapshot};
use super::stage::{
    ANNA, BERND, DAY_MS, Edit, Ending, PAUSE_MS, Played, Scenario, Stage, Stands, State, Variant,
    crm, ending, play, writes,
};

fn erika() -> Value {
    json!({
        "firstName": ["Erika"], "lastName": ["Mustermann"], "position": ["Vertrieb"],
        "emails": ["erika@muster.example"],
        "phones": [
            {"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"},
            {"type": "private", "number": "0221 / 55 44 0", "note": "abends"},
        ],
    })
}

/// Little in the CRM, and too much for the journal: each of them takes six bytes there.
fn too_long_for_an_entry() -> String {
    "\u{1}".repeat(journal::ENTRY_BYTES_MAX / 6 + 1)
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

fn in_two_mailboxes() -> Scenario {
    Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .before([crm("erika", &[ANNA, BERND], erika())])
}

/// These edits, and a pass.
fn sync(stage: &mut Stage, edits: &[Edit], mailbox: &str) -> Played {
    for edit in edits {
        stage.edit(edit);
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(mailbox);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn restore(stage: &mut Stage, mailbox: &str, target: Target) -> Played {
    let played = stage.pass_in(
        mailbox,
        Mode::Restore {
            target,
            is_dry: false,
        },
    );
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
    stage.world.advance_ms(PAUSE_MS);
    played
}

/// A dry run: the same operations are planned, and nothing at all is written.
fn dry(stage: &mut Stage, mailbox: &str, target: Target) -> Played {
    let before = (stage.world.stored(), snapshot(&stage.world));
    let played = stage.pass_in(
        mailbox,
        Mode::Restore {
            target,
            is_dry: true,
        },
    );
    assert_eq!(played.counters.writes(), 0, "{played:#?}");
    let after = (stage.world.stored(), snapshot(&stage.world));
    assert!(before == after, "a dry run leaves no trace");
    played
}

fn contact(stage: &Stage, name: &str) -> Target {
    Target::Contact(stage.crm_id(name))
}

fn told(stage: &Stage, played: &Played) -> Vec<String> {
    let mut told: Vec<String> = played
        .operations
        .iter()
        .map(|operation| stage.told(operation))
        .collect();
    told.sort();
    told
}

fn memory(stage: &Stage, mailbox: &str) -> Memory {
    Memory::new(stage.outside(), &stage.job(mailbox).mailbox.id)
}

/// Newest first.
fn history(stage: &Stage, mailbox: &str) -> Vec<Named> {
    let memory = memory(stage, mailbox);
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (entries, next) = journal::entries(&memory, after.as_deref(), 3).expect("the journal");
        all.extend(entries);
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn last_pass(stage: &Stage, mailbox: &str) -> Target {
    let newest = history(stage, mailbox);
    Target::Pass(newest.first().expect("an entry").entry.pass.clone())
}

// ---- contacts -----------------------------------------------------------------------------------

/// Deleted in Outlook, so in the CRM: the same CRM contact is back, and a mailbox contact of it.
#[test]
fn contact_deleted_in_the_mailbox_comes_back_on_both_sides() {
    for variant in Variant::FEEDS {
        let mut stage = linked().stage(variant);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        stage.check("deleted", &State::CrmTrashed("erika"));
        let target = contact(&stage, "erika");
        let planned = dry(&mut stage, ANNA, target.clone());
        let expected = [
            "crm restore erika: restore-asked",
            "mailbox create erika: restore-asked",
        ];
        let planned_told: Vec<String> = expected
            .iter()
            .map(|operation| format!("{operation} [planned]"))
            .collect();
        assert_eq!(told(&stage, &planned), planned_told, "{variant:?}");
        assert_eq!(planned.codes(), ["cannot-come-back"], "{planned:#?}");
        let played = restore(&mut stage, ANNA, target.clone());
        assert_eq!(told(&stage, &played), expected, "{variant:?}: {played:#?}");
        if variant != Variant::SyncEntry {
            let expected = [(Kind::FlowfactRestore, 1), (Kind::GraphCreate, 1)];
            assert_eq!(writes(&played.counters), expected.into(), "{variant:?}");
        }
        for state in [
            State::Crm("erika", erika()),
            State::Markers("erika", &[ANNA]),
            State::CrmCount(1),
            State::OutlookCount(ANNA, 1),
            State::Standing(ANNA, "erika", Some(Stands::Linked)),
            State::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
        ] {
            stage.check(&format!("{variant:?}"), &state);
        }
        let entry = history(&stage, ANNA).remove(0).entry;
        assert!(entry.restored.is_some(), "{entry:?}");
        let again = restore(&mut stage, ANNA, target);
        assert_eq!(again.codes(), ["already-back"], "{again:#?}");
        assert!(writes(&again.counters).is_empty(), "{again:#?}");
        stage.check_quiet(&format!("{variant:?}"));
    }
}

#[test]
fn contact_deleted_in_the_crm_comes_back_by_its_mailbox_id_too() {
    let mut stage = linked().stage(Variant::AccountField);
    // As the report of the deletion names it.
    let target = Target::Contact(stage.mailbox_id(ANNA, "erika"));
    sync(&mut stage, &[Edit::CrmDelete("erika")], ANNA);
    stage.check("", &State::Place(ANNA, "erika", Place::DeletedItems));
    let played = restore(&mut stage, ANNA, target);
    let expected = [
        "crm restore erika: restore-asked",
        "mailbox create erika: restore-asked",
    ];
    assert_eq!(told(&stage, &played), expected, "{played:#?}");
    stage.check("", &State::OutlookCount(ANNA, 1));
    stage.check_quiet("");
}

/// Somebody brought the CRM contact back in the meantime, but took its marker.
#[test]
fn contact_that_is_back_in_the_crm_alone_is_marked_and_created_in_the_mailbox() {
    for variant in Variant::FEEDS {
        let mut stage = linked().stage(variant);
        let edits = [Edit::CrmDelete("erika")];
        sync(&mut stage, &edits, ANNA);
        stage.edit(&Edit::CrmRestore("erika"));
        stage.edit(&Edit::Unmark("erika", ANNA));
        let target = contact(&stage, "erika");
        let played = restore(&mut stage, ANNA, target);
        let expected = [
            "crm mark erika: restore-asked",
            "mailbox create erika: restore-asked",
        ];
        assert_eq!(told(&stage, &played), expected, "{variant:?} {played:#?}");
        stage.check("", &State::Markers("erika", &[ANNA]));
        stage.check("", &State::Standing(ANNA, "erika", Some(Stands::Linked)));
        stage.check_quiet(&format!("{variant:?}"));
    }
}

/// A tenant's gentler rule: the deletion in Outlook takes only the marker.
#[test]
fn contact_that_lost_its_marker_by_a_deletion_comes_back_into_the_mailbox() {
    let mut stage = linked()
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    let found = history(&stage, ANNA);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].entry.cause, Cause::Unmarked);
    let played = restore(&mut stage, ANNA, Target::Entry(found[0].id.clone()));
    let expected = [
        "crm mark erika: restore-asked",
        "mailbox create erika: restore-asked",
    ];
    assert_eq!(told(&stage, &played), expected, "{played:#?}");
    stage.check("", &State::Markers("erika", &[ANNA]));
    stage.check_quiet("");
}

#[test]
fn deletion_still_under_way_in_another_mailbox_is_cancelled() {
    let mut stage = in_two_mailboxes().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    let target = contact(&stage, "erika");
    restore(&mut stage, ANNA, target);
    let played = sync(&mut stage, &[], BERND);
    assert!(played.operations.is_empty(), "{played:#?}");
    stage.check("", &State::Place(BERND, "erika", Place::Contacts));
    stage.check("", &State::Markers("erika", &[ANNA, BERND]));
    stage.check_quiet("");
}

#[test]
fn other_mailbox_that_had_deleted_it_already_gets_it_again_in_its_own_pass() {
    for variant in Variant::FEEDS {
        let mut stage = in_two_mailboxes().stage(variant);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        sync(&mut stage, &[], BERND);
        stage.check("", &State::Place(BERND, "erika", Place::DeletedItems));
        let target = contact(&stage, "erika");
        restore(&mut stage, ANNA, target);
        let played = sync(&mut stage, &[], BERND);
        let expected = ["mailbox create erika: restored-in-crm"];
        assert_eq!(told(&stage, &played), expected, "{variant:?} {played:#?}");
        stage.check("", &State::OutlookCount(BERND, 1));
        stage.check_quiet(&format!("{variant:?}"));
    }
}

/// Anna deleted it, and Bernd's copy followed; Bernd wants it back: she does not get it again.
#[test]
fn contact_that_another_mailbox_deleted_comes_back_without_its_marker() {
    for variant in [Variant::AccountField, Variant::Tag] {
        let mut stage = in_two_mailboxes().stage(variant);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        sync(&mut stage, &[], BERND);
        let target = contact(&stage, "erika");
        let planned = dry(&mut stage, BERND, target.clone());
        assert_eq!(planned.codes(), ["cannot-come-back", "marker-taken"]);
        restore(&mut stage, BERND, target);
        stage.check("", &State::Markers("erika", &[BERND]));
        stage.check("", &State::OutlookCount(BERND, 1));
        sync(&mut stage, &[], ANNA);
        stage.check("", &State::OutlookCount(ANNA, 0));
        stage.check_quiet(&format!("{variant:?}"));
    }
}

/// Nothing rests on the link: forgotten with its tombstone, or damaged.
#[test]
fn contact_whose_link_is_forgotten_or_damaged_comes_back() {
    for row in [None, Some(b"{".to_vec())] {
        let mut stage = linked().stage(Variant::AccountField);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        let mut rows = stage.world.stored();
        let id = stage.crm_id("erika");
        let of = |folder: &str, id: &str| format!("m/anna-makler-example/{folder}/{id}");
        if let Some(damaged) = &row {
            assert!(rows.insert(of("pair", &id), damaged.clone()).is_some());
        } else {
            rows.remove(&of("pair", &id));
            rows.remove(&of("tombstone", &id));
            rows.remove(&of("at", &stage.mailbox_id(ANNA, "erika")));
        }
        stage.world.set_stored(rows);
        let target = contact(&stage, "erika");
        let played = restore(&mut stage, ANNA, target);
        let expected = [
            "crm restore erika: restore-asked",
            "mailbox create erika: restore-asked",
        ];
        assert_eq!(told(&stage, &played), expected, "{row:?} {played:#?}");
        stage.check("", &State::CrmCount(1));
        stage.check("", &State::OutlookCount(ANNA, 1));
        stage.check_quiet(&format!("{row:?}"));
    }
}

/// Unmarked, deleted from the mailbox, and detached again since: a person's wish re-marks it.
#[test]
fn contact_deleted_by_unmarking_comes_back_with_its_marker() {
    let mut stage = linked()
        .policy(|policy| policy.on_unmark = OnUnmark::DeleteFromMailbox)
        .stage(Variant::AccountField);
    sync(&mut stage, &[Edit::Unmark("erika", ANNA)], ANNA);
    stage.check("", &State::Place(ANNA, "erika", Place::DeletedItems));
    let target = contact(&stage, "erika");
    restore(&mut stage, ANNA, target);
    stage.check("", &State::Markers("erika", &[ANNA]));
    stage.check("", &State::Standing(ANNA, "erika", Some(Stands::Linked)));
    stage.check_quiet("");
}

/// An earlier deletion that was made good says nothing about the newest one.
#[test]
fn contact_that_is_deleted_again_comes_back_again() {
    for is_purged in [false, true] {
        let mut stage = linked().stage(Variant::AccountField);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        let target = contact(&stage, "erika");
        restore(&mut stage, ANNA, target.clone());
        sync(&mut stage, &[Edit::CrmDelete("erika")], ANNA);
        if is_purged {
            stage.edit(&Edit::CrmPurge("erika"));
        }
        let played = restore(&mut stage, ANNA, target);
        assert_eq!(played.operations.len(), 2, "{played:#?}");
        stage.check("", &State::CrmCount(1));
        stage.check("", &State::OutlookCount(ANNA, 1));
        stage.check_quiet(&format!("{is_purged}"));
    }
}

// ---- purged -------------------------------------------------------------------------------------

#[test]
fn purged_contact_is_created_from_the_journal_once_and_what_is_missing_is_said() {
    for variant in Variant::FEEDS {
        let mut stage = linked().stage(variant);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        stage.edit(&Edit::CrmPurge("erika"));
        let target = contact(&stage, "erika");
        let planned = dry(&mut stage, ANNA, target.clone());
        assert_eq!(planned.codes(), ["cannot-come-back"; 2], "{planned:#?}");
        let said = &planned.findings[0].message;
        for missing in ["salutation", "tags", "notes", "markers for other mailboxes"] {
            assert!(said.contains(missing), "{missing}: {said}");
        }
        let played = restore(&mut stage, ANNA, target.clone());
        let actions: Vec<String> = played
            .operations
            .iter()
            .map(|operation| format!("{:?} {:?}", operation.side, operation.action))
            .collect();
        assert_eq!(actions, ["Crm Create", "Mailbox Create"], "{played:#?}");
        stage.check("", &State::CrmCount(1));
        stage.check("", &State::OutlookCount(ANNA, 1));
        let ids = stage.world.crm_ids();
        let found = ids.iter().find_map(|id| {
            let fields = stage.world.crm_fields(id)?;
            (fields["lastName"] == json!(["Mustermann"])).then_some((id, fields))
        });
        let (id, fields) = found.expect("it is back");
        assert_eq!(fields["phones"], erika()["phones"], "{fields}");
        assert_eq!(stage.world.crm_markers(id), [ANNA], "{variant:?}");
        let again = restore(&mut stage, ANNA, target);
        assert_eq!(again.codes(), ["already-back"], "{again:#?}");
        assert!(writes(&again.counters).is_empty(), "{again:#?}");
        stage.check_quiet(&format!("{variant:?}"));
    }
}

/// The record was too large for the journal, and is purged: it is not rebuilt from what is shown.
#[test]
fn purged_contact_that_the_journal_does_not_hold_is_told_and_left() {
    let mut stage = linked().stage(Variant::AccountField);
    let long = too_long_for_an_entry();
    let phones = json!({"phones": [{"type": "office", "number": "0221 55440", "note": long}]});
    sync(&mut stage, &[Edit::Crm("erika", phones)], ANNA);
    let mailbox_id = stage.mailbox_id(ANNA, "erika");
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    stage.edit(&Edit::CrmPurge("erika"));
    let mut rows = stage.world.stored();
    let id = stage.crm_id("erika");
    rows.remove(&format!("m/anna-makler-example/pair/{id}"));
    rows.remove(&format!("m/anna-makler-example/tombstone/{id}"));
    rows.remove(&format!("m/anna-makler-example/at/{mailbox_id}"));
    stage.world.set_stored(rows);
    let target = contact(&stage, "erika");
    let played = restore(&mut stage, ANNA, target);
    assert_eq!(played.codes(), ["not-in-journal"], "{played:#?}");
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.check_quiet("");
}

/// The mailbox contact was taken out of Deleted Items, but the CRM contact is purged.
#[test]
fn purged_contact_whose_mailbox_contact_is_back_is_created_and_paired_with_it() {
    let mut stage = linked()
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    stage.edit(&Edit::CrmPurge("erika"));
    stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"department": "Verkauf"}),
    ));
    let target = contact(&stage, "erika");
    restore(&mut stage, ANNA, target);
    come_to_rest(&mut stage, "");
    stage.check("", &State::CrmCount(1));
    stage.check("", &State::OutlookCount(ANNA, 1));
    let link = stage
        .links(ANNA)
        .into_iter()
        .find(|link| link.mailbox_id.as_str() == stage.mailbox_id(ANNA, "erika"));
    let link = link.expect("they are a pair");
    assert_eq!(link.standing, Standing::Linked);
    let fields = stage.world.crm_fields(link.crm_id.as_str()).expect("there");
    assert_eq!(fields["department"], json!(["Verkauf"]), "{fields}");
    assert_eq!(fields["phones"], erika()["phones"], "{fields}");
    stage.check_quiet("");
}

// ---- values -------------------------------------------------------------------------------------

/// A clash that the CRM won: the mailbox's value comes back, on both sides.
#[test]
fn value_that_lost_a_conflict_comes_back_and_travels() {
    let mut stage = linked().stage(Variant::AccountField);
    let edits = [
        Edit::Crm("erika", json!({"position": ["Leitung"]})),
        Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Assistenz"})),
    ];
    sync(&mut stage, &edits, ANNA);
    stage.check(
        "",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
    let target = contact(&stage, "erika");
    let played = restore(&mut stage, ANNA, target.clone());
    let expected = [
        "crm update erika: restore-asked",
        "mailbox update erika: restore-asked",
    ];
    assert_eq!(told(&stage, &played), expected, "{played:#?}");
    let assistant = json!({"jobTitle": "Assistenz"});
    stage.check("", &State::Outlook(ANNA, "erika", assistant));
    stage.check("", &State::Crm("erika", json!({"position": ["Assistenz"]})));
    let again = restore(&mut stage, ANNA, target);
    assert_eq!(again.codes(), ["already-back"], "{again:#?}");
    stage.check_quiet("");
}

#[test]
fn value_that_somebody_edited_since_is_kept_and_shown() {
    type Since = fn() -> Edit;
    let since: [(Since, bool, &str); 3] = [
        (
            || Edit::Crm("erika", json!({"position": ["Chefin"]})),
            false,
            "Chefin",
        ),
        (
            || Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Chefin"})),
            false,
            "Chefin",
        ),
        (
            || Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Chefin"})),
            true,
            "Chefin",
        ),
    ];
    for (since, is_synced, holds) in since {
        let mut stage = linked().stage(Variant::AccountField);
        let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
        sync(&mut stage, &[edit], ANNA);
        let target = last_pass(&stage, ANNA);
        stage.edit(&since());
        if is_synced {
            sync(&mut stage, &[], ANNA);
        }
        let played = restore(&mut stage, ANNA, target);
        assert_eq!(played.codes(), ["kept"], "{played:#?}");
        let message = &played.findings[0].message;
        assert!(message.contains(holds), "{message}");
        assert!(writes(&played.counters).is_empty(), "{played:#?}");
        come_to_rest(&mut stage, "");
        stage.check("", &State::Crm("erika", json!({"position": ["Chefin"]})));
        stage.check_quiet("");
    }
}

/// An edit of another field, not synced yet, is neither lost nor in the way.
#[test]
fn edit_of_another_field_is_left_to_the_next_sync() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    let target = last_pass(&stage, ANNA);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"department": "Verkauf"}),
    ));
    stage.edit(&Edit::Crm("erika", json!({"company": ["Muster GmbH"]})));
    let played = restore(&mut stage, ANNA, target);
    let expected = [
        "crm update erika: restore-asked",
        "mailbox update erika: restore-asked",
    ];
    assert_eq!(told(&stage, &played), expected, "{played:#?}");
    come_to_rest(&mut stage, "");
    stage.check(
        "",
        &State::Crm(
            "erika",
            json!({"position": ["Vertrieb"], "department": ["Verkauf"], "company": ["Muster GmbH"]}),
        ),
    );
    stage.check(
        "",
        &State::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Vertrieb", "department": "Verkauf", "companyName": "Muster GmbH"}),
        ),
    );
    stage.check_quiet("");
}

/// Of a list, the number that was replaced comes back with its note; one added since stays.
#[test]
fn number_that_was_replaced_comes_back_beside_one_that_was_added_since() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"businessPhones": ["+49 221 77770"]}));
    sync(&mut stage, &[edit], ANNA);
    let target = last_pass(&stage, ANNA);
    let added = json!({"phones": [
        {"type": "office", "number": "+49 221 77770", "note": "Zentrale"},
        {"type": "private", "number": "0221 / 55 44 0", "note": "abends"},
        {"type": "mobile", "number": "0171 1234567"},
    ]});
    sync(&mut stage, &[Edit::Crm("erika", added)], ANNA);
    restore(&mut stage, ANNA, target);
    let expected = json!([
        {"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"},
        {"type": "private", "number": "0221 / 55 44 0", "note": "abends"},
        {"type": "mobile", "number": "0171 1234567"},
    ]);
    stage.check("", &State::Crm("erika", json!({"phones": expected})));
    stage.check(
        "",
        &State::Outlook(
            ANNA,
            "erika",
            json!({"businessPhones": ["+49 221 88990"], "mobilePhone": "+49 171 1234567"}),
        ),
    );
    stage.check_quiet("");
}

/// A value of a pair that was taken apart comes back on its own side only.
#[test]
fn value_of_a_detached_pair_comes_back_without_linking_it_again() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    let target = last_pass(&stage, ANNA);
    sync(&mut stage, &[Edit::Unmark("erika", ANNA)], ANNA);
    let played = restore(&mut stage, ANNA, target);
    let expected = ["crm update erika: restore-asked"];
    assert_eq!(told(&stage, &played), expected, "{played:#?}");
    stage.check("", &State::Crm("erika", json!({"position": ["Vertrieb"]})));
    let leader = json!({"jobTitle": "Leitung"});
    stage.check("", &State::Outlook(ANNA, "erika", leader));
    stage.check("", &State::Standing(ANNA, "erika", Some(Stands::Detached)));
    stage.check("", &State::Markers("erika", &[]));
    stage.check_quiet("");
}

// ---- passes -------------------------------------------------------------------------------------

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn many() -> Scenario {
    let people = NAMES.map(|name| {
        crm(
            name,
            &[ANNA],
            json!({"firstName": [name], "lastName": ["Muster"], "position": ["Vertrieb"],
                "emails": [format!("{name}@muster.example")]}),
        )
    });
    Scenario::new().ballast(12).before(people).policy(|policy| {
        policy.guard.contacts_max = 100;
    })
}

/// Half is deleted, the other half changed, and somebody is new.
fn disaster(stage: &mut Stage) -> Target {
    for (index, name) in NAMES.into_iter().enumerate() {
        stage.edit(&match index % 3 {
            0 => Edit::OutlookDelete(ANNA, name),
            1 => Edit::CrmDelete(name),
            _ => Edit::Outlook(ANNA, name, json!({"jobTitle": "Leitung"})),
        });
    }
    let max = json!({"givenName": "Max", "surname": "Kraft"});
    stage.edit(&Edit::OutlookNew(ANNA, "max", max));
    let played = sync(stage, &[], ANNA);
    assert_eq!(played.report.counts.crm.deleted, 4, "{played:#?}");
    assert_eq!(played.report.counts.mailbox.deleted, 4, "{played:#?}");
    last_pass(stage, ANNA)
}

#[test]
fn whole_pass_is_undone_and_what_it_created_stays_and_is_named() {
    let mut stage = many().stage(Variant::AccountField);
    let target = disaster(&mut stage);
    let planned = dry(&mut stage, ANNA, target.clone());
    let played = restore(&mut stage, ANNA, target.clone());
    let planned: Vec<String> = told(&stage, &planned)
        .iter()
        .map(|operation| operation.replace(" [planned]", ""))
        .collect();
    assert_eq!(told(&stage, &played), planned);
    for (index, name) in NAMES.into_iter().enumerate() {
        stage.check("", &State::Crm(name, json!({"position": ["Vertrieb"]})));
        let title = json!({"jobTitle": "Vertrieb"});
        stage.check(&format!("{index}"), &State::Outlook(ANNA, name, title));
        stage.check("", &State::Markers(name, &[ANNA]));
    }
    stage.check("", &State::CrmCount(NAMES.len() + 1));
    let created = played
        .findings
        .iter()
        .filter(|finding| finding.code == "created-by-pass");
    let labels: Vec<&str> = created
        .filter_map(|finding| Some(finding.contact.as_ref()?.label.as_str()))
        .collect();
    assert_eq!(labels, ["Max Kraft"]);
    let again = restore(&mut stage, ANNA, target);
    assert!(writes(&again.counters).is_empty(), "{again:#?}");
    stage.check_quiet("");
}

/// An undoing is a pass as well: it can be undone.
#[test]
fn undoing_is_in_the_journal_itself() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    let target = last_pass(&stage, ANNA);
    restore(&mut stage, ANNA, target);
    let target = last_pass(&stage, ANNA);
    restore(&mut stage, ANNA, target);
    stage.check("", &State::Crm("erika", json!({"position": ["Leitung"]})));
    let leader = json!({"jobTitle": "Leitung"});
    stage.check("", &State::Outlook(ANNA, "erika", leader));
    stage.check_quiet("");
}

/// What a pass added is nobody's loss: undoing it takes nothing away.
#[test]
fn values_that_only_came_stay_and_are_named() {
    let mut stage = linked().stage(Variant::AccountField);
    let edits = [
        Edit::Outlook(ANNA, "erika", json!({"department": "Verkauf"})),
        Edit::Crm("erika", json!({"company": ["Muster GmbH"]})),
    ];
    sync(&mut stage, &edits, ANNA);
    let target = last_pass(&stage, ANNA);
    let played = restore(&mut stage, ANNA, target);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    assert_eq!(played.codes(), ["added-by-pass"; 2], "{played:#?}");
    stage.check_quiet("");
}

// ---- crashes ------------------------------------------------------------------------------------

#[test]
fn restore_that_dies_at_any_step_is_run_again_and_ends_the_same() {
    let begin = || {
        let mut stage = many().stage(Variant::AccountField);
        let target = disaster(&mut stage);
        stage.edit(&Edit::CrmPurge("a"));
        (stage, target)
    };
    let (mut whole, target) = begin();
    let first = whole.world.steps();
    restore(&mut whole, ANNA, target);
    let steps = whole.world.steps() - first;
    come_to_rest(&mut whole, "no crash");
    let expected = snapshot(&whole.world);
    for step in 0..steps {
        let place = format!("step {step} of {steps}");
        let (mut stage, target) = begin();
        let job = stage.job(ANNA);
        stage.world.crash_after(step);
        let mode = Mode::Restore {
            target: target.clone(),
            is_dry: false,
        };
        let crashed = stage.world.run(|| play(&stage.world, job, mode));
        assert!(crashed.is_err(), "{place}");
        stage.world.advance_ms(PAUSE_MS);
        restore(&mut stage, ANNA, target);
        come_to_rest(&mut stage, &place);
        assert_eq!(snapshot(&stage.world), expected, "{place}");
        stage.check_quiet(&place);
    }
}

/// A sync comes between the crash and the second try.
#[test]
fn restore_that_dies_is_taken_up_by_a_sync_without_duplicates() {
    let begin = || {
        let mut stage = linked().stage(Variant::AccountField);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        stage.edit(&Edit::CrmPurge("erika"));
        let target = contact(&stage, "erika");
        (stage, target)
    };
    let (mut whole, target) = begin();
    let first = whole.world.steps();
    restore(&mut whole, ANNA, target);
    let steps = whole.world.steps() - first;
    for step in 0..steps {
        let place = format!("step {step} of {steps}");
        let (mut stage, target) = begin();
        let job = stage.job(ANNA);
        stage.world.crash_after(step);
        let mode = Mode::Restore {
            target: target.clone(),
            is_dry: false,
        };
        let crashed = stage.world.run(|| play(&stage.world, job, mode));
        assert!(crashed.is_err(), "{place}");
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &place);
        restore(&mut stage, ANNA, target);
        come_to_rest(&mut stage, &place);
        stage.check(&place, &State::CrmCount(1));
        stage.check(&place, &State::OutlookCount(ANNA, 1));
        stage.check_quiet(&place);
    }
}

#[test]
fn lost_answers_of_a_restore_make_no_duplicates() {
    for (path, skip) in [
        ("/graph/", 1),
        ("/graph/", 0),
        ("/entity-service/recovery", 0),
    ] {
        let place = format!("{path} {skip}");
        let mut stage = linked().stage(Variant::AccountField);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        let requests = Matcher::of(Method::Post, path);
        stage.world.services(|services, _| {
            services.faults.script(requests, skip, 1, Fault::LostAfter);
        });
        let target = contact(&stage, "erika");
        let mode = Mode::Restore {
            target: target.clone(),
            is_dry: false,
        };
        stage.pass_in(ANNA, mode.clone());
        stage.pass_in(ANNA, mode);
        stage.world.advance_ms(PAUSE_MS);
        restore(&mut stage, ANNA, target);
        come_to_rest(&mut stage, &place);
        stage.check(&place, &State::CrmCount(1));
        stage.check(&place, &State::OutlookCount(ANNA, 1));
        stage.check_quiet(&place);
    }
}

/// The answer to creating the CRM contact was lost: run again, it is found, marked and copied.
#[test]
fn lost_answer_of_a_create_from_the_journal_is_made_good_by_running_it_again() {
    for variant in Variant::FEEDS {
        let place = format!("{variant:?}");
        let mut stage = linked().stage(variant);
        sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
        stage.edit(&Edit::CrmPurge("erika"));
        stage.world.services(|services, _| {
            let requests = Matcher::of(Method::Post, "/entity-service/schemas");
            services.faults.next(requests, Fault::LostAfter);
        });
        let target = contact(&stage, "erika");
        restore(&mut stage, ANNA, target.clone());
        assert_eq!(stage.rows("m/anna-makler-example/intent/").len(), 1);
        let played = restore(&mut stage, ANNA, target);
        assert!(!writes(&played.counters).is_empty(), "{place}: {played:#?}");
        stage.check(&place, &State::CrmCount(1));
        stage.check(&place, &State::OutlookCount(ANNA, 1));
        come_to_rest(&mut stage, &place);
        stage.check(&place, &State::CrmCount(1));
        stage.check(&place, &State::OutlookCount(ANNA, 1));
        stage.check_quiet(&place);
    }
}

/// Bernd's edit brings back what Anna deleted. Wherever the pass dies: her marker does not stay.
#[test]
fn marker_of_the_mailbox_that_deleted_it_does_not_survive_a_crash() {
    let begin = || {
        let mut stage = in_two_mailboxes().stage(Variant::AccountField);
        let edits = [
            Edit::OutlookDelete(ANNA, "erika"),
            Edit::Outlook(BERND, "erika", json!({"jobTitle": "Leitung"})),
        ];
        sync(&mut stage, &edits, ANNA);
        stage
    };
    let mut whole = begin();
    let first = whole.world.steps();
    whole.pass(BERND);
    let steps = whole.world.steps() - first;
    for step in 0..steps {
        let place = format!("step {step} of {steps}");
        let mut stage = begin();
        let job = stage.job(BERND);
        stage.world.crash_after(step);
        let crashed = stage.world.run(|| play(&stage.world, job, Mode::Sync));
        assert!(crashed.is_err(), "{place}");
        stage.world.advance_ms(PAUSE_MS);
        sync(&mut stage, &[], BERND);
        stage.check(&place, &State::Markers("erika", &[BERND]));
        sync(&mut stage, &[], ANNA);
        stage.check(&place, &State::Place(ANNA, "erika", Place::DeletedItems));
        stage.check_quiet(&place);
    }
}

// ---- bad input ----------------------------------------------------------------------------------

#[test]
fn unknown_targets_are_told_and_nothing_is_done() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    let unknown = "nobody".to_owned();
    for target in [
        Target::Entry(unknown.clone()),
        Target::Entry("\u{0}\u{7f}ä".to_owned()),
        Target::Contact(unknown.clone()),
        Target::Pass(unknown),
        // Only plain changes: nothing of it was lost.
        contact(&stage, "erika"),
    ] {
        let mode = Mode::Restore {
            target: target.clone(),
            is_dry: false,
        };
        let played = stage.pass_in(ANNA, mode);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Stopped("not-found"),
            "{target:?}"
        );
        assert!(writes(&played.counters).is_empty(), "{target:?}");
    }
}

#[test]
fn damaged_entries_are_told_and_the_others_come_back() {
    let mut stage = many().stage(Variant::AccountField);
    let target = disaster(&mut stage);
    let mut rows = stage.world.stored();
    let prefix = "m/anna-makler-example/journal/";
    let found = rows.iter().find(|(key, row)| {
        key.starts_with(prefix) && String::from_utf8_lossy(row).contains("\"deleted\"")
    });
    let key = found.expect("an entry of a deletion").0.clone();
    rows.insert(key.clone(), b"{\"at\":".to_vec());
    stage.world.set_stored(rows);
    let played = restore(&mut stage, ANNA, target);
    let told = played.findings.iter();
    let told = told.filter(|finding| finding.code == "journal-unreadable");
    assert_eq!(told.count(), 1, "{played:#?}");
    stage.check("", &State::CrmCount(NAMES.len()));
    let entry = key.trim_start_matches(prefix).to_owned();
    let mode = Mode::Restore {
        target: Target::Entry(entry),
        is_dry: false,
    };
    let played = stage.pass_in(ANNA, mode);
    let expected = Ending::Stopped("state-unreadable");
    assert_eq!(ending(&played.report.outcome), expected);
    stage.check_quiet("");
}

// ---- the journal itself -------------------------------------------------------------------------

#[test]
fn history_is_newest_first_and_its_pages_meet() {
    let mut stage = many().stage(Variant::AccountField);
    disaster(&mut stage);
    sync(&mut stage, &[Edit::CrmDelete("c")], ANNA);
    let found = history(&stage, ANNA);
    let times: Vec<Timestamp> = found.iter().map(|named| named.entry.at).collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "{times:?}"
    );
    // Eight deletions, four changes, and one deletion more.
    assert_eq!(found.len(), 13, "{found:#?}");
    assert_eq!(found[0].entry.cause, Cause::Deleted);
    let mut ids: Vec<&str> = found.iter().map(|named| named.id.as_str()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 13);
    assert!(ids.iter().all(|id| id.len() <= 64 && id.is_ascii()));
}

#[test]
fn journal_keeps_its_days() {
    let mut stage = linked()
        .policy(|policy| policy.journal_days = 2)
        .stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    sync(&mut stage, &[Edit::Wait(DAY_MS)], ANNA);
    assert_eq!(history(&stage, ANNA).len(), 1);
    sync(&mut stage, &[Edit::Wait(DAY_MS)], ANNA);
    assert_eq!(history(&stage, ANNA).len(), 0);
    let created = stage.rows("m/anna-makler-example/created/");
    assert!(created.is_empty(), "{created:?}");
}

fn stored_entry(stage: &Stage, at: Timestamp) -> JournalEntry {
    let newest = history(stage, ANNA).remove(0).entry;
    JournalEntry { at, ..newest }
}

#[test]
fn journal_is_bounded_and_its_oldest_go_first() {
    let mut stage = linked().stage(Variant::AccountField);
    let edit = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}));
    sync(&mut stage, &[edit], ANNA);
    let memory = memory(&stage, ANNA);
    let now = history(&stage, ANNA)[0].entry.at;
    let mut rows = stage.world.stored();
    let more = u32::try_from(journal::ENTRIES_MAX + 50).expect("few");
    for number in 0..more {
        let entry = stored_entry(&stage, now.plus_ms(-i64::from(number) - 1));
        if let Write::Set(key, value) = journal::write(&memory, &entry, number) {
            rows.insert(key, value);
        }
    }
    stage.world.set_stored(rows);
    let played = sync(&mut stage, &[Edit::Wait(DAY_MS)], ANNA);
    assert_eq!(
        played.codes(),
        ["journal-full"],
        "once: {:?}",
        played.findings
    );
    let rows = stage.rows("m/anna-makler-example/journal/");
    assert_eq!(rows.len(), journal::ENTRIES_MAX);
    let newest = history(&stage, ANNA)[0].entry.at;
    assert_eq!(newest, now, "the oldest went");
    let played = sync(&mut stage, &[Edit::Wait(DAY_MS)], ANNA);
    assert!(played.codes().is_empty(), "{:?}", played.findings);
}

#[test]
fn entry_that_is_too_large_keeps_what_people_are_shown() {
    let mut stage = linked().stage(Variant::AccountField);
    let long = too_long_for_an_entry();
    let phones = json!({"phones": [{"type": "office", "number": "0221 55440", "note": long}]});
    stage.edit(&Edit::Crm("erika", phones));
    sync(&mut stage, &[], ANNA);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    let rows = stage.rows("m/anna-makler-example/journal/");
    assert!(
        rows.values()
            .all(|row| row.len() <= journal::ENTRY_BYTES_MAX)
    );
    let entry = history(&stage, ANNA).remove(0).entry;
    assert!(
        entry.record.is_none() && !entry.lost.is_empty(),
        "{entry:?}"
    );
    // It comes back from the trash all the same.
    let target = contact(&stage, "erika");
    restore(&mut stage, ANNA, target);
    stage.check("", &State::CrmCount(1));
    stage.check_quiet("");
}

/// As an earlier version wrote its keys: nothing breaks, and they find their place.
#[test]
fn entries_under_the_keys_of_an_earlier_version_are_read_and_moved() {
    let mut stage = linked().stage(Variant::AccountField);
    sync(&mut stage, &[Edit::OutlookDelete(ANNA, "erika")], ANNA);
    let found = history(&stage, ANNA).remove(0);
    let mut rows = stage.world.stored();
    let prefix = "m/anna-makler-example/journal/";
    let row = rows
        .remove(&format!("{prefix}{}", found.id))
        .expect("it is there");
    let mut row: Value = serde_json::from_slice(&row).expect("JSON");
    row.as_object_mut().expect("an object").remove("edit");
    let old = format!("{:013}-{}-000000", found.entry.at.0, found.entry.pass);
    rows.insert(format!("{prefix}{old}"), row.to_string().into_bytes());
    stage.world.set_stored(rows);
    assert_eq!(history(&stage, ANNA).len(), 1);
    sync(&mut stage, &[Edit::Wait(DAY_MS)], ANNA);
    assert_eq!(history(&stage, ANNA)[0].id, found.id);
    let target = last_pass(&stage, ANNA);
    restore(&mut stage, ANNA, target);
    stage.check("", &State::CrmCount(1));
    stage.check_quiet("");
}

/// Thousands of new contacts are no loss: their names ride in commits that happen anyway.
#[test]
fn first_sync_costs_no_commit_more_for_the_journal() {
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    for number in 0..100 {
        let properties = json!({"givenName": "A", "surname": format!("B {number}")});
        stage.world.mailbox_create(ANNA, &properties);
    }
    let before = stage.world.store_counters().commits;
    let played = stage.pass(ANNA);
    assert_eq!(played.report.counts.crm.created, 100);
    let commits = stage.world.store_counters().commits - before;
    // Five batches: intents and links of each; and the end.
    assert_eq!(commits, 11);
    assert_eq!(stage.rows("m/anna-makler-example/created/").len(), 5);
    assert!(history(&stage, ANNA).is_empty());
}
