//! What is an Exchange Server's own: a contact gets another id whenever it is moved.
//!
//! Contract, section 3: it is looked for by our key, which contacts have that the sync has created,
//! or by what outlives a move, in all contact folders; found in another one, it is *moved*: held,
//! and merged against its old base when it comes back. Goal: however a contact is moved, nobody is
//! deleted, created twice or overwritten. Method: contacts with a key, with a search key alone,
//! with neither, at rest and copied, moved between passes and during one.

use contact_sync_guest::job::{Endpoint, Job};
use contact_sync_guest::pass::Mode;
use contact_sync_guest::report::Phase;
use contact_sync_tests::simulator::ews::quirks::SearchKey;
use contact_sync_tests::simulator::{Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::mended::pass_with;
use super::safety::come_to_rest;
use super::stage::{
    ANNA, DAY_MS, Edit, Ending, PAUSE_MS, Person, Played, Scenario, Stage, Stands, State, Variant,
    crm, ending, outlook, play, writes,
};

const MINUTE_MS: i64 = 60_000;

/// Exported: the mailbox contact carries our key.
fn with_key() -> Person {
    let fields = json!({"firstName": ["Erika"], "lastName": ["Muster"],
                        "emails": ["erika@muster.example"], "salutation": ["01"]});
    crm("erika", &[ANNA], fields)
}

/// Imported: nothing but the search key outlives its id.
fn without_key() -> Person {
    let properties = json!({"givenName": "Erika", "surname": "Muster",
        "emailAddresses": [{"address": "erika@muster.example", "name": "Erika Muster"}]});
    outlook(ANNA, "erika", properties)
}

fn stage_with(person: Person) -> Stage {
    Scenario::new()
        .before([person])
        .stage(Variant::AccountField)
}

fn reads_only(played: &Played, context: &str) {
    assert!(
        writes(&played.counters).is_empty(),
        "{context}: {played:#?}"
    );
}

fn pass_after(stage: &mut Stage, edits: impl IntoIterator<Item = Edit>) -> Played {
    for edit in edits {
        stage.edit(&edit);
    }
    stage.world.advance_ms(MINUTE_MS);
    let played = stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn crm_edit(name: &'static str, position: &str) -> Edit {
    Edit::Crm(name, json!({"position": [position]}))
}

fn department(name: &'static str, department: &str) -> Edit {
    Edit::Outlook(ANNA, name, json!({ "department": department }))
}

// ---- between passes -----------------------------------------------------------------------------

/// Moved and edited there, edited in the CRM meanwhile, moved back: one contact with both edits.
#[test]
pub(crate) fn contact_that_goes_to_another_folder_and_comes_back_is_merged() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        let mut stage = stage_with(person);
        let before = stage.mailbox_id(ANNA, "erika");
        let played = pass_after(&mut stage, [Edit::OutlookMove(ANNA, "erika")]);
        reads_only(&played, name);
        assert_eq!(played.codes(), ["moved-in-mailbox"], "{name}");
        assert_ne!(
            stage.mailbox_id(ANNA, "erika"),
            before,
            "a move gives another id"
        );
        let edits = [department("erika", "Verkauf"), crm_edit("erika", "Leitung")];
        for round in [edits.into(), Vec::new()] {
            let played = pass_after(&mut stage, round);
            reads_only(&played, name);
            stage.check(name, &State::Pending(ANNA, &["moved-in-mailbox"]));
        }
        stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
        come_to_rest(&mut stage, name);
        let in_crm = json!({"position": ["Leitung"], "department": ["Verkauf"]});
        stage.check(name, &State::Crm("erika", in_crm));
        let in_mailbox = json!({"jobTitle": "Leitung", "department": "Verkauf"});
        stage.check(name, &State::Outlook(ANNA, "erika", in_mailbox));
        stage.check(name, &State::CrmCount(1));
        stage.check(name, &State::OutlookCount(ANNA, 1));
        stage.check(name, &State::Standing(ANNA, "erika", Some(Stands::Linked)));
        stage.check_quiet(name);
    }
}

/// There and back between two passes: another id, and otherwise an edit like any other.
#[test]
fn contact_that_is_back_before_anybody_looked_is_the_same() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        let mut stage = stage_with(person);
        let edits = [
            Edit::OutlookMove(ANNA, "erika"),
            department("erika", "Verkauf"),
            Edit::OutlookMoveBack(ANNA, "erika"),
        ];
        let played = pass_after(&mut stage, edits);
        assert!(played.findings.is_empty(), "{name}: {played:#?}");
        stage.check(
            name,
            &State::Crm("erika", json!({"department": ["Verkauf"]})),
        );
        stage.check(name, &State::CrmCount(1));
        stage.check(name, &State::OutlookCount(ANNA, 1));
        stage.check_quiet(name);
    }
}

/// Whoever is deleted from the other folder is deleted: found nowhere, in no live contact folder.
#[test]
fn contact_that_is_deleted_from_another_folder_is_deleted() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        let mut stage = stage_with(person);
        pass_after(&mut stage, [Edit::OutlookMove(ANNA, "erika")]);
        stage.check(name, &State::Pending(ANNA, &["moved-in-mailbox"]));
        stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        stage.check(name, &State::CrmTrashed("erika"));
        stage.check(name, &State::Pending(ANNA, &[]));
        stage.check_quiet(name);
    }
}

/// A pair at rest stays at rest: moved, edited, moved back, it is not imported again.
#[test]
fn contact_at_rest_stays_at_rest_wherever_it_goes() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        let mut stage = stage_with(person);
        let count = stage.world.crm_ids().len();
        pass_after(&mut stage, [Edit::Unmark("erika", ANNA)]);
        stage.check(
            name,
            &State::Standing(ANNA, "erika", Some(Stands::Detached)),
        );
        for edits in [
            vec![Edit::OutlookMove(ANNA, "erika")],
            vec![department("erika", "Verkauf")],
            vec![Edit::OutlookMoveBack(ANNA, "erika")],
            vec![department("erika", "Einkauf")],
        ] {
            let played = pass_after(&mut stage, edits);
            reads_only(&played, name);
        }
        assert_eq!(
            stage.world.crm_ids().len(),
            count,
            "{name}: nobody is imported"
        );
        stage.check_quiet(name);
    }
}

/// A user's copy carries both keys. With the original in another folder neither of the two is
/// proven to be the contact that was linked: the pair waits, and the copy is somebody new, as it is
/// on Office 365.
#[test]
pub(crate) fn copy_that_is_left_behind_by_a_move_proves_nothing() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        let mut stage = stage_with(person);
        let edits = [
            Edit::OutlookCopy(ANNA, "erika", "kopie"),
            Edit::OutlookMove(ANNA, "erika"),
        ];
        pass_after(&mut stage, edits);
        stage.check(name, &State::Pending(ANNA, &["moved-in-mailbox"]));
        stage.check(name, &State::CrmCount(2));
        pass_after(&mut stage, [department("erika", "Verkauf")]);
        stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
        come_to_rest(&mut stage, name);
        stage.check(
            name,
            &State::Crm("erika", json!({"department": ["Verkauf"]})),
        );
        stage.check(
            name,
            &State::Outlook(ANNA, "kopie", json!({"department": null})),
        );
        stage.check(name, &State::CrmCount(2));
        stage.check(name, &State::OutlookCount(ANNA, 2));
        stage.check_quiet(name);
    }
}

/// A person's answer names a contact by its id. Moved, it is another one to the server, and nothing
/// says that it is the one that the answer is about: the answer falls, and the question is asked
/// anew. Nobody is created twice meanwhile.
#[test]
fn answer_about_a_contact_that_was_moved_is_asked_for_anew() {
    let mut stage = super::mended::answered();
    let crm_count = stage.world.crm_ids().len();
    let played = pass_after(&mut stage, [Edit::OutlookMove(ANNA, "erika")]);
    assert_eq!(played.codes(), ["pairing-impossible"], "{played:#?}");
    let played = pass_after(&mut stage, [Edit::OutlookMoveBack(ANNA, "erika")]);
    assert_eq!(played.codes(), ["ambiguous-match"], "{played:#?}");
    stage.check("asked", &State::Pending(ANNA, &["ambiguous-match"]));
    assert_eq!(stage.world.crm_ids().len(), crm_count);
    stage.check_quiet("asked");
}

// ---- during a pass ------------------------------------------------------------------------------

/// Moved between the plan and the write: the write finds nobody, and the contact waits.
#[test]
fn contact_that_is_moved_under_a_write_is_held() {
    for (name, person) in [("key", with_key()), ("search key", without_key())] {
        for edit in [crm_edit("erika", "Leitung"), Edit::CrmDelete("erika")] {
            let is_deletion = matches!(edit, Edit::CrmDelete(_));
            let mut stage = stage_with(person.clone());
            stage.edit(&edit);
            stage.world.advance_ms(MINUTE_MS);
            let handle = stage.handle(ANNA, "erika");
            pass_with(&mut stage, Phase::Execute, |stage| {
                stage.world.mailbox_move(ANNA, &handle, "Privat");
            });
            stage.world.advance_ms(PAUSE_MS);
            stage.pass(ANNA);
            stage.check(name, &State::Pending(ANNA, &["moved-in-mailbox"]));
            stage.check(
                name,
                &State::Place(ANNA, "erika", Place::Folder("Privat".to_owned())),
            );
            stage.check(name, &State::OutlookCount(ANNA, 0));
            stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
            stage.world.advance_ms(PAUSE_MS);
            come_to_rest(&mut stage, name);
            if is_deletion {
                stage.check(name, &State::Place(ANNA, "erika", Place::DeletedItems));
            } else {
                let done = json!({"jobTitle": "Leitung"});
                stage.check(name, &State::Outlook(ANNA, "erika", done));
            }
            stage.check_quiet(name);
        }
    }
}

// ---- without a search key -----------------------------------------------------------------------

/// A job whose contacts are not asked for their search keys.
fn not_asking(stage: &Stage) -> Job {
    let mut job = stage.job(ANNA);
    if let Endpoint::Ews(access) = &mut job.mailbox.endpoint {
        access.ask_search_key = false;
    }
    job
}

/// Where nothing outlives an id, an imported contact in another folder cannot be told from one that
/// was deleted: it is deleted softly in the CRM, and restored when it comes back, the same contact
/// with what only the CRM holds.
#[test]
fn imported_contact_without_search_key_is_restored_when_it_comes_back() {
    for quirk in [SearchKey::LeftOut, SearchKey::Refused] {
        let mut stage = Scenario::new()
            .world(move |world| world.ews(|quirks| quirks.search_key = SearchKey::LeftOut))
            .before([without_key()])
            .stage(Variant::AccountField);
        stage
            .world
            .services(|services, _| services.ews.quirks.search_key = quirk);
        let id = stage.crm_id("erika");
        stage.edit(&Edit::Crm("erika", json!({"salutation": ["01"]})));
        for (edit, is_there) in [
            (Edit::OutlookMove(ANNA, "erika"), false),
            (Edit::OutlookMoveBack(ANNA, "erika"), true),
        ] {
            stage.edit(&edit);
            stage.world.advance_ms(PAUSE_MS);
            let played = play(&stage.world, not_asking(&stage), Mode::Sync);
            assert_eq!(
                ending(&played.report.outcome),
                Ending::Complete,
                "{quirk:?}"
            );
            assert_eq!(stage.world.crm_ids().contains(&id), is_there, "{played:#?}");
            assert_eq!(
                stage.world.crm_trash().contains(&id),
                !is_there,
                "{quirk:?}"
            );
        }
        let whole = json!({"salutation": ["01"], "lastName": ["Muster"]});
        stage.check("back", &State::Crm("erika", whole));
        stage.check("back", &State::CrmCount(1));
        stage.check("back", &State::OutlookCount(ANNA, 1));
    }
}

/// Many at once: the guard asks before anybody is taken for deleted.
#[test]
fn many_imported_contacts_that_are_moved_without_search_key_are_asked_about() {
    let mut stage = Scenario::new()
        .ballast(30)
        .world(|world| world.ews(|quirks| quirks.search_key = SearchKey::LeftOut))
        .stage(Variant::AccountField);
    let ids = stage.world.mailbox_ids(ANNA);
    for id in &ids[..11] {
        stage.world.mailbox_move(ANNA, id, "Privat");
    }
    let played = pass_after(&mut stage, []);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("over-limit")
    );
    reads_only(&played, "moved");
    for id in &ids[..11] {
        stage.world.mailbox_move_back(ANNA, id);
    }
    let played = pass_after(&mut stage, []);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    reads_only(&played, "back");
    assert_eq!(stage.world.crm_ids().len(), 30);
    stage.check_quiet("back");
}

/// A server that rejects the property answers every contact with a refusal: nothing is read, so
/// nothing is done, and the finding says which setting helps.
#[test]
fn server_that_rejects_the_search_key_is_told_of_with_the_remedy() {
    let mut stage = Scenario::new()
        .ballast(0)
        .world(|world| world.ews(|quirks| quirks.search_key = SearchKey::Refused))
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(
        ANNA,
        "max",
        json!({"givenName": "Max", "surname": "Kraft"}),
    ));
    let played = pass_after(&mut stage, []);
    reads_only(&played, "rejected");
    let remedy: Vec<&str> = played
        .findings
        .iter()
        .filter_map(|told| told.remedy.as_deref())
        .collect();
    assert!(
        remedy
            .iter()
            .any(|remedy| remedy.contains("ask-search-key")),
        "{played:#?}"
    );
    stage.world.advance_ms(DAY_MS);
    let played = play(&stage.world, not_asking(&stage), Mode::Sync);
    assert_eq!(played.counters.of(Kind::FlowfactCreate), 1, "{played:#?}");
}

/// Two ids of a large mailbox differ only in the case of a letter, and are two contacts
/// (vdirsyncer#144).
#[test]
fn ids_that_differ_only_in_case_are_two_contacts() {
    let mut stage = Scenario::new().ballast(30).stage(Variant::AccountField);
    let ids: Vec<String> = stage
        .links(ANNA)
        .iter()
        .map(|link| link.mailbox_id.to_string())
        .collect();
    let alike = ids.iter().find_map(|one| {
        let is_alike = |other: &&String| one != *other && one.eq_ignore_ascii_case(other);
        ids.iter().find(is_alike).map(|other| (one, other))
    });
    let (one, other) = alike.expect("two ids that differ only in case");
    let edited: Value = json!({"jobTitle": "Leitung"});
    stage.world.mailbox_edit(ANNA, one, &edited);
    pass_after(&mut stage, []);
    let positions = |id: &str| {
        let links = stage.links(ANNA);
        let link = links
            .iter()
            .find(|link| link.mailbox_id.as_str() == id)
            .expect("a pair");
        stage
            .world
            .crm_fields(link.crm_id.as_str())
            .expect("its half")["position"]
            .clone()
    };
    assert_eq!(positions(one), json!(["Leitung"]));
    assert_eq!(positions(other), Value::Null);
    stage.check_quiet("two");
}
